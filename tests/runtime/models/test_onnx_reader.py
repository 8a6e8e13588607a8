"""Metadata of model files, read without the `onnx` package."""

from dataclasses import replace
from pathlib import Path

import onnx
import pytest

from cgt.runtime.errors import ModelError
from cgt.runtime.inference.translator import DEFAULT_MODEL, resolve_model
from cgt.runtime.models.metadata import METADATA_KEY, ModelMetadata, read_metadata
from cgt.runtime.models.onnx_reader import read_onnx_header


def test_agrees_with_the_onnx_package(tiny_model: Path) -> None:
    header, expected = read_onnx_header(tiny_model), onnx.load(tiny_model)
    assert header.metadata == {entry.key: entry.value for entry in expected.metadata_props}
    for tensor_info, value in zip(
        (*header.inputs, *header.outputs),
        (*expected.graph.input, *expected.graph.output),
        strict=True,
    ):
        tensor = value.type.tensor_type
        assert (tensor_info.name, tensor_info.elem_type) == (value.name, tensor.elem_type)
        assert tensor_info.dims == tuple(d.dim_value or None for d in tensor.shape.dim)


def test_metadata_round_trips_through_json() -> None:
    metadata = ModelMetadata(
        "BtoA", ("photo", "monet"), (128, 256), True, 4, parity={"psnr_db": 81.5}
    )
    assert ModelMetadata.from_json(metadata.to_json()) == metadata
    assert (metadata.source_domain, metadata.target_domain) == ("monet", "photo")


def test_metadata_of_the_bundled_model() -> None:
    metadata = read_metadata(DEFAULT_MODEL)
    assert (metadata.source_domain, metadata.target_domain) == ("photo", "monet")
    assert metadata.dynamic
    assert metadata.precision == "int8"
    assert DEFAULT_MODEL.stat().st_size <= 1_500_000


def test_bundled_models_have_names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert resolve_model(None) == resolve_model("monet") == DEFAULT_MODEL
    vintage = resolve_model("vintage")
    metadata = read_metadata(vintage)
    assert (metadata.precision, metadata.dynamic) == ("int8", True)
    assert vintage.stat().st_size <= 1_500_000
    monkeypatch.chdir(tmp_path)
    assert resolve_model("other") == Path("other")
    assert resolve_model("../models/monet") == Path("../models/monet")
    (tmp_path / "vintage").touch()
    assert resolve_model("vintage") == Path("vintage")  # the user's own file


def test_a_third_party_model_is_described_by_its_shapes(tiny_model: Path, tmp_path: Path) -> None:
    model = onnx.load(tiny_model)
    del model.metadata_props[:]
    free = tmp_path / "free.onnx"
    onnx.save(model, free)
    expected = ModelMetadata(dynamic=True, multiple=4, norm="unknown")
    assert replace(read_metadata(free), third_party=None) == expected
    for axis, size in ((2, 64), (3, 96)):
        model.graph.input[0].type.tensor_type.shape.dim[axis].dim_value = size
    fixed = tmp_path / "fixed.onnx"
    onnx.save(model, fixed)
    expected = ModelMetadata(size=(64, 96), norm="unknown")
    assert replace(read_metadata(fixed), third_party=None) == expected


@pytest.mark.parametrize("text", ["", "{}", "[]", '{"version": 1}', '{"version": 99}', "{"])
def test_damaged_metadata_is_refused(text: str) -> None:
    with pytest.raises(ModelError):
        ModelMetadata.from_json(text)


def test_metadata_of_a_newer_version_is_refused() -> None:
    with pytest.raises(ModelError, match="newer version"):
        ModelMetadata.from_json('{"version": 99}')


def test_a_file_that_is_not_onnx_is_refused(tiny_model: Path, tmp_path: Path) -> None:
    whole = tiny_model.read_bytes()
    bad = tmp_path / "bad.onnx"
    for content in (b"", b"hello", b"\x00" * 100, b"<html>", whole[: len(whole) // 2]):
        bad.write_bytes(content)
        with pytest.raises(ModelError, match="not an ONNX model"):
            read_metadata(bad)
    with pytest.raises(ModelError, match="missing"):
        read_metadata(tmp_path / "none.onnx")


def test_a_model_that_takes_no_image_is_refused(tiny_model: Path, tmp_path: Path) -> None:
    model = onnx.load(tiny_model)
    model.graph.input[0].type.tensor_type.elem_type = onnx.TensorProto.FLOAT16
    path = tmp_path / "bytes.onnx"
    onnx.save(model, path)
    with pytest.raises(ModelError, match="contradicts its metadata"):
        read_metadata(path)
    assert METADATA_KEY in read_onnx_header(path).metadata
