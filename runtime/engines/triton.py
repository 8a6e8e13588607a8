"""Triton engine: a model on a Triton server, by gRPC (`--engine triton://HOST:8001/MODEL`).

Each of the `workers` has one request in flight; the pipeline restores the order of frames. The
result of a request depends on its frame only, so that a request lost with its server is repeated.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ..errors import EngineError, ModelError, UsageError
from ..image.preprocess import F32
from ..models.metadata import METADATA_KEY, ModelMetadata, infer_metadata
from ..models.onnx_reader import FLOAT, FLOAT16, UINT8, OnnxHeader, TensorInfo
from ..models.third_party import ModelFormat
from .base import Array, BatchShape, Engine, PerformanceHint
from .triton_client import InferInput, InferRequestedOutput, TritonAddress, TritonClient

_ELEM_TYPES = {"TYPE_FP32": FLOAT, "TYPE_FP16": FLOAT16, "TYPE_UINT8": UINT8}
_TRITON_TYPES = {"float32": "FP32", "float16": "FP16", "uint8": "UINT8"}
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


def read_triton_metadata(uri: str, model_format: ModelFormat | None = None) -> ModelMetadata:
    """Read the metadata of a model on a Triton server.

    Args:
        uri: triton://HOST[:8001]/MODEL[/VERSION].
        model_format: what the user says about a model of another tool.

    Raises:
        UsageError: the address is invalid, or `model_format` contradicts the model.
        EngineError: the server does not answer or has no such model.
        ModelError: the model does not translate images.
    """
    with TritonClient(TritonAddress.parse(uri)) as client:
        return _query_model(client, model_format).metadata


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
        self._dtype = shape.network_specs[1][1]
        self._outputs = [InferRequestedOutput(model.output_name)]

    def infer(
        self,
        batch: Array,
        out: Array,
        statistics_in: F32 | None = None,
        statistics_out: F32 | None = None,
    ) -> None:
        address, model = self._client.address, self._model
        tensor = InferInput(model.input_name, batch.shape, _TRITON_TYPES[batch.dtype.name])
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


def _query_model(client: TritonClient, model_format: ModelFormat | None = None) -> RemoteModel:
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
    cgt_metadata, first_dim = _parse_metadata(config, batched, where, model_format)
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


def _parse_metadata(
    config: Any, batched: bool, where: str, model_format: ModelFormat | None
) -> tuple[ModelMetadata, int]:
    """Return the metadata in a model configuration, and the batch dimension of its input.

    The latter is 0 if the dimensions do not include the batch, and -1 if it varies.
    """
    image, output = (
        _tensor_info(tensor, batched) for tensor in (config.input[0], config.output[0])
    )
    dims = config.input[0].dims
    first_dim = 0 if batched or len(dims) != 4 else int(dims[0])
    inferred = infer_metadata(OnnxHeader({}, (image,), (output,)), where, model_format)
    if METADATA_KEY not in config.parameters:
        return inferred, first_dim
    if model_format not in (None, ModelFormat()):
        raise UsageError(f"{where} describes its tensors itself; omit --model-range, ...")
    metadata = ModelMetadata.from_json(config.parameters[METADATA_KEY].string_value)
    if metadata.io != inferred.io or metadata.statistics:
        raise ModelError(f"{where} contradicts its cgt parameter; export the model again")
    return metadata, first_dim


def _tensor_info(tensor: Any, batched: bool) -> TensorInfo:
    """Return a tensor of a configuration, with a batch axis."""
    field = tensor.DESCRIPTOR.fields_by_name["data_type"]
    data_type = field.enum_type.values_by_number[tensor.data_type].name
    dims = tuple(dim if dim > 0 else None for dim in tensor.dims)
    return TensorInfo(
        tensor.name,
        _ELEM_TYPES.get(data_type, 0),
        (None, *dims) if batched or len(dims) == 3 else dims,
    )


def _format_shape(shape: Any) -> str:
    return "x".join(map(str, shape))
