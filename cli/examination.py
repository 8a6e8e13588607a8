"""What `cgt doctor` looks at. Everything is tried, not looked up, where trying is quick."""

from __future__ import annotations

import ctypes.util
import importlib.metadata
import importlib.util
import platform
import shutil
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

from cgt.runtime.cache import cache_folder, cpu_name
from cgt.runtime.engines import cores
from cgt.runtime.errors import CgtError
from cgt.runtime.preprocess import simd_path

_FEATURES = {
    "x86": ("avx2", "fma", "avx512f", "avx512_vnni", "avx512_bf16", "amx_bf16", "amx_int8"),
    "arm": ("asimd", "asimdhp", "asimddp", "bf16", "i8mm", "sve"),
}
_ENCODERS = {
    "H.264": ("libx264", "h264_nvenc", "h264_qsv", "h264_vaapi", "h264_v4l2m2m"),
    "HEVC": ("libx265", "hevc_nvenc", "hevc_qsv", "hevc_vaapi"),
    "AV1": ("libsvtav1", "libaom-av1", "av1_nvenc", "av1_qsv"),
    "VP9": ("libvpx-vp9",),
    "ProRes": ("prores_ks",),
    "AAC": ("aac",),
}
_DECODERS = ("h264", "hevc", "av1", "libdav1d", "vp9", "mjpeg", "prores", "h264_cuvid")
_EXTRAS = {
    "torch": "[train]",
    "onnx": "[train]",
    "efficientnet-lite-pytorch": "[projected]",
    "scikit-video": "[demo]",
}


@dataclass(frozen=True)
class Finding:
    """One thing that this machine can do, or what to install so that it can."""

    what: str
    works: bool
    found: str = ""
    install: str = ""


def examine() -> list[Finding]:
    """In the order in which a picture goes through. Raises UsageError for a wrong CGT_SIMD."""
    simd_path()
    parts: tuple[Callable[[], Iterator[Finding]], ...] = (
        _machine,
        _openvino,
        _onnxruntime,
        _nvidia,
        _codecs,
        _capture,
        _packages,
    )
    return [finding for part in parts for finding in part()]


def _machine() -> Iterator[Finding]:
    yield Finding("cgt", True, _version("cyclegan-toolkit"))
    python = f"{platform.python_version()}, {platform.system()} on {platform.machine()}"
    yield Finding("python", True, python)
    flags = _cpu_flags()
    known = [name for names in _FEATURES.values() for name in names if name in flags]
    yield Finding(
        "cpu", True, f"{cpu_name()}, {cores()} cores: {' '.join(known) or 'no SIMD seen'}"
    )
    yield Finding("pixels", True, f"C library, {simd_path()}")
    folder = cache_folder()
    yield Finding(
        "cache",
        folder is not None,
        str(folder or "the cache folder cannot be written: every start measures and compiles anew"),
        "" if folder else "set XDG_CACHE_HOME to a folder of yours",
    )


def _openvino() -> Iterator[Finding]:
    try:
        import openvino as ov

        from cgt.runtime.engines.openvino_floats import fp32_is_faster
        from cgt.runtime.engines.openvino_int8 import int8_is_cut_off

        core = ov.Core()
        kinds = [str(k).lower() for k in core.get_property("CPU", "OPTIMIZATION_CAPABILITIES")]
        notes = " (bf16 is slower here than fp32, and not taken)" if fp32_is_faster(core) else ""
        notes += " (INT8 with weights of 7 bits: no VNNI)" if int8_is_cut_off() else ""
    except (ImportError, RuntimeError) as error:
        yield Finding("openvino", False, f"does not load ({error})", "pip install openvino")
        return
    types = ", ".join(kind for kind in kinds if kind in ("fp32", "bf16", "fp16", "int8"))
    devices = ", ".join(core.available_devices)
    yield Finding(
        "openvino", True, f"{_version('openvino')}: {devices}; computes in {types}{notes}"
    )


def _onnxruntime() -> Iterator[Finding]:
    package = "onnxruntime-gpu" if _version("onnxruntime-gpu") else "onnxruntime"
    if not _version(package):
        yield Finding("onnxruntime", False, "not installed", _extra("[ort]") + " (or [gpu])")
        return
    try:
        import onnxruntime as ort
    except ImportError as error:
        yield Finding("onnxruntime", False, f"does not load ({error})", _extra("[ort]"))
        return
    providers = [name.removesuffix("ExecutionProvider") for name in ort.get_available_providers()]
    yield Finding("onnxruntime", True, f"{_version(package)}: {', '.join(providers)}")
    cuda = "CUDA" in providers
    what = "onnxruntime on CUDA"
    how = "pip uninstall onnxruntime, then " + _extra("[gpu]")
    yield Finding(what, cuda, "in this build" if cuda else "not in this build", "" if cuda else how)


