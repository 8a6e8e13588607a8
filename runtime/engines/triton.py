"""A model on a Triton server, by gRPC: `--engine triton://HOST:8001/MODEL`.

Each of the `workers` has a request in flight; the pipeline keeps the order of frames. A request is
a pure function of its frame, so that one which was lost with its server is simply made again.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from ..artifact import IO, KEY, Artifact
from ..errors import EngineError, ModelError, UsageError
from ..preprocess import F32
from .base import Array, BatchShape, Engine, Goal
from .triton_link import Address, InferInput, InferRequestedOutput, Link

_KINDS: dict[str, tuple[IO, int]] = {"TYPE_FP32": ("float", 0), "TYPE_UINT8": ("uint8", 2)}
_TYPES = {"float": ("FP32", np.dtype(np.float32)), "uint8": ("UINT8", np.dtype(np.uint8))}
_LEAST = 4  # requests in flight: one is computed while others travel


@dataclass(frozen=True)
class Remote:
    """A model as its server describes it. version: that was the newest when it was asked for.
    most: pictures in a request. fixed: number of pictures in each, 0 where it varies."""

    version: str
    artifact: Artifact
    input: str
    output: str
    backend: str
    instances: int
    most: int
    fixed: int = 0


def read_remote(uri: str) -> Artifact:
    """What a server's model says of itself. Raises UsageError for an address that is none,
    MissingDependency, EngineError where no server or no such model answers, ModelError for a model
    that does not translate images."""
    with Link(Address.parse(uri)) as link:
        return _describe(link).artifact


class TritonEngine(Engine):
    """Raises what `read_remote` does, and UsageError for more pictures than the model takes."""

    name = "triton"

    def __init__(self, uri: str, shape: BatchShape, goal: Goal) -> None:
        address = Address.parse(uri)
        self._link = Link(address)
        try:
            self._remote = remote = _describe(self._link)
            if shape.io != remote.artifact.io:
                raise ModelError(
                    f"{address.model} on {address.server} takes {remote.artifact.io} tensors, "
                    f"not {shape.io}"
                )
            if shape.count > remote.most or (remote.fixed and shape.count != remote.fixed):
                raise UsageError(
                    f"{address.model} on {address.server} takes "
                    f"{remote.fixed or f'up to {remote.most}'} pictures at once, not {shape.count}"
                )
        except BaseException:
            self._link.close()
            raise
        self.device = f"{address.server} ({remote.backend})"
        self.precision = remote.artifact.precision
        usual = max(_LEAST, 2 * remote.instances) if goal == "throughput" else 2
        self.workers = address.requests or usual
        self._type, self._dtype = _TYPES[shape.io]
        self._outputs = [InferRequestedOutput(remote.output)]

    def infer(
        self, batch: Array, out: Array, given: F32 | None = None, used: F32 | None = None
    ) -> None:
        address, remote = self._link.address, self._remote
        tensor = InferInput(remote.input, batch.shape, self._type)
        tensor.set_data_from_numpy(batch)

        def request() -> Any:
            return self._link.client.infer(
                address.model,
                [tensor],
                model_version=remote.version,
                outputs=self._outputs,
                client_timeout=address.deadline,
            )

        answer = self._link.insist(request)
        try:
            translated = answer.as_numpy(remote.output)
        except ValueError:  # fewer bytes than its shape says
            translated = None
        if translated is None or translated.shape != out.shape or translated.dtype != self._dtype:
            got = "nothing (an old server's Python backend wants numpy<2)"
            if translated is not None:
                got = f"{translated.dtype} {_by(translated.shape)}"
            raise EngineError(
                f"{address.model} on {address.server} gave {got} for {self._dtype} {_by(out.shape)}"
            )
        out[...] = translated

    def close(self) -> None:
        self._link.close()


def _describe(link: Link) -> Remote:
    address, client = link.address, link.client
    limit = {"client_timeout": address.deadline}
    metadata = link.ask(lambda: client.get_model_metadata(address.model, address.version, **limit))
    # The newest stays the one, also after a restart in which a newer one comes up.
    version = address.version or max(metadata.versions, key=int, default="")
    config = link.ask(lambda: client.get_model_config(address.model, version, **limit)).config
    where = f"{address.model} on {address.server}"
    if len(config.input) != 1 or len(config.output) != 1:
        raise ModelError(f"{where} has more tensors than an image in and one out")
    batched = config.max_batch_size > 0
    artifact, first = _artifact(config, batched, where)
    return Remote(
        version=version,
        artifact=artifact,
        input=config.input[0].name,
        output=config.output[0].name,
        backend=config.backend or config.platform or "ensemble",
        instances=sum(max(1, group.count) for group in config.instance_group),
        most=config.max_batch_size if batched else max(first, 1),
        fixed=0 if batched else max(first, 0),
    )


def _artifact(config: Any, batched: bool, where: str) -> tuple[Artifact, int]:
    """Of a model's configuration, and the first of its dimensions where these include the number of
    pictures (0 where they do not, -1 where it varies)."""
    kinds = config.DESCRIPTOR.fields_by_name["input"].message_type.fields_by_name["data_type"]
    name = kinds.enum_type.values_by_number[config.input[0].data_type].name
    dims = list(config.input[0].dims)
    first = 0 if batched else dims.pop(0) if len(dims) == 4 else 0
    io, channel = _KINDS.get(name, ("float", -1))
    if len(dims) != 3 or channel < 0 or dims[channel] not in (3, -1):
        raise ModelError(
            f"{where} takes {name.removeprefix('TYPE_')} {_by(dims)}, not uint8 H,W,3 or float32 "
            "3,H,W images; only such models can be translated with"
        )
    if KEY in config.parameters:
        artifact = Artifact.from_json(config.parameters[KEY].string_value)
        if artifact.io != io or artifact.statistics:
            raise ModelError(f"{where} does not take what its cgt parameter says; export it anew")
        return artifact, first
    height, width = dims[:2] if io == "uint8" else dims[1:]
    free = height < 0 or width < 0
    fixed = Artifact(size=(256, 256) if free else (height, width), norm="unknown", io=io)
    return replace(fixed, dynamic=free, multiple=4 if free else 1), first


def _by(shape: Any) -> str:
    return "x".join(map(str, shape))
