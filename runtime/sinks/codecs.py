"""Video codecs: encoder settings, and selection by container and hardware."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from fractions import Fraction

import av

from ..errors import MissingDependency, UsageError
from ..image.geometry import format_size
from ..sources.base import ffmpeg_error_text
from ..utils.log import warn_user
from .base import Encoding, EncodingOptions
from .thread_priority import preserve_thread_scheduling


@dataclass(frozen=True)
class CodecSettings:
    """Encoder and its settings.

    Attributes:
        encoder: FFmpeg's name of the encoder.
        options: FFmpeg's options of the encoder.
        pixel_format: FFmpeg's name of the pixel format that the encoder takes.
        codec_tag: The codec tag that players require in MP4 files; empty for FFmpeg's default.
        crf: The option that --crf sets; empty if there is none.
        crf_range: Its smallest and largest value.
        crf_is_whole: Only whole numbers.
        presets: What --preset may be, from slow to fast; empty if there are none.
        preset: The option that --preset sets.
        live_options: Further options with which the encoder returns each frame before it takes the
            next one.
    """

    encoder: str
    options: Mapping[str, str]
    pixel_format: str = "yuv420p"
    codec_tag: str = ""
    crf: str = ""
    crf_range: tuple[int, int] = (0, 51)
    crf_is_whole: bool = False
    presets: tuple[str, ...] = ()
    preset: str = "preset"
    live_options: Mapping[str, str] = field(default_factory=dict)

    def with_options(self, given: EncodingOptions, name: str) -> CodecSettings:
        """Return the settings with a user's CRF and preset; `name` is the codec's in messages.

        Raises:
            UsageError: The encoder has no such option, or the value is out of its range.
        """
        options = dict(self.options)
        if given.crf is not None:
            options[self.crf] = f"{self._check_crf(given.crf, name):g}"
        if given.preset is not None:
            if given.preset not in self.presets:
                known = f"use {', '.join(self.presets)}" if self.presets else "it has none"
                raise UsageError(f"--preset {given.preset} is no preset of {name}; {known}")
            options[self.preset] = given.preset
        return replace(self, options=options)

    def _check_crf(self, crf: float, name: str) -> float:
        if not self.crf:
            raise UsageError(f"{name} has no constant rate factor; leave out --crf")
        low, high = self.crf_range
        if not low <= crf <= high or (self.crf_is_whole and crf != round(crf)):
            numbers = "a whole number" if self.crf_is_whole else "a number"
            raise UsageError(
                f"--crf {crf:g} is not for {name}; give {numbers} from {low} to {high}"
            )
        return crf


_X264_PRESETS = (
    *("placebo", "veryslow", "slower", "slow", "medium"),
    *("fast", "faster", "veryfast", "superfast", "ultrafast"),
)

# Visually lossless, yet fast enough to share two cores with a network.
CODECS = {
    "h264": CodecSettings(
        "libx264",
        {"preset": "veryfast", "crf": "20"},
        crf="crf",
        presets=_X264_PRESETS,
        live_options={"tune": "zerolatency"},
    ),
    "hevc": CodecSettings(
        "libx265",
        {"preset": "superfast", "crf": "23", "x265-params": "log-level=none"},
        codec_tag="hvc1",
        crf="crf",
        presets=_X264_PRESETS,
        live_options={"tune": "zerolatency"},
    ),
    # SVT-AV1 4.1 returns blocks of other frames with the presets 10 to 13.
    "av1": CodecSettings(
        "libsvtav1",
        {"preset": "9", "crf": "30"},
        crf="crf",
        crf_range=(1, 63),
        crf_is_whole=True,
        presets=tuple(map(str, range(10))),
    ),
    "vp9": CodecSettings(
        "libvpx-vp9",
        {
            **{"deadline": "realtime", "cpu-used": "7", "row-mt": "1"},
            **{"crf": "30", "b": "0", "lag-in-frames": "0"},
        },
        crf="crf",
        crf_range=(0, 63),
        crf_is_whole=True,
        presets=tuple(map(str, range(9))),
        preset="cpu-used",
    ),
    "prores": CodecSettings("prores_ks", {"profile": "standard"}, "yuv422p10le"),
}
_NVENC = CodecSettings(
    "h264_nvenc",
    {"preset": "p4", "rc": "vbr", "cq": "23", "b": "0"},
    crf="cq",
    crf_range=(1, 51),  # 0 means automatic
    presets=tuple(f"p{speed}" for speed in range(7, 0, -1)),
    # The default delay is as many frames as NVENC has surfaces, less one.
    live_options={"delay": "0", "zerolatency": "1", "tune": "ull", "bf": "0"},
)
_QSV = CodecSettings(
    "h264_qsv",
    {"global_quality": "23"},
    "nv12",
    crf="global_quality",
    crf_range=(1, 51),
    crf_is_whole=True,
    presets=_X264_PRESETS[1:8],
    live_options={"async_depth": "1", "bf": "0"},
)
HARDWARE_CODECS = {
    "h264_nvenc": _NVENC,
    "hevc_nvenc": replace(_NVENC, encoder="hevc_nvenc", codec_tag="hvc1"),
    "av1_nvenc": replace(_NVENC, encoder="av1_nvenc"),
    "h264_qsv": _QSV,
    "hevc_qsv": replace(_QSV, encoder="hevc_qsv", codec_tag="hvc1"),
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
    encoding: Encoding, allowed: tuple[str, ...], target: str, size: tuple[int, int]
) -> CodecSettings:
    """Select the encoder of a video.

    A hardware encoder that does not work on this machine is replaced by the software encoder of the
    same codec, with a warning.

    Args:
        encoding: A name of CODECS or HARDWARE_CODECS, or EncodingOptions; without a name the first
            of `allowed`.
        allowed: The codecs that the target supports, the default first.
        target: The name of the target in messages.
        size: (height, width) of the frames in pixels.

    Raises:
        MissingDependency: FFmpeg has no such encoder, or it does not support this size.
        UsageError: The codec is unknown or not allowed, or does not have these options.
    """
    given = encoding if isinstance(encoding, EncodingOptions) else EncodingOptions(encoding)
    codec = given.codec or allowed[0]
    if codec not in CODECS and codec not in HARDWARE_CODECS:
        raise UsageError(
            f"--codec {codec} is unknown; use {', '.join((*CODECS, *HARDWARE_CODECS))}"
        )
    family = codec.partition("_")[0]
    if family not in allowed:
        raise UsageError(f"{target} cannot hold {family}; use --codec {' or '.join(allowed)}")
    if codec in HARDWARE_CODECS:
        settings = HARDWARE_CODECS[codec].with_options(given, codec)
        error = _encoder_error(settings, size)
        if error is None:
            return settings
        # Its CRF and preset have other units.
        ignored = f" without {' and '.join(flags)}" if (flags := given.flags[1:]) else ""
        given = EncodingOptions(codec)
        encoder = CODECS[family].encoder
        warn_user(f"{codec} does not work here ({error}): encoding with {encoder}{ignored}")
    settings = CODECS[family].with_options(given, family)
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
