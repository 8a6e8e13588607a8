"""Engines built from ONNX files, verified, and written with a sidecar that describes them."""

from __future__ import annotations

import importlib
import os
from pathlib import Path

from cgt.runtime.engines.cuda import list_gpus
from cgt.runtime.errors import MissingDependency, SinkError, UsageError
from cgt.runtime.models.metadata import ModelMetadata, read_metadata
from cgt.runtime.models.sidecar import EngineBuildInfo, Sidecar, sha256, sidecar_path

from .builders.base import BuildResult, LogFn, load_package
from .formats import BuildOptions, Format, check_options, find_format


def build_engine(
    onnx: str | Path,
    format: str,
    output: str | Path | None = None,
    options: BuildOptions | None = None,
    *,
    log: LogFn = lambda line: None,
) -> Path:
    """Write an engine of an ONNX model, and NAME.SUFFIX.json next to it.

    The JSON file is the engine's sidecar (see runtime.models.sidecar). The format "triton" is a
    folder, a model repository, to which the model is added (see builders/triton.py).

    Args:
        onnx: ONNX file that `cgt export` wrote.
        format: A name in FORMATS other than "onnx".
        output: Path of the engine; None is next to the model.
        options: Build options; the format must take each that is not a default.
        log: Receives a line for each result, such as how many convolutions compute in which
            precision.

    Returns:
        The path of the engine.

    Raises:
        UsageError: The format, an option or the output is invalid.
        ModelError: The file is not such a model, or the builder rejects a node.
        MissingDependency: A package is missing; the message names it.
        EngineError: The build failed.
        QualityError: The engine computes in another precision than the graph, or other images.
        SinkError: The engine cannot be written. After any error, nothing is left.
    """
    fmt = find_format(format)
    if not fmt.builder:
        raise UsageError(f"engines are built from {format}; choose another format")
    options = options or BuildOptions()
    check_options((format,), options)
    source = Path(onnx)
    metadata = read_metadata(source)
    _check_tensors(source, metadata, format)
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
    write_engine(source, metadata, fmt, path, options, log)
    return path


def write_engine(
    source: Path,
    metadata: ModelMetadata,
    fmt: Format,
    path: Path,
    options: BuildOptions,
    log: LogFn,
) -> None:
    """Build an engine and write it with its sidecar.

    Args:
        source: ONNX file.
        metadata: Its metadata.
        fmt: Format of the engine, which is a file.
        path: File to write.
        options: Build options, of which the format takes all that are not defaults.
        log: Receives a line for each result.

    Raises:
        CgtError: As `build_engine`.
    """
    builder = importlib.import_module(f".builders.{fmt.builder}", __package__)
    result: BuildResult = builder.build(source, metadata, fmt, options, log)
    build_info = EngineBuildInfo(
        format=fmt.name,
        version=result.version,
        onnx=source.name,
        onnx_sha256=sha256(source.read_bytes()),
        files={suffix: sha256(content) for suffix, content in result.files.items()},
        **result.build_info,
    )
    sidecar = Sidecar(result.metadata or metadata, build_info).to_json()
    _write_files_atomically(path, result.files | {fmt.suffix + ".json": sidecar.encode()})
    size = sum(len(content) for content in result.files.values()) / 1e6
    log(f"{path}: {fmt.name} {result.version}, {size:.2f} MB, and {sidecar_path(path).name}")


def _check_tensors(source: Path, metadata: ModelMetadata, format: str) -> None:
    """Raise UsageError for tensors that the builders do not know."""
    if (tensors := metadata.third_party) is not None:
        for each in (tensors.input, tensors.output):
            if (each.dtype, each.layout) != ("float32", "NCHW"):
                raise UsageError(
                    f"engines are built from N,C,H,W float32 models; {each.name} of {source} is "
                    f"{','.join(each.layout)} {each.dtype}"
                )
    if format == "triton" and (metadata.in_channels, metadata.out_channels) != (3, 3):
        raise UsageError(f"--format triton is for networks from RGB to RGB; {source} is not one")


def _write_files_atomically(path: Path, files: dict[str, bytes]) -> None:
    """Write all files or none: each is complete before the first gets its name."""
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
    """Check that this machine can build a format with these options.

    Raises:
        UsageError: The format is unknown, or it cannot build for a requested GPU.
        MissingDependency: A GPU or a package is missing.
    """
    fmt = find_format(format)
    if fmt.needs_gpu and not list_gpus():
        raise MissingDependency(
            f"this machine has no NVIDIA GPU, and --format {format} builds on the GPU that runs "
            "the engine; --format tensorrt-rtx --compute-capability 86 builds for RTX cards "
            "without one"
        )
    if fmt.package:
        api = load_package(fmt)
        if options is not None and "compute_capabilities" in fmt.options:
            from .builders.tensorrt import target_compute_capabilities

            target_compute_capabilities(api, fmt, options, list_gpus())
