"""TensorRT-RTX builder, which needs no GPU: layers and precisions of the engines it builds.

No test here runs an engine.
"""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from support.graphs import write_translator_model

from benchmarks.suites.baseline_networks import write_dequantized
from cgt.export import build_engine, export
from cgt.export.builders import tensorrt as builder
from cgt.export.builders.tensorrt_inspector import (
    EngineLayer,
    ExpectedConvolution,
    TensorInfo,
    parse_build_log,
    parse_inspector_json,
    verify_precisions,
)
from cgt.export.formats import BuildOptions
from cgt.runtime.errors import ModelError, QualityError
from cgt.runtime.image.files import encode_image
from cgt.runtime.inference.translator import DEFAULT_MODEL
from cgt.runtime.models.metadata import read_metadata
from cgt.runtime.models.sidecar import read_sidecar
from cgt.trainer.networks import ResnetGenerator, init_weights
from cgt.trainer.networks.config import GeneratorConfig
from conftest import make_image, run_cgt

CAPABILITIES = (75, 86, 89, 120)


def convolutions(onnx: Path, output: Path, *capabilities: int) -> dict[str, int]:
    options = BuildOptions(compute_capabilities=capabilities)
    path = build_engine(onnx, "tensorrt-rtx", output.with_suffix(".engine"), options)
    build = read_sidecar(path).build
    assert build.compute_capabilities == capabilities
    return build.convolutions


@pytest.mark.slow
@pytest.mark.parametrize("io", ["float", "uint8"])
@pytest.mark.parametrize("sides", [None, (64, 96)])
@pytest.mark.parametrize("capability", CAPABILITIES)
def test_precisions(
    tmp_path: Path, io: str, sides: tuple[int, int] | None, capability: int
) -> None:
    for precision in ("fp32", "fp16", "int8"):
        onnx = write_translator_model(
            tmp_path / f"{precision}.onnx", precision, io, fixed_size=sides
        )
        if precision == "int8" and capability == 75:
            # It has no kernels for Q/DQ and would compute in FP32, slower than the fp32 file.
            with pytest.raises(QualityError, match=r"7\.5 does not compute .* fp32 and not int8"):
                convolutions(onnx, onnx, capability)
            assert not onnx.with_suffix(".engine").exists()
        else:
            assert convolutions(onnx, onnx, capability) == {precision: 3}


def test_one_plan_for_all_gpus(tmp_path: Path) -> None:
    onnx = write_translator_model(tmp_path / "m.onnx", "fp16")
    assert convolutions(onnx, onnx, *CAPABILITIES) == {"fp16": 3}


def test_bundled_model(tmp_path: Path) -> None:
    dequantized = write_dequantized(tmp_path / "dequantized.onnx", DEFAULT_MODEL)
    for capability in CAPABILITIES:
        assert convolutions(dequantized, tmp_path / "monet", capability) == {"fp32": 18}
        if capability > 75:
            assert convolutions(DEFAULT_MODEL, tmp_path / "monet", capability) == {"int8": 18}


@pytest.mark.slow
def test_full_size_resnet9(tmp_path: Path) -> None:
    """Build 11 M parameters in three precisions for every GPU."""
    torch.manual_seed(0)
    network = ResnetGenerator(GeneratorConfig("resnet9", 64))
    init_weights(network)
    checkpoint = tmp_path / "latest_net_G_A.pth"
    torch.save(network.state_dict(), checkpoint)
    photos = tmp_path / "photos"
    photos.mkdir()
    for index in range(10):
        (photos / f"{index}.png").write_bytes(encode_image(make_image(index, 64, 64), ".png"))
    calibrated = {"calib": str(photos), "calib_frames": 10, "min_psnr": 10}
    for options, expected in (
        ({"precision": "fp32"}, {"fp32": 24}),
        ({"precision": "fp16", "io": "uint8"}, {"fp16": 24}),
        (
            {"precision": "int8", "remainder": "fp16", "io": "uint8", **calibrated},
            {"int8": 22, "fp16": 2},
        ),
    ):
        onnx, _ = export(checkpoint, tmp_path / "m.onnx", size="64..64..256", **options)
        for capability in CAPABILITIES:
            if capability == 75 and "int8" in expected:
                with pytest.raises(
                    QualityError, match=r"7\.5 does not compute .* fp16 and not int8"
                ):
                    convolutions(onnx, onnx, capability)
            else:
                assert convolutions(onnx, onnx, capability) == expected, (options, capability)


