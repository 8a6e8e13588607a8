"""The contract of a builder: `build(onnx, artifact, format, options, say) -> Built`."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from dataclasses import dataclass, field
from types import ModuleType
from typing import Any

from cgt.runtime.errors import MissingDependency
from cgt.runtime.models.metadata import ModelMetadata

from ..formats import Format
from ..quiet import suppress_output

LogFn = Callable[[str], None]


@dataclass(frozen=True)
class BuildResult:
    """An engine, still in memory. files: content by suffix. facts: fields of sidecar.Build.
    artifact: what it is where that differs from the ONNX file, such as in its sizes."""

    version: str
    files: dict[str, bytes]
    build_info: dict[str, Any] = field(default_factory=dict)
    metadata: ModelMetadata | None = None


def load_package(fmt: Format) -> ModuleType:
    """The package that builds a format. Raises MissingDependency."""
    try:
        with suppress_output():
            module = importlib.import_module(fmt.package)
    except (ImportError, OSError):
        module = None
    # Type stubs and leftovers of a removed package can be imported, too, and are empty.
    if module is None or not hasattr(module, "__version__"):
        raise MissingDependency(
            f"{fmt.package} is not installed here, and --format {fmt.name} needs it: "
            f"{fmt.install_hint}"
        )
    return module
