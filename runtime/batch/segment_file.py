"""File format of an encoded video segment with exact timestamps.

No container keeps the timestamps of every codec exactly for a stream that begins in its middle,
negative decoding times among them. The format is a line of JSON, then for each packet a record and
its bytes.
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
from ..image.validation import YUVFormat
from ..sinks import Encoding, Sink, StreamFormat, TranslatedFrame
from ..sinks.codecs import CONTAINERS, select_codec
from ..sinks.encoder import VideoEncoder
from ..utils.atomic import create_temp_sibling

# pts, dts and duration in ticks of the time base; keyframe; number of bytes that follow
_PACKET_RECORD = struct.Struct("<qqq?I")


@dataclass(frozen=True)
class SegmentHeader:
    """Stream parameters of a segment.

    Attributes:
        size: (height, width) in pixels.
        sample_aspect_ratio: width / height of a pixel.
        time_base: seconds per tick.
        extradata: parameter sets of the encoder, or empty.
    """

    size: tuple[int, int]
    sample_aspect_ratio: Fraction
    time_base: Fraction
    extradata: bytes


class SegmentSink(Sink):
    """Sink that encodes like the VideoSink of the whole video, into a segment file.

    Args:
        path: segment file, which exists only when finished.
        target: output file of the whole video; its suffix decides on the codec.
        stream: size, rate and time base of the output.
        codec: codec and its options; None for the default of the container.

    Raises:
        SinkError: the file cannot be written.
    """

    def __init__(self, path: Path, target: Path, stream: StreamFormat, codec: Encoding) -> None:
        assert stream.size is not None
        self.name, self._path = str(path), path
        suffix = target.suffix.lower()
        height, width = (side + side % 2 for side in stream.size)
        settings = select_codec(codec, CONTAINERS[suffix], str(target), (height, width))
        # MPEG-TS repeats the parameter sets in the stream.
        self._encoder = VideoEncoder(stream, settings, global_header=suffix != ".ts")
        self._stream = stream
        self._file: BinaryIO | None = None
        try:
            self._temporary = create_temp_sibling(path)
            self._file = open(self._temporary, "wb")  # noqa: SIM115
        except OSError as error:
            raise SinkError(f"cannot write {path}: {error.strerror}") from None

    @property
    def yuv_format(self) -> YUVFormat | None:
        return self._encoder.yuv_format

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
                duration = packet.duration or 0
                record = _PACKET_RECORD.pack(pts, dts, duration, packet.is_keyframe, packet.size)
                self._file.write(record + bytes(packet))
        except OSError as error:
            raise SinkError(f"cannot write {self._path}: {error.strerror}") from None

    def _header_line(self) -> bytes:
        header = {
            "size": self._stream.size,
            "aspect": str(self._stream.sample_aspect_ratio),
            "time_base": str(self._encoder.time_base),
            "extradata": self._encoder.extradata.hex(),
        }
        return json.dumps(header).encode() + b"\n"

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
    """Read the header of a finished segment. Raises OSError."""
    with open(path, "rb") as file:
        header = json.loads(file.readline())
    return SegmentHeader(
        size=(header["size"][0], header["size"][1]),
        sample_aspect_ratio=Fraction(header["aspect"]),
        time_base=Fraction(header["time_base"]),
        extradata=bytes.fromhex(header["extradata"]),
    )


def read_packets(path: Path) -> Iterator[av.Packet[Any]]:
    """Yield the packets of a finished segment in decoding order. Raises OSError."""
    time_base = read_header(path).time_base
    with open(path, "rb") as file:
        file.readline()
        while record := file.read(_PACKET_RECORD.size):
            pts, dts, duration, is_keyframe, size = _PACKET_RECORD.unpack(record)
            packet = av.Packet(file.read(size))
            packet.pts, packet.dts, packet.duration = pts, dts, duration
            packet.time_base, packet.is_keyframe = time_base, is_keyframe
            yield packet


def read_pts(path: Path) -> list[int]:
    """Return the presentation times of a finished segment in ticks, in decoding order.

    Raises:
        OSError: the file cannot be read.
    """
    times = []
    with open(path, "rb") as file:
        file.readline()
        while record := file.read(_PACKET_RECORD.size):
            pts, *_, size = _PACKET_RECORD.unpack(record)
            file.seek(size, os.SEEK_CUR)
            times.append(pts)
    return times
