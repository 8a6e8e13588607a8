"""ONNX -> a model repository of Triton Inference Server.

REPOSITORY/NAME_python/config.pbtxt        any server, on its CPUs, by cgt's own runtime
                      /1/model.py, model.onnx
REPOSITORY/NAME_onnxruntime/config.pbtxt   servers with the ONNX Runtime backend
                           /1/model.onnx
REPOSITORY/NAME_tensorrt/config.pbtxt      GPUs; NAME.engine beside the ONNX file becomes the plan
                        /1/model.plan

All take and give uint8 frames under the same names. A model that is there gets the next version,
and keeps what its owner changed in config.pbtxt.
"""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path

from cgt.runtime.artifact import Artifact
from cgt.runtime.errors import UsageError
from cgt.runtime.onnxfile import UINT8, OnnxFile, read_onnx
from cgt.runtime.sidecar import read_sidecar, read_verified, sha256

from ..formats import BACKENDS, BuildOptions, check_graph, find_format
from .base import Say
from .profiles import profiles_of
from .triton_config import Tensors, render
from .triton_repository import Model, add

REPOSITORY = "model_repository"
_NO_PLAN = (
    "The plan is still to come. On the GPU that it is for, with the server's version of TensorRT:",
    "cgt export {name} --format tensorrt --format triton -o REPOSITORY",
)
_TEMPLATE = Path(__file__).with_name("triton_model.py")


def add_model(
    onnx: Path, artifact: Artifact, repository: Path, options: BuildOptions, say: Say
) -> Path:
    """Put a model into a repository, which is made where it is missing. say: is given a line for
    each folder, and how to serve them.

    Returns the repository. Raises UsageError for a model that Triton's backends cannot serve as
    asked, or that is there with other tensors, ModelError for a damaged engine, SinkError where the
    repository cannot be written; then nothing of it has changed.
    """
    check_graph(find_format("triton"), artifact.precision, artifact.norm)
    file = read_onnx(onnx)
    models = [
        _model(name, onnx, file, artifact, say) for name in _backends(file, onnx, options, say)
    ]
    for model, version in zip(models, add(models, repository), strict=True):
        say(f"{version}: {_described(model)}")
    ready = " ".join(f"--load-model={model.name}" for model in models if model.files)
    say(
        f"serve what the server has a backend for: tritonserver --model-repository={repository} "
        f"--model-control-mode=explicit {ready}"
    )
    return repository


def _backends(file: OnnxFile, onnx: Path, options: BuildOptions, say: Say) -> tuple[str, ...]:
    """Those asked for, or all that fit."""
    pixels = all(ends[0].element == UINT8 for ends in (file.inputs, file.outputs))
    asked = options.backends or BACKENDS
    fit = asked if pixels else tuple(name for name in asked if name == "python")
    if fit != asked:
        reason = f"{onnx.name} has float tensors, and clients send pixels"
        if options.backends:
            wrong = " and ".join(name for name in asked if name not in fit)
            raise UsageError(f"{reason}; export it with --io uint8 for the backend {wrong}")
        say(f"note: {reason}: for the Python backend only; --io uint8 makes it fit for all")
    return tuple(dict.fromkeys(fit))


def _model(backend: str, onnx: Path, file: OnnxFile, artifact: Artifact, say: Say) -> Model:
    name = f"{onnx.stem}_{backend}"
    if not re.fullmatch(r"[\w.-]+", name, re.ASCII):
        raise UsageError(f"{name} cannot be the name of a model: rename {onnx.name}")
    served = dataclasses.replace(artifact, io="uint8")
    files: dict[str, bytes] = {}
    if backend == "python":
        files = {"model.py": _TEMPLATE.read_bytes(), "model.onnx": onnx.read_bytes()}
        head = ["Runs wherever the server's Python has cgt: pip install cyclegan-toolkit"]
    elif backend == "onnxruntime":
        files = {"model.onnx": onnx.read_bytes()}
        head = ["Runs on a GPU where the server has one."]
    else:
        files, head = _plan(onnx) or ({}, [line.format(name=onnx.name) for line in _NO_PLAN])
        built_for = tuple(profile.to_json() for profile in profiles_of(artifact))
        served = dataclasses.replace(served, profiles=built_for)
    tensors = Tensors.of(file, artifact.io, served, any_number=backend == "python")
    if not tensors.batched or tensors.most == 1:
        say(
            f"note: {name} takes {abs(tensors.dims[0][0])} at once; an export with --size and "
            "--batch 1..8 lets a server put requests together"
        )
    return Model(name, served, render(name, backend, tensors, served, head), files)


def _plan(onnx: Path) -> tuple[dict[str, bytes], list[str]] | None:
    """The file of the TensorRT engine beside an ONNX file, and a line that says for which machine;
    None where none was built from just that file. Raises ModelError for a damaged one."""
    path = onnx.with_suffix(find_format("tensorrt").suffix)
    if not path.exists():
        return None
    build = read_sidecar(path).build
    if build.format != "tensorrt" or build.onnx_sha256 != sha256(onnx.read_bytes()):
        return None
    numbers = ", ".join(f"{number / 10:.1f}" for number in build.compute_capabilities)
    head = f"For {build.gpu or f'compute capability {numbers}'} and TensorRT {build.version}."
    return {"model.plan": read_verified(path, build)}, [head]


def _described(model: Model) -> str:
    size = sum(len(content) for content in model.files.values()) / 1e6
    if not model.files:
        return "no plan yet; its config.pbtxt says how to add one"
    return f"{', '.join(model.files)}, {size:.2f} MB"
