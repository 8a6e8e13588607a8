"""INT8 calibration and Q/DQ nodes."""

from __future__ import annotations

import copy
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from onnx import numpy_helper
from torch import nn

from cgt.export.config import CALIBRATION_METHODS
from cgt.export.graph.reduced_precision import ReducedPrecision
from cgt.export.graph.trace import trace
from cgt.export.quantization.calibrate import (
    HISTOGRAM_BINS,
    MagnitudeHistogram,
    calibrate,
)
from cgt.export.quantization.qdq import insert_qdq
from cgt.export.verify.precision import count_layer_precisions
from cgt.runtime.models.metadata import read_metadata
from conftest import run_cgt


@pytest.fixture
def network() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), nn.ReLU(), nn.Conv2d(4, 3, 3)).eval()


def test_histogram_grows_with_its_values() -> None:
    histogram = MagnitudeHistogram()
    batches = [torch.linspace(-1, 1, 1001), torch.linspace(-7.5, 0, 1001), torch.zeros(10)]
    for batch in batches:
        histogram.add(batch)
    everything = torch.cat(batches).abs().numpy()
    expected, _ = np.histogram(everything, HISTOGRAM_BINS, (0, histogram.upper_edge))
    assert histogram.max_magnitude == 7.5
    assert histogram.counts.sum() == everything.size
    # Doubling adds the counts of two bins; only values within rounding of an edge may differ.
    assert np.abs(np.cumsum(histogram.counts) - np.cumsum(expected)).max() <= 2


def test_thresholds_of_each_method() -> None:
    """The values have a long tail."""
    histogram = MagnitudeHistogram()
    values = torch.randn(1_000_000, generator=torch.manual_seed(0)) ** 3
    histogram.add(values)
    ends = {method: histogram.threshold(method) for method in CALIBRATION_METHODS}
    assert ends["minmax"] == values.abs().max()
    exact = float(np.percentile(values.abs().numpy(), 99.999))
    assert ends["percentile"] == pytest.approx(exact, abs=2 * histogram.upper_edge / HISTOGRAM_BINS)
    assert 0.1 * ends["minmax"] < ends["entropy"] < ends["percentile"]


def test_dead_input_has_a_positive_scale(network: nn.Module) -> None:
    thresholds = calibrate(network, [np.zeros((3, 16, 16), np.float32)], "entropy")
    assert thresholds["0"] == 0
    model = trace(network)
    insert_qdq(model, thresholds)
    scales = [numpy_helper.to_array(w) for w in model.graph.initializer if "scale" in w.name]
    assert all((scale > 0).all() for scale in scales)


@pytest.mark.parametrize("half", [False, True])
@pytest.mark.parametrize("engine", ["onnxruntime", "openvino"])
def test_int8_graph_computes_in_int8(
    network: nn.Module, half: bool, engine: str, tmp_path: Path
) -> None:
    from cgt.runtime.engines import BatchShape, open_engine

    frame = np.random.default_rng(0).uniform(-1, 1, (3, 32, 32)).astype(np.float32)
    thresholds = calibrate(network, [frame], "minmax")
    assert set(thresholds) == {"0", "2"}
    assert thresholds["0"] == np.abs(frame).max()
    model = trace(ReducedPrecision(copy.deepcopy(network)) if half else network)
    if half:
        model = onnx.version_converter.convert_version(model, 19)
    insert_qdq(model, thresholds)
    onnx.checker.check_model(model, full_check=True)
    assert count_layer_precisions(model) == {"Conv": {"int8": 2}}
    weights = {w.name: w for w in model.graph.initializer}
    assert weights["0.weight_int8"].data_type == onnx.TensorProto.INT8
    assert weights["0.weight_scale"].dims == [4]
    scale_type = onnx.TensorProto.FLOAT16 if half else onnx.TensorProto.FLOAT
    assert weights["0.weight_scale"].data_type == weights["0.input_scale"].data_type == scale_type
    assert not any(w.data_type == onnx.TensorProto.INT32 for w in model.graph.initializer)
    onnx.save(model, tmp_path / "m.onnx")
    with torch.no_grad():
        expected = network(torch.from_numpy(frame[None])).numpy()
    out = np.empty_like(expected)
    with open_engine(
        tmp_path / "m.onnx", BatchShape(1, 3, 32, 32), engine, precision="fp32"
    ) as runner:
        runner.infer(frame[None], out)
    noise = np.abs(out - expected).max() / np.abs(expected).max()
    assert 1e-4 < noise < 0.03  # an exact match would mean that nothing was quantized


@pytest.mark.slow
@pytest.mark.parametrize("extra", [(), ("--fp16",)])
def test_int8_from_the_command_line(
    run_folder: Path, images: Path, tmp_path: Path, extra: tuple[str, ...]
) -> None:
    from cgt.runtime.image.files import encode_image
    from conftest import make_image

    for index in range(12):
        (images / f"{index}.png").write_bytes(encode_image(make_image(index, 48, 64), ".png"))
    out = tmp_path / "model.onnx"
    done = run_cgt(
        *("export", "--ckpt", run_folder / "latest.pth", "--int8", *extra),
        *("--calib", images, "--calib-frames", "8", "-o", out),
    )
    assert done.returncode == 0, done.stderr
    assert "calibrating on 8 frames" in done.stdout
    assert "held-out" in done.stdout
    assert "6 Conv int8" in done.stdout
    assert f"2 ConvTranspose {'fp16' if extra else 'fp32'}" in done.stdout
    artifact = read_metadata(out)
    assert artifact.precision == ("int8-fp16" if extra else "int8")
    assert 28 < artifact.parity["psnr_worst_db"] < 80


def test_a_convolution_after_joined_products_stays_float() -> None:
    """OpenVINO 2026.4 merges its Q/DQ with the products wrongly."""

    class Attention(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first, self.second = nn.Conv2d(3, 4, 3, padding=1), nn.Conv2d(8, 3, 1)
            self.scale = nn.Parameter(torch.rand(1, 4, 1, 1))

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            y = torch.relu(self.first(x))
            return self.second(torch.cat([y * self.scale, y * 2], 1))

    torch.manual_seed(0)
    model = trace(Attention())
    insert_qdq(model, {"first": 1.0, "second": 1.0})
    counts = count_layer_precisions(model)
    assert counts["Conv"] == {"int8": 1, "fp32": 1}
