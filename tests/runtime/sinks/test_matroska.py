"""Matroska files: aspect ratio and default flag of the video, with everything else intact."""

from __future__ import annotations

import json
import subprocess
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest

from cgt.runtime.sinks import StreamFormat, TranslatedFrame, open_sink
from cgt.runtime.sinks.matroska import write_display_size
from cgt.runtime.sources import Frame, open_source
from conftest import make_image

SIZE = (96, 160)
ASPECTS = [Fraction(11, 12), Fraction(1775, 1333), Fraction(1, 2), Fraction(1)]


def write(path: Path, codec: str | None, aspect: Fraction, **options: Any) -> None:
    stream = StreamFormat(SIZE, Fraction(25), Fraction(1, 25), aspect, **options)
    with open_sink(str(path), stream, codec) as sink:
        for index in range(50):
            image = make_image(index, *SIZE)
            sink.write(TranslatedFrame(Frame(image, Fraction(index, 25)), image))
        sink.finish()


def probe(ffprobe: str, path: Path) -> dict[str, Any]:
    """Return the video stream; fail on anything that FFmpeg complains about, bad CRCs included."""
    command = [ffprobe, "-v", "warning", "-err_detect", "crccheck+bitstream", "-count_frames"]
    done = subprocess.run(
        [*command, "-show_streams", "-show_chapters", "-of", "json", path],
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stderr == ""
    found: dict[str, Any] = json.loads(done.stdout)
    return found["streams"][0] | {"chapters": found["chapters"]}


@pytest.mark.parametrize(
    ("name", "codec"),
    [
        *((name, codec) for name in ("o.webm", "o.mkv") for codec in ("vp9", "av1")),
        *(("o.MKV", codec) for codec in ("h264", "hevc", "prores")),
        *(("o.mp4", codec) for codec in ("vp9", "av1", "h264")),
        ("o.mov", "prores"),
    ],
)
def test_aspect_ratio_is_stored(name: str, codec: str, tmp_path: Path, ffprobe: str) -> None:
    path = tmp_path / name
    for aspect in ASPECTS:
        write(path, codec, aspect)
        video = probe(ffprobe, path)
        stored = Fraction(video.get("sample_aspect_ratio", "1:1").replace(":", "/"))
        # WebM stores whole pixels.
        assert abs(stored - aspect) <= (Fraction(1, 2 * SIZE[1]) if path.suffix == ".webm" else 0)
        assert video["nb_read_frames"] == "50"
        assert video["disposition"]["default"] == 1
        with open_source(str(path)) as source:
            assert source.sample_aspect_ratio == stored


def test_aspect_ratio_fits_beside_all_other_elements(tmp_path: Path, ffprobe: str) -> None:
    path, text = tmp_path / "o.mkv", {"title": "Title" * 100}
    chapter = {"id": 1, "start": 0, "end": 1000, "time_base": Fraction(1, 1000), "metadata": text}
    write(path, "vp9", Fraction(11, 12), metadata=text, chapters=(chapter,))
    video = probe(ffprobe, path)
    assert video["sample_aspect_ratio"] == "11:12"
    assert video["chapters"][0]["tags"] == text
    with open_source(str(path), start=1.0) as source:  # by the index
        assert sum(isinstance(item, Frame) for item in source) == 25


def test_unexpected_structure_is_not_changed(tmp_path: Path) -> None:
    path = tmp_path / "o.mkv"
    write(path, None, Fraction(1))
    content = path.read_bytes()
    for damaged in (b"", content[:60], content[:250], b"\0" * 100, content[60:]):
        path.write_bytes(damaged)
        assert not write_display_size(path, SIZE, Fraction(1, 2))
        assert path.read_bytes() == damaged
