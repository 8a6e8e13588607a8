"""Near misses: which architecture comes closest, and what disagrees first."""

from __future__ import annotations

from difflib import SequenceMatcher

import torch

from ..config import GeneratorConfig
from ..networks import build_generator
from .layers import Layers, read_layers

_KINDS = ("resnet6", "resnet9", "unet128", "unet256")


def nearest(layers: Layers) -> str:
    """One clause: the closest of the usual generators, and the first three shapes that differ."""
    theirs = [(layer.weight, layer.shape) for layer in layers.convolutions]
    if not theirs:
        return "it has no convolution"
    first, last = theirs[0][1], theirs[-1][1]
    candidates = []
    for kind in _KINDS:
        inputs = first[1] if first[1] <= 4 else 3
        outputs = min(last[:2]) if min(last[:2]) <= 4 else 3
        with torch.device("meta"):
            network = build_generator(GeneratorConfig(kind, min(first[0], 512), inputs, outputs))
        ours = [(x.weight, x.shape) for x in read_layers(network.state_dict()).convolutions]
        match = SequenceMatcher(None, [s for _, s in ours], [s for _, s in theirs], autojunk=False)
        candidates.append((match.ratio(), kind, ours, match.get_opcodes()))
    _, kind, ours, steps = max(candidates, key=lambda c: c[0])
    agreeing = sum(b - a for tag, a, b, _, _ in steps if tag == "equal")
    differences = []
    for tag, a, b, c, d in steps:
        if tag == "equal":
            continue
        has = ", ".join(f"{key} {_text(shape)}" for key, shape in theirs[c : min(d, c + 2)])
        wants = ", ".join(_text(shape) for _, shape in ours[a : min(b, a + 2)])
        differences.append(f"{has or 'nothing'} where {wants or 'nothing more'} should be")
    return (
        f"closest is {kind} with ngf {first[0]}: {agreeing} of {len(theirs)} convolutions agree; "
        + "; ".join(differences[:3])
    )


def _text(shape: tuple[int, ...]) -> str:
    return f"({', '.join(map(str, shape))})"
