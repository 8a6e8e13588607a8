"""U-Net generators: halvings to a point, doublings back, each joined with its mirror image."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise

from ..networks.config import GeneratorConfig
from .conventions import TrainOptions
from .layer_graph import LayerGraph, ParsedLayer
from .norm_padding import infer_norm
from .parsed_generator import ImportNotes, NotThisArchitecture, ParsedGenerator

_MAX_IMAGE_CHANNELS = 4


def parse_unet(layers: LayerGraph, options: TrainOptions) -> ParsedGenerator:
    """Raises Disagreement when the layers are not a U-Net generator."""
    down, up = _split_levels(layers.convolutions)
    depth = len(down)
    notes = ImportNotes()
    notes.evidence.append(
        f"{depth} halvings and {depth} doublings joined with them, {down[0].shape[0]} channels in "
        f"the first layer: unet{1 << depth}, ngf {down[0].shape[0]}"
    )
    # The first, the deepest halving and the last doubling have no norm.
    normalized = [*down[1:-1], *up[:-1]]
    norm, bias = infer_norm(normalized, [*down, *up[:-1]], options, notes)
    config = GeneratorConfig(
        kind=f"unet{1 << depth}",
        ngf=down[0].shape[0],
        in_channels=down[0].shape[1],
        out_channels=up[-1].shape[1],
        norm=norm,
        bias=bias,
        dropout=(options.get("no_dropout") or "True").lower() == "false",
    )
    if options.get("no_dropout"):
        notes.evidence.append(f"{options.path} says no_dropout {options.get('no_dropout')}")
    else:
        notes.ambiguities.append(
            "dropout leaves no trace in a U-Net; taken as none, which changes training alone"
        )
    if not _is_nested(down):
        notes.ambiguities.append(
            "the names are not pix2pix's: where norms and activations stand and how borders are "
            "padded leaves no trace; taken as there"
        )
    widths = tuple(layer.shape[0] for layer in down)
    if widths != config.stage_widths:
        config = replace(config, widths=widths)
        notes.evidence.append(f"widths of its own: {', '.join(map(str, widths))}")
    statistics = ("running_mean", "running_var", "num_batches_tracked")
    dropped = tuple(
        key
        for layer in normalized
        if layer.norm and norm.startswith("instance")
        for leaf, key in layer.norm.keys.items()
        if leaf in statistics
    )
    return ParsedGenerator(
        config, (*down, *up), dropped, tuple(notes.evidence), tuple(notes.ambiguities)
    )


def _split_levels(
    convolutions: Sequence[ParsedLayer],
) -> tuple[Sequence[ParsedLayer], Sequence[ParsedLayer]]:
    """(halvings, doublings), each in the order of execution."""
    if len(convolutions) < 6 or len(convolutions) % 2:
        raise NotThisArchitecture(f"it has {len(convolutions)} convolutions, a U-Net 6, 8, 10, ...")
    depth = len(convolutions) // 2
    down, up = convolutions[:depth], convolutions[depth:]
    for layer in convolutions:
        if layer.shape[2:] != (4, 4):
            raise NotThisArchitecture(
                f"{layer.path} is {_format_layer_shape(layer)}; a U-Net's kernels are 4x4"
            )
    if down[0].shape[1] > _MAX_IMAGE_CHANNELS or up[-1].shape[1] > _MAX_IMAGE_CHANNELS:
        raise NotThisArchitecture(
            f"{down[0].path} is {_format_layer_shape(down[0])}; an image has 1 to 4 channels"
        )
    for above, layer in pairwise(down):
        if layer.shape[1] != above.shape[0]:
            raise NotThisArchitecture(
                f"{layer.path} is {_format_layer_shape(layer)}, but {above.shape[0]} channels reach it"
            )
    for index, layer in enumerate(up):
        mirror = down[depth - 1 - index].shape[0]
        given = mirror if index == 0 else 2 * mirror
        wanted = [given] if index == depth - 1 else [given, down[depth - 2 - index].shape[0]]
        if list(layer.shape[: len(wanted)]) != wanted:
            raise NotThisArchitecture(
                f"{layer.path} is {_format_layer_shape(layer)}, where {wanted} should be"
            )
    return down, up


def _is_nested(down: Sequence[ParsedLayer]) -> bool:
    """Whether each level is within the one above, as pix2pix and its descendants write it."""
    depths = [layer.path.count(".") for layer in down]
    return all(a < b for a, b in pairwise(depths[1:]))


def _format_layer_shape(layer: ParsedLayer) -> str:
    return f"({', '.join(map(str, layer.shape))})"
