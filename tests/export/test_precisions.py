"""Precision of exported graphs, on networks constructed for it."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from torch import nn

from cgt.export import export
from cgt.export.config import SUPPORTED_OPSETS, ExportConfig
from cgt.export.graph.trace import GraphInterface, trace
from cgt.export.graph.uint8_io import Uint8IO
from cgt.export.verify.fp16_range import measure_activation_range
from cgt.export.verify.layer_drift import worst_layers
from cgt.runtime.engines import BatchShape, open_engine
from cgt.runtime.errors import QualityError, UsageError
from cgt.runtime.image.preprocess import pack, unpack
from cgt.runtime.models.metadata import read_metadata

from .factories import make_resnet, make_trained_generator


def scaled_resnet(factor: float) -> nn.Module:
    """Return the same function on larger values; the norms undo the factor."""
    network = make_resnet()
    with torch.no_grad():
        for module in network.modules():
            if isinstance(module, nn.Conv2d) and module.out_channels > 3:
                module.weight.mul_(factor)
    return network


def test_norm_that_would_overflow_is_computed_in_fp32(dataset: Path, tmp_path: Path) -> None:
    """The squares exceed 65504, the values do not."""
    network = scaled_resnet(1e4)
    frames = [np.random.default_rng(0).uniform(-1, 1, (3, 32, 32)).astype(np.float32)]
    measured = measure_activation_range(network, frames)
    assert measured.max_magnitude < 65504 < measured.max_mean_square
    generator = make_trained_generator(network, dataset)
    _, metadata = export(generator, tmp_path / "m.onnx", precision="fp16")
    assert metadata.parity["psnr_worst_db"] > 50
    with pytest.raises(QualityError, match="omit --fp16-norm"):
        export(generator, tmp_path / "n.onnx", precision="fp16", fp16_norm=True)
    assert not (tmp_path / "n.onnx").exists()


def test_convolutions_that_overflow_are_detected(dataset: Path, tmp_path: Path) -> None:
    generator = make_trained_generator(scaled_resnet(1e7), dataset)
    with pytest.raises(QualityError, match=r"values of model\.\d.* reach .*--bf16 or --fp32"):
        export(generator, tmp_path / "m.onnx", precision="fp16")
    assert not list(tmp_path.glob("*.onnx"))


def test_bf16_graph_computes_in_bf16(dataset: Path, tmp_path: Path) -> None:
    generator = make_trained_generator(make_resnet(), dataset)
    messages: list[str] = []
    export(generator, tmp_path / "m.onnx", precision="bf16", log=messages.append)
    assert messages[0] == "graph: 6 Conv bf16, 7 InstanceNormalization fp32, 2 ConvTranspose fp32"
    model = onnx.load(tmp_path / "m.onnx")
    onnx.checker.check_model(model, full_check=True)
    assert model.opset_import[0].version == 22
    halves = {w.data_type for w in model.graph.initializer}
    assert onnx.TensorProto.BFLOAT16 in halves
    assert onnx.TensorProto.FLOAT16 not in halves


@pytest.mark.slow
def test_mixed_precision_reaches_min_psnr(
    dataset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The floor lies between all convolutions in INT8 and none."""
    generator = make_trained_generator(make_resnet(), dataset)
    monkeypatch.setattr("cgt.export.quantization.sample_images.NUM_IMAGES", 4)
    calib, options = str(dataset / "trainA"), {"calib_frames": 4}
    _, whole = export(generator, tmp_path / "i.onnx", precision="int8", calib=calib, **options)
    floor = whole.parity["psnr_worst_db"] + 3
    messages: list[str] = []
    _, mixed = export(
        *(generator, tmp_path / "m.onnx"),
        precision="mixed",
        calib=calib,
        min_psnr=floor,
        drift=True,
        log=messages.append,
        **options,
    )
    assert mixed.parity["psnr_worst_db"] >= floor
    text = "\n".join(messages)
    for expected in (*("float", "INT8", "Conv int8", "Conv fp32", "signal-to-drift", "drift.png"),):
        assert expected in text
    assert (tmp_path / "m.drift.png").stat().st_size > 1000
    with pytest.raises(QualityError, match="no convolution can be INT8"):
        export(
            *(generator, tmp_path / "n.onnx"),
            precision="mixed",
            calib=calib,
            min_psnr=150,
            **options,
        )


@pytest.mark.slow
def test_below_the_floor_layers_are_named(dataset: Path, tmp_path: Path) -> None:
    generator = make_trained_generator(make_resnet(), dataset)
    with pytest.raises(QualityError, match=r"Largest drift: model\.\d+.* dB"):
        export(generator, tmp_path / "m.onnx", precision="fp16", min_psnr=150)
    assert not list(tmp_path.glob("*.onnx"))


def test_worst_layers_are_the_lowest() -> None:
    from cgt.export.verify.layer_drift import LayerDrift

    drifts = [LayerDrift(name, snr) for name, snr in (("a", 40.0), ("b", 20.0), ("c", 30.0))]
    assert worst_layers(drifts, 2) == "b (20.0 dB), c (30.0 dB)"


