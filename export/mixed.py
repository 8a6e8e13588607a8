"""Which convolutions may be INT8 where a quality is asked for: the effect of each on the output."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable, Mapping

import torch
from torch import Tensor, nn

from cgt.runtime.errors import QualityError
from cgt.runtime.preprocess import F32
from cgt.runtime.progress import progress_bar

from .parity import psnr

_RANKED_ON = 4  # frames
_MARGIN = 0.3  # dB that rounding at the borders of a graph may cost


def choose(
    network: nn.Module,
    thresholds: Mapping[str, float],
    calibration: list[F32],
    tests: list[F32],
    floor: float,
    say: Callable[[str], None],
) -> dict[str, float]:
    """The thresholds of the convolutions that can be INT8 with the worst test frame at `floor` dB.

    Each convolution is rounded alone, on calibration frames; then as few of the most sensitive as
    will do are left as they are. Raises QualityError where not even one can be INT8.
    """
    ranking = calibration[:_RANKED_ON]
    expected = _answers(network, ranking)
    alone: dict[str, float] = {}
    with progress_bar("convolution by convolution", len(thresholds), unit="layer") as bar:
        for name in thresholds:
            alone[name] = _worst(network, {name: thresholds[name]}, ranking, expected)
            bar.advance()
    order = sorted(thresholds, key=lambda name: alone[name])
    expected, tried = _answers(network, tests), dict[int, float]()

    def reached(kept: int) -> float:
        """Worst PSNR with the first `kept` of the order left as they are."""
        if kept not in tried:
            rounded = {name: thresholds[name] for name in order[kept:]}
            tried[kept] = _worst(network, rounded, tests, expected)
        return tried[kept]

    low, high = 0, len(order)
    while low < high:  # fewest that will do
        middle = (low + high) // 2
        low, high = (low, middle) if reached(middle) >= floor + _MARGIN else (middle + 1, high)
    for line in _table(alone, order[:low], tried):
        say(line)
    if low == len(order):
        raise QualityError(
            f"no convolution can be INT8 at {floor:.1f} dB; nothing was written "
            "(--min-psnr sets the floor, or export without --mixed)"
        )
    return {name: thresholds[name] for name in thresholds if name not in order[:low]}


def _table(alone: Mapping[str, float], kept: list[str], tried: Mapping[int, float]) -> list[str]:
    width = max(map(len, alone))
    lines = [f"{'layer':{width}}  dB alone in INT8"]
    lines += [
        f"{name:{width}}  {decibels:6.1f}  {'kept' if name in kept else 'INT8'}"
        for name, decibels in alone.items()
    ]
    lines += [
        f"{len(alone) - count} of {len(alone)} in INT8: worst frame {tried[count]:.1f} dB"
        for count in sorted(tried)
    ]
    return lines


def _answers(network: nn.Module, frames: Iterable[F32]) -> list[Tensor]:
    with torch.no_grad():
        return [network(torch.from_numpy(frame[None])) for frame in frames]


def _worst(
    network: nn.Module,
    thresholds: Mapping[str, float],
    frames: list[F32],
    expected: list[Tensor],
) -> float:
    """dB of the worst frame with these convolutions rounded as INT8 rounds."""
    rounded = copy.deepcopy(network)
    for name, threshold in thresholds.items():
        convolution = rounded.get_submodule(name)
        assert isinstance(convolution, nn.Conv2d)
        weight = convolution.weight.data
        convolution.weight.data = _rounded(weight, weight.abs().amax((1, 2, 3), keepdim=True))
        convolution.register_forward_pre_hook(_rounding(threshold))
    answers = _answers(rounded, frames)
    errors = [float((a - b).square().mean()) for a, b in zip(answers, expected, strict=True)]
    return psnr(max(errors))


def _rounding(threshold: float) -> Callable[[nn.Module, tuple[Tensor, ...]], tuple[Tensor]]:
    top = torch.tensor(threshold)
    return lambda _, given: (_rounded(given[0], top),)


def _rounded(x: Tensor, top: Tensor) -> Tensor:
    scale = (top / 127).clamp(min=1e-12)
    return (x / scale).round().clamp(-127, 127) * scale
