"""Translations in the size of the source: values, sizes, and the options of upsampling."""

from __future__ import annotations

import threading
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

from cgt.runtime import Translator, resize, translate, translate_file
from cgt.runtime.engines import Engine, read_model_metadata
from cgt.runtime.errors import ModelError, UsageError
from cgt.runtime.image.preprocess import U8
from cgt.runtime.inference.optical_flow import WarpingErrorMeter
from cgt.runtime.inference.translator import resolve_model
from cgt.runtime.models.metadata import METADATA_KEY, ModelMetadata
from cgt.runtime.pipeline import translate_stream
from cgt.runtime.sources import Frame, open_source
from cgt.runtime.utils.stats import Stats
from conftest import CLIP_FRAMES, make_image, write_inverse_model

SIZES = [(97, 131), (200, 64), (33, 255), (128, 128), (360, 641)]
TensorFn = Callable[[np.ndarray], np.ndarray]
GRADE = np.array([[0.9, 0.2, -0.1], [0.1, 0.7, 0.1], [0.0, -0.2, 0.8]], np.float32)


class FunctionEngine(Engine):
    """Engine that applies a function to float32 N,3,H,W in [-1, 1]."""

    name, device, precision, workers = "function", "CPU", "fp32", 2

    def __init__(self, function: TensorFn) -> None:
        self._function = function

    def infer(
        self, batch: Any, out: Any, statistics_in: Any = None, statistics_out: Any = None
    ) -> None:
        out[...] = self._function(batch)

    def close(self) -> None:
        pass


def identity(batch: np.ndarray) -> np.ndarray:
    return batch


def grade(batch: np.ndarray) -> np.ndarray:
    """Return a color grade: the same matrix and offset for each pixel."""
    return np.clip(np.einsum("oi,nihw->nohw", GRADE, batch) + 0.05, -1, 1)


