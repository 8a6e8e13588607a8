"""Are two videos the same to whoever plays them?"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import av


def video_differences(one: Path, other: Path) -> list[str]:
    """In words: of decoded pictures and their times, of every packet of the other streams, of
    metadata, chapters and stream tags. Empty where there is none."""
    found = []
    for what, first, second in zip(
        ("pictures", "times of pictures", "other streams", "metadata", "streams"),
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
        packets.sort(key=lambda packet: packet[0])  # how they are interleaved is nobody's concern
        metadata = (dict(container.metadata), container.chapters())
    return images, times, packets, metadata, streams


def count_frames(path: Path) -> int:
    """Those that decode."""
    with av.open(str(path)) as container:
        return sum(1 for _ in container.decode(video=0))
