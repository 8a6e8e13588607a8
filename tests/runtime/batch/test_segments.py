"""Segment boundaries; and segments, whose joined output equals that of one run bit for bit."""

from __future__ import annotations

import itertools
import subprocess
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from support.videos import video_differences

from cgt.runtime.api import TranslateOptions
from cgt.runtime.batch import segment_file
from cgt.runtime.batch.manifest import JobManifest
from cgt.runtime.batch.tasks import (
    ConcatSegments,
    NotSplittable,
    TranslateSegment,
    TranslateVideo,
    check_no_overlap,
)
from cgt.runtime.batch.video_job import plan_video
from cgt.runtime.batch.worker import Worker
from cgt.runtime.errors import SinkError
from cgt.runtime.inference.translator import Translator
from cgt.runtime.sinks import StreamFormat, TranslatedFrame
from cgt.runtime.sinks.codecs import CODECS
from cgt.runtime.sinks.encoder import VideoEncoder
from cgt.runtime.sources import Frame, Source, open_source
from conftest import make_image


def boundaries_of(path: Path) -> list[Fraction]:
    with open_source(str(path)) as source:
        return source.find_segment_boundaries()  # type: ignore[attr-defined]


@pytest.mark.parametrize("suffix", [".mp4", ".mkv", ".mov"])
def test_boundaries_found_in_advance_are_those_seen_while_reading(
    long_video: Path, suffix: str
) -> None:
    path = long_video.with_suffix(suffix)
    found = boundaries_of(path)
    with open_source(str(path)) as source:
        read = [item.time for item in source if isinstance(item, Frame) and item.starts_segment]
    assert found == read
    assert len(found) == 3
    assert all(
        30 <= later - earlier < 40 for earlier, later in zip([0, *found], found, strict=False)
    )


def test_a_restarted_encoder_gives_the_same_packets() -> None:
    stream = StreamFormat((64, 112), Fraction(25), Fraction(1, 25))
    for name in CODECS:
        frames = [
            TranslatedFrame(
                Frame(make_image(i, 64, 112), Fraction(i, 25), starts_segment=i == 20),
                make_image(i, 64, 112),
            )
            for i in range(45)
        ]
        whole = encoded(VideoEncoder(stream, CODECS[name], global_header=True), frames)
        segments = []
        for segment in (frames[:20], frames[20:]):
            segments += encoded(VideoEncoder(stream, CODECS[name], global_header=True), segment)
        assert whole == segments, name


def test_encoding_is_deterministic() -> None:
    """Use grain and 112 pixels of width, where x264's AVX-512 code differs in most runs."""
    random = np.random.default_rng(0)
    grain = random.integers(-10, 11, (100, 64, 112, 1))
    images = [
        np.clip(make_image(i, 64, 112) + grain[i], 0, 255).astype(np.uint8) for i in range(100)
    ]
    frames = [
        TranslatedFrame(Frame(image, Fraction(i, 25)), image) for i, image in enumerate(images)
    ]
    stream = StreamFormat((64, 112), Fraction(25), Fraction(1, 25))
    videos = [encoded(VideoEncoder(stream, CODECS["h264"]), frames) for _ in range(6)]
    assert all(video == videos[0] for video in videos)


def encoded(encoder: VideoEncoder, frames: list[TranslatedFrame]) -> list[tuple[object, ...]]:
    packets = [packet for result in frames for packet in encoder.encode(result)] + encoder.flush()
    return list(map(packet_fields, packets))


def packet_fields(packet: Any) -> tuple[object, ...]:
    return packet.pts, packet.dts, packet.duration, packet.is_keyframe, bytes(packet)


