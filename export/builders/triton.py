"""Builder of a model repository for Triton Inference Server.

REPOSITORY/NAME_python/config.pbtxt        any server, on its CPUs, with cgt's own runtime
                      /1/model.py, model.onnx
REPOSITORY/NAME_onnxruntime/config.pbtxt   servers with the ONNX Runtime backend
                           /1/model.onnx
REPOSITORY/NAME_tensorrt/config.pbtxt      GPUs; NAME.engine next to the ONNX file is the plan
                        /1/model.plan

All models have uint8 frames under the same names. An existing model gets the next version and keeps
the edits in its config.pbtxt.
"""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path

from cgt.runtime.errors import UsageError
from cgt.runtime.models.metadata import ModelMetadata
from cgt.runtime.models.onnx_reader import UINT8, OnnxHeader, read_onnx_header
from cgt.runtime.models.sidecar import read_sidecar, read_verified_bytes, sha256

from ..formats import TRITON_BACKENDS, BuildOptions, check_graph_supported, find_format
from .base import LogFn
from .tensorrt_config import engine_profiles
from .triton_config import TensorSpecs, render_config
from .triton_repository import RepositoryModel, publish_models

DEFAULT_REPOSITORY = "model_repository"
_MISSING_PLAN_COMMENT = (
    "The plan is missing. Build it on the GPU that runs it, with the server's version of TensorRT:",
    "cgt export {name} --format tensorrt --format triton -o REPOSITORY",
)
_PYTHON_MODEL_FILE = Path(__file__).with_name("triton_model.py")


def add_to_repository(
    onnx: Path, metadata: ModelMetadata, repository: Path, options: BuildOptions, log: LogFn
) -> Path:
    """Add a model to a repository, which is created if missing.

    Args:
        onnx: ONNX file.
        metadata: Metadata of the model.
        repository: Folder of the repository.
        options: Build options; `backends` limits the backends.
        log: Receives a line for each folder, and the command that serves them.

    Returns:
        The repository.

    Raises:
        UsageError: Triton's backends cannot serve the model, or one with other tensors exists.
        ModelError: The TensorRT engine is damaged.
        SinkError: The repository cannot be written. After any error, nothing has changed.
    """
    check_graph_supported(find_format("triton"), metadata.precision, metadata.norm)
    file = read_onnx_header(onnx)
    models = [
        _make_model(name, onnx, file, metadata, log)
        for name in _select_backends(file, onnx, options, log)
    ]
    for model, version in zip(models, publish_models(models, repository), strict=True):
        log(f"{version}: {_summarize(model)}")
    load_flags = " ".join(f"--load-model={model.name}" for model in models if model.files)
    log(
        f"serve the models that the server has a backend for: "
        f"tritonserver --model-repository={repository} "
        f"--model-control-mode=explicit {load_flags}"
    )
    return repository


def _select_backends(
    file: OnnxHeader, onnx: Path, options: BuildOptions, log: LogFn
) -> tuple[str, ...]:
    """Return the requested backends, or all that fit."""
    is_uint8 = all(tensors[0].elem_type == UINT8 for tensors in (file.inputs, file.outputs))
    requested = options.backends or TRITON_BACKENDS
    usable = requested if is_uint8 else tuple(name for name in requested if name == "python")
    if usable != requested:
        reason = f"{onnx.name} has float tensors, and clients send uint8 pixels"
        if options.backends:
            wrong = " and ".join(name for name in requested if name not in usable)
            raise UsageError(f"{reason}; export it with --io uint8 for the backend {wrong}")
        log(f"note: {reason}: for the Python backend only; export with --io uint8 for all")
    return tuple(dict.fromkeys(usable))


def _make_model(
    backend: str, onnx: Path, file: OnnxHeader, metadata: ModelMetadata, log: LogFn
) -> RepositoryModel:
    name = f"{onnx.stem}_{backend}"
    if not re.fullmatch(r"[\w.-]+", name, re.ASCII):
        raise UsageError(f"{name} is not a valid model name; rename {onnx.name}")
    served_metadata = dataclasses.replace(metadata, io="uint8")
    files: dict[str, bytes] = {}
    if backend == "python":
        files = {"model.py": _PYTHON_MODEL_FILE.read_bytes(), "model.onnx": onnx.read_bytes()}
        comments = ["Runs wherever the server's Python has cgt: pip install cyclegan-toolkit"]
    elif backend == "onnxruntime":
        files = {"model.onnx": onnx.read_bytes()}
        comments = ["Runs on a GPU where the server has one."]
    else:
        files, comments = _read_plan(onnx) or (
            {},
            [line.format(name=onnx.name) for line in _MISSING_PLAN_COMMENT],
        )
        built_for = tuple(profile.to_json() for profile in engine_profiles(metadata))
        served_metadata = dataclasses.replace(served_metadata, profiles=built_for)
        if any(_VERSION_COMPATIBLE_HINT in comment for comment in comments):
            log(f"note: the plan of {name} is version-compatible: {_VERSION_COMPATIBLE_HINT}")
    tensors = TensorSpecs.from_onnx(
        file, metadata.io, served_metadata, any_batch=backend == "python"
    )
    if not tensors.is_batched or tensors.max_batch == 1:
        log(
            f"note: {name} has the batch size {abs(tensors.dims[0][0])}; export with --size and "
            "--batch 1..8 to let a server batch requests"
        )
    return RepositoryModel(
        name,
        served_metadata,
        render_config(name, backend, tensors, served_metadata, comments),
        files,
    )


_VERSION_COMPATIBLE_HINT = "start the server with --backend-config=tensorrt,version-compatible=true"


def _read_plan(onnx: Path) -> tuple[dict[str, bytes], list[str]] | None:
    """Return the TensorRT engine next to an ONNX file, and a comment with its GPU.

    The result is None if there is no engine of this very file. Raises ModelError for a damaged one.
    """
    path = onnx.with_suffix(find_format("tensorrt").suffix)
    if not path.exists():
        return None
    build = read_sidecar(path).build
    if build.format != "tensorrt" or build.onnx_sha256 != sha256(onnx.read_bytes()):
        return None
    capabilities = ", ".join(f"{number / 10:.1f}" for number in build.compute_capabilities)
    gpu = build.gpu or f"compute capability {capabilities}"
    comments = [f"For {gpu} and TensorRT {build.version}."]
    if build.version_compatible:
        comments.append(f"It is version-compatible: {_VERSION_COMPATIBLE_HINT}")
    return {"model.plan": read_verified_bytes(path, build)}, comments


def _summarize(model: RepositoryModel) -> str:
    size = sum(len(content) for content in model.files.values()) / 1e6
    if not model.files:
        return "no plan yet; its config.pbtxt describes how to add one"
    return f"{', '.join(model.files)}, {size:.2f} MB"
