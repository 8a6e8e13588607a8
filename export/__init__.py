"""Checkpoint -> ONNX. `cgt.export.export` is the call behind `cgt export`."""

from .export import export

__all__ = ["export"]