def test_subtitles_keep_their_times(
    long_video: Path, tiny_model: Path, tmp_path: Path, ffprobe: str
) -> None:
    options = TranslateOptions(model=str(tiny_model), engine="onnxruntime", size=(32, 32))
    text = tmp_path / "subtitles.srt"
    lines = [f"{i}\n00:0{i}:00,500 --> 00:0{i}:0{2 + i},250\nno. {i}\n" for i in range(3)]
    text.write_text("\n".join(lines))
    ffmpeg = str(Path(ffprobe).with_name("ffmpeg"))
    for suffix, codec in ((".mkv", "srt"), (".mp4", "mov_text")):
        source = tmp_path / f"subtitled{suffix}"
        command = [
            ffmpeg,
            "-v",
            "error",
            "-i",
            long_video.with_suffix(suffix),
            "-i",
            text,
            "-map",
            "0",
        ]
        subprocess.run([*command, "-map", "1", "-c", "copy", "-c:s", codec, source], check=True)
        whole = tmp_path / f"whole{suffix}"
        TranslateVideo(source, whole, options).run(open_translator, lambda frames: None)
        ends = [None, *boundaries_of(source), None]
        assert len(ends) == 5
        segments = []
        for start, end in itertools.pairwise(ends):
            segment = TranslateSegment(
                source, tmp_path / f"{len(segments)}.part", options, whole, start, end
            )
            segment.run(open_translator, lambda frames: None)
            segments.append(segment.output)
        joined = tmp_path / f"joined{suffix}"
        ConcatSegments(source, joined, options, tuple(segments)).run(
            open_translator, lambda frames: None
        )
        assert video_differences(whole, joined) == []
        with av.open(str(joined)) as container:
            subtitles = container.streams.subtitles[0]
            assert sum(1 for packet in container.demux(subtitles) if packet.size > 2) == 3


def open_translator(options: TranslateOptions, source: Source) -> Translator:
    return options.open_translator(source)


@pytest.mark.parametrize("suffix", [".mp4", ".mkv"])
def test_joined_segments_equal_one_run(
    long_video: Path, tiny_model: Path, tmp_path: Path, suffix: str
) -> None:
    """Use variable frame rate, audio, a title and a chapter; in two views."""
    source = long_video.with_suffix(suffix)
    worker = Worker(99)
    for options in (
        TranslateOptions(model=str(tiny_model), engine="onnxruntime", size=(32, 32)),
        TranslateOptions(model=str(tiny_model), engine="onnxruntime", size=(32, 32), view="split"),
    ):
        whole, joined = tmp_path / f"whole{suffix}", tmp_path / f"joined{suffix}"
        assert (
            worker.run(TranslateVideo(source, whole, options), tmp_path / "heartbeat").status
            == "done"
        )
        with JobManifest(tmp_path / "out", resume=False) as manifest:
            job = plan_video(source, joined, options, manifest)
            tasks = job.initial_tasks(options)
            assert len(tasks) == 4
            for task in reversed(tasks):  # the order does not matter
                assert worker.run(task, tmp_path / "heartbeat").status == "done"
            assert job.initial_tasks(options) == []
            concat = job.concat_task(options)
            assert worker.run(concat, tmp_path / "heartbeat").status == "done"
            concat.output.replace(joined)
        assert video_differences(whole, joined) == []
        if suffix == ".mp4":
            assert whole.read_bytes() == joined.read_bytes()


def test_a_segment_must_begin_at_a_keyframe(
    long_video: Path, tiny_model: Path, tmp_path: Path
) -> None:
    options = TranslateOptions(model=str(tiny_model), engine="onnxruntime", size=(32, 32))
    with pytest.raises(NotSplittable, match="does not start"):
        TranslateSegment(
            long_video, tmp_path / "0.part", options, long_video, Fraction(1, 3), None
        ).run(open_translator, lambda frames: None)
    assert not list(tmp_path.iterdir())


