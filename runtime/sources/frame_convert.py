"""Conversion of decoded frames to RGB: color, rotation, letterboxing and deinterlacing."""

from __future__ import annotations

import threading
from dataclasses import replace
from fractions import Fraction
from typing import Any

import av
import numpy as np
from av.sidedata.sidedata import Type as SideDataType
from av.video.reformatter import VideoReformatter

from ..errors import SourceError
from ..image.preprocess import U8, YUV, resize
from .base import SWSCALE_MATRICES, YUV_MATRICES, ColorSpace, untagged_color_space
from .tone_map import BT2020_MATRIX, HDR_NAMES, tone_map

IDENTITY_ORIENTATION = ((1, 0), (0, 1))
_BT2020_PRIMARIES = 9
_UNSPECIFIED = 2
_thread_local = threading.local()


def _unknown_side_data_type(cls: type[SideDataType], value: object) -> SideDataType:
    """Make a member for a type that PyAV does not know; `frame.side_data` would raise."""
    member: Any = object.__new__(cls)
    member._name_, member._value_ = f"UNKNOWN_{value}", value
    unknown: SideDataType = member
    return unknown


# FFmpeg has more types of side data than PyAV lists: EXIF and the views of MV-HEVC among them.
SideDataType._missing_ = classmethod(_unknown_side_data_type)  # type: ignore[method-assign,assignment]


# The C library reads these. It is faster and more accurate than FFmpeg, whose fast conversion is
# about one level too dark.
_YUV_FORMATS = ("yuv420p", "yuvj420p", "nv12")


def has_yuv_planes(frame: av.VideoFrame) -> bool:
    """Return whether `yuv_planes` can read a frame: 8-bit 4:2:0 in BT.601 or BT.709, not HDR."""
    return (
        frame.format.name in _YUV_FORMATS
        and read_matrix(frame) in YUV_MATRICES
        and int(frame.color_trc) not in HDR_NAMES
        and all(plane.line_size > 0 for plane in frame.planes)  # negative: stored upside down
    )


def yuv_planes(frame: av.VideoFrame) -> YUV:
    """Return the planes of a frame as views, which keep it in memory; see `has_yuv_planes`."""
    y, u, *v = (
        np.frombuffer(memoryview(p), np.uint8).reshape(p.height, p.line_size) for p in frame.planes
    )
    width = frame.width
    half = (width + 1) // 2
    matrix, full_range = YUV_MATRICES[read_matrix(frame)], _has_full_range(frame)
    if v:
        return YUV(y[:, :width], u[:, :half], v[0][:, :half], matrix, full_range)
    pairs = u[:, : 2 * half].reshape(-1, half, 2)
    return YUV(y[:, :width], pairs, None, matrix, full_range)


def _has_full_range(frame: av.VideoFrame) -> bool:
    return int(frame.color_range) == 2 or frame.format.name.startswith("yuvj")


def to_rgb(frame: av.VideoFrame) -> U8:
    """Convert a decoded frame to RGB by the matrix and range of its tags.

    See `read_matrix` for untagged frames. HDR becomes SDR. Bit depths above 8 are reduced to 8.
    Frames with `has_yuv_planes` are converted by the C library, others by FFmpeg.

    Returns:
        uint8 HWC RGB, or RGBA if the format has transparency; possibly a view with gaps between its
        rows.

    Raises:
        SourceError: FFmpeg cannot convert this pixel format and matrix.
    """
    if has_yuv_planes(frame):
        return resize(yuv_planes(frame), (frame.height, frame.width))
    if not hasattr(_thread_local, "reformatter"):  # it keeps its tables between frames
        _thread_local.reformatter = VideoReformatter()
    # Of an unknown matrix swscale gets the tag itself, and raises.
    matrix = SWSCALE_MATRICES.get(read_matrix(frame))
    try:
        if int(frame.color_trc) in HDR_NAMES:
            frame, matrix = tone_map(frame, _thread_local.reformatter, matrix), None
        has_alpha = any(component.is_alpha for component in frame.format.components)
        converted = _thread_local.reformatter.reformat(
            frame, format="rgba" if has_alpha else "rgb24", src_colorspace=matrix, threads=1
        )
    except (av.FFmpegError, ValueError) as error:
        kind = f"{frame.format.name} frames with matrix {frame.colorspace}"
        raise SourceError(f"FFmpeg cannot convert {kind}: {error}") from None
    pixels: U8 = converted.to_ndarray().astype(np.uint8, copy=False)
    return pixels


