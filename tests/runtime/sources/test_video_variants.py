"""Odd videos made by ffmpeg, through the source and back into a file, judged by ffprobe and ffmpeg.

No network lies between: the pictures that come out must be those that went in.
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

PICTURES = "testsrc2=size=160x96:rate=12:duration=1,eq=saturation=0.5"
SOUND = "-f lavfi -i sine=frequency=440:duration=1"
X264 = "-c:v libx264 -preset ultrafast -crf 12 -pix_fmt yuv420p"


@dataclass(frozen=True)
class Odd:
    """make: ffmpeg's arguments after the pictures and before the file's name. then: a second
    ffmpeg over the first one's file, as arguments between its input and output."""

    name: str
    make: str
    pictures: str = PICTURES
    then: str = ""
    out: str = ".mp4"


ODD = [
    Odd("plain.mp4", X264),
    Odd("vfr.mp4", f"-vf select='lt(n,4)+eq(n,7)+gt(n,9)' -vsync vfr {X264}"),
    Odd("vfr.mkv", f"-vf select='lt(n,4)+eq(n,7)+gt(n,9)' -vsync vfr {X264}", out=".mkv"),
    Odd("turned90.mp4", X264, then="-c copy -metadata:s:v rotate=90"),
    Odd("turned180.mp4", X264, then="-c copy -metadata:s:v rotate=180"),
    Odd("turned270.mov", X264, then="-c copy -metadata:s:v rotate=270"),
    Odd("turned_sar.mp4", f"-vf setsar=11/12 {X264}", then="-c copy -metadata:s:v rotate=90"),
    Odd("sar.mp4", f"-vf setsar=11/12 {X264}"),
    Odd(
        "hevc10.mp4",
        "-c:v libx265 -pix_fmt yuv420p10le -preset ultrafast -x265-params log-level=none",
    ),
    Odd("av1.mkv", "-c:v libaom-av1 -cpu-used 8 -crf 20 -pix_fmt yuv420p", out=".mkv"),
    Odd("444.mp4", "-c:v libx264 -preset ultrafast -crf 12 -pix_fmt yuv444p"),
    Odd("422ten.mov", "-c:v prores_ks -pix_fmt yuv422p10le", out=".mov"),
    Odd("rgb.mkv", "-c:v ffv1 -pix_fmt gbrp", out=".mkv"),
    Odd("gray.mp4", "-c:v libx264 -preset ultrafast -crf 12 -pix_fmt gray"),
    Odd("alpha.mov", "-vf format=rgba,colorchannelmixer=aa=1 -c:v qtrle -pix_fmt argb"),
    Odd("fragmented.mp4", f"{SOUND} {X264} -c:a aac -movflags frag_keyframe+empty_moov -g 4"),
    Odd("noduration.mkv", f"{X264} -f matroska -live 1", out=".mkv"),
    Odd("raw.h264", f"{X264} -bsf:v h264_mp4toannexb"),
    Odd("soundfirst.mp4", f"{SOUND} -map 1:a -map 0:v {X264} -c:a aac"),
    Odd("two.mkv", f"-map 0:v -map 0:v {X264} -s:v:1 80x48", out=".mkv"),
    Odd("one.mp4", f"-frames:v 1 {X264}"),
    Odd("odd.mkv", "-c:v ffv1 -pix_fmt yuv444p", PICTURES.replace("160x96", "427x239")),
    Odd("tiny.mp4", X264, PICTURES.replace("160x96", "16x16")),
    Odd("interlaced.mp4", f"-vf setfield=tff {X264} -flags +ildct+ilme -x264opts tff=1"),
    Odd("surround.mp4", f"{SOUND} {X264} -c:a aac -ac 6"),
    Odd("opus.mkv", f"{SOUND} {X264} -c:a libopus", out=".mkv"),
    Odd("opus.webm", f"{SOUND} -c:v libvpx-vp9 -cpu-used 8 -c:a libopus", out=".webm"),
    Odd("subtitles.mkv", f"-i SUBTITLES {X264} -c:s srt", out=".mkv"),
    Odd("subtitles.mp4", f"-i SUBTITLES {X264} -c:s mov_text -metadata:s:s:0 language=deu"),
    Odd("full.avi", "-c:v mjpeg -q:v 2 -pix_fmt yuvj420p"),
    Odd("old.avi", "-c:v mpeg4 -bf 2 -q:v 2"),
    Odd("mpeg2.ts", "-c:v mpeg2video -q:v 2"),
    Odd("broadcast.ts", f"{SOUND} {X264} -c:a aac"),
    Odd("moving.gif", "-filter_complex [0:v]split[a][b];[a]palettegen[p];[b][p]paletteuse"),
    Odd("late.mkv", f"{X264} -output_ts_offset 5", out=".mkv"),
    Odd("cover.mp4", f"-i COVER -map 0:v -map 1:v {X264} -c:v:1 png -disposition:v:1 attached_pic"),
]