def test_profiles_reach_the_engine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    profiles = (
        {"min": [1, 128, 128], "opt": [1, 256, 256], "max": [1, 512, 512]},
        {"min": [2, 64, 64], "opt": [4, 64, 64], "max": [8, 64, 64]},
    )
    onnx = write_translator_model(tmp_path / "m.onnx", statistics=6, profiles=profiles)
    logs = []
    make_log = builder.make_logger
    monkeypatch.setattr(builder, "make_logger", lambda api: logs.append(make_log(api)) or logs[0])
    assert convolutions(onnx, onnx, 86) == {"fp32": 3}
    (engine,) = logs[0].tables
    for low, opt, high in (
        ("1,3,128,128", "1,3,256,256", "1,3,512,512"),
        ("2,3,64,64", "4,3,64,64", "8,3,64,64"),
        ("1,6", "1,6", "1,6"),
        ("2,6", "4,6", "8,6"),
    ):
        assert f"MinShape: [{low}], OptShape: [{opt}], MaxShape: [{high}]" in engine


def test_command_prints_the_precisions(tmp_path: Path) -> None:
    onnx = write_translator_model(tmp_path / "m.onnx", "fp16")
    done = run_cgt("export", onnx, "--format", "tensorrt-rtx", "--compute-capability", "8.6,8.9")
    assert done.returncode == 0, done.stderr
    assert "building for 1x16x16 to 1x64x64" in done.stdout
    assert "convolutions 3 in fp16, as in the graph; for 8.6, 8.9" in done.stdout
    path = tmp_path / "m.engine"
    assert read_metadata(path) == read_metadata(onnx)
    assert path.read_bytes()[:4] in (b"ptrt", b"ftrt", b"vtrt")  # a plain plan, nothing before it


def test_node_that_the_parser_rejects_is_named(tmp_path: Path) -> None:
    import onnx
    from onnx import helper

    path = write_translator_model(tmp_path / "m.onnx")
    model = onnx.load(path)
    del model.graph.node[-1]
    last = model.graph.node[-1].output[0]
    model.graph.node.append(helper.make_node("Det", [last], ["translated"], "volume"))
    onnx.save(model, path)
    with pytest.raises(ModelError, match=r"rejects the Det node volume of .*UNSUPPORTED_NODE"):
        convolutions(path, path, 86)


def test_silent_fallback_is_detected() -> None:
    """TensorRT-RTX ignores Q/DQ on 7.5; an ignored FP16 flag has the same effect."""

    def layer(name: str, image: str, weights: str) -> EngineLayer:
        tensors = (TensorInfo((1, 8, 64, 64), image), TensorInfo((16, 8, 3, 3), weights))
        return EngineLayer(name, "correlation", tensors, frozenset({"conv1"}))

    expected = [ExpectedConvolution("conv1", (3, 3), "fp16")]
    assert verify_precisions([layer("a", "fp16", "fp16")], expected, "it") == {"fp16": 1}
    for image, weights, precision in (
        ("fp32", "fp32", "fp32"),
        ("fp32", "fp16", "fp32"),  # weights that are converted before use
    ):
        with pytest.raises(QualityError, match=f"it does not.*a is {precision} and not fp16"):
            verify_precisions([layer("a", image, weights)], expected, "it")
    with pytest.raises(QualityError, match="no convolution"):
        verify_precisions([], [], "it")


def test_every_spelling_of_layer_information_is_parsed() -> None:
    expected = [ExpectedConvolution("conv1", (3, 3), "int8")]
    older = """{"Layers": [{"Name": "conv1", "LayerType": "CaskConvolution",
      "Inputs": [{"Name": "x", "Dimensions": [1, 512, 28, 28],
                  "Format/Datatype": "Thirty-two wide channel vectorized row major Int8 format"}],
      "Weights": {"Type": "Int8", "Count": 131072}, "Metadata": "[ONNX Layer: conv1]"}]}"""
    newer = older.replace(
        '"Weights": {"Type": "Int8", "Count": 131072}',
        '"Constants": ' + ('[{"Name": "w", "Dimensions": [8, 512, 3, 3], "Datatype": "Int8"}]'),
    )
    logged = (
        "Layers:\nName: conv1_myl0_2, LayerType: correlation, Inputs: [ { Name: x, Dimensions: "
        "[1,8,66,66], Strides: [1,1,1,1], Datatype: Int8, Format: (NHWC) }], Constants: [ { Name: "
        "w, Dimensions: [16,8,3,3], Datatype: Int8, Format: (NHWC) }, { Name: s, Dimensions: [1], "
        "Datatype: Float, Format: (Linear) }], Outputs: [ { Name: y, Dimensions: [1,16,64,64], "
        "Datatype: Float, Format: (NHWC) }], TacticName: , StreamId: 0, Metadata: "
        "[ONNX Layer: conv0_DequantizeLinear][ONNX Layer: conv1]"
    )
    for layers in (
        parse_inspector_json(older),
        parse_inspector_json(newer),
        parse_build_log([logged]),
    ):
        assert verify_precisions(layers, expected, "it") == {"int8": 1}
    assert parse_inspector_json('{"Layers": ["conv1"]}') == []
