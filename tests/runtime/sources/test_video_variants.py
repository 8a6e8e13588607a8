"""Unusual videos from ffmpeg, copied from source to sink and verified with ffprobe and ffmpeg.

There is no network in between, so the output frames must equal the input frames.
"""

from __future__ import annotations

import json
import shutil
import subprocess
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from cgt.runtime.errors import SourceError, UsageError
from cgt.runtime.sinks import StreamFormat, TranslatedFrame, open_sink
from cgt.runtime.sources import Frame, Packet, Source, open_source

FRAMES = "testsrc2=size=160x96:rate=12:duration=1,eq=saturation=0.5"
AUDIO = "-f lavfi -i sine=frequency=440:duration=1"
X264 = "-c:v libx264 -preset ultrafast -crf 12 -pix_fmt yuv420p"


@dataclass(frozen=True)
class Variant:
    """A video that ffmpeg generates.

    Attributes:
        name: The file name.
        arguments: ffmpeg's arguments between the input and the file name.
        lavfi: The lavfi graph that generates the frames.
        second_pass: Arguments of a second ffmpeg run, between the first one's file and the output.
        suffix: The suffix of the copy.
    """

    name: str
    arguments: str
    lavfi: str = FRAMES
    second_pass: str = ""
    suffix: str = ".mp4"


VARIANTS = [
    Variant("plain.mp4", X264),
    Variant("vfr.mp4", f"-vf select='lt(n,4)+eq(n,7)+gt(n,9)' -vsync vfr {X264}"),
    Variant("vfr.mkv", f"-vf select='lt(n,4)+eq(n,7)+gt(n,9)' -vsync vfr {X264}", suffix=".mkv"),
    Variant("rotated90.mp4", X264, second_pass="-c copy -metadata:s:v rotate=90"),
    Variant("rotated180.mp4", X264, second_pass="-c copy -metadata:s:v rotate=180"),
    Variant("rotated270.mov", X264, second_pass="-c copy -metadata:s:v rotate=270"),
    Variant(
        "rotated_sar.mp4", f"-vf setsar=11/12 {X264}", second_pass="-c copy -metadata:s:v rotate=90"
    ),
    Variant("sar.mp4", f"-vf setsar=11/12 {X264}"),
    Variant(
        "hevc10.mp4",
        "-c:v libx265 -pix_fmt yuv420p10le -preset ultrafast -x265-params log-level=none",
    ),
    Variant("av1.mkv", "-c:v libaom-av1 -cpu-used 8 -crf 20 -pix_fmt yuv420p", suffix=".mkv"),
    Variant("444.mp4", "-c:v libx264 -preset ultrafast -crf 12 -pix_fmt yuv444p"),
    Variant("422ten.mov", "-c:v prores_ks -pix_fmt yuv422p10le", suffix=".mov"),
    Variant("rgb.mkv", "-c:v ffv1 -pix_fmt gbrp", suffix=".mkv"),
    Variant("gray.mp4", "-c:v libx264 -preset ultrafast -crf 12 -pix_fmt gray"),
    Variant("alpha.mov", "-vf format=rgba,colorchannelmixer=aa=1 -c:v qtrle -pix_fmt argb"),
    Variant("fragmented.mp4", f"{AUDIO} {X264} -c:a aac -movflags frag_keyframe+empty_moov -g 4"),
    Variant("noduration.mkv", f"{X264} -f matroska -live 1", suffix=".mkv"),
    Variant("raw.h264", f"{X264} -bsf:v h264_mp4toannexb"),
    Variant("audiofirst.mp4", f"{AUDIO} -map 1:a -map 0:v {X264} -c:a aac"),
    Variant("two.mkv", f"-map 0:v -map 0:v {X264} -s:v:1 80x48", suffix=".mkv"),
    Variant("one.mp4", f"-frames:v 1 {X264}"),
    Variant("odd.mkv", "-c:v ffv1 -pix_fmt yuv444p", FRAMES.replace("160x96", "427x239")),
    Variant("tiny.mp4", X264, FRAMES.replace("160x96", "16x16")),
    Variant("interlaced.mp4", f"-vf setfield=tff {X264} -flags +ildct+ilme -x264opts tff=1"),
    Variant("surround.mp4", f"{AUDIO} {X264} -c:a aac -ac 6"),
    Variant("opus.mkv", f"{AUDIO} {X264} -c:a libopus", suffix=".mkv"),
    Variant("opus.webm", f"{AUDIO} -c:v libvpx-vp9 -cpu-used 8 -c:a libopus", suffix=".webm"),
    Variant("subtitles.mkv", f"-i SUBTITLES {X264} -c:s srt", suffix=".mkv"),
    Variant("subtitles.mp4", f"-i SUBTITLES {X264} -c:s mov_text -metadata:s:s:0 language=deu"),
    Variant("full.avi", "-c:v mjpeg -q:v 2 -pix_fmt yuvj420p"),
    Variant("old.avi", "-c:v mpeg4 -bf 2 -q:v 2"),
    Variant("mpeg2.ts", "-c:v mpeg2video -q:v 2"),
    Variant("broadcast.ts", f"{AUDIO} {X264} -c:a aac"),
    Variant("moving.gif", "-filter_complex [0:v]split[a][b];[a]palettegen[p];[b][p]paletteuse"),
    Variant("late.mkv", f"{X264} -output_ts_offset 5", suffix=".mkv"),
    Variant(
        "cover.mp4", f"-i COVER -map 0:v -map 1:v {X264} -c:v:1 png -disposition:v:1 attached_pic"
    ),
]


