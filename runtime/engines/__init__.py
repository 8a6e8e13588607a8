"""Engines, one file each, imported when asked for. "auto" is the first that is installed."""

from __future__ import annotations

import importlib
from pathlib import Path

from ..errors import MissingDependency, UsageError
from .base import Array, BatchShape, Engine, Goal, cores

__all__ = ["ENGINES", "Array", "BatchShape", "Engine", "Goal", "cores", "open_engine"]

# In order of preference on a CPU.
ENGINES = {
    "openvino": ("openvino", "OpenVINOEngine"),
    "onnxruntime": ("onnxruntime", "OnnxRuntimeEngine"),
}


def open_engine(
    path: Path,
    shape: BatchShape,
    name: str = "auto",
    goal: Goal = "throughput",
    precision: str | None = None,
) -> Engine:
    """Load a model for tensors of one shape.

    precision: "fp32" to keep an engine from computing in less than the file says; by default it
    takes what is fastest. Raises UsageError for an unknown engine, MissingDependency for one that
    is not installed, ModelError for a file it cannot read, EngineError where it cannot run it.
    """
    if name != "auto" and name not in ENGINES:
        raise UsageError(f"--engine {name} is unknown; use auto, {', '.join(ENGINES)}")
    missing: MissingDependency | None = None
    for candidate in ENGINES if name == "auto" else (name,):
        module, kind = ENGINES[candidate]
        try:
            made = getattr(importlib.import_module(f".{module}", __package__), kind)
        except MissingDependency as error:
            missing = error
            continue
        engine: Engine = made(path, shape, goal, precision)
        return engine
    assert missing is not None
    raise missing
