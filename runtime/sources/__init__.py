"""Frame sources and the parser of source URIs, which docs/streams.md describes."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from fractions import Fraction
from functools import partial
from pathlib import Path

from ..errors import SourceError, UsageError
from ..image.files import IMAGE_SUFFIXES  # OpenCV must load before PyAV
from ..utils.log import warn_user
from ..utils.overwrite import is_inside
from ..utils.uri import Uri, parse_uri
from .base import (
    SWSCALE_MATRICES,
    YUV_MATRICES,
    ColorSpace,
    CoverArt,
    Frame,
    Packet,
    Source,
    untagged_color_space,
)

__all__ = [
    "SWSCALE_MATRICES",
    "YUV_MATRICES",
    "ColorSpace",
    "CoverArt",
    "Frame",
    "Packet",
    "Source",
    "open_source",
    "untagged_color_space",
]


def open_source(
    uri: str | Sequence[str],
    audio: bool = True,
    *,
    stream: int | None = None,
    start: float = 0.0,
    reconnect: bool = False,
    exclude: Sequence[Path] = (),
    framerate: Fraction | None = None,
) -> Source:
    """Open a source of frames.

    Args:
        uri: A video file, image file, folder, wildcard, camera, network stream, `-` (standard
            input) or `test://` pattern. A sequence of strings is a list of image files.
        audio: Also pass audio packets through.
        stream: The index of the video stream, from 0; None for the first one.
        start: Seconds to skip from the beginning of a recording.
        reconnect: Open a live source again when it is lost.
        exclude: Subfolders of a folder of images that are not part of it, such as the output.
        framerate: Images per second of an image sequence; None for 25.

    Returns:
        An open source, to be used as a context manager and iterated once.

    Raises:
        SourceError: Nothing can be read from `uri`.
        UsageError: `uri` is malformed, or an option does not apply to it.
    """
    open_inner = partial(_open, uri, audio, stream, exclude, framerate)
    source = open_inner()
    try:
        if framerate is not None and source.rate != framerate:
            raise UsageError(f"{source.name} has its own frame rate; --framerate is for images")
        if reconnect:
            from .reconnect import ReconnectingSource

            source = ReconnectingSource(source, open_inner)
        if start:
            from .wrappers import TrimmedSource

            if source.live:
                raise UsageError(f"{source.name} is live: --start needs a recording")
            source = TrimmedSource(source, start)
        return source
    except BaseException:
        source.close()
        raise


def _open(
    text: str | Sequence[str],
    audio: bool,
    stream: int | None,
    exclude: Sequence[Path],
    framerate: Fraction | None,
) -> Source:
    if not isinstance(text, str):
        if len(text) > 1:
            from .images import arrange_images

            return _image_source(f"{len(text)} images", *arrange_images(text), framerate)
        text = text[0]
    path = Path(text.removeprefix("file://"))
    if path.is_dir():
        return _open_folder(text, path, exclude, framerate)
    if path.exists() and not path.is_char_device():
        return _open_file(text, path, audio, stream, framerate)
    uri = parse_uri(text)
    if uri.path == "-" or uri.scheme == "pipe":
        from .ffmpeg_inputs import stdin_input
        from .video import VideoSource

        return VideoSource(stdin_input(uri), audio, stream)
    if uri.scheme == "v4l2" or (not uri.scheme and re.match(r"\d+$|/dev/video", uri.path)):
        from .camera import open_camera

        return open_camera(uri)
    if uri.scheme not in ("", "file"):
        return _open_scheme(uri, audio, stream)
    if re.search(r"[*?\[]|%\d*d", text):
        from .images import find_images, matches_pattern

        pattern = text.removeprefix("file://")
        root, files = find_images(pattern)
        would_read = partial(matches_pattern, pattern, root)
        return _image_source(text, root, files, framerate, would_read)
    raise SourceError(f"{text} is missing; give a video, a folder of images or a camera number")


def _open_file(
    text: str, path: Path, audio: bool, stream: int | None, framerate: Fraction | None
) -> Source:
    if path.suffix.lower() in IMAGE_SUFFIXES:
        from .animations import open_animation

        return open_animation(path) or _image_source(text, path.parent, [path], framerate)
    from .video import VideoSource, file_input

    return VideoSource(file_input(path, text), audio, stream)


def _open_folder(
    text: str, folder: Path, exclude: Sequence[Path], framerate: Fraction | None
) -> Source:
    from .images import find_images

    excluded = [path for path in exclude if is_inside(path, folder)]

    def is_part(path: Path) -> bool:
        return is_inside(path, folder) and not any(is_inside(path, other) for other in excluded)

    _, found = find_images(str(folder))
    files = list(filter(is_part, found)) if excluded else found
    if len(files) < len(found):
        left_out = " and ".join(map(str, excluded))
        warn_user(f"{len(found) - len(files)} images in the output folder {left_out} are left out")
    return _image_source(text, folder, files, framerate, is_part)


def _image_source(
    name: str,
    root: Path,
    files: list[Path],
    framerate: Fraction | None,
    would_read: Callable[[Path], bool] = lambda path: False,
) -> Source:
    from .images import DEFAULT_FRAMERATE, ImageSource

    return ImageSource(name, root, files, framerate or DEFAULT_FRAMERATE, would_read)


def _open_scheme(uri: Uri, audio: bool, stream: int | None) -> Source:
    from .ffmpeg_inputs import INPUT_SCHEMES, network_input
    from .video import VideoSource

    if uri.scheme == "test":
        from .test_pattern import PatternSource
        from .wrappers import RealtimeSource

        pattern = PatternSource(uri)
        return RealtimeSource(pattern) if uri.get_bool("live", True) else pattern
    if uri.scheme in ("csi", "gst"):
        from .camera import open_gstreamer

        return open_gstreamer(uri)
    if uri.scheme in INPUT_SCHEMES:
        return VideoSource(network_input(uri), audio, stream)
    known = ", ".join(f"{s}://" for s in (*INPUT_SCHEMES, "v4l2", "csi", "gst", "test"))
    raise UsageError(f"{uri.text} has an unknown scheme; known: {known}")