def ffmpeg(*args: object, **options: Any) -> subprocess.CompletedProcess[Any]:
    if shutil.which("ffmpeg") is None:
        pytest.skip("ffmpeg is not installed (apt-get install ffmpeg)")
    command = ["ffmpeg", "-nostdin", "-v", "error", "-y", *map(str, args)]
    return subprocess.run(command, check=True, capture_output=True, **options)


SLOW_VIDEOS = [
    Variant("slow.mp4", X264, "testsrc2=size=160x96:rate=1:duration=6"),
    Variant("slower.mov", f"-bf 0 {X264}", "testsrc2=size=160x96:rate=1/10:duration=40"),
    Variant("slow.mkv", X264, "testsrc2=size=160x96:rate=1/4:duration=16", suffix=".mkv"),
    Variant("slow.webm", "-c:v libvpx-vp9 -cpu-used 8", "testsrc2=size=160x96:rate=1:duration=6"),
    Variant("still.mp4", f"-frames:v 1 {X264}", "testsrc2=size=160x96:rate=1/30"),
]


@pytest.fixture(scope="session")
def generate_video(tmp_path_factory: pytest.TempPathFactory) -> Any:
    folder = tmp_path_factory.mktemp("variants")
    subtitles, cover = folder / "subtitles.srt", folder / "cover.png"
    subtitles.write_text(
        "1\n00:00:00,100 --> 00:00:00,400\nhello\n\n2\n00:00:00,500 --> 00:00:00,900\nworld\n"
    )

    def generate(variant: Variant) -> Path:
        if not cover.exists():
            ffmpeg("-f", "lavfi", "-i", "testsrc=size=32x32", "-frames:v", 1, cover)
        paths = {"SUBTITLES": str(subtitles), "COVER": str(cover)}
        args = [paths.get(argument, argument) for argument in variant.arguments.split()]
        path = folder / variant.name
        ffmpeg("-f", "lavfi", "-i", variant.lavfi, *args, path)
        if variant.second_pass:
            processed = folder / f"second_{variant.name}"
            ffmpeg("-i", path, *variant.second_pass.split(), processed)
            return processed
        return path

    return generate


def copy_video(path: Path, out: Path) -> None:
    """Copy all frames and streams from a source to a sink."""
    with open_source(str(path)) as source:
        copy_source(source, out)


