"""Audio, subtitles, attachments and cover art in each container: copied, converted or dropped."""

from __future__ import annotations

import re
import subprocess
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
import pytest
from av.stream import Disposition

from cgt.runtime.sinks import StreamFormat, TranslatedFrame, open_sink, open_sinks
from cgt.runtime.sinks.codecs import CONTAINERS
from cgt.runtime.sources import Frame, open_source
from conftest import make_image

RATE, SIZE = 48000, (96, 160)
TONE_START_S = 1.0
SUBTITLES = (
    "[Script Info]\nScriptType: v4.00+\n\n[V4+ Styles]\n"
    "Format: Name, Fontname, Fontsize\nStyle: Default,Arial,20\n\n[Events]\n"
    "Format: Layer, Start, End, Style, Name, MarginL, MarginR, MarginV, Effect, Text\n"
    "Dialogue: 0,0:00:00.20,0:00:00.60,Default,,0,0,0,,first {\\i1}line{\\i0}\n"
    "Dialogue: 0,0:00:01.00,0:00:01.80,Default,,0,0,0,,second, with a comma\\Nand a break\n"
)


def write_source(
    path: Path,
    codec: str = "aac",
    layout: str = "stereo",
    rate: int = RATE,
    cover: str = "",
    attachment: bool = False,
    subtitles: Path | None = None,
) -> Path:
    """Write two seconds of video with audio that is silent for the first second, then a tone."""
    picture = cv2.imencode(f".{cover}", make_image(3, 40, 40))[1].tobytes() if cover else b""
    with av.open(str(path), "w") as out:
        video_codec = "libvpx-vp9" if path.suffix == ".webm" else "libx264"
        video: Any = out.add_stream(video_codec, rate=25, options={"cpu-used": "8"})
        video.height, video.width, video.pix_fmt = *SIZE, "yuv420p"
        audio: Any = out.add_stream(codec, rate=rate, layout=layout)
        audio.metadata["language"] = "fra"
        if codec.startswith("pcm"):
            audio.codec_context.format = {"pcm_s16le": "s16", "pcm_f32le": "flt"}.get(codec, "s32")
        if attachment:
            out.add_attachment("font.ttf", "font/ttf", b"not a font")
        if picture and path.suffix == ".mkv":
            mime = {"png": "image/png", "jpg": "image/jpeg", "webp": "image/webp"}[cover]
            out.add_attachment(f"cover.{cover}", mime, picture)
        if picture and path.suffix == ".mp4":
            art: Any = out.add_mux_stream({"jpg": "mjpeg"}.get(cover, cover), width=40, height=40)
            art.disposition = Disposition.attached_pic
        if subtitles is not None:
            events = av.open(str(subtitles))
            subtitle = out.add_stream_from_template(events.streams[0])
            subtitle.metadata["language"] = "ita"
        out.start_encoding()
        if picture and path.suffix == ".mp4":
            packet = av.Packet(picture)
            packet.pts = packet.dts = 0
            packet.time_base, packet.stream = Fraction(1, 1000), art
            out.mux(packet)
        for index in range(50):
            frame = av.VideoFrame.from_ndarray(make_image(index, *SIZE), format="rgb24")
            out.mux(video.encode(frame))
        time = np.arange(2 * RATE) / RATE
        wave = np.where(time >= TONE_START_S, 0.5 * np.sin(2 * np.pi * 440 * time), 0)
        for start in range(0, wave.size, 1000):
            part = np.stack([wave[start : start + 1000]] * av.AudioLayout(layout).nb_channels)
            sound = av.AudioFrame.from_ndarray(part.astype(np.float32), "fltp", layout)
            sound.sample_rate, sound.pts, sound.time_base = RATE, start, Fraction(1, RATE)
            out.mux(audio.encode(sound))
        if subtitles is not None:
            for packet in events.demux():
                if packet.size:
                    packet.stream = subtitle
                    out.mux(packet)
            events.close()
        out.mux(video.encode(None))
        out.mux(audio.encode(None))
    return path


