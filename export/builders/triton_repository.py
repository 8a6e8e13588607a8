"""Folders of models in a Triton repository: whole or not there, version after version."""

from __future__ import annotations

import os
import secrets
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from cgt.runtime.artifact import Artifact
from cgt.runtime.errors import ModelError, SinkError, UsageError
from cgt.runtime.files import whole_file

from .triton_config import read_artifact_of, with_artifact


@dataclass(frozen=True)
class Model:
    """One folder of the repository. files: of its version; none where they are still to come."""

    name: str
    artifact: Artifact
    config: str
    files: dict[str, bytes]


def add(models: Sequence[Model], repository: Path) -> list[Path]:
    """Put them into a repository, which is made where it is missing. Returns their versions.

    Raises UsageError for one that is there as another model, SinkError where the repository cannot
    be written; then nothing of it has changed.
    """
    homes = [repository / model.name for model in models]
    for model, home in zip(models, homes, strict=True):
        _check_same(model, home)
    try:
        with _staging(repository) as stage:
            for model in models:
                _write(stage / model.name, model)
            pairs = zip(models, homes, strict=True)
            return [_publish(stage / model.name, home, model) for model, home in pairs]
    except OSError as error:
        raise SinkError(f"cannot write {repository}: {error.strerror or error}") from None


def _check_same(model: Model, home: Path) -> None:
    """All versions of a model share a config.pbtxt."""
    path = home / "config.pbtxt"
    if not home.exists():
        return
    try:
        there = read_artifact_of(path.read_text())
    except (OSError, ModelError):
        there = None
    if there is None:
        raise UsageError(f"{home} is a model that `cgt export` did not write; rename the ONNX file")
    if _form(there) != _form(model.artifact):
        raise UsageError(
            f"{home} takes other sizes, and all versions of a model must take the same; rename the "
            "ONNX file to have a model of its own"
        )


def _form(artifact: Artifact) -> tuple[object, ...]:
    """What config.pbtxt says of the tensors."""
    return artifact.dynamic, artifact.size, artifact.profiles


@contextmanager
def _staging(repository: Path) -> Iterator[Path]:
    """A folder beside the repository to write in: a server takes all folders in it for models."""
    repository.mkdir(exist_ok=True)
    stage = repository.resolve().with_name(f".{repository.name}.{secrets.token_hex(4)}")
    stage.mkdir()
    try:
        yield stage
    finally:
        shutil.rmtree(stage, ignore_errors=True)


def _write(folder: Path, model: Model) -> None:
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


def _publish(staged: Path, home: Path, model: Model) -> Path:
    """By renaming: a server that looks sees all of a version or nothing. Returns the version."""
    if not home.exists():
        staged.rename(home)
        return home / "1"
    versions = [int(path.name) for path in home.iterdir() if path.name.isdecimal()]
    version = home / str(max(versions, default=0) + 1)
    if not model.files:  # an empty version would take the place of one that works
        return home
    (staged / "1").rename(version)
    config = home / "config.pbtxt"
    text = with_artifact(config.read_text(), model.artifact)
    with whole_file(config) as temporary:
        temporary.write_text(text)
    return version
