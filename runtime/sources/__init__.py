"""Sources, chosen by what the argument names."""

from __future__ import annotations

from pathlib import Path

from ..errors import SourceError
from ..images import SUFFIXES
from .base import Frame, Packet, Source

__all__ = ["Frame", "Packet", "Source", "open_source"]


def open_source(uri: str, audio: bool = True) -> Source:
    """A number is a camera, a folder its images, a file a video or an image.

    audio: also pass the sound through. Raises SourceError where nothing can be read.
    """
    if uri.isdecimal():
        from .camera import CameraSource

        return CameraSource(int(uri))
    path = Path(uri)
    if not path.exists():
        raise SourceError(
            f"{uri} is missing; give a video, a folder of images or a camera's number"
        )
    if path.is_dir() or path.suffix.lower() in SUFFIXES:
        from .images import ImageSource

        return ImageSource(path)
    from .video import VideoSource

    return VideoSource(path, audio)
