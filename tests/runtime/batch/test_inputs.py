"""Which videos a command line names, and where they go."""

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
    for name in ("mixed/x.png", "mixed/x.mp4", "pictures/y.jpg"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"")
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize(
    ("sources", "pile"),
    [
        (("v",), True),
        (("v/*",), True),
        (("v/b.mp4", "w/b.mp4"), True),
        (("v/b.mp4",), False),
        (("mixed",), False),  # images, as ever
        (("mixed/*",), False),
        (("mixed/*.mp4",), True),
        (("pictures",), False),
        (("nothing/*",), False),
        (("0",), False),
        (("rtsp://camera/1?x=[2]",), False),
    ],
)
def test_what_a_pile_is(folder: Path, sources: tuple[str, ...], pile: bool) -> None:
    assert is_batch_input(sources) is pile


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
def test_names(folder: Path, sources: tuple[str, ...], codec: str | None, names: list[str]) -> None:
    films = plan_outputs(sources, "out", codec)
    assert sorted(str(target.relative_to(folder / "out")) for _, target in films) == names
    assert all(source.is_absolute() and source.exists() for source, _ in films)


def test_outputs_are_not_taken_for_sources(folder: Path) -> None:
    (folder / "v" / "out").mkdir()
    (folder / "v" / "out" / "b.mp4").write_bytes(b"")
    assert len(plan_outputs(["v"], "v/out", None)) == 3


def test_one_video_goes_into_a_video(folder: Path) -> None:
    assert plan_outputs(["v/b.mp4"], "new.mkv", None) == [(folder / "v/b.mp4", folder / "new.mkv")]


@pytest.mark.parametrize(
    ("sources", "out", "words"),
    [
        (("v/b.mp4", "w/b.mp4"), "out", "both be written"),
        (("v", "w"), "o.mp4", "name a folder"),
        (("v",), "v", "overwritten by its translation"),
        (("v",), "null:", "no folder"),
        (("v",), "window", "no folder"),
        (("v",), "rtmp://host/x", "no folder"),
        (("pictures",), "out", "no videos"),
        (("pictures/*",), "out", "matches no videos"),
        (("missing.mp4", "v"), "out", "is no video file"),
        (("rtsp://camera", "v"), "out", "is no video file"),
    ],
)
def test_what_makes_no_sense(folder: Path, sources: tuple[str, ...], out: str, words: str) -> None:
    with pytest.raises((UsageError, SourceError), match=words):
        plan_outputs(sources, out, None)