def textured(size: tuple[int, int], seed: int = 0) -> U8:
    """Return an image with texture of several scales, edges and thin lines."""
    random = np.random.default_rng(seed)
    image = np.zeros((*size, 3), np.float32)
    for step in (1, 3, 9, 27):
        noise = random.normal(0, 18, (size[0] // step + 2, size[1] // step + 2, 3))
        image += resize(np.clip(noise + 128, 0, 255).astype(np.uint8), size, "bicubic") - 128.0
    image += 128
    image[size[0] // 3 : size[0] // 2, size[1] // 4 : size[1] // 2] += 60
    image[::16, :] -= 70
    image[:, ::23] += 40
    return np.clip(image, 0, 255).astype(np.uint8)


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("network_size", [None, (24, 40)])
def test_a_network_without_effect_returns_the_source(
    tiny_model: Path, size: tuple[int, int], network_size: tuple[int, int] | None
) -> None:
    image = textured(size)
    with Translator(tiny_model, engine=FunctionEngine(identity), size=network_size) as translator:
        error = np.abs(translator(image).astype(int) - image)
    assert error.mean() < 1
    assert np.percentile(error, 99) <= 4
    blurred = resize(resize(image, network_size or (32, 32)), size, "bicubic")
    assert error.mean() < 0.1 * np.abs(blurred.astype(int) - image).mean()


@pytest.mark.parametrize("size", SIZES)
def test_a_color_grade_is_that_of_the_full_size(tiny_model: Path, size: tuple[int, int]) -> None:
    image = textured(size)
    with (
        Translator(tiny_model, engine=FunctionEngine(grade)) as translator,
        Translator(tiny_model, engine=FunctionEngine(grade), size="source") as full_size,
    ):
        error = np.abs(translator(image).astype(int) - full_size(image))
    assert error.mean() < 1.5
    assert np.percentile(error, 99) <= 6


@pytest.mark.parametrize("method", ["guided", "bicubic"])
def test_a_constant_output_stays_constant(tiny_model: Path, method: Any) -> None:
    engine = FunctionEngine(lambda batch: np.full_like(batch, 100 / 127.5 - 1))
    with Translator(tiny_model, engine=engine, upsampling=method) as translator:
        assert np.unique(translator(textured((99, 131)))).tolist() == [100]


@pytest.mark.parametrize("levels", [(30, 220), (100, 140)])
def test_strong_edges_have_no_halos(tiny_model: Path, levels: tuple[int, int]) -> None:
    """A network whose output is not linear in its input: an inverse that saturates."""
    dark, bright = levels
    image = np.full((120, 200, 3), dark, np.uint8)
    image[:, 83:] = bright
    image[60:, 140:141] = dark  # a thin line

    def invert(batch: np.ndarray) -> np.ndarray:
        return np.tanh(-2 * batch) * 0.9

    with (
        Translator(tiny_model, engine=FunctionEngine(invert)) as translator,
        Translator(tiny_model, engine=FunctionEngine(invert), size="source") as full_size,
    ):
        output, expected = translator(image).astype(int), full_size(image).astype(int)
    # No pixel is outside of the range of the network's own outputs.
    assert output.min() >= expected.min() - 4
    assert output.max() <= expected.max() + 4
    # The edge is where it was, and as steep.
    middle = (expected[0, 0, 0] + expected[0, 199, 0]) / 2
    assert (output[30, 82, 0] > middle) != (output[30, 83, 0] > middle)
    step = abs(output[30, 83, 0] - output[30, 82, 0])
    assert step > 0.7 * abs(expected[0, 0, 0] - expected[0, 199, 0])
    # The thin line survives.
    assert abs(output[90, 140, 0] - output[90, 137, 0]) > 0.4 * step


def test_borders_are_as_accurate_as_the_middle(tiny_model: Path) -> None:
    image = textured((101, 163))
    with (
        Translator(tiny_model, engine=FunctionEngine(grade)) as translator,
        Translator(tiny_model, engine=FunctionEngine(grade), size="source") as full_size,
    ):
        error = np.abs(translator(image).astype(int) - full_size(image))
    for border in (error[:3], error[-3:], error[:, :3], error[:, -3:]):
        assert border.mean() < 3


def test_detail_is_a_strength(tiny_model: Path) -> None:
    image = textured((128, 192))
    errors = []
    for detail in (0.0, 0.5, 1.0):
        engine = FunctionEngine(identity)
        with Translator(tiny_model, engine=engine, detail=detail) as translator:
            errors.append(np.abs(translator(image).astype(int) - image).mean())
    assert errors[0] > 1.5 * errors[1] > 1.5 * errors[2]


def test_no_flicker_is_added(tiny_model: Path) -> None:
    """A moving image of a color grade: the warping error is not above that of the full size."""
    wide = textured((96, 180), 3)
    meters = {name: WarpingErrorMeter() for name in ("network", "guided")}
    with (
        Translator(tiny_model, engine=FunctionEngine(grade)) as translator,
        Translator(tiny_model, engine=FunctionEngine(grade), size="source") as full_size,
    ):
        for shift in range(0, 12, 2):
            frame = np.ascontiguousarray(wide[:, shift : shift + 160])
            meters["network"].update(frame, full_size(frame))
            meters["guided"].update(frame, translator(frame))
    assert meters["guided"].mean <= 1.2 * meters["network"].mean + 1e-5


def test_outputs_have_another_size_if_asked(tiny_model: Path) -> None:
    image = textured((96, 128))
    engine = FunctionEngine(identity)
    for size in ((192, 256), (50, 77), (32, 400)):
        with Translator(tiny_model, engine=engine, output_size=size) as translator:
            output = translator(image)
        assert output.shape == (*size, 3)
        assert np.abs(output.astype(int) - resize(image, size, "bicubic")).mean() < 2


def test_options_that_exclude_each_other_are_refused(tiny_model: Path, tmp_path: Path) -> None:
    for options in (
        {"upsampling": "none", "output_size": "source"},
        {"upsampling": "bicubic", "detail": 0.5},
        {"upsampling": "nearest"},
        {"detail": 1.5},
    ):
        with pytest.raises(UsageError):
            Translator(tiny_model, **options)  # type: ignore[arg-type]
        with pytest.raises(UsageError):
            next(translate(str(tmp_path), model=tiny_model, **options))


@pytest.mark.parametrize("deflicker", [0.0, 0.5])
def test_videos_keep_their_size(
    clip: Path, tiny_model: Path, tmp_path: Path, deflicker: float
) -> None:
    report = translate_file(
        clip, tmp_path / "out.mp4", model=tiny_model, deflicker=deflicker, frames=6
    )
    with open_source(str(tmp_path / "out.mp4")) as source:
        assert source.size == (90, 160)
        assert source.sample_aspect_ratio == Fraction(1)
    stages = report.to_json()["stages_ms"]
    assert stages["upsample"]["count"] == 6
    assert stages["postprocess"]["count"] == (6 if deflicker else 0)
    assert report.to_json()["upsampling"] == {"method": "guided", "detail": 1.0}


def test_flow_smoothing_runs_at_the_size_of_the_network(clip: Path, tiny_model: Path) -> None:
    with (
        open_source(str(clip), audio=False) as source,
        Translator(tiny_model, frame_size=(90, 160), deflicker=0.5) as translator,
    ):
        frames = [frame for frame in source if isinstance(frame, Frame)][:4]
        low = translator.translate_batch([frames[0].image])[0][0]
        assert low.shape == (32, 56, 3)
        assert translator.upsample(frames[0].image, low).shape == (90, 160, 3)
    with (
        Translator(tiny_model, frame_size=(90, 160), deflicker=0.5) as pipelined,
        Translator(tiny_model, frame_size=(90, 160), deflicker=0.5) as called,
    ):
        results = translate_stream(iter(frames), pipelined, Stats(), threading.Event())
        for result, frame in zip(results, frames, strict=True):
            expected = called(frame.image).astype(int)
            # Frames are in YUV, which has a little more than the RGB that they are converted to.
            assert np.abs(result.image.astype(int) - expected).mean() < 1


def test_tiles_and_batches_are_upsampled(tiny_model: Path, clip: Path) -> None:
    image = textured((90, 160))
    with Translator(tiny_model, size=(64, 112), tile=48) as translator:
        assert translator(image).shape == image.shape
    one, four = (
        list(translate(clip, model=tiny_model, engine="onnxruntime", batch=batch))
        for batch in (1, 4)
    )
    assert len(one) == len(four) == CLIP_FRAMES
    for left, right in zip(one, four, strict=True):
        assert np.abs(left.astype(int) - right).max() <= 2


def test_views_have_the_size_of_the_source(clip: Path, tiny_model: Path) -> None:
    frame = next(translate(clip, model=tiny_model, view="side-by-side"))
    assert frame.shape == (90, 320, 3)


@pytest.mark.parametrize("side", ["h", 32])
def test_uint8_networks_are_guided(tmp_path: Path, side: int | str) -> None:
    path = write_inverse_model(tmp_path / "m.onnx", side, 48 if side == 32 else "w")
    image = textured((99, 150))
    with Translator(path, engine="onnxruntime", size=(32, 48)) as translator:
        error = np.abs(translator(image).astype(int) - (255 - image.astype(int)))
    assert error.mean() < 1.5


def test_an_image_of_24_megapixels(tiny_model: Path) -> None:
    image = np.tile(make_image(0, 200, 300), (20, 20, 1))
    with Translator(tiny_model, engine=FunctionEngine(identity), size=(256, 384)) as translator:
        output = translator(image)
    assert output.shape == (4000, 6000, 3)
    assert np.abs(output[::7, ::11].astype(int) - image[::7, ::11]).mean() < 4


def test_a_model_may_recommend_its_method(tmp_path: Path) -> None:
    metadata = ModelMetadata(size=(32, 32), dynamic=True, io="uint8", upsampling="detail")
    assert ModelMetadata.from_json(metadata.to_json()) == metadata
    assert "upsampling" not in ModelMetadata().to_json()  # as older versions wrote it
    path = write_inverse_model(tmp_path / "m.onnx")
    model = onnx.load(path)
    onnx.helper.set_model_props(model, {METADATA_KEY: metadata.to_json()})
    onnx.save(model, path)
    image = textured((64, 96))
    outputs = {}
    for method in (None, "detail", "guided"):
        with Translator(path, engine="onnxruntime", upsampling=method) as translator:
            assert translator.upsampling == (method or "detail")
            outputs[method] = translator(image)
    np.testing.assert_array_equal(outputs[None], outputs["detail"])
    assert (outputs["detail"] != outputs["guided"]).any()
    with pytest.raises(ModelError, match="damaged"):
        ModelMetadata.from_json(metadata.to_json().replace("detail", "magic"))


def test_bundled_models_recommend_what_was_measured() -> None:
    for name, method in (("monet", "detail"), ("vintage", None)):
        assert read_model_metadata(resolve_model(name)).upsampling == method