def _nvidia() -> Iterator[Finding]:
    driver = ctypes.util.find_library("cuda")
    gpu = _nvidia_smi()
    install = "an NVIDIA GPU and its driver" if not (driver or gpu) else ""
    yield Finding("cuda", bool(driver), gpu or ("driver" if driver else "no driver"), install)
    version = _version("tensorrt") or _version("tensorrt-cu13") or _version("tensorrt-cu12")
    loads = importlib.util.find_spec("tensorrt") is not None
    yield Finding(
        "tensorrt",
        loads,
        version or ("system" if loads else "not installed"),
        "" if loads else _extra("[tensorrt]"),
    )


def _nvidia_smi() -> str:
    """Name, driver, memory; empty without one."""
    if not shutil.which("nvidia-smi"):
        return ""
    command = [
        "nvidia-smi",
        "--query-gpu=name,driver_version,memory.total",
        "--format=csv,noheader",
    ]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=10, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return "; ".join(done.stdout.split("\n")).strip("; ") if done.returncode == 0 else ""


def _codecs() -> Iterator[Finding]:
    import av

    yield Finding("video", True, f"PyAV {_version('av')}, FFmpeg {av.ffmpeg_version_info}")
    for kind, names in _ENCODERS.items():
        here = [name for name in names if _codec_opens(name, "w")]
        yield Finding(f"encode {kind}", bool(here), ", ".join(here) or "not in this PyAV")
    decoders = [name for name in _DECODERS if _codec_opens(name, "r")]
    yield Finding("decode", bool(decoders), ", ".join(decoders))


def _codec_opens(name: str, mode: str) -> bool:
    """Whether the codec is there; one for hardware only where it really starts."""
    import av

    try:
        if mode == "r":
            av.Codec(name, "r")
            return "cuvid" not in name or Path("/dev/nvidia0").exists()
        codec = av.Codec(name, "w")
        if codec.type != "video" or not any(h in name for h in ("nvenc", "qsv", "vaapi", "v4l2")):
            return True
        context = av.CodecContext.create(name, "w")
        assert isinstance(context, av.VideoCodecContext)
        context.width, context.height, context.pix_fmt = 320, 240, "nv12"
        context.time_base = Fraction(1, 25)
        context.open()
    except (av.FFmpegError, ValueError, OSError):
        return False
    return True


def _capture() -> Iterator[Finding]:
    try:
        from cgt.runtime.opencv import cv2
    except CgtError as error:
        yield Finding("opencv", False, str(error))
        return
    package = "opencv-python" if _version("opencv-python") else "opencv-python-headless"
    yield Finding("opencv", True, f"{cv2.__version__} ({package})")
    streamer = any(
        "GStreamer" in line and "YES" in line for line in cv2.getBuildInformation().splitlines()
    )
    yield Finding(
        "gstreamer",
        streamer,
        "in this OpenCV" if streamer else "not in this OpenCV",
        "" if streamer else "the OpenCV of JetPack or of your distribution",
    )
    cameras = [_camera(path) for path in sorted(Path("/dev").glob("video*"))]
    yield Finding(
        "cameras",
        bool(cameras),
        "; ".join(cameras) or "none under /dev/video*",
        "" if cameras else "plug one in; in a container pass --device /dev/video0",
    )


def _camera(device: Path) -> str:
    try:
        name = Path(f"/sys/class/video4linux/{device.name}/name").read_text().strip()
    except OSError:
        name = ""
    return f"{device} {name}".strip()


def _packages() -> Iterator[Finding]:
    for package, extra in _EXTRAS.items():
        version = _version(package)
        yield Finding(
            package, bool(version), version or "not installed", "" if version else _extra(extra)
        )


def _cpu_flags() -> set[str]:
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith(("flags", "Features")):
                return set(line.partition(":")[2].split())
    except OSError:
        pass
    return set()


def _extra(extra: str) -> str:
    return f"pip install 'cyclegan-toolkit{extra}'"


def _version(package: str) -> str:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return ""
