"""config.pbtxt, Triton's description of a model (protobuf text format, `inference.ModelConfig`)."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from cgt.runtime.models.metadata import IOType, ModelMetadata
from cgt.runtime.models.onnx_reader import OnnxHeader

DEFAULT_MAX_BATCH = 8  # pictures that a server puts together where the model takes any number
_MAX_QUEUE_DELAY_US = 500  # microseconds that a GPU's picture waits for others

_METADATA_PARAMETER = 'parameters {{ key: "cgt" value {{ string_value: {} }} }}'
_METADATA_LINE_RE = re.compile(r'^parameters \{ key: "cgt" value .*$', re.MULTILINE)


@dataclass(frozen=True)
class TensorSpecs:
    """What goes in and out. names: of the input and the output. dims: N, H, W, 3 of either, with -1
    for what varies. most: pictures at once where N varies."""

    names: tuple[str, str]
    dims: tuple[tuple[int, ...], tuple[int, ...]]
    max_batch: int = DEFAULT_MAX_BATCH

    @classmethod
    def from_onnx(
        cls, file: OnnxHeader, io: IOType, metadata: ModelMetadata, any_batch: bool
    ) -> TensorSpecs:
        """As an ONNX file with tensors of `io` says. artifact: of what is served, which may have
        other limits. any_number: of pictures at once, whatever the graph takes."""
        names, dims = [], []
        for tensor in (file.inputs[0], file.outputs[0]):
            axes = (0, 1, 2, 3) if io == "uint8" else (0, 2, 3, 1)
            sides = [-1 if any_batch else tensor.dims[0] or -1]
            sides += [tensor.dims[axis] or -1 for axis in axes[1:]]
            names.append(tensor.name)
            dims.append((*sides[:3], 3))
        limits = (
            [DEFAULT_MAX_BATCH]
            if any_batch
            else [profile["max"][0] for profile in metadata.profiles]
        )
        return cls((names[0], names[1]), (dims[0], dims[1]), max(limits, default=DEFAULT_MAX_BATCH))

    @property
    def is_batched(self) -> bool:
        """Whether the server may put requests together."""
        return self.dims[0][0] == -1

    def format_dims(self, index: int) -> str:
        """As `dims` are written, which leave out the number where it varies."""
        sides = self.dims[index][1:] if self.is_batched else self.dims[index]
        return "[ " + ", ".join(map(str, sides)) + " ]"


def render_config(
    name: str, backend: str, tensors: TensorSpecs, metadata: ModelMetadata, comments: Sequence[str]
) -> str:
    """The file's text. head: lines of comment."""
    kind, count, delay = {
        "python": ("KIND_CPU", 1, 0),  # one process, which uses all cores
        "onnxruntime": ("KIND_AUTO", 1, _MAX_QUEUE_DELAY_US),
        "tensorrt": ("KIND_GPU", 2, _MAX_QUEUE_DELAY_US),  # one copies while the other computes
    }[backend]
    height, width = metadata.size
    warm = (
        f"{height}, {width}, 3"
        if tensors.is_batched
        else f"{tensors.dims[0][0]}, {height}, {width}, 3"
    )
    batching = f"dynamic_batching {{ max_queue_delay_microseconds: {delay} }}"
    lines = [
        *(f"# {line}".rstrip() for line in comments),
        f'name: "{name}"',
        f'backend: "{backend}"',
        f"max_batch_size: {tensors.max_batch if tensors.is_batched else 0}",
        *(_render_tensor(way, tensors, i) for i, way in enumerate(("input", "output"))),
        *([batching] if tensors.is_batched else ()),
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
        _render_metadata(metadata),
    ]
    return "\n".join(lines) + "\n"


def _render_tensor(section: str, tensors: TensorSpecs, index: int) -> str:
    name, dims = tensors.names[index], tensors.format_dims(index)
    return f'{section} [ {{ name: "{name}" data_type: TYPE_UINT8 dims: {dims} }} ]'


def _render_metadata(metadata: ModelMetadata) -> str:
    return _METADATA_PARAMETER.format(_quote(metadata.to_json()))


def parse_metadata(text: str) -> ModelMetadata | None:
    """What the model in a config.pbtxt of ours is; None where that is not ours."""
    found = _METADATA_LINE_RE.findall(text)
    literal = re.search(r"string_value: '(.*)' } }$", found[0]) if len(found) == 1 else None
    return ModelMetadata.from_json(re.sub(r"\\(.)", r"\1", literal[1])) if literal else None


def replace_metadata(text: str, metadata: ModelMetadata) -> str:
    """The same config.pbtxt for another model; whatever else was edited in it stays."""
    return _METADATA_LINE_RE.sub(lambda _: _render_metadata(metadata), text)


def _quote(text: str) -> str:
    """ASCII text as a literal."""
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"
