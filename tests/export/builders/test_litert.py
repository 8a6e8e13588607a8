"""LiteRT builder: graphs replayed in PyTorch, and .tflite files if litert-torch is installed."""

from __future__ import annotations

import importlib.util
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from support.graphs import write_translator_model

from cgt.export import build_engine, export
from cgt.export.builders.onnx_to_torch import OnnxModule
from cgt.export.formats import FORMATS, check_graph_supported
from cgt.runtime import Translator
from cgt.runtime.engines import BatchShape, open_engine
from cgt.runtime.errors import MissingDependency, ModelError, QualityError, SourceError, UsageError
from cgt.runtime.models import sidecar
from cgt.runtime.models.metadata import IOType, read_metadata
from cgt.trainer.networks import build_generator, init_weights
from cgt.trainer.networks.config import GeneratorConfig
from conftest import run_cgt

from ..factories import make_trained_generator

needs_litert = pytest.mark.skipif(
    importlib.util.find_spec("litert_torch") is None,
    reason="litert-torch is not installed: pip install 'cyclegan-toolkit[litert]'",
)
KINDS: dict[str, dict[str, Any]] = {
    "plain": {},
    "uint8": {},
    "unet": {"kind": "unet128"},
    "resize": {"upsampling": "resize"},
    "antialias": {"downsampling": "antialias"},
    "residual": {"learn_residual": True},
    "separable": {"block": "separable"},
    "sigmoid": {"output_activation": "sigmoid"},
    "replicate": {"padding": "replicate"},
    "no norm": {"norm": "none"},
    "sampling kernel 4": {"sampling_kernel": 4},
}
UNSUPPORTED = {"fp16": "instance", "int8": "instance", "fp32": "stream"}


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_onnx_module_matches_the_graph(tmp_path: Path, kind: str) -> None:
    config = GeneratorConfig(**({"kind": "resnet1", "ngf": 4} | KINDS[kind]))
    torch.manual_seed(0)
    network = build_generator(config)
    if config.norm != "none":  # its output would be close to zero
        init_weights(network)
    size = 128 if kind == "unet" else 64
    io: IOType = "uint8" if kind == "uint8" else "float"
    source = make_trained_generator(network.eval(), None, size, config.multiple)
    path, _ = export(source, tmp_path / "m.onnx", io=io, size=str(size))
    shape = BatchShape(1, 3, size, size, io)
    batch = np.random.default_rng(0).integers(0, 256, shape.image_shape, np.uint8)
    inputs = batch if io == "uint8" else (batch / 127.5 - 1).astype(np.float32)
    expected = np.empty_like(inputs)
    with open_engine(path, shape, "onnxruntime", precision="fp32") as engine:
        engine.infer(inputs, expected)
    with torch.no_grad():
        output = OnnxModule(path)(torch.from_numpy(inputs)).numpy()
    assert output.shape == expected.shape
    assert output.dtype == expected.dtype
    difference = np.abs(output.astype(np.float64) - expected)
    assert difference.max() <= (1 if io == "uint8" else 1e-4)
    assert difference.mean() < 1e-3
    assert expected.std() > 0.05


def test_unsupported_node_is_named(tmp_path: Path) -> None:
    path = write_translator_model(tmp_path / "m.onnx")
    model = onnx.load(path)
    model.graph.node[1].op_type = "Softplus"
    onnx.save(model, path)
    with pytest.raises(ModelError, match=rf"{model.graph.node[1].name} is a Softplus"):
        OnnxModule(path)


@pytest.mark.parametrize(("precision", "norm"), UNSUPPORTED.items())
def test_graphs_that_are_not_fp32_are_rejected(precision: str, norm: str) -> None:
    with pytest.raises(UsageError, match="takes only fp32 graphs without statistics tensors"):
        check_graph_supported(FORMATS["litert"], precision, norm)
    check_graph_supported(FORMATS["openvino"], precision, norm)


def test_missing_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "litert_torch", None)
    onnx_file = write_translator_model(tmp_path / "m.onnx")
    with pytest.raises(MissingDependency, match=r"pip install 'cyclegan-toolkit\[litert\]'") as e:
        build_engine(onnx_file, "litert")
    assert e.value.exit_code == 3
    assert list(tmp_path.iterdir()) == [onnx_file]


def test_tflite_is_not_run_by_translate(tmp_path: Path, clip: Path) -> None:
    path = tmp_path / "m.tflite"
    path.write_bytes(b"TFL3")
    with pytest.raises(UsageError, match="runs on phones"):
        Translator(path)
    done = run_cgt("translate", clip, "-o", tmp_path / "out.mp4", "--model", path)
    assert done.returncode == 2
    assert len(done.stderr.splitlines()) == 1
    assert "m.tflite runs on phones only; give the ONNX file" in done.stderr


@needs_litert
@pytest.mark.parametrize("io", ["float", "uint8"])
def test_checkpoint_to_tflite(run_folder: Path, tmp_path: Path, io: IOType) -> None:
    done = run_cgt(
        *("export", "--ckpt", run_folder / "latest.pth", "--format", "litert", "--io", io),
        *("-o", tmp_path / "m.tflite"),
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    assert "against the ONNX file on" in done.stdout
    assert "images of" in done.stdout
    path = tmp_path / "m.tflite"
    metadata = read_metadata(path)
    assert not metadata.dynamic
    values = json.loads(sidecar.sidecar_path(path).read_text())
    assert values["engine"]["parity"]["reference"] == "the ONNX file"
    assert values["layout"] == ("NHWC" if io == "uint8" else "NCHW")
    assert "litert" in run_cgt("inspect", path).stdout
    shape = BatchShape.from_metadata(metadata, *metadata.size)
    random = np.random.default_rng(0).integers(0, 256, shape.image_shape, np.uint8)
    batch = random if io == "uint8" else (random / 127.5 - 1).astype(np.float32)
    expected = np.empty_like(batch)
    with open_engine(tmp_path / "m.onnx", shape, "onnxruntime", precision="fp32") as engine:
        engine.infer(batch, expected)
    difference = np.abs(_run(path, batch).astype(np.float64) - expected)
    assert difference.max() <= (1 if io == "uint8" else 1e-3)
    assert difference.mean() < 1e-3


def _run(path: Path, batch: np.ndarray) -> np.ndarray:
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(str(path))
    interpreter.allocate_tensors()
    interpreter.set_tensor(interpreter.get_input_details()[0]["index"], batch)
    interpreter.invoke()
    return np.asarray(interpreter.get_tensor(interpreter.get_output_details()[0]["index"]))


@needs_litert
def test_below_the_floor_nothing_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write_translator_model(tmp_path / "m.onnx", fixed_size=(32, 32))
    forward = OnnxModule.forward
    monkeypatch.setattr(OnnxModule, "forward", lambda self, image: forward(self, image) * 0.99)
    with pytest.raises(QualityError, match=r"below the floor of 80\.0; nothing was written") as e:
        build_engine(path, "litert")
    assert e.value.exit_code == 4
    assert list(tmp_path.iterdir()) == [path]


@needs_litert
def test_eval_images_without_an_image(tmp_path: Path) -> None:
    from cgt.export.formats import BuildOptions

    path = write_translator_model(tmp_path / "m.onnx")
    with pytest.raises(SourceError, match="has no readable image"):
        build_engine(path, "litert", options=BuildOptions(eval_images=tmp_path))
    assert list(tmp_path.iterdir()) == [path]
