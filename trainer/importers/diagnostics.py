"""Diagnostics of imports: the closest known architecture, and a sanity check of the output."""

from __future__ import annotations

from difflib import SequenceMatcher

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from cgt.runtime.image.geometry import format_size
from cgt.runtime.image.preprocess import pack

from ..data.synthetic import convert_planes, dead_leaves
from ..networks import build_generator
from ..networks.config import GeneratorConfig
from .layer_graph import LayerGraph, format_shape, parse_layers

_MIN_SIMILARITY = 0.3  # share of equal shapes below which no architecture is close


def closest_architecture(layers: LayerGraph, reasons: dict[str, str]) -> str:
    """Describe the closest common generator and the first three shapes that differ.

    Args:
        layers: the unknown network.
        reasons: for each family, the layer at which parsing failed.

    Returns:
        A clause for an error message.
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
            f"{len(theirs)} convolutions, the first {format_shape(theirs[0][1])}, the last "
            f"{format_shape(theirs[-1][1])}, are like none"
        )
    kind = config.kind
    agreeing = sum(b - a for tag, a, b, _, _ in steps if tag == "equal")
    differences = []
    for tag, a, b, c, d in steps:
        if tag == "equal":
            continue
        has = ", ".join(f"{key} {format_shape(shape)}" for key, shape in theirs[c : min(d, c + 2)])
        wants = ", ".join(format_shape(shape) for _, shape in ours[a : min(b, a + 2)])
        differences.append(f"{has or 'nothing'} where {wants or 'nothing more'} should be")
    return (
        f"closest is {kind} with ngf {config.ngf}: {agreeing} of {len(theirs)} convolutions agree; "
        + "; ".join(differences[:3])
        + f" ({reasons[config.family]})"
    )


def _reference_configs(shapes: list[tuple[int, ...]]) -> list[GeneratorConfig]:
    """Return common generators of the same width and channels.

    One of them is the ResNet with as many blocks as the square 3x3 convolutions make up.
    """
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


CHECK_SIDE_PX = 128
# About 0.9 for a trained CycleGAN; below 0.2 for a wrong architecture or random weights.
_MIN_EDGE_CORRELATION = 0.35


def sanity_check(network: nn.Module, channels: int, multiple: int) -> list[str]:
    """Check that the output of a network is finite, in range, and similar to its input.

    Args:
        network: generator in eval mode.
        channels: number of its input channels.
        multiple: number that the sides of its input must be a multiple of.

    Returns:
        Reasons to believe that the architecture is wrong or the weights are untrained; empty if
        there are none.
    """
    side = -(-CHECK_SIDE_PX // multiple) * multiple
    image = pack(dead_leaves((side, side), np.random.default_rng(0)))
    x = torch.from_numpy(convert_planes(image, channels))[None]
    with torch.no_grad():
        y = network(x)
    if y.shape[2:] != x.shape[2:]:
        return [f"its output for a {format_size(x.shape[2:])} image is {format_size(y.shape[2:])}"]
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
            f"its output has little of its input's structure (edge correlation {correlation:.2f})"
        )
    return problems


def _edge_correlation(x: Tensor, y: Tensor) -> float:
    """Return the largest correlation of edge strength, at 1/4 resolution, over output channels."""
    input_edges = _edge_strength(x.mean(1, keepdim=True)).flatten()
    output_edges = [_edge_strength(y[:, c : c + 1]).flatten() for c in range(y.shape[1])]
    pairs = [torch.corrcoef(torch.stack([input_edges, edges]))[0, 1] for edges in output_edges]
    return max(float(torch.nan_to_num(r)) for r in pairs)


def _edge_strength(x: Tensor) -> Tensor:
    x = F.avg_pool2d(x, 4)
    return (x[..., 1:, :-1] - x[..., :-1, :-1]).abs() + (x[..., :-1, 1:] - x[..., :-1, :-1]).abs()
