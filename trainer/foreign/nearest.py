"""Near misses: which architecture comes closest, and what disagrees first."""

from __future__ import annotations

from difflib import SequenceMatcher

import torch

from ..config import GeneratorConfig
from ..networks import build_generator
from .layers import LayerGraph, parse_layers

_MIN_SIMILARITY = 0.3  # below this share of equal shapes nothing is close


def closest_architecture(layers: LayerGraph, reasons: dict[str, str]) -> str:
    """One clause: the closest of the usual generators, and the first three shapes that differ.

    reasons: by family, at which layer recognising it stopped.
    """
    theirs = [(layer.weight, layer.shape) for layer in layers.convolutions]
    if not theirs:
        return "it has no convolution"
    candidates = []
    for config in _reference_configs([shape for _, shape in theirs]):
        with torch.device("meta"):
            network = build_generator(config)
        ours = [(x.weight, x.shape) for x in parse_layers(network.state_dict()).convolutions]
        match = SequenceMatcher(None, [s for _, s in ours], [s for _, s in theirs], autojunk=False)
        candidates.append((match.ratio(), config, ours, match.get_opcodes()))
    similarity, config, ours, steps = max(candidates, key=lambda c: c[0])
    if similarity < _MIN_SIMILARITY:
        return (
            f"{len(theirs)} convolutions, the first {_format_shape(theirs[0][1])}, the last "
            f"{_format_shape(theirs[-1][1])}, are like none"
        )
    kind = config.kind
    agreeing = sum(b - a for tag, a, b, _, _ in steps if tag == "equal")
    differences = []
    for tag, a, b, c, d in steps:
        if tag == "equal":
            continue
        has = ", ".join(f"{key} {_format_shape(shape)}" for key, shape in theirs[c : min(d, c + 2)])
        wants = ", ".join(_format_shape(shape) for _, shape in ours[a : min(b, a + 2)])
        differences.append(f"{has or 'nothing'} where {wants or 'nothing more'} should be")
    return (
        f"closest is {kind} with ngf {config.ngf}: {agreeing} of {len(theirs)} convolutions agree; "
        + "; ".join(differences[:3])
        + f" ({reasons[config.family]})"
    )


def _reference_configs(shapes: list[tuple[int, ...]]) -> list[GeneratorConfig]:
    """The usual generators of that width and those channels, among them the ResNet of as many
    blocks as there are square 3x3 convolutions for."""
    first, last = shapes[0], shapes[-1]
    channels = (
        min(first[0], 512),
        first[1] if first[1] <= 4 else 3,
        min(last[:2]) if min(last[:2]) <= 4 else 3,
    )
    square = sum(1 for shape in shapes if shape[0] == shape[1] and shape[2:] == (3, 3))
    blocks = min(99, max(1, -(-square // 2)))
    return [
        GeneratorConfig(kind, *channels, upsampling=upsampling)
        for kind in (f"resnet{blocks}", "resnet6", "resnet9", "unet128", "unet256")
        for upsampling in ("transposed", "resize")
    ]


def _format_shape(shape: tuple[int, ...]) -> str:
    return f"({', '.join(map(str, shape))})"
