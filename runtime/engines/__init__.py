"""Inference engines behind one interface: OpenVINO, ONNX Runtime, TensorRT, Triton, PyTorch.

Each engine is one module, imported on first use. "auto" is the fastest engine that is installed.
"""

from __future__ import annotations

import contextlib
import importlib
from dataclasses import dataclass
from pathlib import Path

from ..errors import CgtError, UsageError
from ..models.checkpoint_options import NO_OPTIONS, CheckpointOptions
from ..models.metadata import ModelMetadata
from ..models.third_party import ModelFormat
from ..utils.system import available_cpus
from .base import Array, BatchShape, Engine, EngineOptions, PerformanceHint
from .third_party import adapt_engine

__all__ = [
    "ENGINES",
    "Array",
    "BatchShape",
    "Engine",
    "EngineOptions",
    "PerformanceHint",
    "available_cpus",
    "is_triton_uri",
    "open_engine",
    "preload_engine",
    "read_model_metadata",
    "read_triton_metadata",
]


@dataclass(frozen=True)
class EngineSpec:
    """Module and class of an engine, and the suffixes of the files that it runs."""

    module: str
    class_name: str
    suffixes: tuple[str, ...] = (".onnx",)

    def load(self) -> type[Engine]:
        """Import the engine class; raise MissingDependency if its library is not installed."""
        engine_class: type[Engine] = getattr(
            importlib.import_module(self.module, __package__), self.class_name
        )
        return engine_class


# In order of preference, which decides if nothing was measured.
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
    *,
    checkpoint_options: CheckpointOptions = NO_OPTIONS,
) -> Engine:
    """Load a model for tensors of one shape.

    Args:
        path: model file: .onnx, .xml (OpenVINO), .engine or .plan (TensorRT), or a checkpoint.
        shape: shapes and types of the tensors.
        name: a key of ENGINES, with a device if the engine has several ("onnxruntime:cuda"), or
            "auto". Or "triton://HOST:8001/MODEL" for a model on a server; `path` is then ignored.
        performance_hint: "throughput" or "latency".
        precision: "fp32" forbids a lower precision than that of the file. By default the engine
            uses the fastest.
        checkpoint_options: what the user states about a checkpoint of another trainer.

    Returns:
        The engine, to be closed by the caller.

    Raises:
        UsageError: the engine or its device is unknown, or cannot run files of this type.
        MissingDependency: the library of the engine is not installed.
        ModelError: the file cannot be read as a model, or its value range cannot be detected.
        EngineError: the engine cannot run the model.
    """
    if is_triton_uri(name):
        from .triton import TritonEngine

        return adapt_engine(TritonEngine(name, shape, performance_hint), name, shape)
    reject_tflite(path)
    if checkpoint_options.code is not None:
        name = "torch" if name == "auto" else name
        if name.partition(":")[0] != "torch":
            raise UsageError(f"--code goes with --engine torch, not {name}; or export it first")
    elif name == "auto" and len(compatible_engines(path)) == 1:
        (name,) = compatible_engines(path)
    if name == "auto":
        from .auto import open_fastest

        return open_fastest(path, shape, compatible_engines(path), performance_hint, precision)
    name, _, device = name.partition(":")
    check_engine_name(name)
    spec = ENGINES[name]
    is_other_model = path.suffix in _MODEL_SUFFIXES and path.suffix not in spec.suffixes
    if is_other_model and checkpoint_options.code is None:
        takes = " or ".join(spec.suffixes)
        raise UsageError(f"--engine {name} takes {takes} files, not {path.name}")
    engine_class = spec.load()
    if device and device not in engine_class.devices:
        raise UsageError(
            f"--engine {name} has no device {device}; use {', '.join(engine_class.devices)}"
        )
    options = EngineOptions(
        path, shape, performance_hint, precision, device or None, checkpoint_options
    )
    engine = engine_class(options)  # type: ignore[call-arg]
    return adapt_engine(engine, path, shape)


def preload_engine(path: Path, name: str = "auto") -> None:
    """Import the library that `open_engine` will use for a file, if that is known by now.

    Programs call it before they do anything that leaves Python idle. `open_engine` reports what is
    wrong with a file or a library.
    """
    with contextlib.suppress(CgtError, OSError):
        if name == "auto":
            from .auto import cached_choice

            name = cached_choice(path, compatible_engines(path), "throughput", None) or ""
        spec = ENGINES.get(name.partition(":")[0])
        if spec is not None:
            spec.load()


_MODEL_SUFFIXES = {suffix for spec in ENGINES.values() for suffix in spec.suffixes}


def check_engine_name(name: str) -> None:
    """Raise UsageError for a name that is not in ENGINES."""
    if name not in ENGINES:
        known = ", ".join(ENGINES)
        raise UsageError(f"--engine {name} is unknown; use auto, {known}, triton://HOST:8001/MODEL")


def is_triton_uri(engine: object) -> bool:
    """Return whether an engine name is the address of a model on a Triton server."""
    return isinstance(engine, str) and engine.startswith("triton://")


def read_triton_metadata(engine: str, model_format: ModelFormat | None = None) -> ModelMetadata:
    """Read the metadata of a model on a Triton server; see `engines.triton`."""
    from . import triton

    return triton.read_triton_metadata(engine, model_format)


def reject_tflite(path: Path) -> None:
    """Raise UsageError for a .tflite file, which no engine of cgt runs."""
    if path.suffix == ".tflite":
        raise UsageError(f"{path.name} runs on phones only; give the ONNX file it was built from")


def compatible_engines(path: Path) -> tuple[str, ...]:
    """Return the engines for the suffix of a file; for an unknown suffix those for ONNX."""
    suffix = path.suffix if path.suffix in _MODEL_SUFFIXES else ".onnx"
    return tuple(name for name, spec in ENGINES.items() if suffix in spec.suffixes)


def read_model_metadata(
    path: Path,
    model_format: ModelFormat | None = None,
    options: CheckpointOptions = NO_OPTIONS,
    engine: str = "auto",
) -> ModelMetadata:
    """Read the metadata of a model file of any type.

    Args:
        path: the file.
        model_format: what the user says about a model of another tool.
        options: what the user states about a checkpoint of another trainer.
        engine: the engine that will run it, which determines the type of a file with an unknown
            suffix.

    Raises:
        ModelError: the file is not a model that translates images.
        CheckpointError: the file is not a checkpoint.
        MissingDependency: reading the file needs a library that is not installed.
        UsageError: the file is a .tflite file, or `model_format` contradicts it.
    """
    reject_tflite(path)
    asks_for_torch = options.code is not None or engine.partition(":")[0] == "torch"
    is_checkpoint = asks_for_torch and path.suffix not in _MODEL_SUFFIXES
    name = "torch" if is_checkpoint else compatible_engines(path)[0]
    if name in ("openvino", "tensorrt"):  # ONNX files and sidecars are read without the engine
        return Engine.read_metadata(path, model_format, options)
    return ENGINES[name].load().read_metadata(path, model_format, options)
