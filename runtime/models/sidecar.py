"""What stands beside an engine file: NAME.engine.json for NAME.engine.

It is the JSON of the ONNX file that the engine was built from (see `artifact`), with one more key:

"engine": {"format": "tensorrt", "version": "10.3.0", "gpu": "Orin", "compute_capabilities": [87],
           "hardware_compatible": false, "version_compatible": false, "dla": null,
           "convolutions": {"fp16": 24}, "onnx": "NAME.onnx", "onnx_sha256": "...",
           "files": {".engine": "<SHA-256>"}}

The engine file itself stays what its maker's tools write and read. An engine is loaded only when
its bytes are those that were built and checked: engines are programs.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..errors import ModelError
from . import metadata as model_metadata

ENGINE_SUFFIXES = (".engine", ".plan", ".xml", ".tflite")  # files that have a sidecar


@dataclass(frozen=True)
class EngineBuildInfo:
    """How an engine was built.

    version: of what built it. gpu: the one it is for, "" where any of its compute capabilities
    will do. compute_capabilities: 86 for 8.6. convolutions: how many compute in which precision,
    as read from the engine. onnx: the file it comes from. files: SHA-256 by suffix. parity: of its
    pictures with the ONNX file's, where the build compared them; like an artifact's.
    """

    format: str
    version: str
    onnx: str
    onnx_sha256: str
    files: dict[str, str]
    gpu: str = ""
    compute_capabilities: tuple[int, ...] = ()
    hardware_compatible: bool = False
    version_compatible: bool = False
    dla: int | None = None
    convolutions: dict[str, int] = field(default_factory=dict)
    parity: dict[str, Any] = field(default_factory=dict)

    @property
    def precision(self) -> str:
        """That most convolutions compute in."""
        counts = self.convolutions
        return max(counts, key=lambda kind: counts[kind]) if counts else "unknown"

    @property
    def rebuild_command(self) -> str:
        """The command that builds it for another machine."""
        return f"cgt export {self.onnx} --format {self.format}"


@dataclass(frozen=True)
class Sidecar:
    """An engine's artifact and build."""

    metadata: model_metadata.ModelMetadata
    build: EngineBuildInfo

    def to_json(self) -> str:
        values = json.loads(self.metadata.to_json())
        values["engine"] = dataclasses.asdict(self.build)
        return json.dumps(values, sort_keys=True, indent=1) + "\n"


def sidecar_path(path: Path) -> Path:
    """Of an engine file."""
    return path.with_name(path.name + ".json")


def read_sidecar(path: Path) -> Sidecar:
    """What is written beside an engine file. Raises ModelError where the engine or its sidecar is
    missing, unreadable or damaged."""
    if not path.is_file():
        raise ModelError(f"model {path} is missing")
    sidecar_file = sidecar_path(path)
    try:
        text = sidecar_file.read_text()
        values: dict[str, Any] = json.loads(text)["engine"]
        values["compute_capabilities"] = tuple(values["compute_capabilities"])
        build = EngineBuildInfo(**values)
        if not (isinstance(build.files, dict) and isinstance(build.convolutions, dict)):
            raise TypeError("files or convolutions is no table")
        return Sidecar(model_metadata.ModelMetadata.from_json(text), build)
    except FileNotFoundError:
        raise ModelError(
            f"{path} has no {sidecar_file.name} beside it; only engines built by `cgt export` are run, "
            "and both files belong together"
        ) from None
    except OSError as error:
        raise ModelError(f"{sidecar_file} cannot be read: {error.strerror}") from None
    except (ValueError, TypeError, KeyError) as error:
        if isinstance(error, ModelError):
            raise
        raise ModelError(f"{sidecar_file} is damaged ({error}); build the engine again") from None


def read_verified_bytes(path: Path, build: EngineBuildInfo, suffix: str = "") -> bytes:
    """The bytes of an engine's file, proved to be those that were built.

    suffix: of another file of the same engine. Raises ModelError where they are not.
    """
    file = path.with_suffix(suffix) if suffix else path
    try:
        content = file.read_bytes()
    except OSError as error:
        raise ModelError(f"{file} cannot be read: {error.strerror}") from None
    if sha256(content) != build.files.get(file.suffix):
        raise ModelError(
            f"{file} is not the file that its {sidecar_path(path).name} describes, or is damaged; "
            f"build it again: {build.rebuild_command}"
        )
    return content


def sha256(content: bytes | memoryview) -> str:
    """As hexadecimal digits."""
    return hashlib.sha256(content).hexdigest()
