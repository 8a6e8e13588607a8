"""Triton engine: a model on a Triton server, by gRPC (`--engine triton://HOST:8001/MODEL`).

Each of the `workers` has one request in flight; the pipeline restores the order of frames. The
result of a request depends on its frame only, so that a request lost with its server is repeated.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from ..errors import EngineError, ModelError, UsageError
from ..image.preprocess import F32
from ..models.metadata import METADATA_KEY, IOType, ModelMetadata
from .base import Array, BatchShape, Engine, PerformanceHint
from .triton_client import InferInput, InferRequestedOutput, TritonAddress, TritonClient

_IO_BY_DATA_TYPE: dict[str, tuple[IOType, int]] = {
    "TYPE_FP32": ("float", 0),
    "TYPE_UINT8": ("uint8", 2),
}
_DTYPES_BY_IO = {"float": ("FP32", np.dtype(np.float32)), "uint8": ("UINT8", np.dtype(np.uint8))}
_MIN_REQUESTS = 4  # in flight: one is computed while others travel


@dataclass(frozen=True)
class RemoteModel:
    """A model as its server describes it.

    Attributes:
        version: the newest version at the time of the query, or the requested one.
        metadata: as exported by cgt, or inferred from the shapes.
        backend: backend or platform of the server.
        instance_count: number of model instances on the server.
        max_batch_size: largest number of images in a request.
        fixed_batch_size: number of images in every request; 0 if it varies.
    """

    version: str
    metadata: ModelMetadata
    input_name: str
    output_name: str
    backend: str
    instance_count: int
    max_batch_size: int
    fixed_batch_size: int = 0


def read_triton_metadata(uri: str) -> ModelMetadata:
    """Read the metadata of a model on a Triton server.

    Args:
        uri: triton://HOST[:8001]/MODEL[/VERSION].

    Raises:
        UsageError: the address is invalid.
        EngineError: the server does not answer or has no such model.
        ModelError: the model does not translate images.
    """
    with TritonClient(TritonAddress.parse(uri)) as client:
        return _query_model(client).metadata


class TritonEngine(Engine):
    """A model on a Triton server.

    Raises:
        UsageError: the address is invalid, or the batch is too large for the model.
        EngineError: the server does not answer or has no such model.
        ModelError: the model does not translate images.
    """

    name = "triton"

    def __init__(self, uri: str, shape: BatchShape, performance_hint: PerformanceHint) -> None:
        address = TritonAddress.parse(uri)
        self._client = TritonClient(address)
        try:
            self._model = model = _query_model(self._client)
            if shape.io != model.metadata.io:
                raise ModelError(
                    f"{address.model} on {address.server} takes {model.metadata.io} tensors, "
                    f"not {shape.io}"
                )
            if shape.batch_size > model.max_batch_size or (
                model.fixed_batch_size and shape.batch_size != model.fixed_batch_size
            ):
                limit = model.fixed_batch_size or f"up to {model.max_batch_size}"
                raise UsageError(
                    f"{address.model} on {address.server} takes {limit} images at once, "
                    f"not {shape.batch_size}"
                )
        except BaseException:
            self._client.close()
            raise
        self.device = f"{address.server} ({model.backend})"
        self.precision = model.metadata.precision
        default_workers = (
            max(_MIN_REQUESTS, 2 * model.instance_count) if performance_hint == "throughput" else 2
        )
        self.workers = address.max_requests or default_workers
        self._triton_dtype, self._dtype = _DTYPES_BY_IO[shape.io]
        self._outputs = [InferRequestedOutput(model.output_name)]

    def infer(
        self,
        batch: Array,
        out: Array,
        statistics_in: F32 | None = None,
        statistics_out: F32 | None = None,
    ) -> None:
        address, model = self._client.address, self._model
        tensor = InferInput(model.input_name, batch.shape, self._triton_dtype)
        tensor.set_data_from_numpy(batch)

        def request() -> Any:
            return self._client.grpc_client.infer(
                address.model,
                [tensor],
                model_version=model.version,
                outputs=self._outputs,
                client_timeout=address.deadline_s,
            )

        response = self._client.call_with_retry(request)
        try:
            translated = response.as_numpy(model.output_name)
        except ValueError:  # fewer bytes than the shape needs
            translated = None
        if translated is None or translated.shape != out.shape or translated.dtype != self._dtype:
            actual = "nothing (the Python backend of an old server needs numpy<2)"
            if translated is not None:
                actual = f"{translated.dtype} {_format_shape(translated.shape)}"
            raise EngineError(
                f"{address.model} on {address.server} returned {actual} "
                f"instead of {self._dtype} {_format_shape(out.shape)}"
            )
        out[...] = translated

    def close(self) -> None:
        self._client.close()


def _query_model(client: TritonClient) -> RemoteModel:
    address, grpc_client = client.address, client.grpc_client
    limit = {"client_timeout": address.deadline_s}
    server_metadata = client.call_once(
        lambda: grpc_client.get_model_metadata(address.model, address.version, **limit)
    )
    # The run keeps this version, even if the server restarts with a newer one.
    version = address.version or max(server_metadata.versions, key=int, default="")
    config = client.call_once(
        lambda: grpc_client.get_model_config(address.model, version, **limit)
    ).config
    where = f"{address.model} on {address.server}"
    if len(config.input) != 1 or len(config.output) != 1:
        raise ModelError(f"{where} has more tensors than one input and one output image")
    batched = config.max_batch_size > 0
    cgt_metadata, first_dim = _parse_metadata(config, batched, where)
    return RemoteModel(
        version=version,
        metadata=cgt_metadata,
        input_name=config.input[0].name,
        output_name=config.output[0].name,
        backend=config.backend or config.platform or "ensemble",
        instance_count=sum(max(1, group.count) for group in config.instance_group),
        max_batch_size=config.max_batch_size if batched else max(first_dim, 1),
        fixed_batch_size=0 if batched else max(first_dim, 0),
    )


def _parse_metadata(config: Any, batched: bool, where: str) -> tuple[ModelMetadata, int]:
    """Return the metadata in a model configuration, and the batch dimension of its input.

    The latter is 0 if the dimensions do not include the batch, and -1 if it varies.
    """
    field = config.DESCRIPTOR.fields_by_name["input"].message_type.fields_by_name["data_type"]
    data_type = field.enum_type.values_by_number[config.input[0].data_type].name
    dims = list(config.input[0].dims)
    first_dim = 0 if batched else dims.pop(0) if len(dims) == 4 else 0
    io, channel_axis = _IO_BY_DATA_TYPE.get(data_type, ("float", -1))
    if len(dims) != 3 or channel_axis < 0 or dims[channel_axis] not in (3, -1):
        raise ModelError(
            f"{where} takes {data_type.removeprefix('TYPE_')} {_format_shape(dims)}; cgt needs "
            "uint8 H,W,3 or float32 3,H,W images"
        )
    if METADATA_KEY in config.parameters:
        metadata = ModelMetadata.from_json(config.parameters[METADATA_KEY].string_value)
        if metadata.io != io or metadata.statistics:
            raise ModelError(f"{where} contradicts its cgt parameter; export the model again")
        return metadata, first_dim
    height, width = dims[:2] if io == "uint8" else dims[1:]
    is_dynamic = height < 0 or width < 0
    inferred = ModelMetadata(
        size=(256, 256) if is_dynamic else (height, width), norm="unknown", io=io
    )
    return replace(inferred, dynamic=is_dynamic, multiple=4 if is_dynamic else 1), first_dim


def _format_shape(shape: Any) -> str:
    return "x".join(map(str, shape))
