"""Translation of videos by the real sources, pipeline and sinks, verified with ffprobe."""

from __future__ import annotations

import json
import subprocess
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

from cgt.runtime.errors import SinkError, SourceError, UsageError
from cgt.runtime.sinks import StreamFormat, TranslatedFrame, open_sink
from cgt.runtime.sources import Frame, Packet, open_source
from conftest import CLIP_FRAMES, make_image, run_cgt


def probe(ffprobe: str, path: Path) -> dict[str, Any]:
    command = [ffprobe, "-v", "error", "-of", "json", "-count_frames", "-show_format"]
    done = subprocess.run(
        [*command, "-show_streams", str(path)], capture_output=True, text=True, check=True
    )
    assert done.stderr == ""
    facts: dict[str, Any] = json.loads(done.stdout)
    return facts | {stream["codec_type"]: stream for stream in facts["streams"]}


def packets(path: Path, kind: str) -> list[tuple[int | None, int | None, bytes]]:
    with av.open(str(path)) as container:
        stream = next(s for s in container.streams if s.type == kind)
        return [(p.pts, p.duration, bytes(p)) for p in container.demux(stream) if p.size]


def times(path: Path) -> list[Fraction]:
    with open_source(str(path), audio=False) as source:
        return [item.time for item in source if isinstance(item, Frame)]


@pytest.mark.parametrize("suffix", [".mp4", ".mkv", ".mov"])
def test_translate_keeps_frames_times_aspect_ratio_and_audio(
    clip: Path, tiny_model: Path, tmp_path: Path, ffprobe: str, suffix: str
) -> None:
    out = tmp_path / f"out{suffix}"
    done = run_cgt("translate", clip, "-o", out, "--model", tiny_model)
    assert done.returncode == 0, done.stderr
    before, after = probe(ffprobe, clip), probe(ffprobe, out)
    video = after["video"]
    assert (video["codec_name"], video["pix_fmt"]) == ("h264", "yuv420p")
    assert (video["width"], video["height"]) == (160, 90)
    assert video["color_space"] == "smpte170m"  # SD without tags
    assert int(video["nb_read_frames"]) == CLIP_FRAMES
    assert Fraction(video["avg_frame_rate"]) == Fraction(25, 2)
    assert float(after["format"]["duration"]) == pytest.approx(
        float(before["format"]["duration"]), abs=2 / 25
    )
    # Matroska counts milliseconds from 0: audio that starts before 0 delays all streams.
    tick = Fraction(1, 1000) if suffix == ".mkv" else Fraction(0)
    shift = times(out)[0] if suffix == ".mkv" else Fraction(0)
    for time_before, time_after in zip(times(clip), times(out), strict=True):
        assert abs(time_before + shift - time_after) <= tick
    display_aspect = Fraction(160, 90) * Fraction(video["sample_aspect_ratio"].replace(":", "/"))
    assert display_aspect == Fraction(160, 90)
    audio_before, audio_after = packets(clip, "audio"), packets(out, "audio")
    assert [p[2] for p in audio_before] == [p[2] for p in audio_after]
    if suffix != ".mkv":
        assert audio_before == audio_after


def test_no_audio(clip: Path, tiny_model: Path, tmp_path: Path, ffprobe: str) -> None:
    out = tmp_path / "out.mp4"
    done = run_cgt("translate", clip, "-o", out, "--model", tiny_model, "--no-audio")
    assert done.returncode == 0, done.stderr
    assert "audio" not in probe(ffprobe, out)


def test_odd_sizes_become_even(clip: Path, tiny_model: Path, tmp_path: Path, ffprobe: str) -> None:
    out = tmp_path / "out.mp4"
    done = run_cgt("translate", clip, "-o", out, "--model", tiny_model, "--output-size", "79x45")
    assert done.returncode == 0, done.stderr
    video = probe(ffprobe, out)["video"]
    assert (video["width"], video["height"]) == (80, 46)


def test_frames_and_duration_limit_the_output(clip: Path, tiny_model: Path, tmp_path: Path) -> None:
    for flags, count in ((("--frames", 7), 7), (("--duration", 0.5), 7)):
        out = tmp_path / "out.mp4"
        done = run_cgt("translate", clip, "-o", out, "--model", tiny_model, *flags)
        assert done.returncode == 0, done.stderr
        assert len(times(out)) == count


