"""Sinks, chosen by what the argument names."""

from __future__ import annotations

from pathlib import Path

from ..errors import UsageError
from ..images import SUFFIXES as IMAGE_SUFFIXES
from .base import Result, Sink, StreamFormat

__all__ = ["Result", "Sink", "StreamFormat", "open_sink"]


class NullSink(Sink):
    """Takes everything, keeps nothing."""

    def write(self, result: Result) -> None:
        pass

    def finish(self) -> None:
        pass

    def close(self) -> None:
        pass


def open_sink(uri: str, stream: StreamFormat) -> Sink:
    """`null:` drops the frames, a video suffix makes a video, an image suffix one image, and no
    suffix (or a folder that is there) a folder of PNGs.

    Raises UsageError for any other name, SinkError where it cannot be written.
    """
    if uri == "null:":
        return NullSink()
    path = Path(uri)
    from .video import SUFFIXES as VIDEO_SUFFIXES
    from .video import VideoSink

    suffix = path.suffix.lower()
    if path.is_dir() or uri.endswith("/") or not suffix:
        from .images import FolderSink

        return FolderSink(path)
    if suffix in VIDEO_SUFFIXES:
        return VideoSink(path, stream)
    if suffix in IMAGE_SUFFIXES:
        from .images import ImageSink

        return ImageSink(path)
    raise UsageError(
        f"cannot tell what to write to {uri}; use {', '.join(VIDEO_SUFFIXES)}, an image suffix, "
        "a folder or null:"
    )
