"""A row of convolutions cut into the stages of a ResNet generator, by shapes alone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from .layer_graph import ParsedLayer
from .parsed_generator import NotThisArchitecture

_MAX_IMAGE_CHANNELS = 4


@dataclass(frozen=True)
class Stages:
    """The convolutions of a ResNet generator, by what they are for."""

    first: ParsedLayer
    down: tuple[ParsedLayer, ...]
    blocks: tuple[tuple[ParsedLayer, ...], ...]  # 2 convolutions each, or 4 in mobile blocks
    up: tuple[ParsedLayer, ...]
    last: ParsedLayer
    transposed: bool
    separable: bool

    def normalized_layers(self) -> list[ParsedLayer]:
        """Those with a norm of the network's kind behind them."""
        step = 2 if self.separable else 1
        inner = [layer for block in self.blocks for layer in block[step - 1 :: step]]
        return [self.first, *self.down, *inner, *self.up]


def split_stages(convolutions: Sequence[ParsedLayer]) -> Stages:
    """Raises Disagreement, naming the layer, where a row of convolutions is no such generator."""
    if len(convolutions) < 7:
        raise NotThisArchitecture(
            f"it has {len(convolutions)} convolutions, a ResNet generator 7 or more"
        )
    first, *rest, last = convolutions
    channels, inputs, kernel, _ = first.shape
    if inputs > _MAX_IMAGE_CHANNELS:
        raise NotThisArchitecture(f"{first.path} takes {inputs} channels, an image has 1 to 4")
    if kernel % 2 == 0 and kernel != 4:
        raise NotThisArchitecture(
            f"{first.path} is {kernel}x{kernel}; the first convolution has odd sides, or 4x4"
        )
    position = 0
    down: list[ParsedLayer] = []
    while position < len(rest) and not _match_residual_block(rest[position:], channels):
        layer = rest[position]
        if layer.shape[1] != channels or layer.shape[0] <= channels:
            raise NotThisArchitecture(
                f"{layer.path} is {_format_layer_shape(layer)}, where one from {channels} to more channels or a "
                "residual block should be"
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
            f"it has {len(down)} halvings, {len(blocks)} residual blocks and {len(up)} doublings"
        )
    transposed = up[0].shape[0] == channels
    for layer in up:
        given, out = layer.shape[:2] if transposed else (layer.shape[1], layer.shape[0])
        if given != channels:
            raise NotThisArchitecture(
                f"{layer.path} is {_format_layer_shape(layer)}, but {channels} channels reach it"
            )
        channels = out
    # Ends of 4x4 halve and double as well: the last one is transposed.
    given, out = last.shape[:2] if kernel == 4 else (last.shape[1], last.shape[0])
    if given != channels or out > _MAX_IMAGE_CHANNELS:
        raise NotThisArchitecture(
            f"{last.path} is {_format_layer_shape(last)}, where {channels} to 1..4 should be"
        )
    if last.shape[2] != kernel:
        raise NotThisArchitecture(
            f"{last.path} is {_format_layer_shape(last)}, the first convolution {_format_layer_shape(first)}"
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
                f"{layer.path} is {_format_layer_shape(layer)}; kernels of 3 or 4 are known there"
            )


def _format_layer_shape(layer: ParsedLayer) -> str:
    return f"({', '.join(map(str, layer.shape))})"


def stage_widths(stages: Stages) -> tuple[int, ...]:
    """As GeneratorConfig.stage_widths has them."""
    inner = (block[1 if stages.separable else 0].shape[0] for block in stages.blocks)
    up = (layer.shape[1 if stages.transposed else 0] for layer in stages.up)
    return (stages.first.shape[0], *(layer.shape[0] for layer in stages.down), *inner, *up)