def test_colors_survive_the_round_trip(tmp_path: Path) -> None:
    """Decoded by the tags of the stream, as players do, saturated colors are unchanged."""
    colors = [(200, 30, 30), (30, 160, 40), (40, 60, 200), (128, 128, 128), (235, 220, 60)]
    out = tmp_path / "colors.mp4"
    stream = StreamFormat((64, 64), Fraction(25), Fraction(1, 25))
    with open_sink(str(out), stream) as sink:
        for index, color in enumerate(colors):
            image = np.full((64, 64, 3), color, np.uint8)
            sink.write(TranslatedFrame(Frame(image, Fraction(index, 25)), image))
        sink.finish()
    with open_source(str(out)) as source:
        seen = [item.image[32, 32] for item in source if isinstance(item, Frame)]
    assert np.abs(np.array(seen).astype(int) - colors).max() <= 4


def test_unfinished_sink_leaves_no_file(tmp_path: Path) -> None:
    out = tmp_path / "out.mp4"
    out.write_bytes(b"previous content")
    image = make_image(0, 64, 64)
    with open_sink(str(out), StreamFormat((64, 64), Fraction(25), Fraction(1, 25))) as sink:
        sink.write(TranslatedFrame(Frame(image, Fraction(0)), image))
        assert len(list(tmp_path.iterdir())) == 2
    assert [path.name for path in tmp_path.iterdir()] == ["out.mp4"]
    assert out.read_bytes() == b"previous content"


def test_repeated_times_are_made_increasing(tmp_path: Path) -> None:
    out = tmp_path / "out.mp4"
    image = make_image(0, 64, 64)
    with open_sink(str(out), StreamFormat((64, 64), Fraction(25), Fraction(1, 25))) as sink:
        for tick in (0, 1, 1, 1, 2, 5):
            sink.write(TranslatedFrame(Frame(image, Fraction(tick, 25)), image))
        sink.finish()
    assert [time * 25 for time in times(out)] == [0, 1, 2, 3, 4, 5]


def test_source_yields_frames_and_audio(clip: Path) -> None:
    with open_source(str(clip)) as source:
        assert (source.size, source.rate, source.frame_count) == (
            (90, 160),
            Fraction(25, 2),
            CLIP_FRAMES,
        )
        items = list(source)
    frames = [item for item in items if isinstance(item, Frame)]
    assert [frame.time for frame in frames] == [
        index * Fraction(2, 25) for index in range(CLIP_FRAMES)
    ]
    difference = frames[5].image.astype(int) - make_image(5, 90, 160)
    assert np.abs(difference).mean() < 4
    assert sum(isinstance(item, Packet) for item in items) == len(packets(clip, "audio"))


def test_damaged_video_raises(clip: Path, tmp_path: Path) -> None:
    bad = tmp_path / "bad.mp4"
    for content in (b"", b"text", clip.read_bytes()[:800]):
        bad.write_bytes(content)
        with pytest.raises(SourceError, match=r"bad\.mp4"):
            list(open_source(str(bad)))


def test_audio_only_file_raises(clip: Path, tmp_path: Path) -> None:
    only = tmp_path / "only.mp4"
    with av.open(str(clip)) as input_container, av.open(str(only), "w") as output_container:
        audio = output_container.add_stream_from_template(input_container.streams.audio[0])
        for packet in input_container.demux(audio=0):
            if packet.dts is not None:
                packet.stream = audio
                output_container.mux(packet)
    with pytest.raises(SourceError, match="no video stream"):
        open_source(str(only))


def test_invalid_sinks_raise(tmp_path: Path) -> None:
    stream = StreamFormat((64, 64), Fraction(25), Fraction(1, 25))
    with pytest.raises(SinkError, match="is missing"):
        open_sink(str(tmp_path / "none" / "out.mp4"), stream)
    with pytest.raises(UsageError, match="cannot tell"):
        open_sink("out.xyz", stream)
    with pytest.raises(UsageError, match="one size"):
        open_sink(str(tmp_path / "out.mp4"), StreamFormat(None, Fraction(25), Fraction(1, 25)))


@pytest.mark.parametrize("name", ["bbb_480p_30s.mp4"])
def test_real_video(cgt_data: Path, tmp_path: Path, ffprobe: str, name: str) -> None:
    """Translate 720 frames with 5.1 audio, at a small size to keep the test short."""
    source, out = cgt_data / "videos" / name, tmp_path / "out.mp4"
    done = run_cgt("translate", source, "-o", out, "--size", "112x64")
    assert done.returncode == 0, done.stderr
    after = probe(ffprobe, out)
    assert int(after["video"]["nb_read_frames"]) == 720
    assert Fraction(after["video"]["avg_frame_rate"]) == 24
    assert float(after["format"]["duration"]) == pytest.approx(30, abs=1 / 24)
    assert times(out) == times(source)
    assert packets(out, "audio") == packets(source, "audio")
