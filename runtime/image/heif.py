"""HEIC images: pillow-heif decodes all, FFmpeg those of one tile (phones write many)."""

from __future__ import annotations

import importlib.util
import io
from typing import Any

import numpy as np

from .preprocess import U8

_BRANDS = frozenset((b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1"))


def is_heif(header: bytes) -> bool:
    """Return whether the first 12 bytes of a file are those of a HEIF file."""
    return header[4:8] == b"ftyp" and header[8:12] in _BRANDS


def decode_heif(data: bytes) -> tuple[U8, bytes | None] | None:
    """Decode the bytes of a HEIF file.

    Returns:
        uint8 HWC RGB and its ICC profile, which is not applied (None counts as sRGB); None instead
        of both if no installed library can decode the file.
    """
    if importlib.util.find_spec("pillow_heif") is not None:
        return _decode_with_pillow_heif(data)
    return _decode_with_ffmpeg(data)


def _decode_with_pillow_heif(data: bytes) -> tuple[U8, bytes | None] | None:
    import pillow_heif  # type: ignore[import-not-found,unused-ignore]

    try:
        file = pillow_heif.open_heif(io.BytesIO(data), convert_hdr_to_8bit=True)
        image = file.to_pillow()  # libheif has applied the orientation
        return np.array(image.convert("RGB")), image.info.get("icc_profile")
    except (OSError, ValueError, RuntimeError, SyntaxError):
        return None


def _decode_with_ffmpeg(data: bytes) -> tuple[U8, bytes | None] | None:
    import av
    from av.stream import Disposition

    from ..sources.frame_convert import apply_orientation, read_orientation, to_rgb

    container: Any
    try:
        with av.open(io.BytesIO(data), metadata_errors="replace") as container:
            streams = container.streams.video
            if any(stream.disposition & Disposition.dependent for stream in streams):
                return None  # PyAV does not tell how tiles are arranged
            main = next((s for s in streams if s.disposition & Disposition.default), streams[0])
            frame = next(container.decode(main))
            profile: Any = frame.side_data.get("ICC_PROFILE")
            pixels = apply_orientation(to_rgb(frame), read_orientation(frame))
            return pixels, None if profile is None else bytes(profile)
    except (av.FFmpegError, OSError, ValueError, IndexError, StopIteration):
        return None
