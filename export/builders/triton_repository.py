"""Versioned model folders in a Triton repository, published atomically."""

from __future__ import annotations

import os
import secrets
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from cgt.runtime.errors import ModelError, SinkError, UsageError
from cgt.runtime.models.metadata import ModelMetadata
from cgt.runtime.utils.atomic import atomic_write

from .triton_config import parse_metadata, replace_metadata


@dataclass(frozen=True)
class RepositoryModel:
    """A folder of the repository; `files` are those of its version, empty if still missing."""

    name: str
    metadata: ModelMetadata
    config: str
    files: dict[str, bytes]


def publish_models(models: Sequence[RepositoryModel], repository: Path) -> list[Path]:
    """Add models to a repository, which is created if missing; return their versions.

    Raises:
        UsageError: A folder of that name holds another model.
        SinkError: The repository cannot be written. After any error, nothing has changed.
    """
    model_folders = [repository / model.name for model in models]
    for model, home in zip(models, model_folders, strict=True):
        _check_compatible(model, home)
    try:
        with _staging_folder(repository) as stage:
            for model in models:
                _write_model(stage / model.name, model)
            pairs = zip(models, model_folders, strict=True)
            return [_publish_version(stage / model.name, home, model) for model, home in pairs]
    except OSError as error:
        raise SinkError(f"cannot write {repository}: {error.strerror or error}") from None


def _check_compatible(model: RepositoryModel, model_folder: Path) -> None:
    """Check that all versions of a model can share a config.pbtxt."""
    path = model_folder / "config.pbtxt"
    if not model_folder.exists():
        return
    try:
        published = parse_metadata(path.read_text())
    except (OSError, ModelError):
        published = None
    if published is None:
        raise UsageError(
            f"{model_folder} is a model that `cgt export` did not write; rename the ONNX file"
        )
    if _tensor_signature(published) != _tensor_signature(model.metadata):
        raise UsageError(
            f"{model_folder} takes other sizes, and all versions of a model must take the same; "
            "rename the ONNX file to create another model"
        )


def _tensor_signature(metadata: ModelMetadata) -> tuple[object, ...]:
    """Return what config.pbtxt states about the tensors."""
    return metadata.dynamic, metadata.size, metadata.profiles


@contextmanager
def _staging_folder(repository: Path) -> Iterator[Path]:
    """Yield a folder next to the repository: a server takes every folder inside for a model."""
    repository.mkdir(exist_ok=True)
    stage = repository.resolve().with_name(f".{repository.name}.{secrets.token_hex(4)}")
    stage.mkdir()
    try:
        yield stage
    finally:
        shutil.rmtree(stage, ignore_errors=True)


def _write_model(folder: Path, model: RepositoryModel) -> None:
    """Write a model of one version and flush it to the disk."""
    version = folder / "1"
    version.mkdir(parents=True)
    for path, content in (
        *((version / name, content) for name, content in model.files.items()),
        (folder / "config.pbtxt", model.config.encode()),
    ):
        with open(path, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())


def _publish_version(staged: Path, model_folder: Path, model: RepositoryModel) -> Path:
    """Publish by renaming, so that a server sees a whole version or nothing; return the version."""
    if not model_folder.exists():
        staged.rename(model_folder)
        return model_folder / "1"
    versions = [int(path.name) for path in model_folder.iterdir() if path.name.isdecimal()]
    version = model_folder / str(max(versions, default=0) + 1)
    if not model.files:  # an empty version would replace one that works
        return model_folder
    (staged / "1").rename(version)
    config = model_folder / "config.pbtxt"
    text = replace_metadata(config.read_text(), model.metadata)
    with atomic_write(config) as temporary:
        temporary.write_text(text)
    return version
