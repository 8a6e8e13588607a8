"""Compatibility of a TensorRT plan with this machine, and the TensorRT logger."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any, TypeVar

from ..errors import EngineError, MissingDependency, ModelError
from ..models.sidecar import EngineBuildInfo
from ..utils.log import warn_user
from .cuda import GPU, cuda_driver_version, list_gpus

if TYPE_CHECKING:
    import tensorrt as trt

_T = TypeVar("_T")


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


def create_with_logger(api: ModuleType, factory: Callable[[Any], _T], logger: Any) -> _T:
    """Return `factory(logger)`, for the factories api.Builder and api.Runtime.

    Raises:
        EngineError: TensorRT does not start, because the driver is too old for its CUDA version.
            The bindings only raise a TypeError about a null pointer.
    """
    try:
        return factory(logger)
    except TypeError:
        raise EngineError(
            f"{api.__name__} {api.__version__} does not start ({logger.last_error()}); "
            f"the driver supports CUDA {cuda_driver_version() or 'none'}: update it, or replace "
            "tensorrt by the package for CUDA 12: pip uninstall tensorrt tensorrt-cu13, then "
            "pip install tensorrt-cu12"
        ) from None


def read_layer_information(api: ModuleType, engine: Any) -> str:
    """Return EngineInspector's JSON of all layers, with the types of tensors of varying sizes.

    Without an execution context, TensorRT prints "N/A due to dynamic shapes" in their place.

    Args:
        api: the module tensorrt.
        engine: the deserialized plan.
    """
    cuda_engine: trt.ICudaEngine = engine
    inspector: trt.EngineInspector = cuda_engine.create_engine_inspector()
    context: trt.IExecutionContext | None = cuda_engine.create_execution_context()
    if context is not None:  # else the GPU is out of memory
        for index in range(cuda_engine.num_io_tensors):
            name = cuda_engine.get_tensor_name(index)
            if cuda_engine.get_tensor_mode(name) == api.TensorIOMode.INPUT:
                _, opt, _ = cuda_engine.get_tensor_profile_shape(name, 0)
                context.set_input_shape(name, tuple(opt))  # a new context has profile 0
        inspector.execution_context = context
    text: str = inspector.get_engine_information(api.LayerInformationFormat.JSON)
    return text


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
    if not _is_capability_compatible(build, gpu):
        built_for = ", ".join(f"{number / 10:.1f}" for number in build.compute_capabilities)
        raise EngineError(
            f"{path} was built for {f'{build.gpu}, ' if build.gpu else ''}compute capability "
            f"{built_for}, but this machine has {gpu.name}, {gpu.compute_capability / 10:.1f}; "
            f"run: {build.rebuild_command}"
        )
    if build.gpu and not build.hardware_compatible and not _is_same_chip(build, gpu):
        warn_user(
            f"{path} was built on {_describe_gpu(build.gpu, build.multiprocessors)}, and this "
            f"machine has {_describe_gpu(gpu.name, gpu.multiprocessors)}; it runs, but may be "
            f"slower than an engine of this machine: {build.rebuild_command}"
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


def _is_capability_compatible(build: EngineBuildInfo, gpu: GPU) -> bool:
    if build.hardware_compatible:
        return gpu.compute_capability >= _AMPERE_COMPUTE_CAPABILITY
    return gpu.compute_capability in build.compute_capabilities


def _is_same_chip(build: EngineBuildInfo, gpu: GPU) -> bool:
    """Return whether the number of multiprocessors is equal; if it is unknown, the name."""
    # Names do not identify a chip: drivers rename GPUs, and all Orins have one name.
    if build.multiprocessors and gpu.multiprocessors:
        return build.multiprocessors == gpu.multiprocessors
    return build.gpu == gpu.name


def _describe_gpu(name: str, multiprocessors: int) -> str:
    return f"{name} with {multiprocessors} multiprocessors" if multiprocessors else name
