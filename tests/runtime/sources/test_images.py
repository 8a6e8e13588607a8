"""Image sources and sinks: folders, sequences, single files, and odd pixel formats."""

from __future__ import annotations

import json
from fractions import Fraction
from pathlib import Path

import cv2
import numpy as np
import pytest

from cgt.runtime import translate, translate_file
from cgt.runtime.errors import SinkError, SourceError, UsageError
from cgt.runtime.image.files import list_images, read_image
from cgt.runtime.sinks import StreamFormat, TranslatedFrame, open_sink
from cgt.runtime.sources import Frame, open_source
from conftest import make_image, run_cgt, write_inverse_model

ANY_FORMAT = StreamFormat(None, None, None)


@pytest.fixture(scope="session")
def inverse(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Write a model that takes any size and returns 255 - image."""
    return write_inverse_model(tmp_path_factory.mktemp("model") / "inverse.onnx")


def output_names(folder: Path) -> list[str]:
    """Return the files of a folder and its subfolders."""
    return sorted(str(p.relative_to(folder)) for p in folder.rglob("*") if p.is_file())


def test_translate_folder_to_folder(images: Path, tiny_model: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    done = run_cgt("translate", images, "-o", out, "--model", tiny_model)
    assert done.returncode == 0, done.stderr
    names = sorted(str(path.relative_to(out)) for path in out.rglob("*") if path.is_file())
    assert names == ["a.png", "b with space.png", "more/c.png"]
    assert read_image(out / "a.png").shape == (64, 64, 3)


def test_images_of_different_sizes_keep_their_size(
    images: Path, tiny_model: Path, tmp_path: Path
) -> None:
    cv2.imwrite(str(images / "wide.jpg"), make_image(0, 40, 101))
    out = tmp_path / "out"
    done = run_cgt("translate", images, "-o", out, "--model", tiny_model, "--size", "source")
    assert done.returncode == 0, done.stderr
    assert read_image(out / "wide.png").shape == (40, 101, 3)
    assert read_image(out / "a.png").shape == (64, 64, 3)


def test_translate_image_to_image(images: Path, tiny_model: Path, tmp_path: Path) -> None:
    out = tmp_path / "one.jpg"
    done = run_cgt("translate", images / "a.png", "-o", out, "--model", tiny_model)
    assert done.returncode == 0, done.stderr
    assert read_image(out).shape == (64, 64, 3)


def test_translate_folder_to_video(images: Path, tiny_model: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.mp4"
    done = run_cgt("translate", images, "-o", out, "--model", tiny_model, "--size", "32")
    assert done.returncode == 0, done.stderr
    with open_source(str(out)) as source:
        assert [item.time for item in source] == [Fraction(n, 25) for n in range(3)]


def test_gray_16_bit_and_transparent_files_become_rgb(tmp_path: Path) -> None:
    gray = np.full((8, 8), 77, np.uint8)
    cv2.imwrite(str(tmp_path / "gray.png"), gray)
    cv2.imwrite(str(tmp_path / "deep.png"), np.full((8, 8, 3), 77 * 257, np.uint16))
    cv2.imwrite(str(tmp_path / "clear.png"), np.full((8, 8, 4), (77, 77, 77, 255), np.uint8))
    for path in list_images(tmp_path):
        np.testing.assert_array_equal(read_image(path), np.full((8, 8, 3), 77, np.uint8))


def test_channels_are_red_green_blue(tmp_path: Path) -> None:
    cv2.imwrite(str(tmp_path / "blue.png"), np.full((4, 4, 3), (255, 0, 0), np.uint8))
    assert read_image(tmp_path / "blue.png")[0, 0].tolist() == [0, 0, 255]


def test_unreadable_image_raises(images: Path) -> None:
    (images / "b2.png").write_bytes(b"no image")
    with pytest.raises(SourceError, match=r"b2\.png is not a readable image"):
        _ = [frame.image for frame in open_source(str(images))]


def test_bad_images_do_not_stop_the_others(images: Path, inverse: Path, tmp_path: Path) -> None:
    (images / "b1.png").write_bytes(b"no image")
    (images / "b2.jpg").write_bytes(b"\0\0\0\x18ftypheic" + bytes(50))
    (images / "b3.webp").touch()
    cv2.imwrite(str(images / "dot.png"), np.zeros((1, 1, 3), np.uint8))
    cv2.imwrite(str(images / "last.png"), make_image(3, 64, 64))
    out, report = tmp_path / "out", tmp_path / "report.json"
    options = ("--model", inverse, "--size", "source", "--batch", "3", "--json", report)
    done = run_cgt("translate", images, "-o", out, *options)
    assert done.returncode == 1
    assert output_names(out) == ["a.png", "b with space.png", "last.png", "more/c.png"]
    np.testing.assert_array_equal(
        read_image(out / "last.png"), 255 - make_image(3, 64, 64)[..., ::-1]
    )
    failed = [line for line in done.stderr.splitlines() if line.startswith("failed: ")]
    assert [name for line in failed for name in ("b1", "b2", "b3", "dot") if name in line] == [
        *("b1", "b2", "b3", "dot"),
    ]
    assert "4 of 8 images failed" in done.stderr.splitlines()[-1]
    assert len(json.loads(report.read_text())["failed"]) == 4


def test_a_long_and_narrow_image_is_named(inverse: Path, tmp_path: Path) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    cv2.imwrite(str(folder / "a.png"), np.zeros((12, 3000, 3), np.uint8))
    cv2.imwrite(str(folder / "b.png"), make_image(3, 64, 64))
    with pytest.raises(SourceError, match=r"1 of 2 images failed.*a\.png.*3000x12.*--size"):
        translate_file(folder, tmp_path / "out", model=inverse)
    assert output_names(tmp_path / "out") == ["b.png"]
    with pytest.raises(UsageError, match=r"a\.png.*3000x12"):
        translate_file(folder / "a.png", tmp_path / "a.png", model=inverse)
    assert not (tmp_path / "a.png").exists()


def test_bad_images_are_reported_after_the_frames_of_translate(images: Path, inverse: Path) -> None:
    (images / "b1.png").write_bytes(b"no image")
    frames = translate(images, model=inverse, size="source")
    assert [next(frames).shape for _ in range(3)] == [(64, 64, 3)] * 3
    with pytest.raises(SourceError, match=r"1 of 4 images failed.*b1\.png"):
        next(frames)


def test_empty_folder_raises(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="no image"):
        open_source(str(tmp_path))


def test_colliding_names_stay_distinct(tmp_path: Path) -> None:
    image = make_image(0, 32, 32)
    with open_sink(str(tmp_path / "out"), ANY_FORMAT) as sink:
        for name in ("a.jpg", "a.png", ""):
            sink.write(TranslatedFrame(Frame(image, Fraction(0), name), image))
        sink.finish()
    names = sorted(path.name for path in (tmp_path / "out").iterdir())
    assert names == ["000002.png", "a.png", "a.png.png"]


def test_image_file_rejects_a_second_frame(tmp_path: Path) -> None:
    image = make_image(0, 32, 32)
    with open_sink(str(tmp_path / "one.png"), ANY_FORMAT) as sink:
        sink.write(TranslatedFrame(Frame(image, Fraction(0)), image))
        with pytest.raises(SinkError, match="holds one image"):
            sink.write(TranslatedFrame(Frame(image, Fraction(0)), image))
    assert not list(tmp_path.iterdir())


def test_unused_folder_is_removed(tmp_path: Path) -> None:
    with open_sink(str(tmp_path / "out"), ANY_FORMAT):
        pass
    assert not (tmp_path / "out").exists()
