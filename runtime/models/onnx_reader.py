"""Reader of the metadata, inputs and outputs of an ONNX file, without the `onnx` package.

It parses the little that it needs of the protobuf wire format
(protobuf.dev/programming-guides/encoding), so that a machine that only translates needs no further
package. Weights are skipped, never read.
"""

from __future__ import annotations

import io
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from ..errors import ModelError

# Field numbers of onnx.proto.
_MODEL_GRAPH, _MODEL_OPSETS, _MODEL_METADATA = 7, 8, 14
_GRAPH_INITIALIZER, _GRAPH_INPUT, _GRAPH_OUTPUT = 5, 11, 12
_TENSOR_NAME = 8
_VALUE_NAME, _VALUE_TYPE = 1, 2
_TYPE_TENSOR = 1
_TENSOR_ELEM_TYPE, _TENSOR_SHAPE = 1, 2
_SHAPE_DIM = 1
_DIM_VALUE = 1
_ENTRY_KEY, _ENTRY_VALUE = 1, 2

FLOAT, UINT8, FLOAT16 = 1, 2, 10  # TensorProto.DataType
DTYPES = {
    FLOAT: "float32",
    UINT8: "uint8",
    6: "int32",
    7: "int64",
    9: "bool",
    FLOAT16: "float16",
    11: "float64",
}
"""NumPy's names of some of the types."""


@dataclass(frozen=True)
class TensorInfo:
    """A graph input or output.

    Attributes:
        name: name of the tensor.
        elem_type: value of TensorProto.DataType.
        dims: shape; None for a variable dimension.
    """

    name: str
    elem_type: int
    dims: tuple[int | None, ...]


@dataclass(frozen=True)
class OnnxHeader:
    """Metadata, inputs and outputs of an ONNX file; weights do not count as inputs."""

    metadata: dict[str, str]
    inputs: tuple[TensorInfo, ...]
    outputs: tuple[TensorInfo, ...]


class _ProtobufError(Exception):
    pass


def read_onnx_header(path: Path) -> OnnxHeader:
    """Read the header of an ONNX file.

    Raises:
        ModelError: the file is missing, unreadable or not ONNX.
    """
    metadata: dict[str, str] = {}
    inputs: list[TensorInfo] = []
    outputs: list[TensorInfo] = []
    seen: set[int] = set()
    weights: set[str] = set()
    try:
        with open(path, "rb") as file:
            for number, _, size in _iter_fields(file, path.stat().st_size):
                seen.add(number)
                if number == _MODEL_METADATA:
                    entry = _parse_message(file.read(size))
                    key, value = (_string_field(entry, part) for part in (_ENTRY_KEY, _ENTRY_VALUE))
                    metadata[key] = value
                elif number == _MODEL_GRAPH:
                    for part, _, length in _iter_fields(file, file.tell() + size):
                        if part == _GRAPH_INPUT:
                            inputs.append(_parse_tensor_info(file.read(length)))
                        elif part == _GRAPH_OUTPUT:
                            outputs.append(_parse_tensor_info(file.read(length)))
                        elif part == _GRAPH_INITIALIZER:
                            weights.add(_read_tensor_name(file, file.tell() + length))
    except FileNotFoundError:
        raise ModelError(f"model {path} is missing") from None
    except OSError as error:
        raise ModelError(f"model {path} cannot be read: {error.strerror}") from None
    except (_ProtobufError, UnicodeDecodeError):
        seen.clear()
    inputs = [tensor for tensor in inputs if tensor.name not in weights]  # before IR version 4
    if not {_MODEL_GRAPH, _MODEL_OPSETS} <= seen or not inputs or not outputs:
        raise ModelError(f"{path} is not an ONNX model; `cgt export --ckpt FILE` writes one")
    return OnnxHeader(metadata, tuple(inputs), tuple(outputs))


def _read_tensor_name(file: BinaryIO, end: int) -> str:
    """Return the name of the tensor that lies between the position of the file and `end`."""
    for number, has_content, size in _iter_fields(file, end):
        if number == _TENSOR_NAME and has_content:
            return file.read(size).decode()
    return ""


def _iter_fields(file: BinaryIO, end: int) -> Iterator[tuple[int, bool, int]]:
    """Yield (field number, has content, value) for each field up to `end`.

    The value of a field with content is its size, and the file is positioned at the content. The
    next field is found however much of the content the caller reads.
    """
    while file.tell() < end:
        number, wire_type = divmod(_read_varint(file), 8)
        if number == 0 or wire_type not in (0, 1, 2, 5):
            raise _ProtobufError
        if wire_type in (1, 5):  # fixed 64 and 32 bits
            file.seek(8 if wire_type == 1 else 4, io.SEEK_CUR)
            continue
        value = _read_varint(file)
        if wire_type == 0:
            yield number, False, value
            continue
        content = file.tell()
        if content + value > end:
            raise _ProtobufError
        yield number, True, value
        file.seek(content + value)


def _read_varint(file: BinaryIO) -> int:
    value = 0
    for shift in range(0, 70, 7):
        byte = file.read(1)
        if not byte:
            break
        value |= (byte[0] & 0x7F) << shift
        if byte[0] < 0x80:
            return value
    raise _ProtobufError


def _parse_message(data: bytes) -> dict[int, list[int | bytes]]:
    """Return all fields of a small message: numbers as int, content as bytes."""
    fields: dict[int, list[int | bytes]] = {}
    with io.BytesIO(data) as file:
        for number, has_content, value in _iter_fields(file, len(data)):
            fields.setdefault(number, []).append(file.read(value) if has_content else value)
    return fields


def _bytes_field(fields: dict[int, list[int | bytes]], number: int) -> bytes:
    value = fields.get(number, [b""])[-1]
    if not isinstance(value, bytes):
        raise _ProtobufError
    return value


def _string_field(fields: dict[int, list[int | bytes]], number: int) -> str:
    return _bytes_field(fields, number).decode()


def _parse_tensor_info(data: bytes) -> TensorInfo:
    value = _parse_message(data)
    tensor = _parse_message(
        _bytes_field(_parse_message(_bytes_field(value, _VALUE_TYPE)), _TYPE_TENSOR)
    )
    element = tensor.get(_TENSOR_ELEM_TYPE, [0])[-1]
    dims: list[int | None] = []
    for dim in _parse_message(_bytes_field(tensor, _TENSOR_SHAPE)).get(_SHAPE_DIM, []):
        size = _parse_message(dim).get(_DIM_VALUE, [0])[-1] if isinstance(dim, bytes) else 0
        dims.append(size if isinstance(size, int) and 0 < size < 1 << 31 else None)
    return TensorInfo(
        _string_field(value, _VALUE_NAME), element if isinstance(element, int) else 0, tuple(dims)
    )
