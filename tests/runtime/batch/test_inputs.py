"""Input videos of a batch and their output paths."""

from __future__ import annotations

from pathlib import Path

import pytest

from cgt.runtime.batch.inputs import is_batch_input, plan_outputs
from cgt.runtime.errors import SourceError, UsageError


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in ("v/b.mp4", "v/a.AVI", "v/more/c.webm", "v/.hidden.mp4", "v/words.txt", "w/b.mp4"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(b"")
    for name in ("mixed/x.png", "mixed/x.mp4", "images/y.jpg"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"")
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize(
    ("sources", "is_batch"),
    [
        (("v",), True),
        (("v/*",), True),
        (("v/b.mp4", "w/b.mp4"), True),
        (("v/b.mp4",), False),
        (("mixed",), False),  # a folder of images
        (("mixed/*",), False),
        (("mixed/*.mp4",), True),
        (("images",), False),
        (("nothing/*",), False),
        (("0",), False),
        (("rtsp://camera/1?x=[2]",), False),
    ],
)
def test_sources_that_are_a_batch(folder: Path, sources: tuple[str, ...], is_batch: bool) -> None:
    assert is_batch_input(sources) is is_batch


@pytest.mark.parametrize(
    ("sources", "codec", "names"),
    [
        (("v",), None, ["a.mp4", "b.mp4", "more/c.webm"]),
        (("v/*",), None, ["a.mp4", "b.mp4"]),
        (("v/**",), None, ["a.mp4", "b.mp4", "more/c.webm"]),
        (("v/*/*",), None, ["more/c.webm"]),
        (("v", "v/b.mp4"), None, ["a.mp4", "b.mp4", "more/c.webm"]),
        (("v",), "h264", ["a.mp4", "b.mp4", "more/c.mp4"]),
        (("v/b.mp4",), "prores", ["b.mov"]),
        (("mixed",), None, ["x.mp4"]),
    ],
)
def test_outputs_keep_the_names_of_their_videos(
    folder: Path, sources: tuple[str, ...], codec: str | None, names: list[str]
) -> None:
    pairs = plan_outputs(sources, "out", codec)
    assert sorted(str(target.relative_to(folder / "out")) for _, target in pairs) == names
    assert all(source.is_absolute() and source.exists() for source, _ in pairs)


def test_outputs_are_not_sources(folder: Path) -> None:
    (folder / "v" / "out").mkdir()
    (folder / "v" / "out" / "b.mp4").write_bytes(b"")
    assert len(plan_outputs(["v"], "v/out", None)) == 3


def test_one_video_goes_into_a_video(folder: Path) -> None:
    assert plan_outputs(["v/b.mp4"], "new.mkv", None) == [(folder / "v/b.mp4", folder / "new.mkv")]


@pytest.mark.parametrize(
    ("sources", "output", "message"),
    [
        (("v/b.mp4", "w/b.mp4"), "out", "both be written"),
        (("v", "w"), "o.mp4", "give a folder"),
        (("v",), "v", "is the folder of the sources"),
        (("v",), "null:", "not a folder"),
        (("v",), "window", "not a folder"),
        (("v",), "rtmp://host/x", "not a folder"),
        (("images",), "out", "no videos"),
        (("images/*",), "out", "no video matches"),
        (("missing.mp4", "v"), "out", "is not a video file"),
        (("rtsp://camera", "v"), "out", "is not a video file"),
    ],
)
def test_invalid_inputs_and_outputs(
    folder: Path, sources: tuple[str, ...], output: str, message: str
) -> None:
    with pytest.raises((UsageError, SourceError), match=message):
        plan_outputs(sources, output, None)