def copy(path: Path, *outputs: Path) -> None:
    with open_source(str(path)) as source:
        stream = StreamFormat(
            size=source.size,
            rate=source.rate,
            time_base=source.time_base,
            other_streams=source.other_streams,
            cover_art=source.cover_art,
        )
        with open_sinks([str(out) for out in outputs], stream) as sink:
            for item in source:
                if isinstance(item, Frame):
                    sink.write(TranslatedFrame(item, item.image))
                else:
                    sink.write_packet(item)
            sink.finish()


def stream_kinds(ffprobe: str, path: Path) -> list[str]:
    """Return type and codec of each stream as ffprobe sees them; every one has packets."""
    entries = "stream=codec_type,codec_name,nb_read_packets"
    command = [ffprobe, "-v", "error", "-count_packets", "-show_entries", entries, "-of", "csv=p=0"]
    done = subprocess.run([*command, path], capture_output=True, text=True, check=True)
    assert done.stderr == ""
    rows = [line.split(",") for line in done.stdout.split() if line]
    kinds = dict.fromkeys(f"{kind}:{codec}" for codec, kind, *_ in rows)  # TS lists them twice
    assert all(row[2] != "0" for row in rows if row[1] != "attachment")
    return list(kinds)


def decode_audio(path: Path) -> tuple[np.ndarray, float]:
    """Return the samples of the first channel at 48 kHz, and the time of the first one."""
    resampler = av.AudioResampler("fltp", rate=RATE)
    with av.open(str(path)) as container:
        frames = [f for frame in container.decode(audio=0) for f in resampler.resample(frame)]
    assert frames[0].time is not None
    return np.concatenate([frame.to_ndarray()[0] for frame in frames]), frames[0].time


