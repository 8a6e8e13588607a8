"""Engines, one file each, imported when asked for. "auto" is the fastest that is installed."""

from __future__ import annotations

import importlib
from dataclasses import dataclass
from pathlib import Path

from ..errors import UsageError
from ..models.metadata import ModelMetadata
from ..utils.system import available_cpus
from .base import Array, BatchShape, Engine, PerformanceHint

__all__ = [
    "ENGINES",
    "Array",
    "BatchShape",
    "Engine",
    "PerformanceHint",
    "available_cpus",
    "is_triton_uri",
    "open_engine",
    "read_model_metadata",
    "read_triton_metadata",
]


@dataclass(frozen=True)
class EngineSpec:
    """Where an engine lives, and the files it runs."""

    module: str
    class_name: str
    suffixes: tuple[str, ...] = (".onnx",)

    def load(self) -> type[Engine]:
        """Raises MissingDependency where its library is not installed."""
        engine_class: type[Engine] = getattr(
            importlib.import_module(self.module, __package__), self.class_name
        )
        return engine_class


# In order of preference where nothing was measured.
ENGINES = {
    "openvino": EngineSpec(".openvino", "OpenVINOEngine", (".onnx", ".xml")),
    "onnxruntime": EngineSpec(".onnxruntime", "OnnxRuntimeEngine"),
    "tensorrt": EngineSpec(".tensorrt", "TensorRTEngine", (".engine", ".plan")),
    "torch": EngineSpec("cgt.trainer.torch_engine", "TorchEngine", (".pth", ".pt")),
}


def open_engine(
    path: Path,
    shape: BatchShape,
    name: str = "auto",
    performance_hint: PerformanceHint = "throughput",
    precision: str | None = None,
) -> Engine:
    """Load a model for tensors of one shape.

    name: of ENGINES, with a device where it has several ("onnxruntime:cuda"), or "auto"; or
    "triton://HOST:8001/MODEL", on whose server the model then is, and `path` is not read.
    precision: "fp32" to keep an engine from computing in less than the file says; by default it
    takes what is fastest. Raises UsageError for an unknown engine, MissingDependency for one that
    is not installed, ModelError for a file it cannot read, EngineError where it cannot run it.
    """
    if is_triton_uri(name):
        from .triton import TritonEngine

        return TritonEngine(name, shape, performance_hint)
    reject_tflite(path)
    if name == "auto":
        from .auto import open_fastest

        return open_fastest(path, shape, compatible_engines(path), performance_hint, precision)
    name, _, device = name.partition(":")
    check_engine_name(name)
    spec = ENGINES[name]
    if path.suffix in _MODEL_SUFFIXES and path.suffix not in spec.suffixes:
        takes = " or ".join(spec.suffixes)
        raise UsageError(f"--engine {name} takes {takes} files, not {path.name}")
    engine_class = spec.load()
    if not device:
        return engine_class(path, shape, performance_hint, precision)  # type: ignore[call-arg]
    if device not in engine_class.devices:
        raise UsageError(
            f"--engine {name} has no device {device}; use {', '.join(engine_class.devices)}"
        )
    return engine_class(path, shape, performance_hint, precision, device)  # type: ignore[call-arg]


_MODEL_SUFFIXES = {suffix for kind in ENGINES.values() for suffix in kind.suffixes}


def check_engine_name(name: str) -> None:
    """Raises UsageError for an engine that there is none of."""
    if name not in ENGINES:
        known = ", ".join(ENGINES)
        raise UsageError(f"--engine {name} is unknown; use auto, {known}, triton://HOST:8001/MODEL")


def is_triton_uri(engine: object) -> bool:
    """Whether an engine's name is the address of a server's model."""
    return isinstance(engine, str) and engine.startswith("triton://")


def read_triton_metadata(engine: str) -> ModelMetadata:
    """What a server's model says of itself; see `triton`."""
    from . import triton

    return triton.read_triton_metadata(engine)


def reject_tflite(path: Path) -> None:
    """Raises UsageError for a file that nothing here runs."""
    if path.suffix == ".tflite":
        raise UsageError(f"{path.name} runs on phones; here, name the ONNX file it was made from")


def compatible_engines(path: Path) -> tuple[str, ...]:
    """The engines for a file of that suffix; for any other suffix those for ONNX."""
    suffix = path.suffix if path.suffix in _MODEL_SUFFIXES else ".onnx"
    return tuple(name for name, kind in ENGINES.items() if suffix in kind.suffixes)


def read_model_metadata(path: Path) -> ModelMetadata:
    """What a model file of any kind says of itself.

    Raises ModelError or CheckpointError for a file that is none, MissingDependency for one whose
    library is not installed, UsageError for one that only phones run.
    """
    reject_tflite(path)
    name = compatible_engines(path)[0]
    if name in ("openvino", "tensorrt"):  # reading ONNX or a sidecar needs no engine
        return Engine.read_metadata(path)
    return ENGINES[name].load().read_metadata(path)
