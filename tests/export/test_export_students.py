"""Export of students in every precision, on every engine; INT8 layers that stay INT8."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import openvino as ov
import pytest
import torch
from support.students import STUDENT_CONFIGS, build_student, student_config
from torch import nn

from cgt.export import build_engine, export
from cgt.export.formats import BuildOptions
from cgt.export.graph.reduced_precision import ReducedPrecision
from cgt.runtime.engines import BatchShape, open_engine
from cgt.runtime.models.metadata import read_metadata
from cgt.runtime.models.sidecar import read_sidecar
from cgt.trainer.networks.config import GeneratorConfig
from cgt.trainer.networks.student import MeanStdPool
from cgt.trainer.pretrained import TrainedGenerator

from .factories import make_trained_generator


def checkpoint(config: GeneratorConfig, dataset: Path) -> TrainedGenerator:
    return make_trained_generator(build_student(config), dataset, 32, config.multiple)


@pytest.mark.slow
@pytest.mark.parametrize("config", STUDENT_CONFIGS)
def test_every_size_and_batch(config: GeneratorConfig, dataset: Path, tmp_path: Path) -> None:
    source = checkpoint(config, dataset)
    path, metadata = export(source, tmp_path / "m.onnx")
    assert metadata.dynamic
    for engine in ("onnxruntime", "openvino"):
        for shape in ((1, 3, 32, 32), (2, 3, 48, 80)):
            x = np.random.default_rng(0).uniform(-1, 1, shape).astype(np.float32)
            out = np.zeros_like(x)
            with open_engine(path, BatchShape(*shape), engine, precision="fp32") as runner:
                runner.infer(x, out)
            with torch.no_grad():
                expected = source.network(torch.from_numpy(x)).numpy()
            assert np.abs(out - expected).max() < 1e-3, (engine, shape)


@pytest.mark.slow
@pytest.mark.parametrize(
    "options",
    [
        {"precision": "fp16"},
        {"precision": "bf16"},
        {"precision": "int8"},
        {"precision": "int8", "remainder": "fp16", "io": "uint8"},
    ],
    ids=lambda w: "-".join(w.values()),
)
def test_every_precision(
    options: dict[str, str],
    dataset: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("cgt.export.quantization.sample_images.NUM_IMAGES", 4)
    calibrated = {"calib": str(dataset / "trainA"), "calib_frames": 4}
    more = calibrated if options["precision"] == "int8" else {}
    source = checkpoint(student_config(block="separable"), dataset)
    path, metadata = export(source, tmp_path / "m.onnx", **options, **more)
    assert read_metadata(path).precision == metadata.precision
    assert metadata.parity["psnr_worst_db"] > 28


def test_convolutions_of_a_batch_film_student_stay_int8(
    dataset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """OpenVINO's executed graph shows 8-bit integers in all of them, and no norm."""
    config = student_config(ngf=16, upsampling="resize")
    calibrated = {"calib": str(dataset / "trainA"), "calib_frames": 4, "min_psnr": 0.0}
    monkeypatch.setattr("cgt.export.quantization.sample_images.NUM_IMAGES", 4)
    path, _ = export(
        checkpoint(config, dataset), tmp_path / "m.onnx", precision="int8", **calibrated
    )
    core = ov.Core()
    model = core.read_model(path)
    model.reshape([1, 3, 64, 64])
    precisions: dict[str, set[str]] = {}
    for op in core.compile_model(model, "CPU").get_runtime_model().get_ops():
        info = {
            name: str(op.get_rt_info()[name].astype(str))
            for name in ("layerType", "runtimePrecision")
        }
        precisions.setdefault(info["layerType"], set()).add(info["runtimePrecision"])
    assert precisions["Convolution"] <= {"u8", "i8"}
    assert not {"MVN", "BatchNorm"} & set(precisions)


@pytest.mark.slow
@pytest.mark.parametrize("capability", [86, 120])
def test_tensorrt_rtx_builds_students(
    capability: int, dataset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("cgt.export.quantization.sample_images.NUM_IMAGES", 4)
    config = student_config(ngf=16)
    source = checkpoint(config, dataset)
    calibrated = {"calib": str(dataset / "trainA"), "calib_frames": 4, "min_psnr": 0.0}
    for export_options, counts in (
        ({"precision": "fp16"}, {"fp16": 10}),
        ({"precision": "int8", "remainder": "fp16", **calibrated}, {"int8": 9, "fp16": 1}),
    ):
        onnx, _ = export(source, tmp_path / "m.onnx", size="64", io="uint8", **export_options)
        options = BuildOptions(compute_capabilities=(capability,))
        path = build_engine(onnx, "tensorrt-rtx", tmp_path / "m.engine", options)
        assert read_sidecar(path).build.convolutions == counts


def test_image_statistics_are_pooled_in_fp32() -> None:
    """Squares exceed FP16's range long before values do; --fp16-norm does not change this."""
    dtypes = set()

    def record(_: nn.Module, inputs: tuple[torch.Tensor], out: torch.Tensor) -> None:
        dtypes.add((inputs[0].dtype, out.dtype))

    for norm_precision in ("fp32", "mixed", "fp16"):
        network = ReducedPrecision(build_student(student_config()), torch.float16, norm_precision)
        for module in network.modules():
            if isinstance(module, MeanStdPool):
                module.register_forward_hook(record)
        network(torch.rand(1, 3, 32, 32))
    assert dtypes == {(torch.float32, torch.float32)}
