"""Split of a sequence of convolutions into the stages of a ResNet generator, by shape only."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from .layer_graph import ParsedLayer, format_shape
from .parsed_generator import NotThisArchitecture

MAX_IMAGE_CHANNELS = 4


@dataclass(frozen=True)
class Stages:
    """Convolutions of a ResNet generator by function.

    Attributes:
        first: first convolution.
        down: downsampling convolutions.
        blocks: 2 convolutions per residual block, or 4 in separable blocks.
        up: upsampling convolutions.
        last: last convolution.
        transposed: whether upsampling is by transposed convolutions.
        separable: whether the blocks are separable.
    """

    first: ParsedLayer
    down: tuple[ParsedLayer, ...]
    blocks: tuple[tuple[ParsedLayer, ...], ...]
    up: tuple[ParsedLayer, ...]
    last: ParsedLayer
    transposed: bool
    separable: bool

    def normalized_layers(self) -> list[ParsedLayer]:
        """Return the layers that are followed by the network's norm."""
        step = 2 if self.separable else 1
        inner = [layer for block in self.blocks for layer in block[step - 1 :: step]]
        return [self.first, *self.down, *inner, *self.up]


def split_stages(convolutions: Sequence[ParsedLayer]) -> Stages:
    """Split convolutions, in order of execution, into stages.

    Raises:
        NotThisArchitecture: they are not a ResNet generator; the message names the layer.
    """
    if len(convolutions) < 7:
        raise NotThisArchitecture(
            f"it has {len(convolutions)} convolutions; a ResNet generator has 7 or more"
        )
    first, *rest, last = convolutions
    channels, inputs, kernel, _ = first.shape
    if inputs > MAX_IMAGE_CHANNELS:
        raise NotThisArchitecture(f"{first.path} takes {inputs} channels; an image has 1 to 4")
    if kernel % 2 == 0 and kernel != 4:
        raise NotThisArchitecture(
            f"{first.path} is {kernel}x{kernel}; the first kernel must have odd sides or be 4x4"
        )
    position = 0
    down: list[ParsedLayer] = []
    while position < len(rest) and not _match_residual_block(rest[position:], channels):
        layer = rest[position]
        if layer.shape[1] != channels or layer.shape[0] <= channels:
            raise NotThisArchitecture(
                f"{layer.path} is {format_shape(layer.shape)}; expected more than {channels} "
                "channels or a residual block"
            )
        channels, position = layer.shape[0], position + 1
        down.append(layer)
    blocks: list[tuple[ParsedLayer, ...]] = []
    while block := _match_residual_block(rest[position:], channels):
        blocks.append(block)
        position += len(block)
    up = rest[position:]
    if not down or not blocks or len(up) != len(down):
        raise NotThisArchitecture(
            f"it has {len(down)} downsampling layers, {len(blocks)} residual blocks and {len(up)} "
            "upsampling layers"
        )
    transposed = up[0].shape[0] == channels
    for layer in up:
        in_channels, out_channels = (
            layer.shape[:2] if transposed else (layer.shape[1], layer.shape[0])
        )
        if in_channels != channels:
            raise NotThisArchitecture(
                f"{layer.path} is {format_shape(layer.shape)}, but its input has {channels} "
                "channels"
            )
        channels = out_channels
    # First and last convolutions of 4x4 downsample and upsample: the last one is transposed.
    in_channels, out_channels = last.shape[:2] if kernel == 4 else (last.shape[1], last.shape[0])
    if in_channels != channels or out_channels > MAX_IMAGE_CHANNELS:
        raise NotThisArchitecture(
            f"{last.path} is {format_shape(last.shape)}; expected {channels} channels to 1..4"
        )
    if last.shape[2] != kernel:
        raise NotThisArchitecture(
            f"{last.path} is {format_shape(last.shape)}, but the first convolution "
            f"{format_shape(first.shape)}"
        )
    _check_kernels(down, transposed, up)
    block_lengths = {len(block) for block in blocks}
    if len(block_lengths) > 1:
        raise NotThisArchitecture("some residual blocks are separable, others are not")
    return Stages(
        first, tuple(down), tuple(blocks), tuple(up), last, transposed, block_lengths == {4}
    )


def _match_residual_block(
    rest: Sequence[ParsedLayer], channels: int
) -> tuple[ParsedLayer, ...] | None:
    """Return the residual block at the start of `rest`, if any.

    It has two plain or two separable 3x3 convolutions, from `channels` to `channels`.
    """
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


def _check_kernels(
    down: Sequence[ParsedLayer], transposed: bool, up: Sequence[ParsedLayer]
) -> None:
    kernel = down[0].shape[2]
    for layer, wanted in (
        *((layer, kernel) for layer in down),
        *((layer, kernel if transposed else 3) for layer in up),
    ):
        if layer.shape[2:] != (wanted, wanted) or wanted not in (3, 4):
            raise NotThisArchitecture(
                f"{layer.path} is {format_shape(layer.shape)}; its kernel must be 3x3 or 4x4"
            )


def stage_widths(stages: Stages) -> tuple[int, ...]:
    """Return the widths in the order of `GeneratorConfig.stage_widths`."""
    inner = (block[1 if stages.separable else 0].shape[0] for block in stages.blocks)
    up = (layer.shape[1 if stages.transposed else 0] for layer in stages.up)
    return (stages.first.shape[0], *(layer.shape[0] for layer in stages.down), *inner, *up)
