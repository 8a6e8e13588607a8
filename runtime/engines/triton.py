"""A model on a Triton server, by gRPC: `--engine triton://HOST:8001/MODEL`.

Each of the `workers` has a request in flight; the pipeline keeps the order of frames. A request is
a pure function of its frame, so that one which was lost with its server is simply made again.
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
_MIN_REQUESTS = 4  # requests in flight: one is computed while others travel


@dataclass(frozen=True)
class RemoteModel:
    """A model as its server describes it. version: that was the newest when it was asked for.
    most: pictures in a request. fixed: number of pictures in each, 0 where it varies."""

    version: str
    metadata: ModelMetadata
    input_name: str
    output_name: str
    backend: str
    instance_count: int
    max_batch_size: int
    fixed_batch_size: int = 0


def read_triton_metadata(uri: str) -> ModelMetadata:
    """What a server's model says of itself. Raises UsageError for an address that is none,
    MissingDependency, EngineError where no server or no such model answers, ModelError for a model
    that does not translate images."""
    with TritonClient(TritonAddress.parse(uri)) as client:
        return _query_model(client).metadata


class TritonEngine(Engine):
    """Raises what `read_remote` does, and UsageError for more pictures than the model takes."""

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
                raise UsageError(
                    f"{address.model} on {address.server} takes "
                    f"{model.fixed_batch_size or f'up to {model.max_batch_size}'} pictures at once, not {shape.batch_size}"
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
        except ValueError:  # fewer bytes than its shape says
            translated = None
        if translated is None or translated.shape != out.shape or translated.dtype != self._dtype:
            got = "nothing (an old server's Python backend wants numpy<2)"
            if translated is not None:
                got = f"{translated.dtype} {_format_shape(translated.shape)}"
            raise EngineError(
                f"{address.model} on {address.server} gave {got} for {self._dtype} {_format_shape(out.shape)}"
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
    # The newest stays the one, also after a restart in which a newer one comes up.
    version = address.version or max(server_metadata.versions, key=int, default="")
    config = client.call_once(
        lambda: grpc_client.get_model_config(address.model, version, **limit)
    ).config
    where = f"{address.model} on {address.server}"
    if len(config.input) != 1 or len(config.output) != 1:
        raise ModelError(f"{where} has more tensors than an image in and one out")
    batched = config.max_batch_size > 0
    cgt_metadata, first = _parse_metadata(config, batched, where)
    return RemoteModel(
        version=version,
        metadata=cgt_metadata,
        input_name=config.input[0].name,
        output_name=config.output[0].name,
        backend=config.backend or config.platform or "ensemble",
        instance_count=sum(max(1, group.count) for group in config.instance_group),
        max_batch_size=config.max_batch_size if batched else max(first, 1),
        fixed_batch_size=0 if batched else max(first, 0),
    )


def _parse_metadata(config: Any, batched: bool, where: str) -> tuple[ModelMetadata, int]:
    """Of a model's configuration, and the first of its dimensions where these include the number of
    pictures (0 where they do not, -1 where it varies)."""
    kinds = config.DESCRIPTOR.fields_by_name["input"].message_type.fields_by_name["data_type"]
    name = kinds.enum_type.values_by_number[config.input[0].data_type].name
    dims = list(config.input[0].dims)
    first = 0 if batched else dims.pop(0) if len(dims) == 4 else 0
    io, channel = _IO_BY_DATA_TYPE.get(name, ("float", -1))
    if len(dims) != 3 or channel < 0 or dims[channel] not in (3, -1):
        raise ModelError(
            f"{where} takes {name.removeprefix('TYPE_')} {_format_shape(dims)}, not uint8 H,W,3 or float32 "
            "3,H,W images; only such models can be translated with"
        )
    if METADATA_KEY in config.parameters:
        metadata = ModelMetadata.from_json(config.parameters[METADATA_KEY].string_value)
        if metadata.io != io or metadata.statistics:
            raise ModelError(f"{where} does not take what its cgt parameter says; export it anew")
        return metadata, first
    height, width = dims[:2] if io == "uint8" else dims[1:]
    is_dynamic = height < 0 or width < 0
    inferred = ModelMetadata(
        size=(256, 256) if is_dynamic else (height, width), norm="unknown", io=io
    )
    return replace(inferred, dynamic=is_dynamic, multiple=4 if is_dynamic else 1), first


def _format_shape(shape: Any) -> str:
    return "x".join(map(str, shape))
