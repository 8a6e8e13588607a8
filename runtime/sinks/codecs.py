"""Video codecs: encoder settings, and selection by container and hardware."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from fractions import Fraction

import av

from ..errors import MissingDependency, UsageError
from ..image.geometry import format_size
from ..sources.base import ffmpeg_error_text
from ..utils.log import warn_user
from .thread_priority import preserve_thread_scheduling


@dataclass(frozen=True)
class CodecSettings:
    """Encoder and its settings.

    Attributes:
        encoder: FFmpeg's name of the encoder.
        options: FFmpeg's options of the encoder.
        pixel_format: FFmpeg's name of the pixel format that the encoder takes.
        codec_tag: The codec tag that players require in MP4 files; empty for FFmpeg's default.
        live_options: Further options with which the encoder returns each frame before it takes the
            next one.
    """

    encoder: str
    options: Mapping[str, str]
    pixel_format: str = "yuv420p"
    codec_tag: str = ""
    live_options: Mapping[str, str] = field(default_factory=dict)


# Visually lossless, yet fast enough to share two cores with a network.
CODECS = {
    "h264": CodecSettings(
        "libx264", {"preset": "veryfast", "crf": "20"}, live_options={"tune": "zerolatency"}
    ),
    "hevc": CodecSettings(
        "libx265",
        {"preset": "superfast", "crf": "23", "x265-params": "log-level=none"},
        codec_tag="hvc1",
        live_options={"tune": "zerolatency"},
    ),
    # SVT-AV1 4.1 returns blocks of other frames with the presets 10 to 13.
    "av1": CodecSettings("libsvtav1", {"preset": "9", "crf": "30"}),
    "vp9": CodecSettings(
        "libvpx-vp9",
        {
            **{"deadline": "realtime", "cpu-used": "7", "row-mt": "1"},
            **{"crf": "30", "b": "0", "lag-in-frames": "0"},
        },
    ),
    "prores": CodecSettings("prores_ks", {"profile": "standard"}, "yuv422p10le"),
}
_NVENC_OPTIONS = {"preset": "p4", "rc": "vbr", "cq": "23", "b": "0"}
# The default delay is as many frames as NVENC has surfaces, less one.
_NVENC_LIVE = {"delay": "0", "zerolatency": "1", "tune": "ull", "bf": "0"}
_QSV_OPTIONS, _QSV_LIVE = {"global_quality": "23"}, {"async_depth": "1", "bf": "0"}
HARDWARE_CODECS = {
    "h264_nvenc": CodecSettings("h264_nvenc", _NVENC_OPTIONS, live_options=_NVENC_LIVE),
    "hevc_nvenc": CodecSettings(
        "hevc_nvenc", _NVENC_OPTIONS, codec_tag="hvc1", live_options=_NVENC_LIVE
    ),
    "av1_nvenc": CodecSettings("av1_nvenc", _NVENC_OPTIONS, live_options=_NVENC_LIVE),
    "h264_qsv": CodecSettings("h264_qsv", _QSV_OPTIONS, "nv12", live_options=_QSV_LIVE),
    "hevc_qsv": CodecSettings(
        "hevc_qsv", _QSV_OPTIONS, "nv12", codec_tag="hvc1", live_options=_QSV_LIVE
    ),
    "h264_v4l2m2m": CodecSettings("h264_v4l2m2m", {"b": "8M"}),
}
RAW_VIDEO = CodecSettings("rawvideo", {}, "yuyv422")

# The codecs of each container, the default first.
CONTAINERS = {
    ".mp4": ("h264", "hevc", "av1", "vp9"),
    ".mov": ("h264", "hevc", "prores"),
    ".mkv": ("h264", "hevc", "av1", "vp9", "prores"),
    ".webm": ("vp9", "av1"),
    ".ts": ("h264", "hevc"),
}


def select_codec(
    codec: str | None, allowed: tuple[str, ...], target: str, size: tuple[int, int]
) -> CodecSettings:
    """Select the encoder of a video.

    A hardware encoder that does not work on this machine is replaced by the software encoder of the
    same codec, with a warning.

    Args:
        codec: A name of CODECS or HARDWARE_CODECS; None for the first of `allowed`.
        allowed: The codecs that the target supports, the default first.
        target: The name of the target in messages.
        size: (height, width) of the frames in pixels.

    Raises:
        MissingDependency: FFmpeg has no such encoder, or it does not support this size.
        UsageError: `codec` is unknown or not allowed.
    """
    codec = codec or allowed[0]
    if codec not in CODECS and codec not in HARDWARE_CODECS:
        raise UsageError(
            f"--codec {codec} is unknown; use {', '.join((*CODECS, *HARDWARE_CODECS))}"
        )
    family = codec.partition("_")[0]
    if family not in allowed:
        raise UsageError(f"{target} cannot hold {family}; use --codec {' or '.join(allowed)}")
    if codec in HARDWARE_CODECS:
        error = _encoder_error(HARDWARE_CODECS[codec], size)
        if error is None:
            return HARDWARE_CODECS[codec]
        warn_user(f"{codec} does not work here ({error}): encoding with {CODECS[family].encoder}")
    settings = CODECS[family]
    error = _encoder_error(settings, size)
    if error is not None:
        raise MissingDependency(
            f"FFmpeg cannot encode {format_size(size)} {family} here ({error}); "
            f"use another --codec: {', '.join(allowed)}"
        )
    return settings


def _encoder_error(settings: CodecSettings, size: tuple[int, int]) -> str | None:
    """Return why an encoder does not open, or None if it does.

    FFmpeg also lists encoders whose hardware or driver is missing, so this opens the encoder.
    """
    try:
        context = av.CodecContext.create(settings.encoder, "w")
        assert isinstance(context, av.VideoCodecContext)
        context.height, context.width = size
        context.pix_fmt, context.time_base = settings.pixel_format, Fraction(1, 25)
        context.framerate = Fraction(25)
        context.options = dict(settings.options)
        with preserve_thread_scheduling():
            context.open()
    except av.codec.codec.UnknownCodecError:
        return "FFmpeg was built without it"
    except (av.FFmpegError, ValueError) as error:
        return ffmpeg_error_text(error)
    return None