def ffmpeg(*args: object, **options: Any) -> subprocess.CompletedProcess[Any]:
    if shutil.which("ffmpeg") is None:
        pytest.skip("ffmpeg is not installed (apt-get install ffmpeg)")
    command = ["ffmpeg", "-nostdin", "-v", "error", "-y", *map(str, args)]
    return subprocess.run(command, check=True, capture_output=True, **options)


@pytest.fixture(scope="session")
def make(tmp_path_factory: pytest.TempPathFactory) -> Any:
    folder = tmp_path_factory.mktemp("odd")
    subtitles, cover = folder / "words.srt", folder / "cover.png"
    subtitles.write_text(
        "1\n00:00:00,100 --> 00:00:00,400\nhello\n\n2\n00:00:00,500 --> 00:00:00,900\nworld\n"
    )

    def made(odd: Odd) -> Path:
        if not cover.exists():
            ffmpeg("-f", "lavfi", "-i", "testsrc=size=32x32", "-frames:v", 1, cover)
        words = {"SUBTITLES": str(subtitles), "COVER": str(cover)}
        args = [words.get(word, word) for word in odd.make.split()]
        path = folder / odd.name
        ffmpeg("-f", "lavfi", "-i", odd.pictures, *args, path)
        if odd.then:
            turned = folder / f"then_{odd.name}"
            ffmpeg("-i", path, *odd.then.split(), turned)
            return turned
        return path

    return made


def through(path: Path, out: Path, **options: Any) -> None:
    """What a translation does, without the network."""
    with open_source(str(path), **options) as source:
        copy(source, out)


