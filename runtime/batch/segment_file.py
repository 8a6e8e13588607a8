"""A piece of a film on its way: encoded pictures with their exact times, in a file of our own.

No container keeps the times of every codec exactly, negative decoding times among them, for a
stream that begins in its middle. So: a line of JSON, then for each picture a record and its bytes.
"""

from __future__ import annotations

import json
import os
import struct
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any, BinaryIO

import av

from ..errors import SinkError
from ..sinks import Sink, StreamFormat, TranslatedFrame
from ..sinks.codecs import CONTAINERS, select_codec
from ..sinks.encoder import VideoEncoder
from ..utils.atomic import create_temp_sibling

_PACKET_RECORD = struct.Struct(
    "<qqq?I"
)  # pts, dts, duration in ticks; key picture; bytes that follow


@dataclass(frozen=True)
class SegmentHeader:
    """size: height, width. aspect: of a pixel. extradata: the encoder's parameters, or empty."""

    size: tuple[int, int]
    sample_aspect_ratio: Fraction
    time_base: Fraction
    extradata: bytes


class SegmentSink(Sink):
    """Encodes as a VideoSink for `target` would, into a file that takes its name when finished."""

    def __init__(self, path: Path, target: Path, stream: StreamFormat, codec: str | None) -> None:
        assert stream.size is not None
        self.name, self._path = str(path), path
        suffix = target.suffix.lower()
        height, width = (side + side % 2 for side in stream.size)
        settings = select_codec(codec, CONTAINERS[suffix], str(target), (height, width))
        # MPEG-TS repeats them in the stream itself.
        self._encoder = VideoEncoder(stream, settings, global_header=suffix != ".ts")
        self._stream = stream
        self._file: BinaryIO | None = None
        try:
            self._temporary = create_temp_sibling(path)
            self._file = open(self._temporary, "wb")  # noqa: SIM115
        except OSError as error:
            raise SinkError(f"cannot write {path}: {error.strerror}") from None

    def write(self, result: TranslatedFrame) -> None:
        self._write_packets(self._encoder.encode(result))

    def _write_packets(self, packets: list[av.Packet[Any]]) -> None:
        assert self._file is not None
        try:
            for packet in packets:
                if self._file.tell() == 0:
                    self._file.write(self._header_line())
                pts = packet.pts or 0
                dts = pts if packet.dts is None else packet.dts
                lasts = packet.duration or 0
                record = _PACKET_RECORD.pack(pts, dts, lasts, packet.is_keyframe, packet.size)
                self._file.write(record + bytes(packet))
        except OSError as error:
            raise SinkError(f"cannot write {self._path}: {error.strerror}") from None

    def _header_line(self) -> bytes:
        facts = {
            "size": self._stream.size,
            "aspect": str(self._stream.sample_aspect_ratio),
            "time_base": str(self._encoder.time_base),
            "extradata": self._encoder.extradata.hex(),
        }
        return json.dumps(facts).encode() + b"\n"

    def finish(self) -> None:
        self._write_packets(self._encoder.flush())
        assert self._file is not None
        try:
            self._file.flush()
            os.fsync(self._file.fileno())
            self._file.close()
            self._temporary.replace(self._path)
        except OSError as error:
            raise SinkError(f"cannot write {self._path}: {error.strerror}") from None
        self._file = None

    def close(self) -> None:
        if self._file is None:
            return
        with suppress(OSError):
            self._file.close()
        self._temporary.unlink(missing_ok=True)
        self._file = None


def read_header(path: Path) -> SegmentHeader:
    """Of a finished piece. Raises OSError."""
    with open(path, "rb") as file:
        facts = json.loads(file.readline())
    return SegmentHeader(
        size=(facts["size"][0], facts["size"][1]),
        sample_aspect_ratio=Fraction(facts["aspect"]),
        time_base=Fraction(facts["time_base"]),
        extradata=bytes.fromhex(facts["extradata"]),
    )


def read_packets(path: Path) -> Iterator[av.Packet[Any]]:
    """The pictures of a finished piece, in the order of decoding. Raises OSError."""
    time_base = read_header(path).time_base
    with open(path, "rb") as file:
        file.readline()
        while record := file.read(_PACKET_RECORD.size):
            pts, dts, lasts, key, size = _PACKET_RECORD.unpack(record)
            packet = av.Packet(file.read(size))
            packet.pts, packet.dts, packet.duration = pts, dts, lasts
            packet.time_base, packet.is_keyframe = time_base, key
            yield packet


def read_pts(path: Path) -> list[int]:
    """When the pictures of a finished piece are shown, in ticks, in the order of decoding. Raises
    OSError."""
    times = []
    with open(path, "rb") as file:
        file.readline()
        while record := file.read(_PACKET_RECORD.size):
            pts, *_, size = _PACKET_RECORD.unpack(record)
            file.seek(size, os.SEEK_CUR)
            times.append(pts)
    return times
