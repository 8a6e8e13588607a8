"""Sinks, chosen by what the argument names; docs/streams.md is the manual."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

from ..errors import UsageError
from ..image.compose import ViewMode, view_output_size
from ..image.files import IMAGE_SUFFIXES as IMAGE_SUFFIXES
from ..utils.uri import parse_uri
from .base import Sink, StreamFormat, TranslatedFrame

__all__ = [
    "NullSink",
    "Sink",
    "StreamFormat",
    "TranslatedFrame",
    "open_sink",
    "open_sinks",
    "open_with_view",
]


class NullSink(Sink):
    """Takes everything, keeps nothing."""

    name = "null:"

    def write(self, result: TranslatedFrame) -> None:
        pass

    def finish(self) -> None:
        pass

    def close(self) -> None:
        pass


def open_sinks(
    uris: Sequence[str],
    stream: StreamFormat,
    codec: str | None = None,
    view: ViewMode = "translated",
) -> Sink:
    """One sink that feeds all of them; see `open_sink` and `Tee`."""
    if len(set(uris)) < len(uris):
        raise UsageError(f"an output is named twice: {', '.join(uris)}")
    if len(uris) == 1:
        return open_sink(uris[0], stream, codec, view)
    from .tee import TeeSink

    opened: list[Sink] = []
    try:
        for uri in uris:
            opened.append(open_sink(uri, stream, codec, view))
    except BaseException:
        for sink in opened:
            sink.close()
        raise
    return TeeSink(opened)


def open_sink(
    uri: str,
    stream: StreamFormat,
    codec: str | None = None,
    view: ViewMode = "translated",
) -> Sink:
    """`null:` drops the frames, a video suffix makes a video, an image suffix one image, no suffix
    (or a folder that is there) a folder of PNGs, `%05d.png` numbered ones; `window` shows them, `-`
    and URLs pass them on.

    codec: see encoding.choose. view: what of each result is written; a window can change it.
    Raises UsageError for any other name, SinkError where it cannot be written.
    """
    if uri == "window":
        from .window import WindowSink

        return WindowSink(stream, view)
    return open_with_view(partial(_open, uri, codec=codec), stream, view)


def open_with_view(
    make_sink: Callable[[StreamFormat], Sink], stream: StreamFormat, view: ViewMode
) -> Sink:
    """The sink that `make` makes, given that view of each result."""
    if view == "translated":
        return make_sink(stream)
    from .tee import ComposedSink

    size = view_output_size(stream.size, view) if stream.size else None
    return ComposedSink(make_sink(replace(stream, size=size)), view)


def _open(text: str, stream: StreamFormat, codec: str | None) -> Sink:
    if text == "null:":
        return NullSink()
    uri = parse_uri(text)
    if uri.path == "-" or uri.scheme == "pipe":
        from .stdout import StdoutSink

        return StdoutSink(uri, stream)
    if uri.scheme or re.match(r"/dev/video\d+$", text):
        from .stream import OUTPUT_SCHEMES, StreamSink

        if uri.scheme and uri.scheme not in OUTPUT_SCHEMES:
            known = ", ".join(f"{scheme}://" for scheme in OUTPUT_SCHEMES)
            raise UsageError(f"cannot send to {text}; known: {known}")
        return StreamSink(text, stream, codec)
    return _open_path(text, stream, codec)


def _open_path(text: str, stream: StreamFormat, codec: str | None) -> Sink:
    path = Path(text)
    from .codecs import CONTAINERS

    suffix = path.suffix.lower()
    if path.is_dir() or text.endswith("/") or not suffix:
        from .images import FolderSink

        return FolderSink(path)
    if suffix in CONTAINERS:
        from .video import VideoSink

        return VideoSink(path, stream, codec)
    if suffix in IMAGE_SUFFIXES:
        from .images import ImageSequenceSink, ImageSink

        return ImageSequenceSink(text) if re.search(r"%\d*d", path.name) else ImageSink(path)
    raise UsageError(
        f"cannot tell what to write to {text}; use {', '.join(CONTAINERS)}, an image suffix, "
        "a folder, window, - or null:"
    )
