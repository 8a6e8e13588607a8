"""Tiled inference compared with inference on the whole image."""

from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np
import pytest

from benchmarks.suites.baseline_networks import write_dequantized
from cgt.runtime import Translator
from cgt.runtime.engines import BatchShape, Engine, open_engine
from cgt.runtime.errors import UsageError
from cgt.runtime.inference.tiling import (
    TiledEngine,
    choose_tile_size,
    reduced_image_size,
    tile_spans,
)
from cgt.runtime.inference.translator import DEFAULT_MODEL
from conftest import make_image, write_inverse_model

ANY = BatchShape(1, 3, 0, 0, "uint8")


@pytest.mark.parametrize(
    ("length", "tile", "overlap"),
    [(640, 128, 32), (480, 128, 64), (132, 128, 0), (1080, 512, 128)],
)
def test_weights_add_up_and_are_zero_at_tile_edges(length: int, tile: int, overlap: int) -> None:
    total = np.zeros(length)
    spans = tile_spans(length, tile, overlap, 4)
    for start, weights in spans:
        assert start % 4 == 0
        assert len(weights) == tile
        total[start : start + tile] += weights
    np.testing.assert_allclose(total, 1, atol=1e-6)
    assert spans[0][0] == 0
    assert spans[-1][0] + tile == length
    quarter = overlap // 4
    for (_, before), (_, after) in itertools.pairwise(spans):
        assert not before[tile - quarter :].any()
        assert not after[:quarter].any()


def test_an_overlap_of_more_than_half_is_refused() -> None:
    with pytest.raises(UsageError, match="maximum is half a tile"):
        tile_spans(512, 128, 80, 4)


def test_an_image_smaller_than_a_tile_is_one_tile() -> None:
    assert choose_tile_size((100, 640), 512, 4) == (100, 512)
    assert len(tile_spans(100, 100, 0, 4)) == 1


def test_the_reduced_copy_keeps_the_aspect_and_has_the_pixels_of_a_tile() -> None:
    height, width = reduced_image_size((1080, 1920), 512, 4)
    assert height % 4 == width % 4 == 0
    assert height * width == pytest.approx(512**2, rel=0.02)
    assert height / width == pytest.approx(1080 / 1920, rel=0.02)
    assert reduced_image_size((64, 64), 512, 4) == (64, 64)


def test_without_normalization_there_are_no_seams(tmp_path: Path) -> None:
    """Use the bundled model in floats, with at least 48 pixels of context around each tile.

    In INT8, a difference in the last bit could be rounded to another of the 256 levels.
    """
    model = write_dequantized(tmp_path / "m.onnx", DEFAULT_MODEL)
    image = make_image(3, 256, 384)
    frame = image.shape[:2]
    with Translator(model, engine="onnxruntime", size="source", frame_size=frame) as translator:
        whole = translator(image).astype(int)
    max_error = {}
    for overlap in (0, 96):
        with Translator(
            model, engine="onnxruntime", frame_size=frame, tile=192, overlap=overlap
        ) as translator:
            assert translator.engine.tile_count > 1
            max_error[overlap] = np.abs(translator(image).astype(int) - whole).max()
    assert max_error[96] <= 1  # of 255
    assert max_error[0] > 20  # without overlap, seams are visible


def test_instance_norm_warns_of_seams(tiny_model: Path, caplog: pytest.LogCaptureFixture) -> None:
    with Translator(tiny_model, frame_size=(64, 64), tile=64, engine="onnxruntime"):
        assert not caplog.messages  # one tile is the whole image
    with Translator(tiny_model, frame_size=(96, 96), tile=64, engine="onnxruntime"):
        assert "seams" in caplog.text


