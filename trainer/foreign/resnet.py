"""ResNet generators: down, residual blocks, up, between two wide convolutions."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace

from ..config import GeneratorConfig
from .dialects import Dialect
from .layers import Layer, Layers
from .norms import read_norm
from .options import Options
from .recognised import Disagreement, Notes, Recognised

_MOST_CHANNELS = 4


@dataclass(frozen=True)
class _Stages:
    first: Layer
    down: tuple[Layer, ...]
    blocks: tuple[tuple[Layer, ...], ...]  # 2 convolutions each, or 4 in mobile blocks
    up: tuple[Layer, ...]
    last: Layer
    transposed: bool
    mobile: bool

    def normed(self) -> list[Layer]:
        """Those with a norm of the network's kind behind them."""
        step = 2 if self.mobile else 1
        inner = [layer for block in self.blocks for layer in block[step - 1 :: step]]
        return [self.first, *self.down, *inner, *self.up]


def recognise(layers: Layers, options: Options, dialect: Dialect) -> Recognised:
    """Raises Disagreement when the layers are not a ResNet generator."""
    stages = _stages(layers.convolutions)
    notes = Notes()
    notes.evidence.append(
        f"{len(stages.blocks)} residual blocks, {len(stages.down)} halvings, "
        f"{stages.first.shape[0]} channels in the first layer: "
        f"resnet{len(stages.blocks)}, ngf {stages.first.shape[0]}"
    )
    bare = dialect.bare_first
    normed = stages.normed()[1 if bare else 0 :]
    # The separable convolutions of mobile blocks bring their own biases.
    plain = [
        stages.first,
        *stages.down,
        *([] if stages.mobile else [layer for block in stages.blocks for layer in block]),
        *stages.up,
    ]
    norm, bias = read_norm(normed, plain, options, notes)
    norm = dialect.settle_norm(norm, bias, notes)
    config = GeneratorConfig(
        kind=f"resnet{len(stages.blocks)}",
        ngf=stages.first.shape[0],
        in_channels=stages.first.shape[1],
        out_channels=stages.last.shape[0],
        norm=norm,
        bias=bias,
        halvings=len(stages.down),
        block="mobile" if stages.mobile else "plain",
        kernel=stages.down[0].shape[2],
        ends_kernel=stages.first.shape[2],
        bare_first=bare,
        upsampling=_upsampling(stages, notes),
        downsampling=_downsampling(stages, notes),
        output=dialect.output,
    )
    widths = _widths(stages)
    if widths != config.stage_widths:
        config = replace(config, widths=widths)
        notes.evidence.append(f"widths of its own: {', '.join(map(str, widths))}")
    config = _paddings(config, stages, dialect, notes)
    ordered = (
        stages.first,
        *stages.down,
        *(layer for block in stages.blocks for layer in block),
        *stages.up,
        stages.last,
    )
    old = [layer.norm for layer in ordered if layer.norm and norm.startswith("instance")]
    dropped = tuple(
        key
        for entry in old
        for leaf, key in entry.keys.items()
        if leaf in ("running_mean", "running_var", "num_batches_tracked")
    )
    return Recognised(config, ordered, dropped, tuple(notes.evidence), tuple(notes.ambiguous))


def _stages(convolutions: Sequence[Layer]) -> _Stages:
    """Cut the row of convolutions into stages by their shapes."""
    if len(convolutions) < 7:
        raise Disagreement(f"it has {len(convolutions)} convolutions, a ResNet generator 7 or more")
    first, *rest, last = convolutions
    channels, inputs, kernel, _ = first.shape
    if inputs > _MOST_CHANNELS:
        raise Disagreement(f"{first.path} takes {inputs} channels, an image has 1 to 4")
    if kernel % 2 == 0:
        raise Disagreement(
            f"{first.path} is {kernel}x{kernel}; the first convolution has odd sides"
        )
    position = 0
    down: list[Layer] = []
    while position < len(rest) and not _block(rest[position:], channels):
        layer = rest[position]
        if layer.shape[1] != channels or layer.shape[0] <= channels:
            raise Disagreement(
                f"{layer.path} is {_text(layer)}, where one from {channels} to more channels or a "
                "residual block should be"
            )
        channels, position = layer.shape[0], position + 1
        down.append(layer)
    blocks: list[tuple[Layer, ...]] = []
    while block := _block(rest[position:], channels):
        blocks.append(block)
        position += len(block)
    up = rest[position:]
    if not down or not blocks or len(up) != len(down):
        raise Disagreement(
            f"it has {len(down)} halvings, {len(blocks)} residual blocks and {len(up)} doublings"
        )
    transposed = up[0].shape[0] == channels
    for layer in up:
        given, out = layer.shape[:2] if transposed else (layer.shape[1], layer.shape[0])
        if given != channels:
            raise Disagreement(f"{layer.path} is {_text(layer)}, but {channels} channels reach it")
        channels = out
    if last.shape[1] != channels or last.shape[0] > _MOST_CHANNELS:
        raise Disagreement(f"{last.path} is {_text(last)}, where {channels} to 1..4 should be")
    if last.shape[2] != kernel:
        raise Disagreement(f"{last.path} is {_text(last)}, the first convolution {_text(first)}")
    _uniform(down, transposed, up)
    mobile = {len(block) for block in blocks}
    if len(mobile) > 1:
        raise Disagreement("some residual blocks are separable, others are not")
    return _Stages(first, tuple(down), tuple(blocks), tuple(up), last, transposed, mobile == {4})


