"""Checks of `cgt doctor`: engines, codecs, cameras and packages of this machine.

Features are tested by using them where that is quick, not looked up.
"""

from __future__ import annotations

import importlib.util
import platform
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from types import ModuleType

from .engines.base import last_error_line
from .engines.cuda import cuda_driver_version, list_gpus
from .errors import CgtError
from .image.preprocess import simd_instruction_set
from .utils.cache import cache_dir
from .utils.system import available_cpus, cpu_flags, cpu_name, package_version, query_nvidia_smi

_SIMD_FLAGS = {
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
_HARDWARE_ENCODERS = ("nvenc", "qsv", "vaapi", "v4l2")
_DECODERS = ("h264", "hevc", "av1", "libdav1d", "vp9", "mjpeg", "prores", "h264_cuvid")
_PRECISIONS = ("fp32", "bf16", "fp16", "int8")
_GPU_PROPERTIES = ("name", "driver_version", "memory.total")
_PACKAGE_EXTRAS = {
    "torch": "[train]",
    "onnx": "[train]",
    "efficientnet-lite-pytorch": "[projected]",
    "scikit-video": "[demo]",
}


@dataclass(frozen=True)
class Check:
    """The result of one check.

    Attributes:
        name: what was checked.
        available: whether it works.
        details: version, device, or why it does not work.
        install: what to install or do, if it does not work.
    """

    name: str
    available: bool
    details: str = ""
    install: str = ""


def run_checks() -> list[Check]:
    """Run all checks and return their results.

    Raises:
        UsageError: CGT_SIMD is invalid.
    """
    simd_instruction_set()
    checks: tuple[Callable[[], Iterator[Check]], ...] = (
        _check_machine,
        _check_openvino,
        _check_onnxruntime,
        _check_nvidia,
        _check_codecs,
        _check_capture,
        _check_packages,
    )
    return [check for run in checks for check in run()]


def _check_machine() -> Iterator[Check]:
    yield Check("cgt", True, package_version("cyclegan-toolkit"))
    python = f"{platform.python_version()}, {platform.system()} on {platform.machine()}"
    yield Check("python", True, python)
    flags = cpu_flags()
    known = [name for names in _SIMD_FLAGS.values() for name in names if name in flags]
    yield Check(
        "cpu", True, f"{cpu_name()}, {available_cpus()} cores: {' '.join(known) or 'no known SIMD'}"
    )
    yield Check("pixels", True, f"C library, {simd_instruction_set()}")
    folder = cache_dir()
    yield Check(
        "cache",
        folder is not None,
        str(folder or "the cache folder cannot be written: each start measures and compiles again"),
        "" if folder else "set XDG_CACHE_HOME to a folder that you own",
    )


def _check_openvino() -> Iterator[Check]:
    try:
        import openvino as ov

        from .engines.openvino_cpu import fp32_faster_than_bf16, int8_saturates

        core = ov.Core()
        capabilities = map(str.lower, core.get_property("CPU", "OPTIMIZATION_CAPABILITIES"))
        notes = (
            " (bf16 is slower here than fp32, and not used)" if fp32_faster_than_bf16(core) else ""
        )
        notes += " (INT8 with 7-bit weights: no VNNI)" if int8_saturates() else ""
    except (ImportError, RuntimeError) as error:
        yield Check("openvino", False, f"does not load ({error})", "pip install openvino")
        return
    precisions = ", ".join(name for name in capabilities if name in _PRECISIONS)
    devices = ", ".join(core.available_devices)
    yield Check(
        "openvino",
        True,
        f"{package_version('openvino')}: {devices}; computes in {precisions}{notes}",
    )


def _check_onnxruntime() -> Iterator[Check]:
    package = "onnxruntime-gpu" if package_version("onnxruntime-gpu") else "onnxruntime"
    if not package_version(package):
        yield Check(
            "onnxruntime", False, "not installed", _install_command("[ort]") + " (or [gpu])"
        )
        return
    try:
        import onnxruntime as ort
    except ImportError as error:
        yield Check("onnxruntime", False, f"does not load ({error})", _install_command("[ort]"))
        return
    providers = [name.removesuffix("ExecutionProvider") for name in ort.get_available_providers()]
    yield Check("onnxruntime", True, f"{package_version(package)}: {', '.join(providers)}")
    if "CUDA" not in providers:
        install = "pip uninstall onnxruntime, then " + _install_command("[gpu]")
        yield Check("onnxruntime on CUDA", False, "not in this build", install)
        return
    problem = _cuda_provider_error(ort)
    yield Check("onnxruntime on CUDA", not problem, problem or "loads", problem and _CUDA_HINT)


_CUDA_HINT = (
    "pip install 'onnxruntime-gpu[cuda,cudnn]'; builds for CUDA 13 need driver 580 or newer"
)


def _cuda_provider_error(ort: ModuleType) -> str:
    """Return why ONNX Runtime's CUDA provider does not load, or ""."""
    from .engines.onnxruntime_cuda import load_cuda_libraries
    from .inference.translator import DEFAULT_MODEL

    library_error = load_cuda_libraries(ort)
    options = ort.SessionOptions()
    options.log_severity_level = 4
    try:
        session = ort.InferenceSession(
            DEFAULT_MODEL, options, providers=["CUDAExecutionProvider", "CPUExecutionProvider"]
        )
    except Exception as error:  # ONNX Runtime's errors have no other base class
        return f"does not load ({last_error_line(error)})"
    if session.get_providers()[0] == "CUDAExecutionProvider":
        return ""
    return f"does not load ({library_error or 'libraries, driver?'})"


def _check_nvidia() -> Iterator[Check]:
    driver = cuda_driver_version()
    gpu = "; ".join(", ".join(gpu.values()) for gpu in query_nvidia_smi(_GPU_PROPERTIES))
    gpu = gpu or "; ".join(gpu.name for gpu in list_gpus()) or "no GPU"
    install = "an NVIDIA GPU and its driver" if not driver else ""
    details = f"{gpu}, driver for CUDA {driver}" if driver else "no driver"
    yield Check("cuda", bool(driver), details, install)
    version = package_version("tensorrt", "tensorrt-cu13", "tensorrt-cu12")
    loads = importlib.util.find_spec("tensorrt") is not None
    yield Check(
        "tensorrt",
        loads,
        version or ("system" if loads else "not installed"),
        "" if loads else _install_command("[tensorrt]"),
    )


def _check_codecs() -> Iterator[Check]:
    import av

    yield Check("video", True, f"PyAV {package_version('av')}, FFmpeg {av.ffmpeg_version_info}")
    for kind, names in _ENCODERS.items():
        available = [name for name in names if _codec_opens(name, "w")]
        yield Check(f"encode {kind}", bool(available), ", ".join(available) or "not in this PyAV")
    decoders = [name for name in _DECODERS if _codec_opens(name, "r")]
    yield Check("decode", bool(decoders), ", ".join(decoders))


def _codec_opens(name: str, mode: str) -> bool:
    """Return whether the codec exists; a hardware encoder must also open."""
    import av

    try:
        if mode == "r":
            av.Codec(name, "r")
            return "cuvid" not in name or Path("/dev/nvidia0").exists()
        codec = av.Codec(name, "w")
        if codec.type != "video" or not any(api in name for api in _HARDWARE_ENCODERS):
            return True
        context = av.CodecContext.create(name, "w")
        assert isinstance(context, av.VideoCodecContext)
        context.width, context.height, context.pix_fmt = 320, 240, "nv12"
        context.time_base = Fraction(1, 25)
        context.open()
    except (av.FFmpegError, ValueError, OSError):
        return False
    return True


def _check_capture() -> Iterator[Check]:
    try:
        from .image.opencv import cv2
    except CgtError as error:
        yield Check("opencv", False, str(error))
        return
    package = "opencv-python" if package_version("opencv-python") else "opencv-python-headless"
    yield Check("opencv", True, f"{cv2.__version__} ({package})")
    has_gstreamer = any(
        "GStreamer" in line and "YES" in line for line in cv2.getBuildInformation().splitlines()
    )
    yield Check(
        "gstreamer",
        has_gstreamer,
        "in this OpenCV" if has_gstreamer else "not in this OpenCV",
        "" if has_gstreamer else "the OpenCV of JetPack or of your distribution",
    )
    cameras = [_describe_camera(path) for path in sorted(Path("/dev").glob("video*"))]
    yield Check(
        "cameras",
        bool(cameras),
        "; ".join(cameras) or "none under /dev/video*",
        "" if cameras else "connect one; in a container pass --device /dev/video0",
    )


def _describe_camera(device: Path) -> str:
    try:
        name = Path(f"/sys/class/video4linux/{device.name}/name").read_text().strip()
    except OSError:
        name = ""
    return f"{device} {name}".strip()


def _check_packages() -> Iterator[Check]:
    for package, extra in _PACKAGE_EXTRAS.items():
        version = package_version(package)
        yield Check(
            package,
            bool(version),
            version or "not installed",
            "" if version else _install_command(extra),
        )


def _install_command(extra: str) -> str:
    return f"pip install 'cyclegan-toolkit{extra}'"
