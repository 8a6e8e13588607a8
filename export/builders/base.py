"""Interface of a builder: `build(onnx, metadata, fmt, options, log) -> BuildResult`."""

from __future__ import annotations

import importlib
from dataclasses import dataclass, field
from types import ModuleType
from typing import Any

from cgt.runtime.errors import MissingDependency
from cgt.runtime.models.metadata import ModelMetadata
from cgt.runtime.utils.log import LogFn as LogFn

from ..formats import Format
from ..quiet import suppress_output


@dataclass(frozen=True)
class BuildResult:
    """An engine in memory.

    Attributes:
        version: Version of the package that built it.
        files: Contents by file suffix.
        build_info: Fields of sidecar.EngineBuildInfo.
        metadata: Metadata of the engine if it differs from the ONNX file's, for example in sizes.
    """

    version: str
    files: dict[str, bytes]
    build_info: dict[str, Any] = field(default_factory=dict)
    metadata: ModelMetadata | None = None


def load_package(fmt: Format) -> ModuleType:
    """Import the package that builds a format. Raises MissingDependency if it is not installed."""
    try:
        with suppress_output():
            module = importlib.import_module(fmt.package)
    except (ImportError, OSError):
        module = None
    # Type stubs and leftovers of a removed package can be imported too, but are empty.
    if module is None or not hasattr(module, "__version__"):
        raise MissingDependency(
            f"{fmt.package} is not installed, and --format {fmt.name} needs it: {fmt.install_hint}"
        )
    return module
