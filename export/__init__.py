"""Export of checkpoints to ONNX, and of ONNX models to engines.

`export` and `build_engine` are the functions behind `cgt export`. `build_engine` needs neither
torch nor onnx, because it also runs on the machine that the engine is for.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .engine import build_engine as build_engine
    from .exporter import export as export

__all__ = ["build_engine", "export"]

_HOME = {"build_engine": "engine", "export": "exporter"}


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f".{_HOME[name]}", __name__), name)
