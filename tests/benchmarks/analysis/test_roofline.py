"""Roofline bounds against arithmetic by hand, and the peak models against NumPy."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from cgt.benchmarks.analysis import peaks
from cgt.benchmarks.analysis.peaks import make_conv_model
from cgt.benchmarks.analysis.roofline import compute_roofline_bound, copy_bandwidth
from cgt.export.verify.macs import LayerCost
from cgt.runtime.engines import BatchShape, open_engine

pytest.importorskip("onnx")

# 1 s of computing at 1000/s, 0.4 s of copying.
HEAVY = LayerCost("heavy", "Conv", 1000, False, 10, 0)
# 2 s of copying.
LIGHT = LayerCost("light", "Resize", 0, False, 50, 0)
BYTES = LayerCost("bytes", "Conv", 1000, True, 0, 50)


def test_each_layer_takes_the_longer_of_compute_and_memory() -> None:
    found = compute_roofline_bound([HEAVY, LIGHT], "fp32", {"fp32": 1000.0}, {1: 100.0})
    assert found.compute == pytest.approx(1.0)
    assert found.memory == pytest.approx(2.4)
    assert found.seconds == pytest.approx(1.0 + 2.0)
    assert found.bound == "memory"
    assert (found.macs, found.bytes) == (1000, 240)
    half = compute_roofline_bound([HEAVY, LIGHT], "bf16", {"bf16": 1000.0}, {1: 100.0})
    assert half.memory == pytest.approx(1.2)
    assert compute_roofline_bound([HEAVY], "fp32", {"fp32": 1000.0}, {1: 100.0}).bound == "compute"


def test_int8_network_computes_float_layers_at_the_best_rate() -> None:
    rates = {"int8": 4000.0, "fp32": 1000.0, "bf16": 2000.0}
    found = compute_roofline_bound([BYTES, HEAVY], "int8", rates, {1: 1e9})
    assert found.compute == pytest.approx(0.25 + 0.5)


def test_bandwidth_is_that_of_the_next_larger_copy() -> None:
    copies = {10: 3.0, 100: 2.0, 1000: 1.0}
    assert [copy_bandwidth(copies, size) for size in (1, 10, 11, 100, 5000)] == [3, 3, 2, 2, 1]


@pytest.mark.parametrize("precision", ["fp32", "fp16", "int8"])
@pytest.mark.parametrize("kernel", [1, 3])
def test_peak_models_convolve(precision: str, kernel: int, tmp_path: Path) -> None:
    path = tmp_path / "peak.onnx"
    path.write_bytes(make_conv_model(8, kernel, precision))
    shape = BatchShape(1, 8, 6, 5)
    image = np.random.default_rng(1).uniform(-1, 1, shape.image_shape).astype(np.float32)
    out = np.empty_like(image)
    with open_engine(path, shape, "onnxruntime", "latency") as engine:
        engine.infer(image, out)
    weight = np.random.default_rng(0).normal(0, 0.02, (8, 8, kernel, kernel))
    padded = np.pad(image[0], [(0, 0), *[(kernel // 2, kernel // 2)] * 2])
    expected = np.zeros((8, 6, 5))
    for dy in range(kernel):
        for dx in range(kernel):
            window = padded[:, dy : dy + 6, dx : dx + 5]
            expected += np.einsum("oi,ihw->ohw", weight[:, :, dy, dx], window)
    assert np.abs(out[0] - expected).max() < {"fp32": 1e-5, "fp16": 1e-3, "int8": 6e-3}[precision]


def test_peaks_report_their_precision(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(peaks, "MEASURE_S", 0.0)
    monkeypatch.setattr(peaks, "CONV_SHAPES", ((16, 8, 1), (8, 8, 3)))
    monkeypatch.setattr(peaks, "COPY_SIZES_BYTES", (1 << 12, 1 << 16))
    found = peaks.measure_compute_peak("openvino", "fp32", "fp32")
    assert found.precision == "fp32"
    assert found.macs_per_second > 0
    assert peaks.measure_compute_peak("openvino", "auto", "int8").precision == "int8"
    copies = peaks.measure_copy_bandwidths()
    assert sorted(copies) == [1 << 12, 1 << 16]
    assert all(rate > 0 for rate in copies.values())
