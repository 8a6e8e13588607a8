"""Compatibility of a TensorRT plan with this machine, and the TensorRT logger."""

from __future__ import annotations

import importlib
from pathlib import Path
from types import ModuleType
from typing import Any

from ..errors import EngineError, MissingDependency, ModelError
from ..models.sidecar import EngineBuildInfo
from .cuda import GPU, list_gpus


def make_logger(api: ModuleType) -> Any:
    """Return an ILogger that keeps the last errors and the layer tables of the builder.

    Args:
        api: the module tensorrt or tensorrt_rtx.
    """

    class Logger(api.ILogger):  # type: ignore[misc, name-defined]
        """The logger must outlive all objects that were created with it."""

        def __init__(self) -> None:
            api.ILogger.__init__(self)
            self.errors: list[str] = []
            self.tables: list[str] = []

        def log(self, severity: Any, msg: str) -> None:
            if severity.name in ("ERROR", "INTERNAL_ERROR"):
                self.errors = [*self.errors[-9:], " ".join(msg.split())]
            elif msg.startswith("Layers:"):
                self.tables.append(msg)

        def last_error(self) -> str:
            """Return the last error, without those that follow every error without a driver."""
            relevant = [error for error in self.errors if "catchCudaError" not in error]
            return (relevant or self.errors or ["no reason was logged"])[-1]

    return Logger()


_PACKAGES = {
    "tensorrt": ("tensorrt", "[tensorrt], or JetPack's own on a Jetson"),
    "tensorrt-rtx": ("tensorrt_rtx", "[tensorrt-rtx]"),
}
_AMPERE_COMPUTE_CAPABILITY = 80


def load_tensorrt(build: EngineBuildInfo) -> ModuleType:
    """Import tensorrt or tensorrt_rtx, whichever built the plan."""
    if build.format not in _PACKAGES:
        raise ModelError(
            f"the engine of {build.onnx} has the format {build.format}, which TensorRT does not run"
        )
    package, extra = _PACKAGES[build.format]
    try:
        api = importlib.import_module(package)
    except (ImportError, OSError):
        api = None
    if api is None or not hasattr(api, "__version__"):  # type stubs are empty modules
        raise MissingDependency(f"{package} is not installed; install the extra {extra}")
    return api


def check_compatibility(path: Path, build: EngineBuildInfo, api: ModuleType) -> GPU:
    """Return the GPU to run a plan on.

    Raises:
        MissingDependency: there is no GPU.
        EngineError: the plan is for another TensorRT version or GPU. The message has the command
            that builds it for this machine.
    """
    gpus = list_gpus()
    if not gpus:
        raise MissingDependency(f"there is no NVIDIA GPU here, and {path} needs one")
    gpu, version = gpus[0], str(api.__version__)
    if not _is_version_compatible(build, version):
        raise EngineError(
            f"{path} was built by {build.format} {build.version}, but this machine has {version}; "
            f"run: {build.rebuild_command}"
        )
    if not _is_gpu_compatible(build, gpu):
        built_for = ", ".join(f"{number / 10:.1f}" for number in build.compute_capabilities)
        raise EngineError(
            f"{path} was built for {f'{build.gpu}, ' if build.gpu else ''}compute capability "
            f"{built_for}, but this machine has {gpu.name}, {gpu.compute_capability / 10:.1f}; "
            f"run: {build.rebuild_command}"
        )
    return gpu


def _is_version_compatible(build: EngineBuildInfo, installed: str) -> bool:
    if build.version == installed:
        return True
    built_by, here = (
        tuple(int(part) for part in text.split(".") if part.isdigit())
        for text in (build.version, installed)
    )
    return build.version_compatible and built_by[:1] == here[:1] and built_by <= here


def _is_gpu_compatible(build: EngineBuildInfo, gpu: GPU) -> bool:
    if build.hardware_compatible:
        return gpu.compute_capability >= _AMPERE_COMPUTE_CAPABILITY
    if build.gpu and build.gpu != gpu.name:
        return False
    return gpu.compute_capability in build.compute_capabilities