def _block(rest: Sequence[Layer], channels: int) -> tuple[Layer, ...] | None:
    """The residual block at the beginning of `rest`: two 3x3 convolutions, or two separable ones,
    from `channels` to `channels`."""
    shapes = [layer.shape for layer in rest[:4]]
    if len(shapes) >= 2 and shapes[0][2:] == shapes[1][2:] == (3, 3):
        between = shapes[0][0]
        if shapes[0][1] == channels and shapes[1][:2] == (channels, between):
            return tuple(rest[:2])
    if len(shapes) == 4:
        between = shapes[1][0]
        wanted = [
            (channels, 1, 3, 3),
            (between, channels, 1, 1),
            (between, 1, 3, 3),
            (channels, between, 1, 1),
        ]
        if shapes == wanted:
            return tuple(rest[:4])
    return None


def _uniform(down: Sequence[Layer], transposed: bool, up: Sequence[Layer]) -> None:
    kernel = down[0].shape[2]
    for layer, wanted in (
        *((layer, kernel) for layer in down),
        *((layer, kernel if transposed else 3) for layer in up),
    ):
        if layer.shape[2:] != (wanted, wanted) or wanted not in (3, 4):
            raise Disagreement(f"{layer.path} is {_text(layer)}; kernels of 3 or 4 are known there")


def _text(layer: Layer) -> str:
    return f"({', '.join(map(str, layer.shape))})"


def _widths(stages: _Stages) -> tuple[int, ...]:
    inner = (block[1 if stages.mobile else 0].shape[0] for block in stages.blocks)
    up = (layer.shape[1 if stages.transposed else 0] for layer in stages.up)
    return (stages.first.shape[0], *(layer.shape[0] for layer in stages.down), *inner, *up)


def _downsampling(stages: _Stages, notes: Notes) -> str:
    blurred = [layer.blur_after for layer in stages.down]
    if not any(blurred):
        return "strided"
    if not all(blurred):
        raise Disagreement("some halvings are blurred (.filt), others are not")
    notes.evidence.append("3x3 .filt behind the halvings: anti-aliased")
    return "antialias"


def _upsampling(stages: _Stages, notes: Notes) -> str:
    blurred = [layer.blur_before for layer in stages.up]
    if any(blurred):
        if stages.transposed or not all(blurred):
            raise Disagreement("the doublings' blurs (.filt) are not where they belong")
        notes.evidence.append("4x4 .filt before the doublings: anti-aliased")
        return "antialias"
    if stages.transposed:
        notes.evidence.append(f"{stages.up[0].path} is stored [in, out]: transposed convolutions")
        return "transposed"
    notes.evidence.append(f"{stages.up[0].path} is stored [out, in]: resize, then convolve")
    notes.ambiguous.append("how pixels are resized leaves no trace; taken as nearest")
    return "resize"


def _paddings(
    config: GeneratorConfig, stages: _Stages, dialect: Dialect, notes: Notes
) -> GeneratorConfig:
    """From the gaps that layers without weights leave in numbered keys; else as the dialect."""
    padding, down_padding, up_padding = dialect.padding, dialect.down_padding, dialect.up_padding
    dropout = False
    indices = _block_indices(stages)
    if indices is not None:
        start, gap = indices
        if start == 0:
            padding = "zero"
            notes.ambiguous.append(
                "blocks begin with a convolution, which pads its borders itself; taken as zero"
            )
        slots = gap - (4 if start else 3)
        if slots not in (0, 1):
            raise Disagreement(f"{stages.blocks[0][0].path}: {gap} layers to the next convolution")
        dropout = bool(slots)
        notes.evidence.append(
            f"block convolutions at {start} and {start + gap}: "
            f"{'with' if dropout else 'without'} a dropout slot"
        )
    elif dialect.name:
        notes.evidence.append(f"borders padded by {padding}, {dialect.because}")
    else:
        notes.ambiguous.append(
            f"the names do not tell how borders are padded; taken as {padding}, {dialect.because}"
        )
    ends_padding = dialect.ends_padding
    if not dialect.name and _index(stages.first.path, -1) == 0:
        ends_padding = "zero"
        notes.ambiguous.append(
            f"{stages.first.path} has no layer before it and pads its borders itself; taken as zero"
        )
    config = replace(
        config,
        padding=padding,
        ends_padding=ends_padding,
        down_padding=down_padding,
        dropout=dropout,
    )
    if config.upsampling == "transposed":
        return config
    if config.upsampling == "resize":
        reflected = _resize_is_reflected(stages)
        if reflected is not None and not dialect.name:
            up_padding = "reflect" if reflected else "zero"
            notes.evidence.append(f"resize convolutions padded by {up_padding}, from their numbers")
    return replace(config, up_padding=up_padding)


def _resize_is_reflected(stages: _Stages) -> bool | None:
    """Whether there is room for a padding between resizing and convolution; None: not known."""
    parent, _, number = stages.up[0].path.rpartition(".")
    block = re.match(re.escape(f"{parent}.") + r"(\d+)\.", stages.blocks[-1][-1].path)
    if not number.isdigit():
        return None
    if block:  # all in one Sequential: resize, (padding,) convolution
        return int(number) - int(block[1]) > 2
    return int(number) == 2  # a Sequential of its own


def _block_indices(stages: _Stages) -> tuple[int, int] | None:
    """The number of a block's first convolution and the distance to its second."""
    block = stages.blocks[0]
    one, two = (re.sub(r"\.conv\.\d+$", "", block[i].path) for i in (0, len(block) // 2))
    first, second = _index(one, -1), _index(two, -1)
    if first is None or second is None or one.rpartition(".")[0] != two.rpartition(".")[0]:
        return None
    return (first, second - first) if second - first >= 3 else None


def _index(path: str, part: int) -> int | None:
    text = path.split(".")[part]
    return int(text) if text.isdigit() else None
