"""Does it translate? A generator's answer to a picture that looks real."""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from cgt.runtime.preprocess import pack

from ..pictures import convert_channels, dead_leaves

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
