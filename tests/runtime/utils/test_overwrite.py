"""Outputs that are inputs, by any name: refused before anything is written."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import cv2
import pytest
from support.videos import write_video

from cgt.runtime import translate_file
from cgt.runtime.batch.inputs import plan_outputs
from cgt.runtime.errors import UsageError
from cgt.runtime.image.files import read_image
from conftest import make_image, run_cgt, write_inverse_model


@pytest.fixture
def folder(tmp_path: Path, clip: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Change to a folder with a video, images and links to them."""
    monkeypatch.chdir(tmp_path)
    shutil.copy(clip, "a.mp4")
    os.link("a.mp4", "hard.mp4")
    Path("soft.mp4").symlink_to("a.mp4")
    for name in ("a.png", "b.jpg", "more/c.png"):
        path = Path("ph", name)
        path.parent.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(path), make_image(len(name), 64, 64))
    Path("numbered").mkdir()
    for index in range(2):
        cv2.imwrite(f"numbered/{index:03d}.png", make_image(index, 64, 64))
    Path("linked").mkdir()
    os.link("ph/a.png", "linked/a.png")
    Path("again").symlink_to("ph")
    write_inverse_model(tmp_path / "inverse.onnx")
    return tmp_path


def read_tree(folder: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }


@pytest.mark.parametrize(
    ("source", "outputs"),
    [
        ("a.mp4", ["a.mp4"]),
        ("a.mp4", ["ph/../a.mp4"]),
        ("a.mp4", ["hard.mp4"]),
        ("a.mp4", ["soft.mp4"]),
        ("soft.mp4", ["a.mp4"]),
        ("file://a.mp4", ["a.mp4"]),
        ("a.mp4", ["new.mkv", "hard.mp4"]),
        ("a.mp4", ["new.mkv", "ph/../new.mkv"]),
        ("ph/a.png", ["ph/a.png"]),
        ("ph/a.png", ["ph"]),
        ("ph/a.png", ["linked/"]),
        ("ph", ["ph"]),
        ("ph", ["again"]),
        ("again", ["ph/"]),
        ("ph", ["linked"]),
        ("ph", ["ph/%03d.png"]),
        ("ph", ["ph/one.png"]),
        ("ph/more", ["ph/more", "new"]),
        ("ph/*", ["ph"]),
        ("ph/*.png", ["ph"]),
        ("numbered/*.png", ["numbered/%03d.png"]),
        ("numbered/%03d.png", ["numbered/%03d.png"]),
        ("numbered/001.png", ["numbered/%03d.png"]),
    ],
)
def test_outputs_that_are_inputs_are_refused(folder: Path, source: str, outputs: list[str]) -> None:
    before = read_tree(folder)
    with pytest.raises(UsageError, match=r"overwritten|would lie among|given twice"):
        translate_file(source, outputs, model="inverse.onnx", engine="onnxruntime")
    assert read_tree(folder) == before


@pytest.mark.parametrize(
    ("sources", "output"),
    [
        (["a.mp4"], "a.mp4"),
        (["a.mp4"], "hard.mp4"),
        (["soft.mp4"], "a.mp4"),
        (["a.mp4"], "."),
        (["."], "."),
        (["*.mp4"], "."),
        (["a.mp4", "hard.mp4"], "."),
    ],
)
def test_batches_over_their_inputs_are_refused(
    folder: Path, sources: list[str], output: str
) -> None:
    with pytest.raises(UsageError, match=r"overwritten|folder of the sources"):
        plan_outputs(sources, output, None)


@pytest.mark.parametrize("output", ["ph/out", "again/out", "ph/out/%05d.png", "to-out"])
def test_the_second_run_leaves_out_the_results_of_the_first(
    folder: Path, output: str, caplog: pytest.LogCaptureFixture
) -> None:
    Path("ph/out").mkdir()
    Path("to-out").symlink_to("ph/out")
    for _ in range(2):
        report = translate_file(
            "ph", output, model="inverse.onnx", engine="onnxruntime", size="source"
        )
        assert report.stats.frames == 3
    assert "3 images in the output folder" in caplog.text
    results = sorted(Path("ph/out").rglob("*.png"))
    assert len(results) == 3
    original = read_image(Path("ph/a.png")).astype(int)
    assert abs(255 - original - read_image(results[0])).max() == 0


@pytest.mark.parametrize("source", ["v", "v/**", "v/*/*.mp4"])
def test_a_second_batch_leaves_out_the_results_of_the_first(folder: Path, source: str) -> None:
    for name in ("v/b/c.mp4", "v/out/b/c.mp4", "v/out/c.mp4"):
        Path(name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy("a.mp4", name)
    pairs = plan_outputs([source], "v/out", None)
    assert [video.relative_to(folder / "v") for video, _ in pairs] == [Path("b/c.mp4")]


def test_standard_input_is_an_input(folder: Path) -> None:
    write_video(Path("a.mkv"), 1)
    os.link("a.mkv", "hard.mkv")
    before = read_tree(folder)
    with open("a.mkv", "rb") as file:
        done = run_cgt("translate", "-", "-o", "hard.mkv", "--model", "inverse.onnx", stdin=file)
    assert done.returncode == 2, done.stderr
    assert "hard.mkv is an input" in done.stderr
    assert read_tree(folder) == before


def test_a_stream_is_not_sent_to_itself(folder: Path) -> None:
    from cgt.runtime.sinks import refuse_overwriting_source
    from cgt.runtime.sources import open_source

    with open_source("ph") as source:
        source.name = "rtsp://me:***@host/x"
        with pytest.raises(UsageError, match="is the source"):
            refuse_overwriting_source(["rtsp://me:s3cret@host/x"], source)
