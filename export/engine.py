"""An engine from an ONNX file: built, proved, and written with a sidecar that says what it is."""

from __future__ import annotations

import importlib
import os
from pathlib import Path

from cgt.runtime.artifact import read_artifact
from cgt.runtime.cuda import gpus
from cgt.runtime.errors import MissingDependency, SinkError, UsageError
from cgt.runtime.sidecar import Build, Sidecar, sha256, sidecar_path

from .builders.base import Built, Say, load_package
from .formats import FORMATS, BuildOptions, check_options, find_format


def build_engine(
    onnx: str | Path,
    format: str,
    output: str | Path | None = None,
    options: BuildOptions | None = None,
    *,
    say: Say = lambda line: None,
) -> Path:
    """Write an engine of an ONNX model, and NAME.SUFFIX.json beside it (see runtime.sidecar).

    format: a name of FORMATS but "onnx". output: by default beside the model. say: is given a line
    for each thing found out, among them in which precision how many convolutions really compute.
    Returns the path. Raises UsageError, ModelError for a file that is no such model or a node that
    the builder refuses, MissingDependency naming what to install, EngineError where the build
    fails, QualityError for an engine that computes in another precision than the graph says or
    other pictures, SinkError where it cannot be written; then nothing is left.

    "triton" is a folder, a model repository: the model becomes part of it (builders/triton.py).
    """
    kind = find_format(format)
    if not kind.builder:
        raise UsageError(f"{format} is what engines are built from; name another format")
    options = options or BuildOptions()
    check_options((format,), options)
    source = Path(onnx)
    artifact = read_artifact(source)
    if not kind.suffix:
        from .builders.triton import REPOSITORY, add_model

        return add_model(
            source, artifact, Path(output or source.with_name(REPOSITORY)), options, say
        )
    path = Path(output) if output is not None else source.with_suffix(kind.suffix)
    if path.suffix != kind.suffix:
        raise UsageError(f"the output {path} must end in {kind.suffix}")
    if not path.parent.is_dir():
        raise SinkError(f"cannot write {path}: the folder {path.parent} is missing")
    check_format(format)
    builder = importlib.import_module(f".builders.{kind.builder}", __package__)
    built: Built = builder.build(source, artifact, kind, options, say)
    made = Build(
        format=format,
        version=built.version,
        onnx=source.name,
        onnx_sha256=sha256(source.read_bytes()),
        files={suffix: sha256(content) for suffix, content in built.files.items()},
        **built.facts,
    )
    sidecar = Sidecar(built.artifact or artifact, made).to_json()
    _write(path, built.files | {kind.suffix + ".json": sidecar.encode()})
    size = sum(len(content) for content in built.files.values()) / 1e6
    say(f"{path}: {format} {built.version}, {size:.2f} MB, and {sidecar_path(path).name}")
    return path


def _write(path: Path, files: dict[str, bytes]) -> None:
    """All files, or none: each is written in full before the first gets its name."""
    temporaries = []
    try:
        try:
            for suffix, content in files.items():
                target = path.with_name(path.stem + suffix)
                temporary = target.with_name(f".{target.name}.part")
                temporaries.append((temporary, target))
                with open(temporary, "wb") as file:
                    file.write(content)
                    file.flush()
                    os.fsync(file.fileno())
            for temporary, target in temporaries:
                temporary.replace(target)
        finally:
            for temporary, _ in temporaries:
                temporary.unlink(missing_ok=True)
    except OSError as error:
        raise SinkError(f"cannot write {path}: {error.strerror}") from None


def check_format(format: str, options: BuildOptions | None = None) -> None:
    """Raises UsageError for an unknown format, and for cards that it cannot build for;
    MissingDependency where this machine cannot build it."""
    kind = find_format(format)
    if kind.on_gpu and not gpus():
        raise MissingDependency(
            f"there is no NVIDIA GPU here, and --format {format} builds on the one it is for; "
            "--format tensorrt-rtx --compute-capability 86 builds for RTX cards without one"
        )
    if kind.package:
        api = load_package(kind)
        if options is not None and "compute_capabilities" in kind.options:
            from .builders.tensorrt import targets_of

            targets_of(api, kind, options, gpus())


def why_no_engine(format: str) -> str:
    """Why this machine cannot build engines of a format; "" where it can."""
    kind = FORMATS[format]
    if kind.on_gpu and not gpus():
        return "there is no NVIDIA GPU here"
    try:
        load_package(kind)
    except MissingDependency:
        return f"{kind.package} is not installed here"
    return ""
