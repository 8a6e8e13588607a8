"""config.pbtxt, Triton's description of a model (protobuf text format, `inference.ModelConfig`)."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from cgt.runtime.artifact import IO, Artifact
from cgt.runtime.onnxfile import OnnxFile

MOST = 8  # pictures that a server puts together where the model takes any number
_DELAY = 500  # microseconds that a GPU's picture waits for others

_PARAMETER = 'parameters {{ key: "cgt" value {{ string_value: {} }} }}'
_PARAMETER_LINE = re.compile(r'^parameters \{ key: "cgt" value .*$', re.MULTILINE)


@dataclass(frozen=True)
class Tensors:
    """What goes in and out. names: of the input and the output. dims: N, H, W, 3 of either, with -1
    for what varies. most: pictures at once where N varies."""

    names: tuple[str, str]
    dims: tuple[tuple[int, ...], tuple[int, ...]]
    most: int = MOST

    @classmethod
    def of(cls, file: OnnxFile, io: IO, artifact: Artifact, any_number: bool) -> Tensors:
        """As an ONNX file with tensors of `io` says. artifact: of what is served, which may have
        other limits. any_number: of pictures at once, whatever the graph takes."""
        names, dims = [], []
        for tensor in (file.inputs[0], file.outputs[0]):
            axes = (0, 1, 2, 3) if io == "uint8" else (0, 2, 3, 1)
            sides = [-1 if any_number else tensor.dims[0] or -1]
            sides += [tensor.dims[axis] or -1 for axis in axes[1:]]
            names.append(tensor.name)
            dims.append((*sides[:3], 3))
        limits = [MOST] if any_number else [profile["max"][0] for profile in artifact.profiles]
        return cls((names[0], names[1]), (dims[0], dims[1]), max(limits, default=MOST))

    @property
    def batched(self) -> bool:
        """Whether the server may put requests together."""
        return self.dims[0][0] == -1

    def shape(self, way: int) -> str:
        """As `dims` are written, which leave out the number where it varies."""
        sides = self.dims[way][1:] if self.batched else self.dims[way]
        return "[ " + ", ".join(map(str, sides)) + " ]"


def render(
    name: str, backend: str, tensors: Tensors, artifact: Artifact, head: Sequence[str]
) -> str:
    """The file's text. head: lines of comment."""
    kind, count, delay = {
        "python": ("KIND_CPU", 1, 0),  # one process, which uses all cores
        "onnxruntime": ("KIND_AUTO", 1, _DELAY),
        "tensorrt": ("KIND_GPU", 2, _DELAY),  # one copies while the other computes
    }[backend]
    height, width = artifact.size
    warm = (
        f"{height}, {width}, 3"
        if tensors.batched
        else f"{tensors.dims[0][0]}, {height}, {width}, 3"
    )
    batching = f"dynamic_batching {{ max_queue_delay_microseconds: {delay} }}"
    lines = [
        *(f"# {line}".rstrip() for line in head),
        f'name: "{name}"',
        f'backend: "{backend}"',
        f"max_batch_size: {tensors.most if tensors.batched else 0}",
        *(_end(way, tensors, i) for i, way in enumerate(("input", "output"))),
        *([batching] if tensors.batched else ()),
        f"instance_group [ {{ kind: {kind} count: {count} }} ]",
        # The one before, too: who began with it goes on with it.
        "version_policy { latest { num_versions: 2 } }",
        f'model_warmup [ {{ name: "noise" batch_size: 1 inputs {{ key: "{tensors.names[0]}" '
        f"value {{ data_type: TYPE_UINT8 dims: [ {warm} ] random_data: true }} }} }} ]",
        *(
            ['parameters { key: "engine" value { string_value: "openvino" } }']
            if backend == "python"
            else ()
        ),
        _parameter(artifact),
    ]
    return "\n".join(lines) + "\n"


def _end(way: str, tensors: Tensors, index: int) -> str:
    name, dims = tensors.names[index], tensors.shape(index)
    return f'{way} [ {{ name: "{name}" data_type: TYPE_UINT8 dims: {dims} }} ]'


def _parameter(artifact: Artifact) -> str:
    return _PARAMETER.format(_quoted(artifact.to_json()))


def read_artifact_of(text: str) -> Artifact | None:
    """What the model in a config.pbtxt of ours is; None where that is not ours."""
    found = _PARAMETER_LINE.findall(text)
    literal = re.search(r"string_value: '(.*)' } }$", found[0]) if len(found) == 1 else None
    return Artifact.from_json(re.sub(r"\\(.)", r"\1", literal[1])) if literal else None


def with_artifact(text: str, artifact: Artifact) -> str:
    """The same config.pbtxt for another model; whatever else was edited in it stays."""
    return _PARAMETER_LINE.sub(lambda _: _parameter(artifact), text)


def _quoted(text: str) -> str:
    """ASCII text as a literal."""
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"