def copy_source(source: Source, out: Path) -> None:
    stream = StreamFormat(
        size=source.size,
        rate=source.rate,
        time_base=source.time_base,
        sample_aspect_ratio=source.sample_aspect_ratio,
        color_space=source.color_space,
        other_streams=source.other_streams,
        cover_art=source.cover_art,
        metadata=source.metadata,
        chapters=source.chapters,
    )
    with open_sink(str(out), stream) as sink:
        for item in source:
            if isinstance(item, Frame):
                sink.write(TranslatedFrame(item, item.image))
            else:
                sink.write_packet(item)
        sink.finish()


@dataclass
class ProbeResult:
    """Properties of a video according to ffprobe."""

    times: list[float]
    start_time: float
    duration: float
    aspect_ratio: float
    size: tuple[int, int]  # height, width as shown
    video: dict[str, Any]
    streams: list[dict[str, Any]]
    packets: dict[str, list[tuple[float, str]]]  # time and hash, by stream type
    container: dict[str, Any]


def probe(path: Path) -> ProbeResult:
    show = ("format", "streams", "chapters", "frames", "packets")
    done = subprocess.run(
        [
            *("ffprobe", "-v", "error", "-of", "json", *(f"-show_{what}" for what in show)),
            *("-show_data_hash", "md5", str(path)),
        ],
        capture_output=True,
        text=True,
        check=True,
    )
    output = json.loads(done.stdout)
    video = next(s for s in output["streams"] if s["codec_type"] == "video")
    both = output["packets_and_frames"]
    frames = [f for f in both if f["type"] == "frame" and f["stream_index"] == video["index"]]
    times = [float(f.get("pts_time", f.get("best_effort_timestamp_time", "nan"))) for f in frames]
    sar = video.get("sample_aspect_ratio", "1:1").replace(":", "/")
    aspect = Fraction(video["width"], video["height"]) * (Fraction(sar) if sar != "0/1" else 1)
    size = (video["height"], video["width"])
    if any(abs(data.get("rotation", 0)) % 180 == 90 for data in video.get("side_data_list", ())):
        aspect, size = 1 / aspect, size[::-1]
    packets: dict[str, list[tuple[float, str]]] = {}
    for p in both:
        if p["type"] == "packet" and p["stream_index"] != video["index"]:
            kind = p["codec_type"]
            packets.setdefault(kind, []).append((float(p.get("pts_time", "nan")), p["data_hash"]))
    duration = float(output["format"].get("duration", "nan"))
    return ProbeResult(
        times,
        float(output["format"].get("start_time", 0)),
        duration,
        float(aspect),
        size,
        video,
        output["streams"],
        packets,
        output["format"] | {"chapters": output["chapters"]},
    )


def decode_small(path: Path, size: tuple[int, int]) -> np.ndarray:
    """Decode all frames with ffmpeg, rotated, as RGB, and reduced.

    At the small size chroma subsampling hardly matters.
    """
    flags = ("-map", "0:v:0", "-vsync", "passthrough", "-f", "rawvideo", "-pix_fmt", "rgb24", "-")
    frames = np.frombuffer(ffmpeg("-i", path, *flags).stdout, np.uint8).reshape(-1, *size, 3)
    return np.stack([cv2.resize(f, (20, 12), interpolation=cv2.INTER_AREA) for f in frames])


