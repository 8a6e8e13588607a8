"""U-Net generators: halvings to a point, doublings back, each joined with its mirror image."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise

from ..config import GeneratorConfig
from .layers import Layer, Layers
from .norms import read_norm
from .options import Options
from .recognised import Disagreement, Notes, Recognised

_MOST_CHANNELS = 4


def recognise(layers: Layers, options: Options) -> Recognised:
    """Raises Disagreement when the layers are not a U-Net generator."""
    down, up = _stages(layers.convolutions)
    depth = len(down)
    notes = Notes()
    notes.evidence.append(
        f"{depth} halvings and {depth} doublings joined with them, {down[0].shape[0]} channels in "
        f"the first layer: unet{1 << depth}, ngf {down[0].shape[0]}"
    )
    # The first, the deepest halving and the last doubling have no norm.
    normed = [*down[1:-1], *up[:-1]]
    norm, bias = read_norm(normed, [*down, *up[:-1]], options, notes)
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
        notes.ambiguous.append(
            "dropout leaves no trace in a U-Net; taken as none, which changes training alone"
        )
    if not _nested(down):
        notes.ambiguous.append(
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
        for layer in normed
        if layer.norm and norm.startswith("instance")
        for leaf, key in layer.norm.keys.items()
        if leaf in statistics
    )
    return Recognised(config, (*down, *up), dropped, tuple(notes.evidence), tuple(notes.ambiguous))


def _stages(convolutions: Sequence[Layer]) -> tuple[Sequence[Layer], Sequence[Layer]]:
    """(halvings, doublings), each in the order of execution."""
    if len(convolutions) < 6 or len(convolutions) % 2:
        raise Disagreement(f"it has {len(convolutions)} convolutions, a U-Net 6, 8, 10, ...")
    depth = len(convolutions) // 2
    down, up = convolutions[:depth], convolutions[depth:]
    for layer in convolutions:
        if layer.shape[2:] != (4, 4):
            raise Disagreement(f"{layer.path} is {_text(layer)}; a U-Net's kernels are 4x4")
    if down[0].shape[1] > _MOST_CHANNELS or up[-1].shape[1] > _MOST_CHANNELS:
        raise Disagreement(f"{down[0].path} is {_text(down[0])}; an image has 1 to 4 channels")
    for above, layer in pairwise(down):
        if layer.shape[1] != above.shape[0]:
            raise Disagreement(
                f"{layer.path} is {_text(layer)}, but {above.shape[0]} channels reach it"
            )
    for index, layer in enumerate(up):
        mirror = down[depth - 1 - index].shape[0]
        given = mirror if index == 0 else 2 * mirror
        wanted = [given] if index == depth - 1 else [given, down[depth - 2 - index].shape[0]]
        if list(layer.shape[: len(wanted)]) != wanted:
            raise Disagreement(f"{layer.path} is {_text(layer)}, where {wanted} should be")
    return down, up


def _nested(down: Sequence[Layer]) -> bool:
    """Whether each level is within the one above, as pix2pix and its descendants write it."""
    depths = [layer.path.count(".") for layer in down]
    return all(a < b for a, b in pairwise(depths[1:]))


def _text(layer: Layer) -> str:
    return f"({', '.join(map(str, layer.shape))})"
