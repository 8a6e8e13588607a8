"""Frame sinks and the parser of sink URIs, which docs/streams.md describes."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

from ..errors import UsageError
from ..image.compose import ViewMode, view_output_size
from ..image.files import IMAGE_SUFFIXES as IMAGE_SUFFIXES
from ..sources import Source
from ..utils.log import mask_passwords
from ..utils.overwrite import refuse_overwriting
from ..utils.uri import parse_uri
from .base import Encoding, EncodingOptions, Sink, StreamFormat, TranslatedFrame

__all__ = [
    "Encoding",
    "EncodingOptions",
    "NullSink",
    "Sink",
    "StreamFormat",
    "TranslatedFrame",
    "open_sink",
    "open_sinks",
    "open_with_view",
]


_NUMBER = r"%\d*d"
_VIRTUAL_CAMERA = r"/dev/video\d+$"


def _is_path(uri: str) -> bool:
    """Return whether a sink is a file or a folder, or a virtual camera."""
    return uri not in ("window", "null:") and parse_uri(uri).path != "-" and "://" not in uri


def _is_folder(uri: str) -> bool:
    if re.match(_VIRTUAL_CAMERA, uri):
        return False
    if "{name}" in uri:
        return True
    return Path(uri).is_dir() or uri.endswith("/") or not Path(uri).suffix


def _is_sequence(uri: str) -> bool:
    suffix, name = Path(uri).suffix.lower(), Path(uri).name
    return suffix in IMAGE_SUFFIXES and re.search(_NUMBER, name) is not None


class NullSink(Sink):
    """Discards all frames."""

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
    codec: Encoding = None,
    view: ViewMode = "translated",
) -> Sink:
    """Open one sink that writes to all of `uris`.

    Args:
        uris: Different URIs, each as in `open_sink`.
        stream: The format of the translated frames.
        codec: See `select_codec`.
        view: See `open_sink`.

    Raises:
        SinkError: A sink cannot be opened.
        UsageError: A URI is invalid or occurs twice.
    """
    if len(set(map(_resolve, uris))) < len(uris):
        raise UsageError(f"an output is given twice: {', '.join(uris)}")
    if isinstance(codec, EncodingOptions) and codec.flags and not any(map(_has_encoder, uris)):
        verb = "is" if len(codec.flags) == 1 else "are"
        raise UsageError(f"{' and '.join(codec.flags)} {verb} for videos; no output is one")
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


def _has_encoder(uri: str) -> bool:
    """Return whether a sink is a video file or a network stream."""
    from .codecs import CONTAINERS

    if not _is_path(uri):
        return "://" in uri and not uri.startswith("pipe:")
    return Path(uri).suffix.lower() in CONTAINERS and not _is_folder(uri)


def _resolve(uri: str) -> str:
    return str(Path(uri).resolve()) if _is_path(uri) else uri


def output_folders(uris: Sequence[str]) -> list[Path]:
    """Return the folders that images are written to, of those of `uris` that have one."""
    from .images import split_template

    paths = [uri for uri in uris if _is_path(uri)]
    return [
        split_template(uri)[0] if _is_folder(uri) else Path(uri).parent
        for uri in paths
        if _is_folder(uri) or _is_sequence(uri)
    ]


def refuse_overwriting_source(uris: Sequence[str], source: Source) -> None:
    """Refuse outputs that are inputs, or that would be inputs of the same command again.

    Args:
        uris: As in `open_sinks`; none of them is open yet.
        source: What is translated into them.

    Raises:
        UsageError: An output is, or would be, read by the source.
    """
    for uri in uris:
        if "://" in uri and mask_passwords(uri) == source.name:
            raise UsageError(f"{uri} is the source; give another output")
        if not _is_path(uri):
            continue
        planned = _planned_files(uri, source.frame_names)
        for path in planned:
            if source.would_read(path):
                raise UsageError(
                    f"{path} would lie among the images of {source.name}; give another output"
                )
        refuse_overwriting(planned, source.files)


def _planned_files(uri: str, frame_names: Sequence[str]) -> list[Path]:
    """Return what a sink may write to; for numbered files also what earlier runs wrote."""
    path = Path(uri)
    if _is_folder(uri):
        from .images import name_output, split_template

        folder, template = split_template(uri)
        taken: set[Path] = set()
        return [name_output(folder, name, taken, template) for name in frame_names]
    if _is_sequence(uri):
        first = re.sub(_NUMBER, lambda number: number[0] % 0, path.name, count=1)
        pattern = "[0-9]+".join(map(re.escape, re.split(_NUMBER, path.name, maxsplit=1)))
        existing = path.parent.iterdir() if path.parent.is_dir() else ()
        numbered = [other for other in existing if re.fullmatch(pattern, other.name)]
        return [path.with_name(first), *numbered]
    return [path]


def needs_frame_size(uri: str) -> bool:
    """Return whether a sink needs frames of one size, as videos do and image files do not."""
    from .codecs import CONTAINERS

    if not _is_path(uri) or re.match(_VIRTUAL_CAMERA, uri):
        return uri not in ("window", "null:")
    return Path(uri).suffix.lower() in CONTAINERS and not _is_folder(uri)


def open_sink(
    uri: str,
    stream: StreamFormat,
    codec: Encoding = None,
    view: ViewMode = "translated",
) -> Sink:
    """Open a sink for translated frames.

    Args:
        uri: A path with the suffix of a video or image, a numbered path such as `%05d.png`,
            `out/{name}.jpg` for the names of the source images, a folder (any path without a
            suffix), `window`, `-` (standard output), a URL to stream to, or `null:` to discard the
            frames.
        stream: The format of the translated frames.
        codec: See `select_codec`.
        view: Which view of each result to write; a window can change it.

    Raises:
        SinkError: The sink cannot be opened.
        UsageError: `uri` is invalid, or the sink does not support `stream` or `codec`.
    """
    if uri == "window":
        from .window import WindowSink

        return WindowSink(stream, view)
    return open_with_view(partial(_open, uri, codec=codec), stream, view)


def open_with_view(
    make_sink: Callable[[StreamFormat], Sink], stream: StreamFormat, view: ViewMode
) -> Sink:
    """Open a sink by `make_sink` that receives `view` of each result instead of its translation.

    Args:
        make_sink: Opens a sink for the frame format that it is called with.
        stream: The format of the translated frames.
        view: The view to write.
    """
    if view == "translated":
        return make_sink(stream)
    from .tee import ComposedSink

    size = view_output_size(stream.size, view) if stream.size else None
    return ComposedSink(make_sink(replace(stream, size=size)), view)


def _open(text: str, stream: StreamFormat, codec: Encoding) -> Sink:
    if text == "null:":
        return NullSink()
    uri = parse_uri(text)
    if uri.path == "-" or uri.scheme == "pipe":
        from .stdout import StdoutSink

        return StdoutSink(uri, stream)
    if uri.scheme or re.match(_VIRTUAL_CAMERA, text):
        from .stream import OUTPUT_SCHEMES, StreamSink

        if uri.scheme and uri.scheme not in OUTPUT_SCHEMES:
            known = ", ".join(f"{scheme}://" for scheme in OUTPUT_SCHEMES)
            raise UsageError(f"cannot send to {text}; known: {known}")
        return StreamSink(text, stream, codec)
    return _open_path(text, stream, codec)


def _open_path(text: str, stream: StreamFormat, codec: Encoding) -> Sink:
    path = Path(text)
    from .codecs import CONTAINERS

    suffix = path.suffix.lower()
    if _is_folder(text):
        from .images import FolderSink, split_template

        return FolderSink(*split_template(text))
    if suffix in CONTAINERS:
        from .video import VideoSink

        return VideoSink(path, stream, codec)
    if suffix in IMAGE_SUFFIXES:
        from .images import ImageSequenceSink, ImageSink

        return ImageSequenceSink(text) if _is_sequence(text) else ImageSink(path)
    raise UsageError(
        f"cannot tell what to write to {text}; use {', '.join(CONTAINERS)}, an image suffix, "
        "a folder, window, - or null:"
    )
