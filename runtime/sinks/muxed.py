"""What sinks around a Muxer share."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import av

from ..errors import SinkError
from ..sources import Packet
from .base import Sink, TranslatedFrame
from .muxer import Muxer


class MuxedSink(Sink):
    """What FFmpeg raises ends the sink, with the error that `_failed` makes of it; from then on, as
    after the end, nothing is written."""

    _muxer: Muxer

    @property
    @abstractmethod
    def _is_open(self) -> bool: ...

    @abstractmethod
    def _handle_failure(self, error: Exception) -> SinkError:
        """Closes, and keeps what can be kept."""

    @contextmanager
    def _handle_errors(self) -> Iterator[None]:
        try:
            yield
        except (av.FFmpegError, OSError) as error:
            raise self._handle_failure(error) from None

    def write(self, result: TranslatedFrame) -> None:
        if self._is_open:
            with self._handle_errors():
                self._muxer.write(result)

    def write_encoded_frame(self, packet: av.Packet[Any]) -> None:
        """A picture that was encoded elsewhere, see Muxer."""
        if self._is_open:
            with self._handle_errors():
                self._muxer.write_encoded_frame(packet)

    @property
    def extradata(self) -> bytes:
        """The parameters that encoded pictures must have been made with."""
        return self._muxer.extradata

    def write_packet(self, packet: Packet) -> None:
        if self._is_open:
            with self._handle_errors():
                self._muxer.write_packet(packet)


def ffmpeg_error_text(error: Exception) -> str:
    """The part of FFmpeg's error that tells."""
    return getattr(error, "strerror", None) or str(error)
