"""Standard output sink: y4m or raw frames for a pipe."""

from __future__ import annotations

import os
import sys
from fractions import Fraction

from ..errors import SinkError, UsageError
from ..image.validation import YUVFormat
from ..sources import YUV_MATRICES, untagged_color_space
from ..utils.uri import Uri
from .base import Sink, StreamFormat, TranslatedFrame
from .encoder import even_size, pad_to_even


class StdoutSink(Sink):
    """Writer of frames to standard output.

    Anything else that prints to standard output goes to standard error meanwhile.

    Args:
        uri: `-` for y4m, which describes itself (`cgt translate ... -o - | ffplay -`), or
            `pipe://?format=rgb24` (or bgr24) for raw pixels.
        stream: The format of the frames.

    Raises:
        UsageError: The format is unknown, frame sizes differ, or standard output is a terminal.
        SinkError: Standard output is closed.
    """

    name = "standard output"

    def __init__(self, uri: Uri, stream: StreamFormat) -> None:
        uri.check_parameters(("format",))
        format = uri.query.get("format", "y4m")
        if format not in ("y4m", "rgb24", "bgr24"):
            raise UsageError(f"{uri.text}: format={format} is none of y4m, rgb24, bgr24")
        if stream.size is None:
            raise UsageError("- needs frames of one size; set it with --output-size 256x256")
        # Python has no stream then; the descriptor 1 may belong to another file.
        if sys.stdout is None:
            raise SinkError(f"{self.name} is closed; leave out >&-, or write to a file with -o")
        if os.isatty(1):
            raise UsageError("-o - writes video to a pipe: cgt translate ... -o - | ffplay -")
        sys.stdout.flush()
        self._stdout_fd = os.dup(1)
        os.dup2(2, 1)
        # y4m has no color tags: its reader goes by the size.
        matrix = YUV_MATRICES[untagged_color_space(even_size(stream.size)).matrix]
        self._yuv_format = YUVFormat(matrix) if format == "y4m" else None
        self._swap_rb = format == "bgr24"
        self._stream_header = _y4m_header(stream) if format == "y4m" else b""
        self._frame_header = b"FRAME\n" if format == "y4m" else b""
        self._is_open = True
        self._frame_count = 0

    @property
    def yuv_format(self) -> YUVFormat | None:
        return self._yuv_format

    def write(self, result: TranslatedFrame) -> None:
        if not self._is_open:
            return
        if self._yuv_format is not None:
            pixels = result.to_yuv(self._yuv_format).even_buffer()
        else:
            pixels = pad_to_even(result.image)[..., :: -1 if self._swap_rb else 1]
        try:
            for part in (self._stream_header, self._frame_header, pixels.tobytes()):
                _write_all(self._stdout_fd, part)
        except OSError as error:
            self._restore_stdout()
            raise SinkError(
                f"{self.name} was closed after {self._frame_count} frames: {error.strerror}"
            ) from None
        self._stream_header = b""
        self._frame_count += 1

    def finish(self) -> None:
        self._restore_stdout()

    def close(self) -> None:
        self._restore_stdout()

    def _restore_stdout(self) -> None:
        if self._is_open:
            os.dup2(self._stdout_fd, 1)
            os.close(self._stdout_fd)
        self._is_open = False


def _y4m_header(stream: StreamFormat) -> bytes:
    assert stream.size is not None
    height, width = even_size(stream.size)
    rate, aspect = stream.rate or Fraction(25), stream.sample_aspect_ratio.limit_denominator(32767)
    return (
        f"YUV4MPEG2 W{width} H{height} F{rate.numerator}:{rate.denominator} Ip "
        f"A{aspect.numerator}:{aspect.denominator} C420mpeg2 XCOLORRANGE=LIMITED\n"
    ).encode()


def _write_all(fd: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(fd, view) :]
