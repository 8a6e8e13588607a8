"""config.pbtxt, Triton's model configuration (protobuf text format, `inference.ModelConfig`)."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from cgt.runtime.models.metadata import IOType, ModelMetadata
from cgt.runtime.models.onnx_reader import OnnxHeader

DEFAULT_MAX_BATCH = 8  # if the model takes any batch size
_MAX_QUEUE_DELAY_US = 500  # a GPU's frame waits for others to fill a batch

_METADATA_PARAMETER = 'parameters {{ key: "cgt" value {{ string_value: {} }} }}'
_METADATA_LINE_RE = re.compile(r'^parameters \{ key: "cgt" value .*$', re.MULTILINE)


@dataclass(frozen=True)
class TensorSpecs:
    """Names and shapes of the input and the output.

    Attributes:
        names: Of the input and the output.
        dims: N, H, W, 3 of the input and the output; -1 if a dimension varies.
        max_batch: Largest batch if N varies.
    """

    names: tuple[str, str]
    dims: tuple[tuple[int, ...], tuple[int, ...]]
    max_batch: int = DEFAULT_MAX_BATCH

    @classmethod
    def from_onnx(
        cls, file: OnnxHeader, io: IOType, metadata: ModelMetadata, any_batch: bool
    ) -> TensorSpecs:
        """Read the specs from an ONNX file with tensors of type `io`.

        Args:
            file: Header of the ONNX file.
            io: Type of its image tensors.
            metadata: Metadata of the served model, which may have other limits.
            any_batch: Accept any batch, whatever the graph takes.
        """
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
        """Return True if the server may batch requests."""
        return self.dims[0][0] == -1

    def format_dims(self, index: int) -> str:
        """Return a value of the field `dims`, which excludes the batch size if it varies."""
        sides = self.dims[index][1:] if self.is_batched else self.dims[index]
        return "[ " + ", ".join(map(str, sides)) + " ]"


def render_config(
    name: str, backend: str, tensors: TensorSpecs, metadata: ModelMetadata, comments: Sequence[str]
) -> str:
    """Return the text of config.pbtxt; `comments` are the lines at its top."""
    kind, count, delay_us = {
        "python": ("KIND_CPU", 1, 0),  # one process uses all cores
        "onnxruntime": ("KIND_AUTO", 1, _MAX_QUEUE_DELAY_US),
        "tensorrt": ("KIND_GPU", 2, _MAX_QUEUE_DELAY_US),  # one copies while the other computes
    }[backend]
    height, width = metadata.size
    warmup_dims = (
        f"{height}, {width}, 3"
        if tensors.is_batched
        else f"{tensors.dims[0][0]}, {height}, {width}, 3"
    )
    batching = f"dynamic_batching {{ max_queue_delay_microseconds: {delay_us} }}"
    lines = [
        *(f"# {line}".rstrip() for line in comments),
        f'name: "{name}"',
        f'backend: "{backend}"',
        f"max_batch_size: {tensors.max_batch if tensors.is_batched else 0}",
        *(_render_tensor(section, tensors, i) for i, section in enumerate(("input", "output"))),
        *([batching] if tensors.is_batched else ()),
        f"instance_group [ {{ kind: {kind} count: {count} }} ]",
        *(["optimization { cuda { graphs: true } }"] if backend == "tensorrt" else ()),
        # Keep the previous version for clients that still use it.
        "version_policy { latest { num_versions: 2 } }",
        f'model_warmup [ {{ name: "noise" batch_size: 1 inputs {{ key: "{tensors.names[0]}" '
        f"value {{ data_type: TYPE_UINT8 dims: [ {warmup_dims} ] random_data: true }} }} }} ]",
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
    """Return the metadata in a config.pbtxt, or None if cgt did not write the file."""
    lines = _METADATA_LINE_RE.findall(text)
    literal = re.search(r"string_value: '(.*)' } }$", lines[0]) if len(lines) == 1 else None
    return ModelMetadata.from_json(re.sub(r"\\(.)", r"\1", literal[1])) if literal else None


def replace_metadata(text: str, metadata: ModelMetadata) -> str:
    """Return the config.pbtxt of another model; other edits in it stay."""
    return _METADATA_LINE_RE.sub(lambda _: _render_metadata(metadata), text)


def _quote(text: str) -> str:
    """Return ASCII text as a literal."""
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"