def assert_tone(path: Path) -> None:
    samples, start_s = decode_audio(path)
    onset = int(np.argmax(np.abs(samples) > 0.1))
    with av.open(str(path)) as container:  # a container may shift all streams
        video_start_s = next(container.decode(video=0)).time
    assert video_start_s is not None
    assert start_s + onset / RATE - video_start_s == pytest.approx(TONE_START_S, abs=0.03)
    tone = samples[onset : onset + RATE // 2]
    periods = np.sum((tone[:-1] < 0) & (tone[1:] >= 0))
    assert periods == pytest.approx(220, abs=2)  # 440 Hz, half a second
    assert np.abs(tone).max() == pytest.approx(0.5, abs=0.15)


AUDIO_CODECS = (
    *("aac", "libmp3lame", "ac3", "libopus", "flac", "alac", "mp2"),
    *("pcm_s16le", "pcm_s24le", "pcm_f32le", "pcm_s32le"),
)


@pytest.mark.parametrize("codec", AUDIO_CODECS)
def test_audio_plays_in_every_container(codec: str, tmp_path: Path, ffprobe: str) -> None:
    path = write_source(tmp_path / "in.mkv", codec)
    outputs = [tmp_path / f"out{suffix}" for suffix in CONTAINERS]
    copy(path, *outputs)  # at once: several sinks share the packets
    for out in outputs:
        kinds = stream_kinds(ffprobe, out)
        assert [kind.partition(":")[0] for kind in kinds] == ["video", "audio"]
        assert_tone(out)
        with av.open(str(out)) as container:
            assert container.streams.audio[0].language == "fra"


@pytest.mark.parametrize(
    ("source", "suffix", "expected", "note"),
    [
        ("aac", ".webm", "opus", "webm cannot hold aac (audio): encoding it with libopus"),
        ("libopus", ".mov", "aac", "mov cannot hold opus (audio): encoding it with aac"),
        ("pcm_s24le", ".mp4", "flac", "mp4 cannot hold pcm_s24le (audio): encoding it with flac"),
        ("flac", ".mov", "alac", "mov cannot hold flac (audio): encoding it with alac"),
        ("flac", ".ts", "aac", "mpegts cannot hold flac (audio): encoding it with aac"),
        ("libmp3lame", ".ts", "mp3", ""),
        ("pcm_s24le", ".mov", "pcm_s24le", ""),
        ("libopus", ".webm", "opus", ""),
    ],
)
def test_audio_is_encoded_only_where_it_cannot_be_copied(
    source: str, suffix: str, expected: str, note: str, tmp_path: Path, ffprobe: str, caplog: Any
) -> None:
    out = tmp_path / f"out{suffix}"
    copy(write_source(tmp_path / "in.mkv", source), out)
    assert stream_kinds(ffprobe, out)[1] == f"audio:{expected}"
    assert caplog.text.count("cannot hold") == bool(note)
    assert note in caplog.text


def test_24_bit_pcm_is_lossless_in_mp4(tmp_path: Path) -> None:
    path, out = write_source(tmp_path / "in.mkv", "pcm_s24le"), tmp_path / "out.mp4"
    copy(path, out)
    before, after = decode_audio(path)[0], decode_audio(out)[0]
    assert before.size == after.size
    assert np.abs(before - after).max() < 2**-23


@pytest.mark.parametrize(
    ("layout", "rate"), [("mono", 44100), ("5.1(side)", 48000), ("6.1", 48000), ("mono", 8000)]
)
def test_layouts_and_rates_are_encoded(layout: str, rate: int, tmp_path: Path, caplog: Any) -> None:
    path = write_source(tmp_path / "in.mkv", "flac", layout, rate)
    for suffix in (".webm", ".ts", ".mov"):
        out = tmp_path / f"out{suffix}"
        copy(path, out)
        # The encoder of ALAC has no such layout.
        reduced = (suffix, layout) == (".mov", "6.1")
        with av.open(str(out)) as container:
            channels = container.streams.audio[0].codec_context.layout.nb_channels
        assert channels == (2 if reduced else av.AudioLayout(layout).nb_channels)
        assert ("in 2 channels" in caplog.text) == reduced


@pytest.mark.parametrize("kind", ["ass", "srt", "vtt"])
def test_text_subtitles_are_converted(
    kind: str, tmp_path: Path, ffprobe: str, caplog: pytest.LogCaptureFixture
) -> None:
    file = tmp_path / f"in.{kind}"
    if kind == "ass":
        file.write_text(SUBTITLES)
    else:
        point = "." if kind == "vtt" else ","
        file.write_text(
            "WEBVTT\n\n"
            * (kind == "vtt")
            + f"1\n00:00:00{point}200 --> 00:00:00{point}600\nfirst <i>line</i>\n\n"
            f"2\n00:00:01{point}000 --> 00:00:01{point}800\nsecond, with a comma\nand a break\n"
        )
    path = write_source(tmp_path / "in.mkv", subtitles=file)
    codec = {"ass": "ass", "srt": "subrip", "vtt": "webvtt"}[kind]
    expected = {".mp4": "mov_text", ".mov": "mov_text", ".webm": "webvtt", ".mkv": codec}
    for suffix, output_codec in expected.items():
        out = tmp_path / f"out{suffix}"
        caplog.clear()
        copy(path, out)
        assert stream_kinds(ffprobe, out)[2] == f"subtitle:{output_codec}"
        note = f"cannot hold {codec} (subtitle): converting it to {output_codec}"
        assert (note in caplog.text) == (codec != output_codec)
        with av.open(str(out)) as container:
            stream: Any = container.streams.subtitles[0]
            assert stream.language == "ita"
            events = []
            for packet in container.demux(stream):
                if packet.size and (subtitle := stream.codec_context.decode2(packet)):
                    begin = float(packet.pts * packet.time_base)
                    end = begin + float(packet.duration * packet.time_base)
                    rect: Any = subtitle[0]
                    text = re.sub(r"\{.*?\}", "", rect.dialogue.decode())  # without styles
                    events.append((begin, end, text.replace("\r", "")))
        shift = events[0][0] - 0.2  # Matroska shifts all streams by the delay of AAC
        assert 0 <= shift < 0.03
        times = [value - shift for begin, end, _ in events for value in (begin, end)]
        assert times == pytest.approx([0.2, 0.6, 1.0, 1.8], abs=0.002)
        assert [text for *_, text in events] == [
            "first line",
            "second, with a comma\nand a break",
        ]
    caplog.clear()
    copy(path, tmp_path / "out.ts")
    assert f"mpegts cannot hold {codec} (subtitle): dropping that stream" in caplog.text
    assert len(stream_kinds(ffprobe, tmp_path / "out.ts")) == 2


def test_subtitles_of_mp4_are_converted_for_matroska(tmp_path: Path, ffprobe: str) -> None:
    text, path = tmp_path / "in.srt", tmp_path / "in.mkv"
    text.write_text("1\n00:00:00,200 --> 00:00:00,600\nfirst\n")
    copy(write_source(path, subtitles=text), tmp_path / "middle.mp4")
    copy(tmp_path / "middle.mp4", tmp_path / "out.mkv")
    assert stream_kinds(ffprobe, tmp_path / "out.mkv")[2] == "subtitle:subrip"


@pytest.mark.parametrize("suffix", list(CONTAINERS))
def test_attachments_are_kept_or_dropped(
    suffix: str, tmp_path: Path, ffprobe: str, caplog: pytest.LogCaptureFixture
) -> None:
    out = tmp_path / f"out{suffix}"
    copy(write_source(tmp_path / "in.mkv", attachment=True), out)
    kinds = stream_kinds(ffprobe, out)
    assert len(kinds) == (3 if suffix == ".mkv" else 2)
    assert ("cannot hold font.ttf (attachment)" in caplog.text) == (suffix != ".mkv")


@pytest.mark.parametrize("picture", ["jpg", "png"])
@pytest.mark.parametrize("source", ["in.mp4", "in.mkv"])
def test_cover_art_is_kept_or_dropped(
    source: str, picture: str, tmp_path: Path, ffprobe: str, caplog: pytest.LogCaptureFixture
) -> None:
    path = write_source(tmp_path / source, cover=picture)
    with open_source(str(path)) as opened:
        (cover,) = opened.cover_art
    assert cover.size == (40, 40)
    for suffix in CONTAINERS:
        out = tmp_path / f"out{suffix}"
        caplog.clear()
        copy(path, out)
        kept = suffix in (".mp4", ".mkv")
        assert len(stream_kinds(ffprobe, out)) == 2 + kept
        assert ("cannot hold cover art" in caplog.text) != kept
        with open_source(str(out)) as opened:
            assert opened.cover_art == ((cover,) if kept else ())
            assert sum(isinstance(item, Frame) for item in opened) == 50
        if kept:  # the demuxer returns the cover again after a seek
            with open_source(str(out), start=0.4) as opened:
                assert sum(isinstance(item, Frame) for item in opened) == 40


def test_unknown_cover_art_is_dropped(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = write_source(tmp_path / "in.mkv", cover="webp")
    copy(path, tmp_path / "out.mp4")
    with open_source(str(path)) as source:
        assert ("cannot hold cover art (webp)" in caplog.text) == bool(source.cover_art)


def test_damaged_audio_is_counted(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path, out = write_source(tmp_path / "in.mkv"), tmp_path / "out.webm"
    with open_source(str(path)) as source:
        stream = StreamFormat(SIZE, Fraction(25), Fraction(1, 1000)).__class__.from_source(
            source, None
        )
        assert stream.other_streams
        items = list(source)
        audio = [item for item in items if not isinstance(item, Frame)]
        damaged = av.Packet(b"\xff" * 50)
        damaged.pts = damaged.dts = audio[5].av_packet.pts
        damaged.time_base = audio[5].av_packet.time_base
        object.__setattr__(audio[5], "av_packet", damaged)
        stream = StreamFormat(
            SIZE, Fraction(25), Fraction(1, 1000), other_streams=source.other_streams
        )
        with open_sink(str(out), stream) as sink:
            for item in items:
                if isinstance(item, Frame):
                    sink.write(TranslatedFrame(item, item.image))
                else:
                    sink.write_packet(item)
            sink.finish()
    assert "dropped 1 invalid audio or subtitle packets" in caplog.text
    assert_tone(out)
