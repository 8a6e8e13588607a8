"""Models of other tools: value ranges, layouts, types, color orders and further inputs."""

from __future__ import annotations

import json
import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from support.third_party import write_third_party_model

from cgt.export import build_engine
from cgt.runtime import Translator
from cgt.runtime.api import TranslateOptions
from cgt.runtime.engines import BatchShape, Engine, open_engine
from cgt.runtime.engines.third_party import adapt_engine
from cgt.runtime.errors import ModelError, UsageError
from cgt.runtime.image.files import encode_image, read_image
from cgt.runtime.models.metadata import ModelMetadata, read_metadata
from cgt.runtime.models.third_party import ModelFormat
from conftest import run_cgt

ENGINES = ("openvino", "onnxruntime")
MAX_ERROR = 2  # levels; bf16 and float16 round
RANGES = (
    ("-1..1", "-1..1"),
    ("0..1", "0..1"),
    ("0..255", "0..255"),
    ("-1..1", "0..1"),
    ("0..1", "0..255"),
    ("0..255", "-1..1"),
)


def colorful_image(height: int = 64, width: int = 96) -> np.ndarray:
    y, x = np.mgrid[:height, :width]
    planes = (x * 255 // (width - 1), y * 255 // (height - 1), (x + y) % 256)
    return np.stack(planes, -1).astype(np.uint8)


def assert_identity(model: Path, engine: str, model_format: ModelFormat | None = None) -> None:
    image = colorful_image()
    with Translator(model, engine=engine, size="source", model_format=model_format) as translator:
        difference = translator(image).astype(int) - image
    assert np.abs(difference).max() <= MAX_ERROR


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("ranges", RANGES)
def test_value_ranges_are_detected_and_printed(
    engine: str, ranges: tuple[str, str], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    model = write_third_party_model(tmp_path / f"{engine}.onnx", ranges)
    assert_identity(model, engine)
    assert f"--model-range {ranges[0]}:{ranges[1]}" in caplog.text


@pytest.mark.parametrize("engine", ENGINES)
def test_a_flag_settles_the_range(
    engine: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    model = write_third_party_model(tmp_path / "a.onnx", ("imagenet", "0..255"))
    assert_identity(model, engine, ModelFormat(model_range="imagenet:0..255"))
    assert not caplog.text


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize(
    ("layouts", "dtypes"),
    [
        (("NHWC", "NHWC"), ("float32", "float32")),
        (("NCHW", "NHWC"), ("float32", "float32")),
        (("HWC", "HWC"), ("float32", "float32")),
        (("CHW", "CHW"), ("float32", "float32")),
        (("NCHW", "NCHW"), ("float16", "float16")),
        (("NHWC", "NHWC"), ("uint8", "uint8")),
        (("NCHW", "NCHW"), ("uint8", "uint8")),
        (("NHWC", "NCHW"), ("uint8", "float32")),
    ],
)
def test_layouts_and_types_follow_from_the_shapes(
    engine: str, layouts: tuple[str, str], dtypes: tuple[str, str], tmp_path: Path
) -> None:
    ranges = tuple("0..255" if dtype == "uint8" else "0..1" for dtype in dtypes)
    model = write_third_party_model(tmp_path / "a.onnx", ranges, layouts, dtypes)  # type: ignore[arg-type]
    assert_identity(model, engine)
    fixed = write_third_party_model(
        tmp_path / "b.onnx",
        ranges,  # type: ignore[arg-type]
        layouts,
        dtypes,
        size=(64, 96),
    )
    assert read_metadata(fixed).size == (64, 96)


def test_unknown_axes_need_the_layout(tmp_path: Path) -> None:
    import onnx

    model = onnx.load(write_third_party_model(tmp_path / "a.onnx", layouts=("NHWC", "NHWC")))
    for tensor in (model.graph.input[0], model.graph.output[0]):
        tensor.type.tensor_type.shape.dim[3].dim_param = "channels"
    onnx.save(model, tmp_path / "b.onnx")
    assert_identity(tmp_path / "b.onnx", "onnxruntime", ModelFormat(model_layout="NHWC"))


@pytest.mark.parametrize("value_range", ["0..1", "imagenet"])
def test_bgr_models_get_bgr(value_range: str, tmp_path: Path) -> None:
    # It returns the red plane in all channels: of BGR the last one.
    kernel = np.zeros((3, 3), np.float32)
    kernel[:, 2] = 1
    model = write_third_party_model(tmp_path / "a.onnx", ("0..1", "0..1"), kernel=kernel)
    image = colorful_image()
    chosen = ModelFormat(model_range="0..1", model_color="BGR")
    with Translator(model, engine="onnxruntime", size="source", model_format=chosen) as translator:
        assert np.abs(translator(image).astype(int) - image[..., :1]).max() <= MAX_ERROR
    # The order of ImageNet's means and deviations is that of the tensor.
    swapped = write_third_party_model(tmp_path / "b.onnx", (value_range, value_range))
    both = ModelFormat(model_range=value_range, model_color="BGR")
    assert_identity(swapped, "onnxruntime", replace(both, model_color=None))


@pytest.mark.parametrize("engine", ENGINES)
def test_a_flat_output_is_refused(
    engine: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    black = write_third_party_model(tmp_path / "a.onnx", kernel=np.zeros((3, 3), np.float32))
    with pytest.raises(ModelError, match=r"one color in each range .* --model-range"):
        Translator(black, engine=engine)
    with pytest.raises(ModelError, match="one color; say"):
        Translator(black, engine=engine, model_format=ModelFormat(model_range="0..1"))
    # [0, 255] read as [-1, 1] is nearly all white.
    white = write_third_party_model(tmp_path / "b.onnx", ("0..255", "0..255"))
    chosen = ModelFormat(model_range="0..255:-1..1")
    shape = BatchShape.from_metadata(read_metadata(white, chosen))
    open_engine(white, shape, engine).close()
    assert "black and white only; check --model-range" in caplog.text


@pytest.mark.parametrize("engine", ENGINES)
def test_further_inputs_get_constants_or_are_refused(engine: str, tmp_path: Path) -> None:
    model = write_third_party_model(tmp_path / "a.onnx", gain="style")
    with pytest.raises(ModelError, match=r"2 inputs: style \(2\), image .*--model-input style="):
        Translator(model, engine=engine)
    assert_identity(model, engine, ModelFormat(model_input=("style=1,0",)))
    image = colorful_image()
    half = ModelFormat(model_input=("style=0.5",), model_range="-1..1")
    with Translator(model, engine=engine, size="source", model_format=half) as translator:
        expected = 127.5 + (image - 127.5) / 2
        assert np.abs(translator(image) - expected).max() <= MAX_ERROR
    with pytest.raises(ModelError, match="one color"):
        Translator(model, engine=engine, model_format=ModelFormat(model_input=("style=0,1",)))


def test_wrong_values_are_refused(tmp_path: Path) -> None:
    model = write_third_party_model(tmp_path / "a.onnx", gain="style")
    for text, message in (
        ("other=1", "no such input"),
        ("style=1,2,3", "needs 2 values"),
        ("style=a", "NAME=VALUE"),
        ("style", "NAME=VALUE"),
    ):
        with pytest.raises(UsageError, match=message):
            read_metadata(model, ModelFormat(model_input=(text,)))
    with pytest.raises(UsageError, match="given twice"):
        ModelFormat(model_input=("style=1", "style=2"))
    with pytest.raises(UsageError, match=r"-1\.\.1, 0\.\.1, 0\.\.255, imagenet"):
        ModelFormat(model_range="0-255")
    with pytest.raises(UsageError, match="NCHW or NHWC"):
        ModelFormat(model_layout="CHWN")  # type: ignore[arg-type]
    byte = write_third_party_model(tmp_path / "b.onnx", dtypes=("uint8", "uint8"))
    with pytest.raises(UsageError, match="is uint8"):
        read_metadata(byte, ModelFormat(model_range="0..1"))


def test_models_of_cgt_describe_themselves(tiny_model: Path) -> None:
    with pytest.raises(UsageError, match="describes its tensors itself"):
        Translator(tiny_model, model_format=ModelFormat(model_range="0..255"))


def test_weights_that_are_listed_as_inputs_do_not_count(tmp_path: Path) -> None:
    model = write_third_party_model(tmp_path / "a.onnx", ("0..1", "0..1"), weights_as_inputs=True)
    assert_identity(model, "onnxruntime")


def test_metadata_with_third_party_tensors_survives_storage(tmp_path: Path) -> None:
    model = write_third_party_model(tmp_path / "a.onnx", gain="style")
    metadata = read_metadata(model, ModelFormat(model_input=("style=1,0",), model_range="0..1"))
    assert ModelMetadata.from_json(metadata.to_json()) == metadata


def test_engines_of_third_party_models_take_the_range(tmp_path: Path) -> None:
    model = write_third_party_model(tmp_path / "a.onnx", ("0..255", "-1..1"))
    built = build_engine(model, "openvino")
    assert_identity(built, "openvino")
    chosen = ModelFormat(model_range="0..255:-1..1")
    assert_identity(built, "openvino", chosen)
    tensors = read_metadata(built, chosen).third_party
    assert tensors is not None
    assert (tensors.input.range, tensors.output.range) == ("0..255", "-1..1")
    with pytest.raises(UsageError, match="are for ONNX files"):
        read_metadata(built, ModelFormat(model_layout="NHWC"))
    for name, arguments in (("b", {"layouts": ("NHWC", "NHWC")}), ("c", {"gain": "style"})):
        other = write_third_party_model(tmp_path / f"{name}.onnx", **arguments)  # type: ignore[arg-type]
        with pytest.raises((UsageError, ModelError), match=r"N,C,H,W float32|2 inputs"):
            build_engine(other, "openvino")


def test_the_range_is_detected_once(tmp_path: Path) -> None:
    """The second engine opens without trials; a change of the file makes new ones."""
    model = write_third_party_model(tmp_path / "a.onnx", ("0..255", "0..255"))
    assert_identity(model, "onnxruntime")
    write_third_party_model(model, ("0..1", "0..1"))
    assert_identity(model, "onnxruntime")


@pytest.mark.parametrize("damaged", [5, [], ["a", "b", ""], [1, 2, 3], [None, None, None]])
def test_the_range_is_detected_again_if_the_cache_is_damaged(
    damaged: object, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    model = write_third_party_model(tmp_path / "a.onnx", ("0..255", "0..255"))
    assert_identity(model, "onnxruntime")
    ranges = tmp_path / "cgt" / "ranges.json"
    detected = json.loads(ranges.read_text())
    ranges.write_text(json.dumps(dict.fromkeys(detected, damaged)))
    assert_identity(model, "onnxruntime")
    assert json.loads(ranges.read_text()) == detected


def test_options_of_the_format_are_part_of_a_batch_job() -> None:
    plain, chosen = TranslateOptions(), TranslateOptions(model_range="0..1")
    assert plain.job_key != chosen.job_key
    assert "model_format" not in plain.job_key  # batches of older versions stay finished


@pytest.mark.parametrize("batch", [1, 3])
def test_batches_and_tiles_are_converted(batch: int, tmp_path: Path) -> None:
    model = write_third_party_model(tmp_path / "a.onnx", ("0..255", "0..255"), ("NHWC", "NHWC"))
    images = [np.roll(colorful_image(), 10 * i, axis=1) for i in range(batch)]
    for tile in (None, 32):
        with Translator(
            model, engine="onnxruntime", size="source", batch=batch, tile=tile
        ) as translator:
            for image, translated in zip(
                images, translator.translate_batch(images)[0], strict=True
            ):
                assert np.abs(translated.astype(int) - image).max() <= MAX_ERROR


class _Ambiguous(Engine):
    """Copies images with values below 0, and inverts others."""

    name, device, precision, workers = "copy", "CPU", "fp32", 1

    def infer(self, batch, out, statistics_in=None, statistics_out=None):  # type: ignore[no-untyped-def]
        out[...] = batch if batch.min() < 0 else 1 - batch

    def close(self) -> None:
        pass


def test_an_ambiguous_range_is_printed(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    metadata = read_metadata(write_third_party_model(tmp_path / "a.onnx"))
    adapt_engine(_Ambiguous(), tmp_path / "server", BatchShape.from_metadata(metadata, 64, 64))
    assert "is ambiguous: taking -1..1:-1..1, but it may be 0..1:0..1; --model-range" in caplog.text


def test_models_without_a_batch_axis_take_one_image(tmp_path: Path) -> None:
    model = write_third_party_model(tmp_path / "a.onnx", layouts=("CHW", "CHW"))
    with pytest.raises(ModelError, match="one image at a time, not 2"):
        Translator(model, engine="onnxruntime", size="source", batch=2)


def test_commands_take_the_flags(tmp_path: Path) -> None:
    model = write_third_party_model(tmp_path / "a.onnx", gain="style")
    source, target = tmp_path / "in.png", tmp_path / "out.png"
    data = encode_image(colorful_image(), ".png")
    assert data is not None
    source.write_bytes(data)
    flags = ("--model", model, "--engine", "onnxruntime")
    failed = run_cgt("translate", source, "-o", target, *flags)
    assert (failed.returncode, failed.stderr.count("\n")) == (1, 1)
    assert "--model-input style=VALUES" in failed.stderr
    assert not target.exists()
    chosen = ("--model-input", "style=1,0", "--model-range", "-1..1:-1..1")
    done = run_cgt("translate", source, "-o", target, "--size", "source", *flags, *chosen)
    assert done.returncode == 0, done.stderr
    written = read_image(target)
    assert written is not None
    assert np.abs(written.astype(int) - colorful_image()).max() <= MAX_ERROR
    settings = ("--seconds", "0.1", "--size", "64")
    assert run_cgt("bench", *flags, *chosen, *settings).returncode == 0
    flat = run_cgt("bench", *flags, "--model-input", "style=0,0", *settings)
    assert flat.returncode == 1
    assert "one color" in flat.stderr


@pytest.mark.skipif("CGT_DATA" not in os.environ, reason="CGT_DATA has the models")
@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("name", ["id", "in255", "r01", "nhwc"])
def test_identities_of_other_tools_are_identities(engine: str, name: str) -> None:
    assert_identity(Path(os.environ["CGT_DATA"], "cases", f"{name}.onnx"), engine)
