"""What of a teacher a narrower and shallower copy keeps: which blocks, which channels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from ..config import GeneratorConfig
from ..networks import ResnetBlock, ResnetGenerator
from .layerwise import Layer, layers_of
from .leastsquares import choose

LOOKED_AT = 12  # photos from which it is told


@dataclass(frozen=True)
class Parts:
    """A ResNet: layers before the blocks, two of each block, layers after them."""

    head: list[Layer]
    blocks: list[tuple[Layer, Layer]]
    tail: list[Layer]

    @classmethod
    def of(cls, network: ResnetGenerator) -> Parts:
        modules = list(network.model)
        places = [i for i, module in enumerate(modules) if isinstance(module, ResnetBlock)]
        pairs = [layers_of(modules[i].conv_block) for i in places]  # type: ignore[arg-type]
        return cls(
            layers_of(modules[: places[0]]),
            [(one, two) for one, two in pairs],
            layers_of(modules[places[-1] + 1 :]),
        )

    def only(self, blocks: Sequence[int]) -> Parts:
        return Parts(self.head, [self.blocks[k] for k in blocks], self.tail)


def run(layers: Sequence[Layer], x: Tensor) -> Tensor:
    """One after the other."""
    for layer in layers:
        x = layer.finish(layer.mix(x))
    return x


def kept_blocks(teacher: Parts, count: int, photos: Sequence[Tensor]) -> list[int]:
    """`count` blocks, in order: one after the other the block is left out without which the output
    changes least. photos: 1,C,H,W each."""
    kept = list(range(len(teacher.blocks)))
    if count == len(kept):
        return kept
    trunks = [run(teacher.head, photo) for photo in photos]
    whole = [_rest(teacher, kept, trunk) for trunk in trunks]
    while len(kept) > count:
        errors = []
        for k in kept:
            without = [j for j in kept if j != k]
            made = (_rest(teacher, without, trunk) for trunk in trunks)
            errors.append(
                sum(float((a - b).square().mean()) for a, b in zip(made, whole, strict=True))
            )
        del kept[min(range(len(kept)), key=errors.__getitem__)]
    return kept


def _rest(teacher: Parts, blocks: Sequence[int], x: Tensor) -> Tensor:
    for k in blocks:
        x = x + run(teacher.blocks[k], x)
    return run(teacher.tail, x)


@dataclass(frozen=True)
class Channels:
    """Indices of the channels that are kept, ascending: after each layer of the head but the last,
    in the trunk, between the convolutions of each block, after each layer of the tail but the last.
    """

    head: list[Tensor] = field(default_factory=list)
    trunk: Tensor = field(default_factory=lambda: torch.empty(0))
    inner: list[Tensor] = field(default_factory=list)
    tail: list[Tensor] = field(default_factory=list)


def kept_channels(teacher: Parts, config: GeneratorConfig, photos: Sequence[Tensor]) -> Channels:
    """As many as `config`, of the narrower network, says. teacher: of the blocks that are kept."""
    head, blocks, tail = teacher.head, teacher.blocks, teacher.tail
    seen: dict[int, Tensor] = {}  # covariances of what a layer reads

    def step(layer: Layer, x: Tensor) -> Tensor:
        flat = x[0].flatten(1)
        flat = flat - flat.mean(1, keepdim=True)
        seen[id(layer)] = seen.get(id(layer), 0) + flat @ flat.T / flat.shape[1]
        return layer.finish(layer.mix(x))

    for photo in photos[:LOOKED_AT]:
        x = photo
        for layer in head:
            x = step(layer, x)
        for one, two in blocks:
            x = x + step(two, step(one, x))
        for layer in tail:
            x = step(layer, x)

    def best(layers: Sequence[Layer], count: int) -> Tensor:
        return choose([seen[id(layer)] for layer in layers], count)

    levels, widths = config.levels, config.stage_widths
    return Channels(
        [best([layer], n) for layer, n in zip(head[1:], widths[:levels], strict=True)],
        best([*(one for one, _ in blocks), tail[0]], widths[levels]),
        [best([two], n) for (_, two), n in zip(blocks, widths[levels + 1 : -levels], strict=True)],
        [best([layer], n) for layer, n in zip(tail[1:], widths[-levels:], strict=True)],
    )
