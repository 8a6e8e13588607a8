"""Block and channel selection: which parts of a teacher a pruned student keeps."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from cgt.trainer.networks import ResnetBlock, ResnetGenerator
from cgt.trainer.networks.config import GeneratorConfig

from .conv_layers import ConvLayer, split_conv_layers
from .least_squares import select_channels

MAX_COVARIANCE_IMAGES = 12  # photos that covariances are computed on


@dataclass(frozen=True)
class ResnetLayers:
    """A ResNet as lists of layers: before the blocks, two in each block, and after the blocks."""

    encoder: list[ConvLayer]
    blocks: list[tuple[ConvLayer, ConvLayer]]
    decoder: list[ConvLayer]

    @classmethod
    def from_network(cls, network: ResnetGenerator) -> ResnetLayers:
        """Split a network into its layers."""
        modules = list(network.model)
        block_indices = [i for i, module in enumerate(modules) if isinstance(module, ResnetBlock)]
        pairs = [split_conv_layers(modules[i].conv_block) for i in block_indices]  # type: ignore[arg-type]
        return cls(
            split_conv_layers(modules[: block_indices[0]]),
            [(one, two) for one, two in pairs],
            split_conv_layers(modules[block_indices[-1] + 1 :]),
        )

    def with_blocks(self, blocks: Sequence[int]) -> ResnetLayers:
        """Return the network with only some of its blocks, given by index."""
        return ResnetLayers(self.encoder, [self.blocks[k] for k in blocks], self.decoder)


def run_layers(layers: Sequence[ConvLayer], x: Tensor) -> Tensor:
    """Return the output of a sequence of layers."""
    for layer in layers:
        x = layer.apply_norm_and_activation(layer.convolve(x))
    return x


def select_blocks(teacher: ResnetLayers, count: int, photos: Sequence[Tensor]) -> list[int]:
    """Select blocks to keep, by repeatedly removing the one whose removal changes the output least.

    Args:
        teacher: the whole network.
        count: number of blocks to keep.
        photos: 1,C,H,W each.

    Returns:
        Ascending indices.
    """
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
    """Ascending indices of the kept channels.

    Attributes:
        encoder: after each layer of the encoder except the last.
        trunk: between the residual blocks.
        block_inner: between the two convolutions of each block.
        decoder: after each layer of the decoder except the last.
    """

    encoder: list[Tensor] = field(default_factory=list)
    trunk: Tensor = field(default_factory=lambda: torch.empty(0))
    block_inner: list[Tensor] = field(default_factory=list)
    decoder: list[Tensor] = field(default_factory=list)


def select_network_channels(
    teacher: ResnetLayers, config: GeneratorConfig, photos: Sequence[Tensor]
) -> KeptChannels:
    """Select as many channels as the student has.

    Args:
        teacher: the network with only the blocks that are kept.
        config: configuration of the student.
        photos: 1,C,H,W each.
    """
    encoder, blocks, decoder = teacher.encoder, teacher.blocks, teacher.decoder
    covariances: dict[int, Tensor] = {}  # of each layer's input channels

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
