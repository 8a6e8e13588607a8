"""Test videos of any length, and a comparison of the content of two videos."""

from __future__ import annotations

import hashlib
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np

from cgt.runtime.image.preprocess import U8

SIDE_PX = 64


def write_video(path: Path, seconds: float, rate: int = 25) -> None:
    """Write a 64x64 video of about `rate` fps, with AAC audio, a title and a chapter.

    One frame in seven is half as long as the others. The video has B-frames and a keyframe every
    6 * rate frames.
    """
    with av.open(str(path), "w") as out:
        out.metadata["title"] = path.stem
        begin = {"id": 1, "start": 0, "end": round(seconds * 1000), "time_base": Fraction(1, 1000)}
        out.set_chapters([begin | {"metadata": {"title": "First"}}])  # type: ignore[list-item]
        options = {"preset": "ultrafast", "bf": "3", "g": str(6 * rate), "crf": "30"}
        video = out.add_stream("libx264", rate=rate, options=options)
        video.width = video.height = SIDE_PX
        video.pix_fmt, video.codec_context.time_base = "yuv420p", Fraction(1, 1000)
        audio = _ToneTrack(out)
        index = ticks = 0
        while ticks < seconds * 1000:
            frame = av.VideoFrame.from_ndarray(_draw_frame(index), format="rgb24")
            frame.pts, frame.time_base = ticks, Fraction(1, 1000)
            out.mux(video.encode(frame))
            ticks += round((500 if index % 7 == 3 else 1080) / rate)
            index += 1
            audio.write_until(ticks)
        out.mux(video.encode(None))
        audio.write_until(None)


class _ToneTrack:
    def __init__(self, out: Any) -> None:
        self._out = out
        self._stream = out.add_stream("aac", rate=8000, layout="mono")
        self._written = 0

    def write_until(self, milliseconds: int | None) -> None:
        """Write audio up to that time; None flushes the encoder."""
        if milliseconds is None:
            self._out.mux(self._stream.encode(None))
            return
        while self._written < milliseconds * 8:
            wave = np.sin(np.arange(self._written, self._written + 1024) / 9)
            frame = av.AudioFrame.from_ndarray(
                wave.astype(np.float32)[None], format="fltp", layout="mono"
            )
            frame.sample_rate, frame.pts = 8000, self._written
            self._out.mux(self._stream.encode(frame))
            self._written += 1024


def _draw_frame(index: int) -> U8:
    """Draw a moving gradient and a jumping bright square, different for each index."""
    y, x = np.mgrid[:SIDE_PX, :SIDE_PX]
    image = np.stack([x * 3 + index, y * 3 + 2 * index, (x + y + 8 * index) % 256], -1) % 256
    top, left = (7 * index) % (SIDE_PX - 16), (11 * index) % (SIDE_PX - 16)
    image[top : top + 16, left : left + 16] = 250
    frame: U8 = image.astype(np.uint8)
    return frame


def repeat_video(source: Path, path: Path, seconds: float) -> None:
    """Repeat the encoded frames of a video until it is at least `seconds` long, without audio."""
    with av.open(str(path), "w") as out:
        stream, offset, done = None, 0, False
        while not done:
            with av.open(str(source)) as container:
                video = container.streams.video[0]
                stream = stream or out.add_stream_from_template(video)
                assert video.time_base is not None
                assert video.average_rate is not None
                step, end = round(1 / video.average_rate / video.time_base), 0
                for packet in container.demux(video):
                    if packet.pts is None or packet.dts is None:
                        continue
                    end = max(end, packet.pts + step)
                    packet.pts += offset
                    packet.dts += offset
                    packet.stream = stream
                    out.mux(packet)
                offset += end
                done = offset * video.time_base >= seconds


def video_differences(one: Path, other: Path) -> list[str]:
    """Describe the differences of two videos.

    Compares decoded frames and their times, all packets of other streams, metadata, chapters and
    stream tags.

    Returns:
        A line per kind of difference; empty for equal videos.
    """
    found = []
    for what, first, second in zip(
        ("frames", "frame times", "other streams", "metadata", "streams"),
        _read_contents(one),
        _read_contents(other),
        strict=True,
    ):
        if first != second:
            found.append(f"{what} differ: {one.name}")
    return found


def _read_contents(path: Path) -> tuple[Any, ...]:
    with av.open(str(path)) as container:
        images, times = [], []
        for frame in container.decode(video=0):
            images.append(hashlib.sha256(frame.to_ndarray().tobytes()).hexdigest())
            times.append((frame.pts, frame.time_base))
    with av.open(str(path)) as container:
        packets = [
            (packet.stream_index, packet.pts, packet.dts, packet.duration, bytes(packet))
            for packet in container.demux()
            if packet.size and packet.stream.type != "video"
        ]
        streams = [(s.type, s.time_base, s.duration, dict(s.metadata)) for s in container.streams]
        packets.sort(key=lambda packet: packet[0])  # ignores how the streams are interleaved
        metadata = (dict(container.metadata), container.chapters())
    return images, times, packets, metadata, streams


def count_frames(path: Path) -> int:
    """Count the frames of a video that can be decoded."""
    with av.open(str(path)) as container:
        return sum(1 for _ in container.decode(video=0))
