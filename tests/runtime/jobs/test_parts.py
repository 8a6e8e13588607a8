"""Cuts, and films in parts: what parts join into is what one run makes, bit for bit."""

from __future__ import annotations

import itertools
import subprocess
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

from cgt.benchmarks.same import differences
from cgt.runtime.errors import SinkError
from cgt.runtime.jobs import parts
from cgt.runtime.jobs.film import plan_film
from cgt.runtime.jobs.ledger import Ledger
from cgt.runtime.jobs.tasks import Join, Part, Uncuttable, Whole, refuse_overlap
from cgt.runtime.jobs.worker import Worker
from cgt.runtime.sinks import Result, StreamFormat
from cgt.runtime.sinks.encoder import VideoEncoder
from cgt.runtime.sinks.encoding import CODECS
from cgt.runtime.sources import Frame, Source, open_source
from cgt.runtime.translation import Translation
from cgt.runtime.translator import Translator
from conftest import picture


def cuts_of(path: Path) -> list[Fraction]:
    with open_source(str(path)) as source:
        return source.find_cuts()  # type: ignore[attr-defined]


@pytest.mark.parametrize("suffix", [".mp4", ".mkv", ".mov"])
def test_cuts_that_are_looked_up_are_those_that_are_read(film: Path, suffix: str) -> None:
    path = film.with_suffix(suffix)
    found = cuts_of(path)
    with open_source(str(path)) as source:
        read = [item.time for item in source if isinstance(item, Frame) and item.cut]
    assert found == read
    assert len(found) == 3
    assert all(
        30 <= later - earlier < 40 for earlier, later in zip([0, *found], found, strict=False)
    )


def test_an_encoder_that_begins_anew_knows_nothing_of_before() -> None:
    stream = StreamFormat((64, 112), Fraction(25), Fraction(1, 25))
    for name in CODECS:
        frames = [
            Result(Frame(picture(i, 64, 112), Fraction(i, 25), cut=i == 20), picture(i, 64, 112))
            for i in range(45)
        ]
        whole = encoded(VideoEncoder(stream, CODECS[name], headers=True), frames)
        pieces = []
        for piece in (frames[:20], frames[20:]):
            pieces += encoded(VideoEncoder(stream, CODECS[name], headers=True), piece)
        assert whole == pieces, name


def test_the_same_pictures_are_the_same_video() -> None:
    """112 pixels wide, with grain: there x264's AVX-512 code gives another video in most runs."""
    random = np.random.default_rng(0)
    grain = random.integers(-10, 11, (100, 64, 112, 1))
    images = [np.clip(picture(i, 64, 112) + grain[i], 0, 255).astype(np.uint8) for i in range(100)]
    frames = [Result(Frame(image, Fraction(i, 25)), image) for i, image in enumerate(images)]
    stream = StreamFormat((64, 112), Fraction(25), Fraction(1, 25))
    videos = [encoded(VideoEncoder(stream, CODECS["h264"]), frames) for _ in range(6)]
    assert all(video == videos[0] for video in videos)


def encoded(encoder: VideoEncoder, frames: list[Result]) -> list[tuple[object, ...]]:
    packets = [packet for result in frames for packet in encoder.encode(result)] + encoder.finish()
    return list(map(facts, packets))


def facts(packet: Any) -> tuple[object, ...]:
    return packet.pts, packet.dts, packet.duration, packet.is_keyframe, bytes(packet)


def test_subtitles_are_where_they_were(
    film: Path, tiny_model: Path, tmp_path: Path, ffprobe: str
) -> None:
    given = Translation(model=str(tiny_model), engine="onnxruntime", size=(32, 32))
    text = tmp_path / "said.srt"
    lines = [f"{i}\n00:0{i}:00,500 --> 00:0{i}:0{2 + i},250\nno. {i}\n" for i in range(3)]
    text.write_text("\n".join(lines))
    ffmpeg = str(Path(ffprobe).with_name("ffmpeg"))
    for suffix, codec in ((".mkv", "srt"), (".mp4", "mov_text")):
        source = tmp_path / f"subtitled{suffix}"
        command = [ffmpeg, "-v", "error", "-i", film.with_suffix(suffix), "-i", text, "-map", "0"]
        subprocess.run([*command, "-map", "1", "-c", "copy", "-c:s", codec, source], check=True)
        whole = tmp_path / f"whole{suffix}"
        Whole(source, whole, given).run(open_translator, lambda frames: None)
        ends = [None, *cuts_of(source), None]
        assert len(ends) == 5
        made = []
        for first, end in itertools.pairwise(ends):
            part = Part(source, tmp_path / f"{len(made)}.part", given, whole, first, end)
            part.run(open_translator, lambda frames: None)
            made.append(part.out)
        joined = tmp_path / f"joined{suffix}"
        Join(source, joined, given, tuple(made)).run(open_translator, lambda frames: None)
        assert differences(whole, joined) == []
        with av.open(str(joined)) as container:
            subtitles = container.streams.subtitles[0]
            assert sum(1 for packet in container.demux(subtitles) if packet.size > 2) == 3


def open_translator(given: Translation, source: Source) -> Translator:
    return given.translator(source)


