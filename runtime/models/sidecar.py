"""Sidecar file of an engine: NAME.engine.json beside NAME.engine.

It has the metadata of the ONNX file that the engine was built from (see `metadata`), and one more
key:

"engine": {"format": "tensorrt", "version": "10.3.0", "gpu": "Orin", "multiprocessors": 16,
           "compute_capabilities": [87], "hardware_compatible": false, "version_compatible": false,
           "convolutions": {"fp16": 24}, "onnx": "NAME.onnx", "onnx_sha256": "...",
           "files": {".engine": "<SHA-256>"}}

The engine file itself is unchanged, so that the vendor's tools can read it. An engine is a program:
cgt loads it only if its hash is that of the file that was built and checked.
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

UNVERIFIED = "unverified"  # key of `EngineBuildInfo.convolutions`
ENGINE_SUFFIXES = (".engine", ".plan", ".xml", ".tflite")  # files that have a sidecar


@dataclass(frozen=True)
class EngineBuildInfo:
    """How an engine was built.

    Attributes:
        format: such as "tensorrt" or "openvino".
        version: version of the builder.
        onnx: name of the ONNX file that it was built from.
        onnx_sha256: SHA-256 of the ONNX file.
        files: SHA-256 of the files of the engine, by suffix.
        gpu: name of the GPU that it is for; "" for any with one of the compute capabilities.
        multiprocessors: number of multiprocessors of that GPU; 0 if unknown.
        compute_capabilities: 86 means 8.6.
        hardware_compatible: it runs on all GPUs since Ampere.
        version_compatible: it runs with later versions of the same major version.
        convolutions: number of convolutions by precision, as read from the engine; "unverified"
            for those whose precision it does not tell.
        parity: comparison of its outputs with those of the ONNX file, if the build made one.
    """

    format: str
    version: str
    onnx: str
    onnx_sha256: str
    files: dict[str, str]
    gpu: str = ""
    multiprocessors: int = 0
    compute_capabilities: tuple[int, ...] = ()
    hardware_compatible: bool = False
    version_compatible: bool = False
    convolutions: dict[str, int] = field(default_factory=dict)
    parity: dict[str, Any] = field(default_factory=dict)

    @property
    def precision(self) -> str:
        """The precision of most convolutions, "unverified" or "unknown"."""
        counts = self.convolutions
        read = [precision for precision in counts if precision != UNVERIFIED]
        if not read:
            return UNVERIFIED if counts else "unknown"
        return max(read, key=lambda precision: counts[precision])

    @property
    def rebuild_command(self) -> str:
        """The command that builds the engine again, on the machine that is to run it."""
        return f"cgt export {self.onnx} --format {self.format}"


@dataclass(frozen=True)
class Sidecar:
    """The content of a sidecar file: metadata of the model, and how the engine was built."""

    metadata: model_metadata.ModelMetadata
    build: EngineBuildInfo

    def to_json(self) -> str:
        """Return the text of the sidecar file."""
        values = json.loads(self.metadata.to_json())
        values["engine"] = dataclasses.asdict(self.build)
        return json.dumps(values, sort_keys=True, indent=1) + "\n"


def sidecar_path(path: Path) -> Path:
    """Return the path of the sidecar of an engine file."""
    return path.with_name(path.name + ".json")


def read_sidecar(path: Path) -> Sidecar:
    """Read the sidecar of an engine file.

    Raises:
        ModelError: the engine or its sidecar is missing, unreadable or damaged.
    """
    if not path.is_file():
        raise ModelError(f"model {path} is missing")
    sidecar_file = sidecar_path(path)
    try:
        text = sidecar_file.read_text()
        values: dict[str, Any] = json.loads(text)["engine"]
        values["compute_capabilities"] = tuple(values["compute_capabilities"])
        if values.pop("dla", None) is not None:  # of cgt 0.1.0
            raise ModelError(
                f"{path} was built for a deep learning accelerator, which cgt no longer uses; "
                f"run: cgt export {values['onnx']} --format {values['format']}"
            )
        build = EngineBuildInfo(**values)
        if not (isinstance(build.files, dict) and isinstance(build.convolutions, dict)):
            raise TypeError("files or convolutions is not a table")
        return Sidecar(model_metadata.ModelMetadata.from_json(text), build)
    except FileNotFoundError:
        raise ModelError(
            f"{path} has no {sidecar_file.name} beside it; cgt runs only engines that `cgt export` "
            "built, and needs both files"
        ) from None
    except OSError as error:
        raise ModelError(f"{sidecar_file} cannot be read: {error.strerror}") from None
    except (ValueError, TypeError, KeyError) as error:
        if isinstance(error, ModelError):
            raise
        raise ModelError(f"{sidecar_file} is damaged ({error}); build the engine again") from None


def read_verified_bytes(path: Path, build: EngineBuildInfo, suffix: str = "") -> bytes:
    """Read a file of an engine and verify its hash.

    Args:
        path: engine file.
        build: from its sidecar.
        suffix: suffix of another file of the same engine; "" for `path` itself.

    Raises:
        ModelError: the file is unreadable, or is not the one that was built.
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
    """Return the SHA-256 of bytes, in hexadecimal."""
    return hashlib.sha256(content).hexdigest()
