"""Checkpoint -> ONNX -> engine. `export` and `build` are the calls behind `cgt export`; `build`
needs neither torch nor onnx, for it also runs on the machine that the engine is for."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .engine import build as build
    from .exporter import export as export

__all__ = ["build", "export"]

_HOME = {"build": "engine", "export": "exporter"}


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f".{_HOME[name]}", __name__), name)
