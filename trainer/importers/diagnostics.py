"""Does it translate? A generator's answer to a picture that looks real.

Near misses: which architecture comes closest, and what disagrees first.
"""

from __future__ import annotations

from difflib import SequenceMatcher

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from cgt.runtime.image.preprocess import pack

from ..data.synthetic import convert_channels, dead_leaves
from ..networks import build_generator
from ..networks.config import GeneratorConfig
from .layer_graph import LayerGraph, parse_layers

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


CHECK_SIDE_PX = 128
# Of a trained CycleGAN about 0.9; of one put together wrongly, or with random weights, below 0.2.
_MIN_EDGE_CORRELATION = 0.35


def sanity_check(network: nn.Module, channels: int, multiple: int) -> list[str]:
    """Reasons to believe that the network was put together wrongly, or learnt nothing; none for
    a translation: neither constant nor saturated, and its structure is that of its input.

    One pass over a synthetic picture of SIDE or `multiple` squared.
    """
    side = -(-CHECK_SIDE_PX // multiple) * multiple
    image = pack(dead_leaves((side, side), np.random.default_rng(0)))
    x = torch.from_numpy(convert_channels(image, channels))[None]
    with torch.no_grad():
        y = network(x)
    if y.shape[2:] != x.shape[2:]:
        return [f"a picture of {tuple(x.shape[2:])} comes back as {tuple(y.shape[2:])}"]
    problems = []
    if not bool(torch.isfinite(y).all()):
        return ["its output is not finite"]
    if float(y.abs().max()) > 1.5:
        problems.append(f"its output leaves [-1, 1] (up to {float(y.abs().max()):.1f})")
    if float(y.std(dim=(2, 3)).max()) < 0.02:
        problems.append("its output is constant")
    saturated = float((y.abs() > 0.999).float().mean())
    if saturated > 0.5:
        problems.append(f"{saturated:.0%} of its output is pure black or white")
    correlation = _edge_correlation(x, y)
    if correlation < _MIN_EDGE_CORRELATION:
        problems.append(
            f"its output has little of its input's structure (correlation {correlation:.2f})"
        )
    return problems


def _edge_correlation(x: Tensor, y: Tensor) -> float:
    """The correlation of edge strength, at a quarter of the resolution; the largest over the
    output's channels."""
    input_edges = _edge_strength(x.mean(1, keepdim=True)).flatten()
    output_edges = [_edge_strength(y[:, c : c + 1]).flatten() for c in range(y.shape[1])]
    pairs = [torch.corrcoef(torch.stack([input_edges, edges]))[0, 1] for edges in output_edges]
    return max(float(torch.nan_to_num(r)) for r in pairs)


def _edge_strength(x: Tensor) -> Tensor:
    x = F.avg_pool2d(x, 4)
    return (x[..., 1:, :-1] - x[..., :-1, :-1]).abs() + (x[..., :-1, 1:] - x[..., :-1, :-1]).abs()
