"""Engines, one file each, imported when asked for. "auto" is the fastest that is installed."""

from __future__ import annotations

import importlib
from dataclasses import dataclass
from pathlib import Path

from ..artifact import Artifact
from ..errors import UsageError
from .base import Array, BatchShape, Engine, Goal, cores

__all__ = [
    "ENGINES",
    "Array",
    "BatchShape",
    "Engine",
    "Goal",
    "cores",
    "is_remote",
    "open_engine",
    "read_model",
    "read_remote",
]


@dataclass(frozen=True)
class Kind:
    """Where an engine lives, and the files it runs."""

    module: str
    name: str
    suffixes: tuple[str, ...] = (".onnx",)

    def load(self) -> type[Engine]:
        """Raises MissingDependency where its library is not installed."""
        kind: type[Engine] = getattr(importlib.import_module(self.module, __package__), self.name)
        return kind


# In order of preference where nothing was measured.
ENGINES = {
    "openvino": Kind(".openvino", "OpenVINOEngine", (".onnx", ".xml")),
    "onnxruntime": Kind(".onnxruntime", "OnnxRuntimeEngine"),
    "tensorrt": Kind(".tensorrt", "TensorRTEngine", (".engine", ".plan")),
    "torch": Kind("cgt.trainer.engine", "TorchEngine", (".pth", ".pt")),
}


def open_engine(
    path: Path,
    shape: BatchShape,
    name: str = "auto",
    goal: Goal = "throughput",
    precision: str | None = None,
) -> Engine:
    """Load a model for tensors of one shape.

    name: of ENGINES, with a device where it has several ("onnxruntime:cuda"), or "auto"; or
    "triton://HOST:8001/MODEL", on whose server the model then is, and `path` is not read.
    precision: "fp32" to keep an engine from computing in less than the file says; by default it
    takes what is fastest. Raises UsageError for an unknown engine, MissingDependency for one that
    is not installed, ModelError for a file it cannot read, EngineError where it cannot run it.
    """
    if is_remote(name):
        from .triton import TritonEngine

        return TritonEngine(name, shape, goal)
    refuse_mobile(path)
    if name == "auto":
        from .fastest import open_fastest

        return open_fastest(path, shape, candidates(path), goal, precision)
    name, _, device = name.partition(":")
    check_name(name)
    kind = ENGINES[name]
    if path.suffix in _SUFFIXES and path.suffix not in kind.suffixes:
        takes = " or ".join(kind.suffixes)
        raise UsageError(f"--engine {name} takes {takes} files, not {path.name}")
    made = kind.load()
    if not device:
        return made(path, shape, goal, precision)  # type: ignore[call-arg]
    if device not in made.devices:
        raise UsageError(f"--engine {name} has no device {device}; use {', '.join(made.devices)}")
    return made(path, shape, goal, precision, device)  # type: ignore[call-arg]


_SUFFIXES = {suffix for kind in ENGINES.values() for suffix in kind.suffixes}


def check_name(name: str) -> None:
    """Raises UsageError for an engine that there is none of."""
    if name not in ENGINES:
        known = ", ".join(ENGINES)
        raise UsageError(f"--engine {name} is unknown; use auto, {known}, triton://HOST:8001/MODEL")


def is_remote(engine: object) -> bool:
    """Whether an engine's name is the address of a server's model."""
    return isinstance(engine, str) and engine.startswith("triton://")


def read_remote(engine: str) -> Artifact:
    """What a server's model says of itself; see `triton`."""
    from . import triton

    return triton.read_remote(engine)


def refuse_mobile(path: Path) -> None:
    """Raises UsageError for a file that nothing here runs."""
    if path.suffix == ".tflite":
        raise UsageError(f"{path.name} runs on phones; here, name the ONNX file it was made from")


def candidates(path: Path) -> tuple[str, ...]:
    """The engines for a file of that suffix; for any other suffix those for ONNX."""
    suffix = path.suffix if path.suffix in _SUFFIXES else ".onnx"
    return tuple(name for name, kind in ENGINES.items() if suffix in kind.suffixes)


def read_model(path: Path) -> Artifact:
    """What a model file of any kind says of itself.

    Raises ModelError or CheckpointError for a file that is none, MissingDependency for one whose
    library is not installed, UsageError for one that only phones run.
    """
    refuse_mobile(path)
    name = candidates(path)[0]
    if name in ("openvino", "tensorrt"):  # reading ONNX or a sidecar needs no engine
        return Engine.artifact(path)
    return ENGINES[name].load().artifact(path)