@pytest.mark.parametrize("suffix", [".mp4", ".mkv"])
def test_parts_join_into_what_one_run_makes(
    film: Path, tiny_model: Path, tmp_path: Path, suffix: str
) -> None:
    """Of varying frame rate, with sound, a title and a chapter; in two views."""
    source = film.with_suffix(suffix)
    worker = Worker(99)
    for given in (
        Translation(model=str(tiny_model), engine="onnxruntime", size=(32, 32)),
        Translation(model=str(tiny_model), engine="onnxruntime", size=(32, 32), view="split"),
    ):
        whole, joined = tmp_path / f"whole{suffix}", tmp_path / f"joined{suffix}"
        assert worker.do(Whole(source, whole, given), tmp_path / "beat").verdict == "done"
        with Ledger(tmp_path / "out", resume=False) as ledger:
            planned = plan_film(source, joined, given, ledger)
            tasks = planned.pieces(given)
            assert len(tasks) == 4
            for task in reversed(tasks):  # the order does not matter
                assert worker.do(task, tmp_path / "beat").verdict == "done"
            assert planned.pieces(given) == []
            join = planned.join(given)
            assert worker.do(join, tmp_path / "beat").verdict == "done"
            join.out.replace(joined)
        assert differences(whole, joined) == []
        if suffix == ".mp4":
            assert whole.read_bytes() == joined.read_bytes()


def test_a_part_that_does_not_begin_where_it_should(
    film: Path, tiny_model: Path, tmp_path: Path
) -> None:
    given = Translation(model=str(tiny_model), engine="onnxruntime", size=(32, 32))
    with pytest.raises(Uncuttable, match="does not begin"):
        Part(film, tmp_path / "0.part", given, film, Fraction(1, 3), None).run(
            open_translator, lambda frames: None
        )
    assert not list(tmp_path.iterdir())


def test_flags_that_go_from_frame_to_frame_leave_films_whole(
    film: Path, tiny_model: Path, tmp_path: Path
) -> None:
    with Ledger(tmp_path, resume=False) as ledger:
        for flags in ({"calm": 0.5}, {"max_fps": 2.0}, {"frames": 9}, {"start": 3.0}):
            given = Translation(model=str(tiny_model), **flags)  # type: ignore[arg-type]
            assert plan_film(film, tmp_path / "o.mp4", given, ledger).cuts == ()
        given = Translation(model=str(tiny_model))
        assert len(plan_film(film, tmp_path / "o.mp4", given, ledger).cuts) == 3


def test_parts_of_other_versions_are_not_joined(
    film: Path, tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    given = Translation(model=str(tiny_model), engine="onnxruntime", size=(32, 32))
    part = Part(film, tmp_path / "0.part", given, film, None, Fraction(5))
    part.run(open_translator, lambda frames: None)
    header = parts.read_header(part.out)
    changed = parts.Header(header.size, header.aspect, header.time_base, b"other")
    monkeypatch.setattr("cgt.runtime.jobs.tasks.read_header", lambda path: changed)
    join = Join(film, tmp_path / "out.mp4", given, (part.out,))
    with pytest.raises(SinkError, match="several versions"):
        join.run(open_translator, lambda frames: None)
    assert [path.name for path in tmp_path.iterdir()] == ["0.part"]


def test_a_part_keeps_packets_as_they_were(tmp_path: Path) -> None:
    stream = StreamFormat((64, 64), Fraction(25), Fraction(1, 600), Fraction(4, 3))
    out = tmp_path / "0.part"
    frames = [
        Result(
            Frame(picture(i, 64, 64), Fraction(i, 20), duration=Fraction(1, 20)), picture(i, 64, 64)
        )
        for i in range(9)
    ]
    with parts.PartSink(out, Path("o.mp4"), stream, None) as sink:
        for frame in frames:
            sink.write(frame)
        sink.finish()
    expected = encoded(VideoEncoder(stream, CODECS["h264"], headers=True), frames)
    read = list(parts.read_packets(out))
    assert list(map(facts, read)) == expected
    assert {p.time_base for p in read} == {Fraction(1, 600)}
    assert parts.read_times(out) == [p.pts for p in read]
    header = parts.read_header(out)
    assert (header.size, header.aspect) == ((64, 64), Fraction(4, 3))
    with parts.PartSink(tmp_path / "1.part", Path("o.mp4"), stream, None) as sink:
        sink.write(frames[0])
    assert [path.name for path in tmp_path.iterdir()] == ["0.part"]


def test_a_film_that_is_interlaced_is_not_cut(film: Path, tmp_path: Path) -> None:
    path = tmp_path / "interlaced.mp4"
    with av.open(str(path), "w") as out:
        options = {"x264-params": "tff=1", "g": "50"}
        video = out.add_stream("libx264", rate=5, options=options)
        video.width, video.height, video.pix_fmt = 64, 64, "yuv420p"
        for index in range(200):
            frame = av.VideoFrame.from_ndarray(picture(index, 64, 64), format="rgb24")
            out.mux(video.encode(frame))
        out.mux(video.encode(None))
    assert cuts_of(path) == []


def test_times_between_parts_must_move_on(tmp_path: Path) -> None:
    stream = StreamFormat((64, 64), Fraction(25), Fraction(1, 25))
    for name, first in (("0.part", 0), ("1.part", 4)):
        with parts.PartSink(tmp_path / name, Path("o.mp4"), stream, None) as sink:
            for index in range(first, first + 5):
                image = np.zeros((64, 64, 3), np.uint8)
                sink.write(Result(Frame(image, Fraction(index, 25)), image))
            sink.finish()
    with pytest.raises(Uncuttable, match="stand still"):
        refuse_overlap([tmp_path / "0.part", tmp_path / "1.part"])