def read_orientation(frame: av.VideoFrame) -> tuple[tuple[int, int], tuple[int, int]]:
    """Return the signs of the display matrix, by rows, x before y: how a phone was held."""
    data: Any = frame.side_data.get("DISPLAYMATRIX")
    if data is None:
        return IDENTITY_ORIENTATION
    a, b, _, c, d, *_ = np.frombuffer(bytes(data), np.int32).tolist()
    # Only rotations by 90 degrees and mirroring; no player shows anything in between.
    if (b, c) == (0, 0) or abs(a) > abs(b):
        return (_sign(a), 0), (0, _sign(d))
    return (0, _sign(b)), (_sign(c), 0)


def _sign(value: int) -> int:
    return -1 if value < 0 else 1


def apply_orientation(image: U8, matrix: tuple[tuple[int, int], tuple[int, int]]) -> U8:
    """Rotate and mirror an image as its display matrix demands.

    A point (x, y) is shown at (a x + c y, b x + d y). Nonzero b and c swap the axes.
    """
    if matrix == IDENTITY_ORIENTATION:
        return image
    (a, b), (c, d) = matrix
    if a == 0:
        image = image.transpose(1, 0, 2)
        a, d = c, b  # signs of the new x (from y) and the new y (from x)
    return np.ascontiguousarray(image[:: d or 1, :: a or 1])


def swaps_axes(matrix: tuple[tuple[int, int], tuple[int, int]]) -> bool:
    """Return whether the display matrix swaps width and height."""
    return matrix[0][0] == 0


def letterbox(image: U8, size: tuple[int, int]) -> U8:
    """Fit a whole image into (height, width), with black bars if the aspect ratios differ."""
    height, width = image.shape[:2]
    if (height, width) == size:
        return image
    scale = min(Fraction(size[0], height), Fraction(size[1], width))
    inner = (max(1, round(height * scale)), max(1, round(width * scale)))
    small = resize(np.ascontiguousarray(image), inner)
    if inner == size:
        return small
    canvas = np.zeros((*size, image.shape[2]), np.uint8)
    canvas[..., 3:] = 255  # bars are opaque
    top, left = (size[0] - inner[0]) // 2, (size[1] - inner[1]) // 2
    canvas[top : top + inner[0], left : left + inner[1]] = small
    return canvas


def read_matrix(frame: av.VideoFrame) -> int:
    """Return the YUV matrix of a frame by its number in H.273.

    Without a tag it is the one of BT.2020 for its primaries, else it follows from the size; see
    `untagged_color_space`.
    """
    matrix = int(frame.colorspace)
    if matrix != _UNSPECIFIED or frame.format.is_rgb:
        return matrix
    if int(frame.color_primaries) == _BT2020_PRIMARIES:
        return BT2020_MATRIX
    return untagged_color_space((frame.height, frame.width)).matrix


def read_color_space(frame: av.VideoFrame) -> ColorSpace | None:
    """Return the color tags of the RGB that `to_rgb` makes of a frame, to encode it with.

    HDR has become BT.709. For RGB frames the result is None.
    """
    matrix = read_matrix(frame)
    if frame.format.is_rgb or matrix == 0:
        return None
    if int(frame.color_trc) in HDR_NAMES:
        return ColorSpace()
    full_range = _has_full_range(frame)
    if int(frame.colorspace) == _UNSPECIFIED and int(frame.color_primaries) == _UNSPECIFIED:
        untagged = untagged_color_space((frame.height, frame.width))
        return replace(untagged, full_range=full_range)
    return ColorSpace(matrix, int(frame.color_primaries), int(frame.color_trc), full_range)


class Deinterlacer:
    """FFmpeg's bwdif filter: one progressive frame per interlaced frame, one frame late."""

    def __init__(self, stream: av.VideoStream) -> None:
        self._graph = graph = av.filter.Graph()
        graph.link_nodes(
            graph.add_buffer(template=stream),
            graph.add("bwdif", "mode=send_frame:deint=interlaced"),
            graph.add("buffersink"),
        ).configure()

    def __call__(self, frame: av.VideoFrame | None) -> list[av.VideoFrame]:
        """Push a frame and return the finished ones; None flushes the filter."""
        self._graph.push(frame)
        ready: list[av.VideoFrame] = []
        while True:
            try:
                filtered = self._graph.pull()
            except (av.FFmpegError, EOFError, BlockingIOError):
                return ready
            assert isinstance(filtered, av.VideoFrame)
            ready.append(filtered)
