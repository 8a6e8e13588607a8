"""Images through another project's network: its channels, sizes, outputs and value range.

Code does not state what images it takes, so images are tried.
"""

from __future__ import annotations

import inspect
import warnings
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils import _pytree as pytree

from cgt.runtime.errors import UsageError
from cgt.runtime.image.geometry import format_size
from cgt.runtime.image.preprocess import pack
from cgt.runtime.models.model_code import IMAGE_RANGE, ModelCode, Range

from ..data.synthetic import convert_planes, dead_leaves
from .loader import their_errors

DEFAULT_SIDE_PX = 256
_OTHER_SIDES_PX = (256, 128, 512, 64, 32)
_MULTIPLES = (1, 2, 4, 8, 16, 32, 64, 128, 256)
# Sides to try multiples at; the second is for networks that need more pixels.
_PROBE_SIDES_PX = (64, 192)
_RANGE_TOLERANCE = 0.05  # interpolation and residuals leave the range a little
_MAX_SHARE_OUTSIDE = 0.01
_IMAGE_CHANNELS = (1, 3)

Size = tuple[int, int]


@dataclass(frozen=True)
class Interface:
    """What images a network takes.

    Attributes:
        in_channels: 1 or 3.
        out_channels: 1 or 3.
        size: (height, width) that the network is assumed to be trained with, or its only size.
        multiple: number of which both sides must be multiples; 1 for a network of one size.
        fixed: the network takes no other size.
        notes: facts about the outputs.
    """

    in_channels: int
    out_channels: int
    size: Size
    multiple: int
    fixed: bool
    notes: tuple[str, ...]


class ImageModel(nn.Module):
    """Another project's network as an image translator in [-1, 1].

    Args:
        model: their network.
        output: index of the image among the tensors that it returns.
        input_range: values of black and white in its input.
        output_range: the same in its output.
    """

    def __init__(
        self,
        model: nn.Module,
        output: int = 0,
        input_range: Range = IMAGE_RANGE,
        output_range: Range = IMAGE_RANGE,
    ) -> None:
        super().__init__()
        self.model = model
        self.output = output
        self.input_range, self.output_range = input_range, output_range

    def forward(self, x: Tensor) -> Tensor:
        """Translate N,in,H,W in [-1, 1] to N,out,H,W in [-1, 1]."""
        if self.input_range != IMAGE_RANGE:
            low, high = self.input_range
            x = (x + 1) * ((high - low) / 2) + low
        out = self.model(x)
        if not isinstance(out, Tensor):
            out = pytree.tree_leaves(out)[self.output]
        if self.output_range != IMAGE_RANGE:
            low, high = self.output_range
            out = (out - low) * (2 / (high - low)) - 1
        image: Tensor = out
        return image


