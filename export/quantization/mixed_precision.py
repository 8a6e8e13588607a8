"""Mixed precision: selection of the convolutions that may be INT8 at a given quality."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable, Mapping

import torch
from torch import Tensor, nn

from cgt.runtime.errors import QualityError
from cgt.runtime.image.metrics import psnr_from_mse
from cgt.runtime.image.preprocess import F32
from cgt.runtime.utils.progress import progress_bar

_NUM_RANKING_IMAGES = 4
_PSNR_MARGIN_DB = 0.3  # loss that rounding at the graph's inputs and outputs may cause


def select_int8_layers(
    network: nn.Module,
    thresholds: Mapping[str, float],
    calibration: list[F32],
    eval_images: list[F32],
    min_psnr_db: float,
    log: Callable[[str], None],
) -> dict[str, float]:
    """Choose the convolutions that can be INT8 while the worst image keeps a PSNR.

    Each convolution is quantized alone, on calibration images. Then as few of the most sensitive as
    possible stay in float.

    Args:
        network: Network in FP32.
        thresholds: Result of `calibrate`.
        calibration: float32 (3, H, W) images to rank the convolutions on.
        eval_images: float32 (3, H, W) images that must reach `min_psnr_db`.
        min_psnr_db: PSNR in dB of the worst image.
        log: Receives the lines of the table.

    Returns:
        The thresholds of the convolutions that can be INT8.

    Raises:
        QualityError: No convolution can be INT8.
    """
    ranking_images = calibration[:_NUM_RANKING_IMAGES]
    expected = _run_network(network, ranking_images)
    psnr_alone: dict[str, float] = {}
    with progress_bar("convolution by convolution", len(thresholds), unit="layer") as bar:
        for name in thresholds:
            psnr_alone[name] = _worst_psnr(
                network, {name: thresholds[name]}, ranking_images, expected
            )
            bar.advance()
    order = sorted(thresholds, key=lambda name: psnr_alone[name])
    expected, psnr_by_num_float = _run_network(network, eval_images), dict[int, float]()

    def worst_psnr_without(num_float: int) -> float:
        """Return the worst PSNR with the `num_float` most sensitive convolutions in float."""
        if num_float not in psnr_by_num_float:
            int8_thresholds = {name: thresholds[name] for name in order[num_float:]}
            psnr_by_num_float[num_float] = _worst_psnr(
                network, int8_thresholds, eval_images, expected
            )
        return psnr_by_num_float[num_float]

    low, high = 0, len(order)
    while low < high:  # binary search for the fewest float convolutions
        middle = (low + high) // 2
        low, high = (
            (low, middle)
            if worst_psnr_without(middle) >= min_psnr_db + _PSNR_MARGIN_DB
            else (middle + 1, high)
        )
    for line in _format_table(psnr_alone, order[:low], psnr_by_num_float):
        log(line)
    if low == len(order):
        raise QualityError(
            f"no convolution can be INT8 at {min_psnr_db:.1f} dB; nothing was written "
            "(--min-psnr sets the floor, or export without --mixed)"
        )
    return {name: thresholds[name] for name in thresholds if name not in order[:low]}


def _format_table(
    psnr_alone: Mapping[str, float], float_layers: list[str], psnr_by_num_float: Mapping[int, float]
) -> list[str]:
    width = max(map(len, psnr_alone))
    lines = [f"{'layer':{width}}  PSNR in dB if only it is INT8"]
    lines += [
        f"{name:{width}}  {decibels:6.1f}  {'float' if name in float_layers else 'INT8'}"
        for name, decibels in psnr_alone.items()
    ]
    lines += [
        f"{len(psnr_alone) - count} of {len(psnr_alone)} in INT8: worst image {decibels:.1f} dB"
        for count, decibels in sorted(psnr_by_num_float.items())
    ]
    return lines


def _run_network(network: nn.Module, frames: Iterable[F32]) -> list[Tensor]:
    with torch.no_grad():
        return [network(torch.from_numpy(frame[None])) for frame in frames]


def _worst_psnr(
    network: nn.Module,
    thresholds: Mapping[str, float],
    frames: list[F32],
    expected: list[Tensor],
) -> float:
    """Return the PSNR of the worst image with these convolutions quantized to INT8."""
    fake_quantized = copy.deepcopy(network)
    for name, threshold in thresholds.items():
        convolution = fake_quantized.get_submodule(name)
        assert isinstance(convolution, nn.Conv2d)
        weight = convolution.weight.data
        convolution.weight.data = _fake_quantize(weight, weight.abs().amax((1, 2, 3), keepdim=True))
        convolution.register_forward_pre_hook(_fake_quantize_hook(threshold))
    outputs = _run_network(fake_quantized, frames)
    errors = [float((a - b).square().mean()) for a, b in zip(outputs, expected, strict=True)]
    return psnr_from_mse(max(errors), data_range=2)


def _fake_quantize_hook(
    threshold: float,
) -> Callable[[nn.Module, tuple[Tensor, ...]], tuple[Tensor]]:
    max_magnitude = torch.tensor(threshold)
    return lambda _, inputs: (_fake_quantize(inputs[0], max_magnitude),)


def _fake_quantize(x: Tensor, max_magnitude: Tensor) -> Tensor:
    scale = (max_magnitude / 127).clamp(min=1e-12)
    return (x / scale).round().clamp(-127, 127) * scale
