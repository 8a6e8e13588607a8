"""Parser of U-Net generators: downsampling and upsampling layers with skip connections."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise

from cgt.runtime.errors import UsageError
from cgt.runtime.models.checkpoint_options import NO_OPTIONS, CheckpointOptions
from cgt.runtime.utils.options import flag_of

from ..networks.config import GeneratorConfig
from .conventions import TrainOptions
from .layer_graph import LayerGraph, ParsedLayer, format_shape
from .norm_padding import infer_norm, unused_statistics
from .parsed_generator import ImportNotes, NotThisArchitecture, ParsedGenerator
from .resnet_stages import MAX_IMAGE_CHANNELS


def parse_unet(
    layers: LayerGraph, options: TrainOptions, choices: CheckpointOptions = NO_OPTIONS
) -> ParsedGenerator:
    """Parse the layers of a U-Net generator.

    Args:
        layers: the layers of the file.
        options: options of the run that wrote it.
        choices: what the user states, which wins.

    Raises:
        NotThisArchitecture: the layers are not a U-Net generator.
        UsageError: what the user states does not fit the file.
    """
    down, up = _split_levels(layers.convolutions)
    depth = len(down)
    notes = ImportNotes()
    notes.evidence.append(
        f"{depth} downsampling layers and {depth} upsampling layers with skip connections, "
        f"{down[0].shape[0]} channels in the first layer: unet{1 << depth}, ngf {down[0].shape[0]}"
    )
    # The first and the deepest downsampling layer and the last upsampling layer have no norm.
    normalized = [*down[1:-1], *up[:-1]]
    norm, bias = infer_norm(normalized, [*down, *up[:-1]], options, notes, choices)
    allowed = {"assume", "norm_layer", "norm_statistics", "output_activation"}
    if unsupported := sorted(choices.given.keys() - allowed):
        raise UsageError(f"{flag_of(unsupported[0])} is for ResNets; the file has a U-Net")
    if choices.output_activation is not None:
        notes.settled.add("output")
    config = GeneratorConfig(
        kind=f"unet{1 << depth}",
        ngf=down[0].shape[0],
        in_channels=down[0].shape[1],
        out_channels=up[-1].shape[1],
        norm=norm,
        bias=bias,
        dropout=(options.get("no_dropout") or "True").lower() == "false",
        output_activation=choices.output_activation or "tanh",
    )
    if options.get("no_dropout"):
        notes.evidence.append(f"{options.path} says no_dropout {options.get('no_dropout')}")
    else:
        notes.ambiguities.append(
            "the file does not reveal dropout of a U-Net; none is assumed, which affects "
            "training only"
        )
    widths = tuple(layer.shape[0] for layer in down)
    if widths != config.stage_widths:
        config = replace(config, widths=widths)
        notes.evidence.append(f"non-standard widths: {', '.join(map(str, widths))}")
    return ParsedGenerator(
        config,
        (*down, *up),
        unused_statistics(normalized, norm),
        tuple(notes.evidence),
        tuple(notes.ambiguities),
        frozenset(notes.settled),
    )


def _split_levels(
    convolutions: Sequence[ParsedLayer],
) -> tuple[Sequence[ParsedLayer], Sequence[ParsedLayer]]:
    """Return the downsampling and the upsampling layers, each in order of execution."""
    if len(convolutions) < 6 or len(convolutions) % 2:
        raise NotThisArchitecture(
            f"it has {len(convolutions)} convolutions; a U-Net has 6, 8, 10, ..."
        )
    depth = len(convolutions) // 2
    down, up = convolutions[:depth], convolutions[depth:]
    for layer in convolutions:
        if layer.shape[2:] != (4, 4):
            raise NotThisArchitecture(
                f"{layer.path} is {format_shape(layer.shape)}; a U-Net's kernels are 4x4"
            )
    if down[0].shape[1] > MAX_IMAGE_CHANNELS or up[-1].shape[1] > MAX_IMAGE_CHANNELS:
        raise NotThisArchitecture(
            f"{down[0].path} is {format_shape(down[0].shape)}; an image has 1 to 4 channels"
        )
    for above, layer in pairwise(down):
        if layer.shape[1] != above.shape[0]:
            raise NotThisArchitecture(
                f"{layer.path} is {format_shape(layer.shape)}, but its input has "
                f"{above.shape[0]} channels"
            )
    for index, layer in enumerate(up):
        mirror = down[depth - 1 - index].shape[0]
        in_channels = mirror if index == 0 else 2 * mirror
        expected = [in_channels]
        if index < depth - 1:
            expected.append(down[depth - 2 - index].shape[0])
        if list(layer.shape[: len(expected)]) != expected:
            raise NotThisArchitecture(
                f"{layer.path} is {format_shape(layer.shape)}; expected {expected} channels"
            )
    return down, up
