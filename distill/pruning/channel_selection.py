"""What of a teacher a narrower and shallower copy keeps: which blocks, which channels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from cgt.trainer.networks import ResnetBlock, ResnetGenerator
from cgt.trainer.networks.config import GeneratorConfig

from .conv_layers import ConvLayer, split_conv_layers
from .least_squares import select_channels

MAX_COVARIANCE_IMAGES = 12  # photos from which it is told


@dataclass(frozen=True)
class ResnetLayers:
    """A ResNet: layers before the blocks, two of each block, layers after them."""

    encoder: list[ConvLayer]
    blocks: list[tuple[ConvLayer, ConvLayer]]
    decoder: list[ConvLayer]

    @classmethod
    def from_network(cls, network: ResnetGenerator) -> ResnetLayers:
        modules = list(network.model)
        block_indices = [i for i, module in enumerate(modules) if isinstance(module, ResnetBlock)]
        pairs = [split_conv_layers(modules[i].conv_block) for i in block_indices]  # type: ignore[arg-type]
        return cls(
            split_conv_layers(modules[: block_indices[0]]),
            [(one, two) for one, two in pairs],
            split_conv_layers(modules[block_indices[-1] + 1 :]),
        )

    def with_blocks(self, blocks: Sequence[int]) -> ResnetLayers:
        return ResnetLayers(self.encoder, [self.blocks[k] for k in blocks], self.decoder)


def run_layers(layers: Sequence[ConvLayer], x: Tensor) -> Tensor:
    """One after the other."""
    for layer in layers:
        x = layer.apply_norm_and_activation(layer.convolve(x))
    return x


def select_blocks(teacher: ResnetLayers, count: int, photos: Sequence[Tensor]) -> list[int]:
    """`count` blocks, in order: one after the other the block is left out without which the output
    changes least. photos: 1,C,H,W each."""
    kept = list(range(len(teacher.blocks)))
    if count == len(kept):
        return kept
    encoded = [run_layers(teacher.encoder, photo) for photo in photos]
    references = [_forward_after_encoder(teacher, kept, trunk) for trunk in encoded]
    while len(kept) > count:
        errors = []
        for k in kept:
            without = [j for j in kept if j != k]
            outputs = (_forward_after_encoder(teacher, without, trunk) for trunk in encoded)
            errors.append(
                sum(
                    float((a - b).square().mean()) for a, b in zip(outputs, references, strict=True)
                )
            )
        del kept[min(range(len(kept)), key=errors.__getitem__)]
    return kept


def _forward_after_encoder(teacher: ResnetLayers, blocks: Sequence[int], x: Tensor) -> Tensor:
    for k in blocks:
        x = x + run_layers(teacher.blocks[k], x)
    return run_layers(teacher.decoder, x)


@dataclass(frozen=True)
class KeptChannels:
    """Indices of the channels that are kept, ascending: after each layer of the head but the last,
    in the trunk, between the convolutions of each block, after each layer of the tail but the last.
    """

    encoder: list[Tensor] = field(default_factory=list)
    trunk: Tensor = field(default_factory=lambda: torch.empty(0))
    block_inner: list[Tensor] = field(default_factory=list)
    decoder: list[Tensor] = field(default_factory=list)


def select_network_channels(
    teacher: ResnetLayers, config: GeneratorConfig, photos: Sequence[Tensor]
) -> KeptChannels:
    """As many as `config`, of the narrower network, says. teacher: of the blocks that are kept."""
    encoder, blocks, decoder = teacher.encoder, teacher.blocks, teacher.decoder
    covariances: dict[int, Tensor] = {}  # covariances of what a layer reads

    def forward_and_record(layer: ConvLayer, x: Tensor) -> Tensor:
        flat = x[0].flatten(1)
        flat = flat - flat.mean(1, keepdim=True)
        covariances[id(layer)] = covariances.get(id(layer), 0) + flat @ flat.T / flat.shape[1]
        return layer.apply_norm_and_activation(layer.convolve(x))

    for photo in photos[:MAX_COVARIANCE_IMAGES]:
        x = photo
        for layer in encoder:
            x = forward_and_record(layer, x)
        for one, two in blocks:
            x = x + forward_and_record(two, forward_and_record(one, x))
        for layer in decoder:
            x = forward_and_record(layer, x)

    def select(layers: Sequence[ConvLayer], count: int) -> Tensor:
        return select_channels([covariances[id(layer)] for layer in layers], count)

    levels, widths = config.levels, config.stage_widths
    return KeptChannels(
        [select([layer], n) for layer, n in zip(encoder[1:], widths[:levels], strict=True)],
        select([*(one for one, _ in blocks), decoder[0]], widths[levels]),
        [
            select([two], n)
            for (_, two), n in zip(blocks, widths[levels + 1 : -levels], strict=True)
        ],
        [select([layer], n) for layer, n in zip(decoder[1:], widths[-levels:], strict=True)],
    )
