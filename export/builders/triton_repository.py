"""Folders of models in a Triton repository: whole or not there, version after version."""

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
    """One folder of the repository. files: of its version; none where they are still to come."""

    name: str
    metadata: ModelMetadata
    config: str
    files: dict[str, bytes]


def publish_models(models: Sequence[RepositoryModel], repository: Path) -> list[Path]:
    """Put them into a repository, which is made where it is missing. Returns their versions.

    Raises UsageError for one that is there as another model, SinkError where the repository cannot
    be written; then nothing of it has changed.
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
    """All versions of a model share a config.pbtxt."""
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
            f"{model_folder} takes other sizes, and all versions of a model must take the same; rename the "
            "ONNX file to have a model of its own"
        )


def _tensor_signature(metadata: ModelMetadata) -> tuple[object, ...]:
    """What config.pbtxt says of the tensors."""
    return metadata.dynamic, metadata.size, metadata.profiles


@contextmanager
def _staging_folder(repository: Path) -> Iterator[Path]:
    """A folder beside the repository to write in: a server takes all folders in it for models."""
    repository.mkdir(exist_ok=True)
    stage = repository.resolve().with_name(f".{repository.name}.{secrets.token_hex(4)}")
    stage.mkdir()
    try:
        yield stage
    finally:
        shutil.rmtree(stage, ignore_errors=True)


def _write_model(folder: Path, model: RepositoryModel) -> None:
    """A model of one version, whole on the disk."""
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
    """By renaming: a server that looks sees all of a version or nothing. Returns the version."""
    if not model_folder.exists():
        staged.rename(model_folder)
        return model_folder / "1"
    versions = [int(path.name) for path in model_folder.iterdir() if path.name.isdecimal()]
    version = model_folder / str(max(versions, default=0) + 1)
    if not model.files:  # an empty version would take the place of one that works
        return model_folder
    (staged / "1").rename(version)
    config = model_folder / "config.pbtxt"
    text = replace_metadata(config.read_text(), model.metadata)
    with atomic_write(config) as temporary:
        temporary.write_text(text)
    return version