@pytest.mark.parametrize("engine", ["openvino", "onnxruntime"])
def test_uint8_outputs_match_the_c_library(engine: str, tmp_path: Path) -> None:
    """Outputs differ by one level at most and are mostly equal, also outside of [-1, 1]."""
    torch.manual_seed(0)
    network = nn.Sequential(nn.Conv2d(3, 3, 1)).eval()
    with torch.no_grad():
        network[0].weight.mul_(3)
    model = trace(Uint8IO(network), GraphInterface(io="uint8"))
    assert [model.graph.node[i].op_type for i in (0, -1)] == ["Cast", "Cast"]
    onnx.save(model, tmp_path / "m.onnx")
    image = np.random.default_rng(0).integers(0, 256, (16, 20, 3)).astype(np.uint8)
    with torch.no_grad():
        output = network(torch.from_numpy(pack(image)[None]))[0].numpy()
    assert np.abs(output).max() > 1.5
    expected = unpack(output)
    out = np.zeros((1, 16, 20, 3), np.uint8)
    shape = BatchShape(1, 3, 16, 20, io="uint8")
    with open_engine(tmp_path / "m.onnx", shape, engine, precision="fp32") as runner:
        runner.infer(image[None], out)
    difference = np.abs(out[0].astype(int) - expected)
    assert difference.max() <= 1
    assert (difference == 0).mean() > 0.99


@pytest.mark.slow
@pytest.mark.parametrize("opset", [SUPPORTED_OPSETS[0], SUPPORTED_OPSETS[-1]])
def test_opsets_run(opset: int, dataset: Path, tmp_path: Path) -> None:
    generator = make_trained_generator(make_resnet(), dataset)
    path, _ = export(
        generator, tmp_path / "m.onnx", opset=opset, size="48x32", batch="2", drift=True
    )
    model = onnx.load(path)
    assert model.opset_import[0].version == opset
    dims = [d.dim_value for d in model.graph.input[0].type.tensor_type.shape.dim]
    assert dims == [2, 3, 32, 48]
    metadata = read_metadata(path)
    assert (metadata.size, metadata.dynamic) == ((32, 48), False)
    assert metadata.profiles == ({"min": [2, 32, 48], "opt": [2, 32, 48], "max": [2, 32, 48]},)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"opset": 99}, "not in 11 to 23"),
        ({"opset": 10}, "not in 11 to 23"),
        ({"opset": 12, "precision": "int8"}, "no int8; use 13 or higher"),
        ({"opset": 18, "precision": "bf16"}, "no bf16; use 22 or higher"),
        ({"opset": 18, "precision": "int8", "remainder": "fp16"}, "use 19 or higher"),
        ({"precision": "fp8"}, "use one of fp32"),
        ({"fp16_norm": True}, "--fp16-norm goes with --fp16"),
        ({"fp32_norm": True}, "--fp32-norm goes with --fp16"),
        ({"precision": "fp16", "fp16_norm": True, "fp32_norm": True}, "exclude each other"),
        ({"calib": "photos"}, "--calib goes with"),
        ({"calib_frames": 0}, "at least 1"),
    ],
)
def test_invalid_options(options: dict, words: str) -> None:
    with pytest.raises(UsageError, match=words):
        ExportConfig(**options)


def test_norms_beyond_fp16_stay_in_fp32(
    dataset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Statistics are applied in FP16 only if centered values and scales keep their digits there."""
    generator = make_trained_generator(make_resnet(), dataset)
    options = {"precision": "fp16", "size": "32"}
    lines: list[str] = []
    export(generator, tmp_path / "mixed.onnx", log=lines.append, **options)
    assert lines[0] == "graph: 6 Conv fp16, 14 ReduceMean fp32, 2 ConvTranspose fp16"
    as_in_fp32 = "graph: 6 Conv fp16, 7 InstanceNormalization fp32, 2 ConvTranspose fp16"
    lines.clear()
    export(generator, tmp_path / "fp32.onnx", fp32_norm=True, log=lines.append, **options)
    assert lines[0] == as_in_fp32
    lines.clear()
    monkeypatch.setattr("cgt.export.verify.fp16_range.MAX_DEVIATION", 1e-6)
    export(generator, tmp_path / "fallback.onnx", log=lines.append, **options)
    assert lines[0].startswith("note: norms compute in FP32 alone, because the deviation in the")
    assert lines[1] == as_in_fp32


@pytest.mark.parametrize(
    ("scale", "mean", "obstacle"),
    [
        (1.0, 0.0, ""),
        (1e4, 3e4, ""),
        (4e4, 0.0, r"the deviation in the norm 1 reaches 4e\+04"),
        (7e4, 0.0, r"the values of the norm 1 reach 7e\+04"),
    ],
)
def test_range_of_mixed_norms(scale: float, mean: float, obstacle: str) -> None:
    convolution = nn.Conv2d(3, 1, 1)
    nn.init.constant_(convolution.weight, scale / 3)
    nn.init.constant_(convolution.bias, mean)
    network = nn.Sequential(convolution, nn.InstanceNorm2d(1))
    checkerboard = np.where(np.indices((16, 16)).sum(0) % 2, 1, -1).astype(np.float32)
    measured = measure_activation_range(network, [np.stack([checkerboard] * 3)])
    assert re.fullmatch(obstacle, measured.mixed_norm_obstacle())
