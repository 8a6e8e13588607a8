"""Which encoder makes a video, and how it is set."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction

import av

from ..errors import MissingDependency, UsageError
from ..notes import note
from .scheduling import usual_scheduling


@dataclass(frozen=True)
class Encoding:
    """encoder, options: FFmpeg's names. pixels: the format it is fed."""

    encoder: str
    options: Mapping[str, str]
    pixels: str = "yuv420p"
    tag: str = ""  # what players look for in a mp4


# Visually clean, and fast enough to share two cores with a network.
CODECS = {
    "h264": Encoding("libx264", {"preset": "veryfast", "crf": "20"}),
    "hevc": Encoding(
        "libx265",
        {"preset": "superfast", "crf": "23", "x265-params": "log-level=none"},
        tag="hvc1",
    ),
    "av1": Encoding("libsvtav1", {"preset": "10", "crf": "30"}),
    "vp9": Encoding(
        "libvpx-vp9",
        {
            **{"deadline": "realtime", "cpu-used": "7", "row-mt": "1"},
            **{"crf": "30", "b": "0", "lag-in-frames": "0"},
        },
    ),
    "prores": Encoding("prores_ks", {"profile": "standard"}, "yuv422p10le"),
}
_NVENC = {"preset": "p4", "rc": "vbr", "cq": "23", "b": "0"}
HARDWARE = {
    "h264_nvenc": Encoding("h264_nvenc", _NVENC),
    "hevc_nvenc": Encoding("hevc_nvenc", _NVENC, tag="hvc1"),
    "av1_nvenc": Encoding("av1_nvenc", _NVENC),
    "h264_qsv": Encoding("h264_qsv", {"global_quality": "23"}, "nv12"),
    "hevc_qsv": Encoding("hevc_qsv", {"global_quality": "23"}, "nv12", tag="hvc1"),
    "h264_v4l2m2m": Encoding("h264_v4l2m2m", {"b": "8M"}),
}
RAW = Encoding("rawvideo", {}, "yuyv422")

# What each kind of file may hold, the default first.
CONTAINERS = {
    ".mp4": ("h264", "hevc", "av1", "vp9"),
    ".mov": ("h264", "hevc", "prores"),
    ".mkv": ("h264", "hevc", "av1", "vp9", "prores"),
    ".webm": ("vp9", "av1"),
    ".ts": ("h264", "hevc"),
}


def choose(codec: str | None, fits: tuple[str, ...], where: str, size: tuple[int, int]) -> Encoding:
    """codec: a name of CODECS or HARDWARE, None for the first that `fits`. size: of the pictures.

    Hardware that does not work here is replaced by its software codec, which is said. Raises
    UsageError where `where` cannot hold it, MissingDependency where FFmpeg has no such encoder.
    """
    codec = codec or fits[0]
    if codec not in CODECS and codec not in HARDWARE:
        raise UsageError(f"--codec {codec} is unknown; use {', '.join((*CODECS, *HARDWARE))}")
    family = codec.partition("_")[0]
    if family not in fits:
        raise UsageError(f"{where} cannot hold {family}; use --codec {' or '.join(fits)}")
    if codec in HARDWARE:
        reason = _refusal(HARDWARE[codec], size)
        if reason is None:
            return HARDWARE[codec]
        note(f"{codec} does not work here ({reason}): encoding with {CODECS[family].encoder}")
    encoding = CODECS[family]
    reason = _refusal(encoding, size)
    if reason is not None:
        raise MissingDependency(
            f"FFmpeg does not encode {size[1]}x{size[0]} {family} here ({reason}); "
            f"use another --codec: {', '.join(fits)}"
        )
    return encoding


def _refusal(encoding: Encoding, size: tuple[int, int]) -> str | None:
    """Why the encoder does not open, or None where it does. Only trying tells: FFmpeg lists
    encoders whose hardware or driver is absent."""
    try:
        context = av.CodecContext.create(encoding.encoder, "w")
        assert isinstance(context, av.VideoCodecContext)
        context.height, context.width = size
        context.pix_fmt, context.time_base = encoding.pixels, Fraction(1, 25)
        context.framerate = Fraction(25)
        context.options = dict(encoding.options)
        with usual_scheduling():
            context.open()
    except av.codec.codec.UnknownCodecError:
        return "FFmpeg was built without it"
    except (av.FFmpegError, ValueError) as error:
        return getattr(error, "strerror", None) or str(error)
    return None