def probe_interface(
    model: nn.Module, code: ModelCode, side: int | None
) -> tuple[ImageModel, Interface]:
    """Try images of several channels and sizes.

    Args:
        model: their network, in eval mode.
        code: where it comes from.
        side: side in pixels that it was trained with, if known.

    Returns:
        The network as an image translator, and the images that it takes.

    Raises:
        CheckpointError: their code fails on every image.
        UsageError: the network does not translate an image to one of its size, or its output is
            not in the range of images.
    """
    _check_forward(model, code)
    side, channels, returned = _find_working_image(model, code, side)
    index, image, notes = _select_output(returned, (side, side), code)
    if image.shape[1] not in _IMAGE_CHANNELS:
        raise UsageError(
            f"--code {code.label} returns {image.shape[1]} channels; cgt supports images of 1 or 3"
        )
    wrapped = ImageModel(model, index, code.input_range, code.output_range or IMAGE_RANGE).eval()
    multiple = _find_multiple(wrapped, channels)
    if multiple is None or side % multiple:
        size, fixed = (side, side), True
        notes.append(f"runs at {format_size(size)} only")
    else:
        trained = -(-side // multiple) * multiple
        size, fixed = (trained, trained), False
    interface = Interface(
        channels, image.shape[1], size, 1 if fixed else multiple or 1, fixed, tuple(notes)
    )
    check_value_range(wrapped, code, [synthetic_image(size, channels)])
    return wrapped, interface


def check_value_range(network: nn.Module, code: ModelCode, images: list[Tensor]) -> None:
    """Check on images that the output of a network is finite and in the range of images.

    Args:
        network: result of `probe_interface`.
        code: where it comes from.
        images: tensors 1,C,H,W in [-1, 1].

    Raises:
        UsageError: it is not; the message tells the flag that states the range.
    """
    with torch.no_grad(), their_errors(code, "running on an image"):
        outputs = [network(image) for image in images]
    if not all(bool(out.isfinite().all()) for out in outputs):
        raise UsageError(f"--code {code.label} outputs NaN or infinity on an image")
    if code.output_range is not None:  # the user knows; what is outside is clipped
        return
    values = torch.cat([out.flatten() for out in outputs])
    low, high = float(values.min()), float(values.max())
    outside = float((values.abs() > 1 + _RANGE_TOLERANCE).float().mean())
    found = f"--code {code.label} outputs values from {low:.2f} to {high:.2f}"
    if outside > _MAX_SHARE_OUTSIDE:
        raise UsageError(
            f"{found}, which are not in [-1, 1]; state its black and white with --model-range, "
            "0..255 for example (INPUT:OUTPUT if they differ), or -1..1 to clip it"
        )
    if low >= 0 and high > 0.5:
        raise UsageError(
            f"{found}; if 0 is black add --model-range=-1..1:0..1 (0..1 if that is also its "
            "input), if -1 is black --model-range=-1..1"
        )


def synthetic_image(size: Size, channels: int, seed: int = 0) -> Tensor:
    """Return an image with the statistics of photographs, float32 1,channels,H,W in [-1, 1]."""
    image = pack(dead_leaves(size, np.random.default_rng(seed)))
    return torch.from_numpy(np.ascontiguousarray(convert_planes(image, channels)))[None]


def _check_forward(model: nn.Module, code: ModelCode) -> None:
    try:
        signature = inspect.signature(model.forward)
        signature.bind(object())
    except TypeError:
        text = " ".join(str(signature).split())
        raise UsageError(
            f"--code {code.label}: forward{text} does not take one image; write a function that "
            "returns a module which passes the rest, and name that in --code"
        ) from None
    except ValueError:
        pass


def _find_working_image(
    model: nn.Module, code: ModelCode, side: int | None
) -> tuple[int, int, Any]:
    """Return the first side and number of channels that their code accepts, and what it returns."""
    preferred = side or DEFAULT_SIDE_PX
    sides = dict.fromkeys((preferred, *_OTHER_SIDES_PX))
    first_error: Exception | None = None
    for tried in sides:
        for channels in (3, 1):
            x = torch.rand(1, channels, tried, tried, generator=torch.Generator().manual_seed(0))
            try:
                return tried, channels, _run(model, 2 * x - 1, code.input_range)
            except Exception as error:  # whatever their code raises
                first_error = first_error or error
    assert first_error is not None
    with their_errors(code, f"running on a {format_size((preferred, preferred))} RGB image"):
        raise first_error
    raise AssertionError


def _run(model: nn.Module, x: Tensor, input_range: Range) -> Any:
    """Return everything that their network returns for an image in [-1, 1]."""
    low, high = input_range
    with torch.no_grad(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return model((x + 1) * ((high - low) / 2) + low)


def _select_output(returned: Any, size: Size, code: ModelCode) -> tuple[int, Tensor, list[str]]:
    """Return the first image of the size of the input among the outputs, with its index."""
    leaves = pytree.tree_leaves(returned)
    images = [
        (index, leaf)
        for index, leaf in enumerate(leaves)
        if isinstance(leaf, Tensor) and leaf.dim() == 4 and leaf.is_floating_point()
    ]
    if not images:
        shapes = [
            str(tuple(x.shape)) if isinstance(x, Tensor) else type(x).__name__ for x in leaves
        ]
        raise UsageError(f"--code {code.label} returns no image, but {', '.join(shapes)}")
    same_size = [(index, image) for index, image in images if tuple(image.shape[2:]) == size]
    if not same_size:
        found = tuple(images[0][1].shape[2:])
        raise UsageError(
            f"--code {code.label} turns a {format_size(size)} image into {format_size(found)}; cgt "
            "needs an output of the size of the input (write a function that resizes it)"
        )
    index, image = same_size[0]
    if len(leaves) == 1:
        return index, image, []
    return index, image, [f"returns {len(leaves)} tensors; number {index + 1} is the image"]


def _find_multiple(network: ImageModel, channels: int) -> int | None:
    """Return the smallest multiple whose odd multiples all work; None if there is none."""
    return next(
        (
            multiple
            for side in _PROBE_SIDES_PX
            for multiple in _MULTIPLES
            if _works(network, channels, multiple, side)
        ),
        None,
    )


def _works(network: ImageModel, channels: int, multiple: int, side: int) -> bool:
    units = max(1, side // multiple) | 1  # odd, so that it is no larger multiple
    size = (multiple * units, multiple * (units + 2))
    try:
        with torch.no_grad():
            return tuple(network(torch.zeros(1, channels, *size)).shape[2:]) == size
    except Exception:  # whatever their code raises for a size that it does not take
        return False