@pytest.mark.parametrize("variant", VARIANTS, ids=lambda variant: variant.name)
def test_copy_equals_original(
    variant: Variant, generate_video: Any, tmp_path: Path, ffprobe: str
) -> None:
    path, out = generate_video(variant), tmp_path / f"out{variant.suffix}"
    copy_video(path, out)
    before, after = probe(path), probe(out)
    assert len(after.times) == len(before.times) > 0
    start_time = max(0.0, before.start_time)
    tick = 0.0011 if ".mkv" in (path.suffix, variant.suffix) or variant.suffix == ".webm" else 1e-5
    if not np.isnan(before.times).any():
        # A file starts at zero, and a container without negative times shifts all of them.
        shift = np.array(after.times) - (np.array(before.times) - start_time)
        assert np.abs(shift - shift[0]).max() <= tick
        assert abs(shift[0]) <= (0.03 if before.packets.get("audio") else 0.001)
    if not np.isnan(before.duration):
        duration = before.duration - (start_time if path.suffix == ".mkv" else 0)
        assert after.duration == pytest.approx(duration, abs=1 / 12 + 0.03)
    assert after.aspect_ratio == pytest.approx(before.aspect_ratio, rel=0.02)
    for kind in ("audio", "subtitle"):
        expected, copied = before.packets.get(kind, []), after.packets.get(kind, [])
        assert len(expected) == len(copied)
        if variant.name != "broadcast.ts":  # its packets have headers that MP4 stores only once
            assert [p[1] for p in expected] == [p[1] for p in copied]
        expected_times = [p[0] - start_time for p in expected]
        assert [p[0] for p in copied] == pytest.approx(expected_times, abs=0.03)
    difference = decode_small(path, before.size).astype(int) - decode_small(out, after.size)
    assert np.abs(difference).mean() < (6 if variant.name == "tiny.mp4" else 3)


@pytest.mark.parametrize("variant", SLOW_VIDEOS, ids=lambda variant: variant.name)
@pytest.mark.parametrize("suffix", [".mp4", ".mkv"])
def test_slow_video_is_not_truncated(
    variant: Variant, suffix: str, generate_video: Any, tmp_path: Path, ffprobe: str
) -> None:
    path, out = generate_video(variant), tmp_path / f"out{suffix}"
    copy_video(path, out)
    before, after = probe(path), probe(out)
    assert after.times == pytest.approx(before.times, abs=0.0011)
    assert after.duration == pytest.approx(before.duration, abs=0.0011)
    copy_video(out, tmp_path / "again.mkv")  # raises if our own file counts as truncated


@pytest.mark.parametrize("suffix", [".mp4", ".mkv", ".webm"])
def test_long_last_frame_is_not_truncated(suffix: str, tmp_path: Path, ffprobe: str) -> None:
    path, image = tmp_path / f"pause{suffix}", np.zeros((96, 160, 3), np.uint8)
    with open_sink(str(path), StreamFormat((96, 160), Fraction(25), Fraction(1, 1000))) as sink:
        for tick, duration in ((0, 40), (40, 40), (80, 9000)):
            frame = Frame(image, Fraction(tick, 1000), duration=Fraction(duration, 1000))
            sink.write(TranslatedFrame(frame, image))
        sink.finish()
    assert probe(path).duration == pytest.approx(9.08, abs=0.0011)
    copy_video(path, tmp_path / "out.mkv")  # raises if the file counts as truncated


