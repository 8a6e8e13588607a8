"""An engine from an ONNX file: built, proved, and written with a sidecar that says what it is."""

from __future__ import annotations

import importlib
import os
from pathlib import Path

from cgt.runtime.engines.cuda import list_gpus
from cgt.runtime.errors import MissingDependency, SinkError, UsageError
from cgt.runtime.models.metadata import read_metadata
from cgt.runtime.models.sidecar import EngineBuildInfo, Sidecar, sha256, sidecar_path

from .builders.base import BuildResult, LogFn, load_package
from .formats import FORMATS, BuildOptions, check_options, find_format


def build_engine(
    onnx: str | Path,
    format: str,
    output: str | Path | None = None,
    options: BuildOptions | None = None,
    *,
    log: LogFn = lambda line: None,
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
    fmt = find_format(format)
    if not fmt.builder:
        raise UsageError(f"{format} is what engines are built from; name another format")
    options = options or BuildOptions()
    check_options((format,), options)
    source = Path(onnx)
    metadata = read_metadata(source)
    if not fmt.suffix:
        from .builders.triton import DEFAULT_REPOSITORY, add_to_repository

        return add_to_repository(
            source, metadata, Path(output or source.with_name(DEFAULT_REPOSITORY)), options, log
        )
    path = Path(output) if output is not None else source.with_suffix(fmt.suffix)
    if path.suffix != fmt.suffix:
        raise UsageError(f"the output {path} must end in {fmt.suffix}")
    if not path.parent.is_dir():
        raise SinkError(f"cannot write {path}: the folder {path.parent} is missing")
    check_buildable(format)
    builder = importlib.import_module(f".builders.{fmt.builder}", __package__)
    result: BuildResult = builder.build(source, metadata, fmt, options, log)
    build_info = EngineBuildInfo(
        format=format,
        version=result.version,
        onnx=source.name,
        onnx_sha256=sha256(source.read_bytes()),
        files={suffix: sha256(content) for suffix, content in result.files.items()},
        **result.build_info,
    )
    sidecar = Sidecar(result.metadata or metadata, build_info).to_json()
    _write_files_atomically(path, result.files | {fmt.suffix + ".json": sidecar.encode()})
    size = sum(len(content) for content in result.files.values()) / 1e6
    log(f"{path}: {format} {result.version}, {size:.2f} MB, and {sidecar_path(path).name}")
    return path


def _write_files_atomically(path: Path, files: dict[str, bytes]) -> None:
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


def check_buildable(format: str, options: BuildOptions | None = None) -> None:
    """Raises UsageError for an unknown format, and for cards that it cannot build for;
    MissingDependency where this machine cannot build it."""
    fmt = find_format(format)
    if fmt.needs_gpu and not list_gpus():
        raise MissingDependency(
            f"there is no NVIDIA GPU here, and --format {format} builds on the one it is for; "
            "--format tensorrt-rtx --compute-capability 86 builds for RTX cards without one"
        )
    if fmt.package:
        api = load_package(fmt)
        if options is not None and "compute_capabilities" in fmt.options:
            from .builders.tensorrt import target_compute_capabilities

            target_compute_capabilities(api, fmt, options, list_gpus())


def unavailable_reason(format: str) -> str:
    """Why this machine cannot build engines of a format; "" where it can."""
    fmt = FORMATS[format]
    if fmt.needs_gpu and not list_gpus():
        return "there is no NVIDIA GPU here"
    try:
        load_package(fmt)
    except MissingDependency:
        return f"{fmt.package} is not installed here"
    return ""