def test_flags_that_depend_on_earlier_frames_prevent_splitting(
    long_video: Path, tiny_model: Path, tmp_path: Path
) -> None:
    with JobManifest(tmp_path, resume=False) as manifest:
        for flags in ({"deflicker": 0.5}, {"max_fps": 2.0}, {"frames": 9}, {"start": 3.0}):
            options = TranslateOptions(model=str(tiny_model), **flags)  # type: ignore[arg-type]
            assert plan_video(long_video, tmp_path / "o.mp4", options, manifest).boundaries == ()
        options = TranslateOptions(model=str(tiny_model))
        assert len(plan_video(long_video, tmp_path / "o.mp4", options, manifest).boundaries) == 3


def test_segments_of_different_encoder_versions_are_not_joined(
    long_video: Path, tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    options = TranslateOptions(model=str(tiny_model), engine="onnxruntime", size=(32, 32))
    segment = TranslateSegment(
        long_video, tmp_path / "0.part", options, long_video, None, Fraction(5)
    )
    segment.run(open_translator, lambda frames: None)
    header = segment_file.read_header(segment.output)
    changed = segment_file.SegmentHeader(
        header.size, header.sample_aspect_ratio, header.time_base, b"other"
    )
    monkeypatch.setattr("cgt.runtime.batch.tasks.read_header", lambda path: changed)
    concat = ConcatSegments(long_video, tmp_path / "out.mp4", options, (segment.output,))
    with pytest.raises(SinkError, match="different encoder versions"):
        concat.run(open_translator, lambda frames: None)
    assert [path.name for path in tmp_path.iterdir()] == ["0.part"]


def test_a_segment_file_keeps_packets_unchanged(tmp_path: Path) -> None:
    stream = StreamFormat((64, 64), Fraction(25), Fraction(1, 600), Fraction(4, 3))
    out = tmp_path / "0.part"
    frames = [
        TranslatedFrame(
            Frame(make_image(i, 64, 64), Fraction(i, 20), duration=Fraction(1, 20)),
            make_image(i, 64, 64),
        )
        for i in range(9)
    ]
    with segment_file.SegmentSink(out, Path("o.mp4"), stream, None) as sink:
        for frame in frames:
            sink.write(frame)
        sink.finish()
    expected = encoded(VideoEncoder(stream, CODECS["h264"], global_header=True), frames)
    read = list(segment_file.read_packets(out))
    assert list(map(packet_fields, read)) == expected
    assert {p.time_base for p in read} == {Fraction(1, 600)}
    assert segment_file.read_pts(out) == [p.pts for p in read]
    header = segment_file.read_header(out)
    assert (header.size, header.sample_aspect_ratio) == ((64, 64), Fraction(4, 3))
    with segment_file.SegmentSink(tmp_path / "1.part", Path("o.mp4"), stream, None) as sink:
        sink.write(frames[0])
    assert [path.name for path in tmp_path.iterdir()] == ["0.part"]


def test_interlaced_video_has_no_boundaries(long_video: Path, tmp_path: Path) -> None:
    path = tmp_path / "interlaced.mp4"
    with av.open(str(path), "w") as out:
        options = {"x264-params": "tff=1", "g": "50"}
        video = out.add_stream("libx264", rate=5, options=options)
        video.width, video.height, video.pix_fmt = 64, 64, "yuv420p"
        for index in range(200):
            frame = av.VideoFrame.from_ndarray(make_image(index, 64, 64), format="rgb24")
            out.mux(video.encode(frame))
        out.mux(video.encode(None))
    assert boundaries_of(path) == []


def test_timestamps_must_increase_between_segments(tmp_path: Path) -> None:
    stream = StreamFormat((64, 64), Fraction(25), Fraction(1, 25))
    for name, first in (("0.part", 0), ("1.part", 4)):
        with segment_file.SegmentSink(tmp_path / name, Path("o.mp4"), stream, None) as sink:
            for index in range(first, first + 5):
                image = np.zeros((64, 64, 3), np.uint8)
                sink.write(TranslatedFrame(Frame(image, Fraction(index, 25)), image))
            sink.finish()
    with pytest.raises(NotSplittable, match="do not increase"):
        check_no_overlap([tmp_path / "0.part", tmp_path / "1.part"])
