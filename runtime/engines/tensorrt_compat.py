"""Whether a TensorRT plan and this machine belong together.

What TensorRT says, to the builder and at run time.
"""

from __future__ import annotations

import importlib
from pathlib import Path
from types import ModuleType
from typing import Any

from ..errors import EngineError, MissingDependency, ModelError
from ..models.sidecar import EngineBuildInfo
from .cuda import GPU, list_gpus


def make_logger(api: ModuleType) -> Any:
    """An ILogger of `api` (tensorrt or tensorrt_rtx) that keeps the last errors and the builder's
    layer tables."""

    class Logger(api.ILogger):  # type: ignore[misc, name-defined]
        """Must outlive all that was made with it."""

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
            """The last telling one: what fails without a driver is said after every error."""
            telling = [error for error in self.errors if "catchCudaError" not in error]
            return (telling or self.errors or ["it does not say why"])[-1]

    return Logger()


_PACKAGES = {
    "tensorrt": ("tensorrt", "[tensorrt], or JetPack's own on a Jetson"),
    "tensorrt-rtx": ("tensorrt_rtx", "[tensorrt-rtx]"),
}
_AMPERE_COMPUTE_CAPABILITY = 80


def load_tensorrt(build: EngineBuildInfo) -> ModuleType:
    """tensorrt or tensorrt_rtx, whichever a plan was built by."""
    if build.format not in _PACKAGES:
        raise ModelError(f"{build.onnx}'s engine is of {build.format}, which TensorRT does not run")
    package, extra = _PACKAGES[build.format]
    try:
        api = importlib.import_module(package)
    except (ImportError, OSError):
        api = None
    if api is None or not hasattr(api, "__version__"):  # type stubs are empty modules
        raise MissingDependency(f"{package} is not installed; install the extra {extra}")
    return api


def check_compatibility(path: Path, build: EngineBuildInfo, api: ModuleType) -> GPU:
    """The GPU to run on. Raises MissingDependency without one, and EngineError where the plan is
    of another TensorRT or for another GPU, naming the command that builds it for this one."""
    found = list_gpus()
    if not found:
        raise MissingDependency(f"there is no NVIDIA GPU here, and {path} needs one")
    gpu, version = found[0], str(api.__version__)
    if not _is_version_compatible(build, version):
        raise EngineError(
            f"{path} was built by {build.format} {build.version} and here is {version}; "
            f"run: {build.rebuild_command}"
        )
    if not _is_gpu_compatible(build, gpu):
        made = ", ".join(f"{number / 10:.1f}" for number in build.compute_capabilities)
        raise EngineError(
            f"{path} was built for {f'{build.gpu}, ' if build.gpu else ''}compute capability {made}"
            f" and here is {gpu.name}, {gpu.compute_capability / 10:.1f}; run: {build.rebuild_command}"
        )
    return gpu


def _is_version_compatible(build: EngineBuildInfo, installed: str) -> bool:
    if build.version == installed:
        return True
    made, have = (
        tuple(int(part) for part in text.split(".") if part.isdigit())
        for text in (build.version, installed)
    )
    return build.version_compatible and made[:1] == have[:1] and made <= have


def _is_gpu_compatible(build: EngineBuildInfo, gpu: GPU) -> bool:
    if build.hardware_compatible:
        return gpu.compute_capability >= _AMPERE_COMPUTE_CAPABILITY
    if build.gpu and build.gpu != gpu.name:
        return False
    return gpu.compute_capability in build.compute_capabilities