def test_every_tile_uses_the_statistics_of_the_whole_image(
    stream_model: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """With its own statistics, a tile of the black or of the white half would be gray."""
    image = np.zeros((64, 256, 3), np.uint8)
    image[:, 128:] = 255
    with Translator(stream_model, size="source", frame_size=(64, 256)) as translator:
        whole = translator(image).astype(int)
    with Translator(stream_model, frame_size=(64, 256), tile=64, overlap=16) as translator:
        tiles = translator(image).astype(int)
    assert np.abs(tiles - whole).max() <= 2
    assert "seams" not in caplog.text
    assert whole[:, 0].max() < 100 < 150 < whole[:, -1].min()


def test_uint8_tiles(tmp_path: Path) -> None:
    path = write_inverse_model(tmp_path / "m.onnx")
    image = make_image(0, 96, 160)[None]
    out = np.zeros_like(image)
    shape = BatchShape(1, 3, 96, 160, "uint8")
    tile_engine: Engine = open_engine(path, shape.with_size(64, 64), "onnxruntime")
    with TiledEngine(tile_engine, shape, (64, 64), overlap=16, multiple=4) as engine:
        engine.infer(image, out)
    np.testing.assert_array_equal(out, 255 - image)


def test_a_model_of_one_size_translates_any_size_with_tiles(tmp_path: Path) -> None:
    path = write_inverse_model(tmp_path / "m.onnx", 32, 32)
    image = make_image(0, 70, 90)
    with Translator(path, frame_size=(70, 90), tile=512) as translator:
        np.testing.assert_array_equal(translator(image), 255 - image)
    with pytest.raises(UsageError, match="32x32 only"):
        Translator(path, frame_size=(20, 90), tile=512)


def test_tiles_of_images_of_any_size(tmp_path: Path) -> None:
    path = write_inverse_model(tmp_path / "m.onnx")
    with Translator(path, tile=64, engine="onnxruntime") as translator:
        for height, width in ((150, 100), (40, 200), (33, 33), (64, 128)):
            image = make_image(1, height, width)
            np.testing.assert_array_equal(translator(image), 255 - image)


def test_tiles_of_any_size_equal_those_of_a_known_size(
    stream_model: Path, tiny_model: Path
) -> None:
    image = make_image(2, 80, 200)
    for model in (stream_model, tiny_model):
        options = {"tile": 64, "overlap": 16, "engine": "onnxruntime"}
        with Translator(model, frame_size=(80, 200), **options) as translator:
            known = translator(image)
        with Translator(model, **options) as translator:
            translator(make_image(2, 64, 90))
            np.testing.assert_array_equal(translator(image), known)


def test_tiles_of_a_model_of_one_size_and_images_of_any_size(tmp_path: Path) -> None:
    path = write_inverse_model(tmp_path / "m.onnx", 32, 48)
    with Translator(path, tile=512) as translator:
        for height, width in ((70, 90), (32, 100)):
            image = make_image(0, height, width)
            np.testing.assert_array_equal(translator(image), 255 - image)
        with pytest.raises(UsageError, match="48x32 only"):
            translator(make_image(0, 70, 40))


def test_an_overlap_that_is_too_large_is_refused_before_the_first_image(tmp_path: Path) -> None:
    path = write_inverse_model(tmp_path / "m.onnx")
    with pytest.raises(UsageError, match="maximum is half a tile"):
        Translator(path, tile=64, overlap=40)


@pytest.mark.parametrize("frame_size", [None, (256, 320)])
def test_the_warm_up_translates_one_tile(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, frame_size: tuple[int, int] | None
) -> None:
    shapes = []
    engine = type(open_engine(write_inverse_model(tmp_path / "m.onnx"), ANY, "onnxruntime"))
    infer = engine.infer

    def count(self: Engine, batch: np.ndarray, *others: np.ndarray) -> None:
        shapes.append(batch.shape)
        infer(self, batch, *others)

    monkeypatch.setattr(engine, "infer", count)
    with Translator(
        tmp_path / "m.onnx", frame_size=frame_size, tile=64, engine="onnxruntime"
    ) as translator:
        assert shapes == [(1, 64, 64, 3)]
        translator(make_image(0, 256, 320))
    assert len(shapes) > 20