def copy(source: Source, out: Path) -> None:
    stream = StreamFormat(
        size=source.size,
        rate=source.rate,
        time_base=source.time_base,
        sample_aspect_ratio=source.sample_aspect_ratio,
        color_space=source.color_space,
        other_streams=source.other_streams,
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
class Facts:
    """What ffprobe says."""

    times: list[float]
    begin: float
    duration: float
    aspect: float
    size: tuple[int, int]  # height, width as shown
    video: dict[str, Any]
    streams: list[dict[str, Any]]
    packets: dict[str, list[tuple[float, str]]]  # time and hash, by kind of stream
    container: dict[str, Any]


def probe(path: Path) -> Facts:
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
    said = json.loads(done.stdout)
    video = next(s for s in said["streams"] if s["codec_type"] == "video")
    both = said["packets_and_frames"]
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
    duration = float(said["format"].get("duration", "nan"))
    return Facts(
        times,
        float(said["format"].get("start_time", 0)),
        duration,
        float(aspect),
        size,
        video,
        said["streams"],
        packets,
        said["format"] | {"chapters": said["chapters"]},
    )


def pixels(path: Path, size: tuple[int, int]) -> np.ndarray:
    """All frames as ffmpeg shows them: turned, as RGB, and small, where it matters little that
    colour is stored for 2x2 pixels."""
    flags = ("-map", "0:v:0", "-vsync", "passthrough", "-f", "rawvideo", "-pix_fmt", "rgb24", "-")
    frames = np.frombuffer(ffmpeg("-i", path, *flags).stdout, np.uint8).reshape(-1, *size, 3)
    return np.stack([cv2.resize(f, (20, 12), interpolation=cv2.INTER_AREA) for f in frames])


@pytest.mark.parametrize("odd", ODD, ids=lambda odd: odd.name)
def test_odd_videos_come_out_as_they_went_in(
    odd: Odd, make: Any, tmp_path: Path, ffprobe: str
) -> None:
    path, out = make(odd), tmp_path / f"out{odd.out}"
    through(path, out)
    before, after = probe(path), probe(out)
    assert len(after.times) == len(before.times) > 0
    begin = max(0.0, before.begin)
    tick = 0.0011 if ".mkv" in (path.suffix, odd.out) or odd.out == ".webm" else 1e-5
    if not np.isnan(before.times).any():
        # A file begins at zero, and a container without negative times moves all of them.
        later = np.array(after.times) - (np.array(before.times) - begin)
        assert np.abs(later - later[0]).max() <= tick
        assert abs(later[0]) <= (0.03 if before.packets.get("audio") else 0.001)
    if not np.isnan(before.duration):
        lasts = before.duration - (begin if path.suffix == ".mkv" else 0)
        assert after.duration == pytest.approx(lasts, abs=1 / 12 + 0.03)
    assert after.aspect == pytest.approx(before.aspect, rel=0.02)
    for kind in ("audio", "subtitle"):
        then, now = before.packets.get(kind, []), after.packets.get(kind, [])
        assert len(then) == len(now)
        if odd.name != "broadcast.ts":  # its packets lose a header each that MP4 has once
            assert [p[1] for p in then] == [p[1] for p in now]
        assert [p[0] for p in now] == pytest.approx([p[0] - begin for p in then], abs=0.03)
    difference = pixels(path, before.size).astype(int) - pixels(out, after.size)
    assert np.abs(difference).mean() < (6 if odd.name == "tiny.mp4" else 3)


def first_frame(path: Path) -> np.ndarray:
    with open_source(str(path)) as source:
        return next(item.image for item in source if isinstance(item, Frame))


def test_no_frames_is_said_so(tmp_path: Path) -> None:
    path = tmp_path / "none.mp4"
    ffmpeg(*("-f", "lavfi", "-i", PICTURES, *SOUND.split(), *X264.split(), "-c:a", "aac"), path)
    ffmpeg("-i", path, "-c", "copy", "-bsf:v", "noise=drop=1", tmp_path / "none.mkv")
    with pytest.raises(SourceError, match=r"no decodable frame|no video"):
        open_source(str(tmp_path / "none.mkv"))


def test_metadata_chapters_and_languages_are_kept(tmp_path: Path, ffprobe: str) -> None:
    words = tmp_path / "meta.txt"
    words.write_text(
        ";FFMETADATA1\ntitle=Horses\nartist=Nobody\n"
        "[CHAPTER]\nTIMEBASE=1/1000\nSTART=0\nEND=500\ntitle=first\n"
        "[CHAPTER]\nTIMEBASE=1/1000\nSTART=500\nEND=1000\ntitle=second\n"
    )
    path, out = tmp_path / "in.mkv", tmp_path / "out.mkv"
    ffmpeg(
        *("-f", "lavfi", "-i", PICTURES, *SOUND.split(), "-i", words, "-map_metadata", 2),
        *(*X264.split(), "-c:a", "aac", "-metadata:s:a", "language=fra", path),
    )
    through(path, out)
    after = probe(out)
    assert after.container["tags"]["title"] == "Horses"
    assert [c["tags"]["title"] for c in after.container["chapters"]] == ["first", "second"]
    assert [c["end_time"] for c in after.container["chapters"]] == ["0.500000", "1.000000"]
    assert next(s for s in after.streams if s["codec_type"] == "audio")["tags"]["language"] == "fra"


@pytest.mark.parametrize(
    ("matrix", "primaries", "transfer", "range"),
    [
        ("smpte170m", "smpte170m", "smpte170m", "tv"),
        ("bt2020nc", "bt2020", "smpte2084", "tv"),
        ("bt709", "bt709", "iec61966-2-1", "pc"),
    ],
)
def test_colour_tags_are_kept(
    matrix: str, primaries: str, transfer: str, range: str, tmp_path: Path, ffprobe: str
) -> None:
    path, out = tmp_path / "in.mp4", tmp_path / "out.mp4"
    ffmpeg(
        *(
            "-f",
            "lavfi",
            "-i",
            PICTURES,
            "-vf",
            f"scale=out_color_matrix={matrix}:out_range={range}",
        ),
        *(*X264.split(), "-colorspace", matrix, "-color_primaries", primaries),
        *("-color_trc", transfer, "-color_range", range, path),
    )
    through(path, out)
    for key in ("color_space", "color_primaries", "color_transfer", "color_range"):
        assert probe(out).video[key] == probe(path).video[key]
    difference = pixels(path, (96, 160)).astype(int) - pixels(out, (96, 160))
    assert np.abs(difference).mean() < 3


def test_mirrored_pictures_are_mirrored(tmp_path: Path) -> None:
    import av

    path, out = tmp_path / "plain.mp4", tmp_path / "mirrored.mp4"
    ffmpeg(*("-f", "lavfi", "-i", PICTURES, *X264.split()), path)
    with av.open(str(path)) as inside, av.open(str(out), "w") as outside:
        video = outside.add_stream_from_template(inside.streams.video[0])
        video.set_display_matrix([-1 << 16, 0, 0, 0, 1 << 16, 0, 0, 0, 1 << 30])
        for packet in inside.demux(video=0):
            if packet.dts is not None:
                packet.stream = video
                outside.mux(packet)
    difference = first_frame(path)[:, ::-1].astype(int) - first_frame(out)
    assert np.abs(difference).max() == 0


def test_interlaced_pictures_lose_their_combs(tmp_path: Path, caplog: Any) -> None:
    path = tmp_path / "interlaced.mkv"
    fast = "testsrc2=size=160x96:rate=24:duration=1"
    ffmpeg(
        *("-f", "lavfi", "-i", fast, "-vf", "tinterlace=interleave_top,setfield=tff"),
        *("-c:v", "ffv1", "-flags", "+ildct+ilme", path),
    )
    with open_source(str(path)) as source:
        images = [item.image for item in source if isinstance(item, Frame)]
    assert len(images) == 12
    assert "bwdif" in caplog.text

    def combs(image: np.ndarray) -> float:
        rows = image.astype(int)
        return float(np.abs(2 * rows[1:-1] - rows[:-2] - rows[2:]).mean())

    before = pixels_as_they_are(path)
    assert np.mean([combs(i) for i in images]) < 0.8 * np.mean([combs(i) for i in before])


def pixels_as_they_are(path: Path) -> np.ndarray:
    done = ffmpeg("-i", path, "-f", "rawvideo", "-pix_fmt", "rgb24", "-")
    return np.frombuffer(done.stdout, np.uint8).reshape(-1, 96, 160, 3)


def test_a_stream_is_chosen(make: Any) -> None:
    path = make(next(odd for odd in ODD if odd.name == "two.mkv"))
    with open_source(str(path), stream=1) as source:
        assert source.size == (48, 80)
    with pytest.raises(UsageError, match="2 video streams"):
        open_source(str(path), stream=2)


def test_another_size_in_midstream_is_fitted(tmp_path: Path, caplog: Any) -> None:
    parts = []
    for size in ("160x96", "96x160"):
        parts.append(tmp_path / f"{size}.ts")
        pictures = PICTURES.replace("160x96", size)
        ffmpeg("-f", "lavfi", "-i", pictures, *X264.split(), parts[-1])
    path = tmp_path / "both.ts"
    path.write_bytes(b"".join(part.read_bytes() for part in parts))
    with open_source(str(path)) as source:
        images = [item.image for item in source if isinstance(item, Frame)]
    assert len(images) == 24
    assert {image.shape for image in images} == {(96, 160, 3)}
    assert images[0][:, 0].max() > 0
    assert images[-1][:, :48].max() == images[-1][:, -48:].max() == 0  # upright between black
    assert images[-1][:, 51:109].mean() > 40
    assert "160x96 to 96x160" in caplog.text


def test_start_leaves_out_and_begins_at_zero(tmp_path: Path, make: Any) -> None:
    path = make(next(odd for odd in ODD if odd.name == "soundfirst.mp4"))
    with open_source(str(path)) as source:
        whole = [item.image for item in source if isinstance(item, Frame)]
    with open_source(str(path), start=0.5) as source:
        items = list(source)
    frames = [item for item in items if isinstance(item, Frame)]
    assert [frame.time for frame in frames] == [Fraction(i, 12) for i in range(6)]
    assert all((a.image == b).all() for a, b in zip(frames, whole[6:], strict=True))
    sound = [item.av_packet for item in items if isinstance(item, Packet)]
    assert 0 <= float(sound[0].pts * sound[0].time_base) < 0.03
    with pytest.raises(UsageError, match="is live"):
        open_source("test://", start=1)