def test_truncated_slow_video_raises(generate_video: Any, tmp_path: Path) -> None:
    content = generate_video(SLOW_VIDEOS[2]).read_bytes()
    path = tmp_path / "truncated.mkv"
    path.write_bytes(content[: len(content) // 2])
    with open_source(str(path)) as source, pytest.raises(SourceError, match="truncated"):
        list(source)


@pytest.mark.parametrize("codec", ["libx264 -bf 0", "libx264 -tune zerolatency", "mpeg4", "mjpeg"])
def test_avi_without_reordering_starts_at_zero(codec: str, tmp_path: Path) -> None:
    path = tmp_path / "in.avi"
    ffmpeg("-f", "lavfi", "-i", FRAMES, "-c:v", *codec.split(), path)
    with open_source(str(path)) as source:
        assert source.start_time == 0
        times = [item.time for item in source if isinstance(item, Frame)]
    assert times == [Fraction(index, 12) for index in range(12)]
    copy_video(path, tmp_path / "out.mp4")
    assert probe(tmp_path / "out.mp4").times[0] == 0


@pytest.mark.parametrize(
    "codec", ["libx264 -bf 2", "libx264 -bf 3 -b-pyramid normal", "mpeg4 -bf 2", "mpeg2video -bf 2"]
)
def test_avi_with_b_frames_is_in_order(codec: str, tmp_path: Path) -> None:
    path, out = tmp_path / "in.avi", tmp_path / "out.mkv"
    ffmpeg("-f", "lavfi", "-i", FRAMES, "-c:v", *codec.split(), "-pix_fmt", "yuv420p", path)
    with open_source(str(path)) as source:
        times = [item.time for item in source if isinstance(item, Frame)]
    assert times == [times[0] + Fraction(index, 12) for index in range(12)]
    assert 0 <= times[0] <= Fraction(2, 12)
    copy_video(path, out)
    assert len(probe(out).times) == 12


def first_frame(path: Path) -> np.ndarray:
    with open_source(str(path)) as source:
        return next(item.image for item in source if isinstance(item, Frame))


def test_video_without_frames_raises(tmp_path: Path) -> None:
    path = tmp_path / "none.mp4"
    ffmpeg(*("-f", "lavfi", "-i", FRAMES, *AUDIO.split(), *X264.split(), "-c:a", "aac"), path)
    ffmpeg("-i", path, "-c", "copy", "-bsf:v", "noise=drop=1", tmp_path / "none.mkv")
    with pytest.raises(SourceError, match=r"no decodable frame|no video"):
        open_source(str(tmp_path / "none.mkv"))


def test_metadata_chapters_and_languages_are_kept(tmp_path: Path, ffprobe: str) -> None:
    metadata = tmp_path / "meta.txt"
    metadata.write_text(
        ";FFMETADATA1\ntitle=Horses\nartist=Nobody\n"
        "[CHAPTER]\nTIMEBASE=1/1000\nSTART=0\nEND=500\ntitle=first\n"
        "[CHAPTER]\nTIMEBASE=1/1000\nSTART=500\nEND=1000\ntitle=second\n"
    )
    path, out = tmp_path / "in.mkv", tmp_path / "out.mkv"
    ffmpeg(
        *("-f", "lavfi", "-i", FRAMES, *AUDIO.split(), "-i", metadata, "-map_metadata", 2),
        *(*X264.split(), "-c:a", "aac", "-metadata:s:a", "language=fra", path),
    )
    copy_video(path, out)
    after = probe(out)
    assert after.container["tags"]["title"] == "Horses"
    assert [c["tags"]["title"] for c in after.container["chapters"]] == ["first", "second"]
    assert [c["end_time"] for c in after.container["chapters"]] == ["0.500000", "1.000000"]
    assert next(s for s in after.streams if s["codec_type"] == "audio")["tags"]["language"] == "fra"


@pytest.mark.parametrize(
    ("matrix", "primaries", "transfer", "range"),
    [
        ("smpte170m", "smpte170m", "smpte170m", "tv"),
        ("bt2020nc", "bt2020", "bt2020-10", "tv"),
        ("bt709", "bt709", "iec61966-2-1", "pc"),
    ],
)
def test_color_tags_are_kept(
    matrix: str, primaries: str, transfer: str, range: str, tmp_path: Path, ffprobe: str
) -> None:
    path, out = tmp_path / "in.mp4", tmp_path / "out.mp4"
    ffmpeg(
        *("-f", "lavfi", "-i", FRAMES),
        *("-vf", f"scale=out_color_matrix={matrix}:out_range={range}"),
        *(*X264.split(), "-colorspace", matrix, "-color_primaries", primaries),
        *("-color_trc", transfer, "-color_range", range, path),
    )
    copy_video(path, out)
    for key in ("color_space", "color_primaries", "color_transfer", "color_range"):
        assert probe(out).video[key] == probe(path).video[key]
    difference = decode_small(path, (96, 160)).astype(int) - decode_small(out, (96, 160))
    assert np.abs(difference).mean() < 3


def test_display_matrix_mirrors_frames(tmp_path: Path) -> None:
    import av

    path, out = tmp_path / "plain.mp4", tmp_path / "mirrored.mp4"
    ffmpeg(*("-f", "lavfi", "-i", FRAMES, *X264.split()), path)
    with av.open(str(path)) as input_container, av.open(str(out), "w") as output_container:
        video = output_container.add_stream_from_template(input_container.streams.video[0])
        video.set_display_matrix([-1 << 16, 0, 0, 0, 1 << 16, 0, 0, 0, 1 << 30])
        for packet in input_container.demux(video=0):
            if packet.dts is not None:
                packet.stream = video
                output_container.mux(packet)
    difference = first_frame(path)[:, ::-1].astype(int) - first_frame(out)
    assert np.abs(difference).max() == 0


def test_interlaced_frames_are_deinterlaced(tmp_path: Path, caplog: Any) -> None:
    path = tmp_path / "interlaced.mkv"
    frames = "testsrc2=size=160x96:rate=24:duration=1"
    ffmpeg(
        *("-f", "lavfi", "-i", frames, "-vf", "tinterlace=interleave_top,setfield=tff"),
        *("-c:v", "ffv1", "-flags", "+ildct+ilme", path),
    )
    with open_source(str(path)) as source:
        images = [item.image for item in source if isinstance(item, Frame)]
    assert len(images) == 12
    assert "bwdif" in caplog.text

    def combing(image: np.ndarray) -> float:
        rows = image.astype(int)
        return float(np.abs(2 * rows[1:-1] - rows[:-2] - rows[2:]).mean())

    before = decode(path)
    assert np.mean([combing(i) for i in images]) < 0.8 * np.mean([combing(i) for i in before])


def decode(path: Path) -> np.ndarray:
    done = ffmpeg("-i", path, "-f", "rawvideo", "-pix_fmt", "rgb24", "-")
    return np.frombuffer(done.stdout, np.uint8).reshape(-1, 96, 160, 3)


def test_video_stream_is_selected(generate_video: Any) -> None:
    path = generate_video(next(variant for variant in VARIANTS if variant.name == "two.mkv"))
    with open_source(str(path), stream=1) as source:
        assert source.size == (48, 80)
    with pytest.raises(UsageError, match="2 video streams"):
        open_source(str(path), stream=2)


def test_size_change_is_letterboxed(tmp_path: Path, caplog: Any) -> None:
    segments = []
    for size in ("160x96", "96x160"):
        segments.append(tmp_path / f"{size}.ts")
        frames = FRAMES.replace("160x96", size)
        ffmpeg("-f", "lavfi", "-i", frames, *X264.split(), segments[-1])
    path = tmp_path / "both.ts"
    path.write_bytes(b"".join(segment.read_bytes() for segment in segments))
    with open_source(str(path)) as source:
        images = [item.image for item in source if isinstance(item, Frame)]
    assert len(images) == 24
    assert {image.shape for image in images} == {(96, 160, 3)}
    assert images[0][:, 0].max() > 0
    assert images[-1][:, :48].max() == images[-1][:, -48:].max() == 0  # black bars left and right
    assert images[-1][:, 51:109].mean() > 40
    assert "160x96 to 96x160" in caplog.text


def test_start_trims_and_shifts_to_zero(generate_video: Any) -> None:
    path = generate_video(next(variant for variant in VARIANTS if variant.name == "audiofirst.mp4"))
    with open_source(str(path)) as source:
        all_images = [item.image for item in source if isinstance(item, Frame)]
    with open_source(str(path), start=0.5) as source:
        items = list(source)
    frames = [item for item in items if isinstance(item, Frame)]
    assert [frame.time for frame in frames] == [Fraction(i, 12) for i in range(6)]
    assert all((a.image == b).all() for a, b in zip(frames, all_images[6:], strict=True))
    audio = [item.av_packet for item in items if isinstance(item, Packet)]
    assert 0 <= float(audio[0].pts * audio[0].time_base) < 0.03
    with pytest.raises(UsageError, match="is live"):
        open_source("test://", start=1)
