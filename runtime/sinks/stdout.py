"""Pictures through a pipe."""

from __future__ import annotations

import os
import sys
from fractions import Fraction

import av

from ..errors import SinkError, UsageError
from ..uri import Uri
from .base import Result, Sink, StreamFormat
from .encoder import even


class StdoutSink(Sink):
    """`-` writes y4m, which says what it is: `cgt translate ... -o - | ffplay -`.
    `pipe://?format=rgb24` (or bgr24) writes bare pixels. Whatever else prints to standard output
    goes to standard error."""

    name = "standard output"

    def __init__(self, uri: Uri, stream: StreamFormat) -> None:
        uri.only(("format",))
        format = uri.query.get("format", "y4m")
        if format not in ("y4m", "rgb24", "bgr24"):
            raise UsageError(f"{uri.text}: format={format} is none of y4m, rgb24, bgr24")
        if stream.size is None:
            raise UsageError("- needs pictures of one size; give it with --size 256x256")
        if os.isatty(1):
            raise UsageError("-o - writes pictures into a pipe: cgt translate ... -o - | ffplay -")
        sys.stdout.flush()
        self._fd = os.dup(1)
        os.dup2(2, 1)
        self._pixels = "yuv420p" if format == "y4m" else format
        self._header = _header(stream) if format == "y4m" else b""
        self._between = b"FRAME\n" if format == "y4m" else b""
        self._open = True
        self._frames = 0

    def write(self, result: Result) -> None:
        if not self._open:
            return
        frame = av.VideoFrame.from_ndarray(even(result.image), format="rgb24")
        if self._pixels != "rgb24":
            frame = frame.reformat(format=self._pixels, dst_colorspace=1, dst_color_range=1)
        try:
            for part in (self._header, self._between, frame.to_ndarray().tobytes()):
                _write_all(self._fd, part)
        except OSError as error:
            self._restore()
            raise SinkError(
                f"{self.name} takes no more after {self._frames} frames: {error.strerror}"
            ) from None
        self._header = b""
        self._frames += 1

    def finish(self) -> None:
        self._restore()

    def close(self) -> None:
        self._restore()

    def _restore(self) -> None:
        if self._open:
            os.dup2(self._fd, 1)
            os.close(self._fd)
        self._open = False


def _header(stream: StreamFormat) -> bytes:
    assert stream.size is not None
    height, width = (side + side % 2 for side in stream.size)
    rate, aspect = stream.rate or Fraction(25), stream.aspect.limit_denominator(32767)
    return (
        f"YUV4MPEG2 W{width} H{height} F{rate.numerator}:{rate.denominator} Ip "
        f"A{aspect.numerator}:{aspect.denominator} C420mpeg2 XCOLORRANGE=LIMITED\n"
    ).encode()


def _write_all(fd: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(fd, view) :]
