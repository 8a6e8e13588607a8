"""TensorRT and TensorRT-RTX on an NVIDIA GPU, through pycuda.

A frame goes: caller's array -> pinned memory -> device -> network -> pinned memory -> caller's
array. Each of the `workers` has its own stream and buffers, so that one frame's copies overlap
another's computation. With fixed shapes the three steps are recorded once as a CUDA graph and
launched as one call; CGT_CUDA_GRAPH=0 switches that off.
"""

from __future__ import annotations

import os
import queue
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import EngineError, ModelError
from ..preprocess import F32
from ..sidecar import Build, read_sidecar, read_verified
from .base import Array, BatchShape, Engine, Goal, one_line
from .tensorrt_log import make_log
from .tensorrt_machine import check_machine, load_api
from .tensorrt_slot import Slot, Spans, cuda

if TYPE_CHECKING:
    import tensorrt as trt

_DTYPES = {"FLOAT": np.dtype(np.float32), "UINT8": np.dtype(np.uint8)}


class TensorRTEngine(Engine):
    """Computes in what the plan was built and verified in; the sidecar says which.

    Raises MissingDependency without the libraries or the GPU, ModelError for a plan that is not
    the one its sidecar describes, EngineError for one of another TensorRT or GPU.
    """

    name = "tensorrt"

    def __init__(
        self,
        path: Path,
        shape: BatchShape,
        goal: Goal,
        precision: str | None = None,
        cuda_graph: bool | None = None,
    ) -> None:
        sidecar = read_sidecar(path)
        build = sidecar.build
        self.name = build.format
        self.precision = build.precision
        self._api = load_api(build)
        gpu = check_machine(path, build, self._api)
        self.device = gpu.name
        if cuda_graph is None:
            cuda_graph = os.environ.get("CGT_CUDA_GRAPH") != "0"
        self.cuda_graph = cuda_graph and shape.fixed
        self.workers = 2 if goal == "throughput" else 1
        self._slots: queue.SimpleQueue[Slot] = queue.SimpleQueue()
        self._made: list[Slot] = []
        self._context: cuda.Context | None = None
        plan = read_verified(path, build)
        cuda.init()
        self._context = cuda.Device(0).retain_primary_context()
        try:
            with self._current():
                self._open(path, build, plan, shape)
        except BaseException:
            self.close()
            raise

    def _open(self, path: Path, build: Build, plan: bytes, shape: BatchShape) -> None:
        log = make_log(self._api)
        runtime: trt.Runtime = self._api.Runtime(log)
        if build.version_compatible:
            runtime.engine_host_code_allowed = True  # its bytes are those that were verified
        if build.dla is not None:
            runtime.DLA_core = build.dla
        engine: trt.ICudaEngine | None = runtime.deserialize_cuda_engine(plan)
        if engine is None:
            raise EngineError(
                f"{build.format} cannot load {path}: {log.last_error()}; run: {build.again}"
            )
        self._log, self._runtime, self._engine = log, runtime, engine  # in the order of lifetime
        inputs, outputs = _tensors(self._api, engine, path, shape)
        for _ in range(self.workers):
            slot = Slot(engine, inputs, outputs, self.cuda_graph)
            self._made.append(slot)
            if shape.fixed:
                slot.fit(_shapes(shape))
            self._slots.put(slot)

    def infer(
        self, batch: Array, out: Array, given: F32 | None = None, used: F32 | None = None
    ) -> None:
        self._with_slot(lambda slot: slot.run(*_arrays(batch, out, given, used)))

    def spans(
        self, batch: Array, out: Array, given: F32 | None = None, used: F32 | None = None
    ) -> Spans:
        """As `infer`, without the CUDA graph, and the time of each step by CUDA events."""
        spans: Spans = self._with_slot(lambda slot: slot.timed(*_arrays(batch, out, given, used)))
        return spans

    def layers(self) -> str:
        """EngineInspector's JSON: every layer with its types."""
        with self._current():
            inspector: trt.EngineInspector = self._engine.create_engine_inspector()
            text: str = inspector.get_engine_information(self._api.LayerInformationFormat.JSON)
            return text

    def _with_slot(self, work: Callable[[Slot], Any]) -> Any:
        slot = self._slots.get()
        try:
            with self._current():
                return work(slot)
        finally:
            self._slots.put(slot)

    @contextmanager
    def _current(self) -> Iterator[None]:
        """The GPU's context is this thread's; what CUDA raises becomes an EngineError."""
        if self._context is None:
            raise EngineError(f"the {self.name} engine is closed")
        self._context.push()
        try:
            yield
        except cuda.Error as error:
            raise EngineError(f"CUDA failed: {one_line(error)}") from None
        finally:
            cuda.Context.pop()

    def close(self) -> None:
        if self._context is None:
            return
        with self._current():
            for slot in self._made:
                slot.close()
            self._made.clear()
            self._engine = self._runtime = None
        self._context.detach()
        self._context = None


def _tensors(
    api: ModuleType, engine: trt.ICudaEngine, path: Path, shape: BatchShape
) -> tuple[list[str], list[str]]:
    """Names of the inputs and outputs. Raises ModelError unless they are what the sidecar says."""
    names = [engine.get_tensor_name(index) for index in range(engine.num_io_tensors)]
    inputs = [n for n in names if engine.get_tensor_mode(n) == api.TensorIOMode.INPUT]
    outputs = [name for name in names if name not in inputs]
    image = np.dtype(np.uint8 if shape.io == "uint8" else np.float32)
    wanted = [image, np.dtype(np.float32)][: 2 if shape.statistics else 1]
    for group in (inputs, outputs):
        found = [_DTYPES.get(engine.get_tensor_dtype(name).name) for name in group]
        if found != wanted:
            raise ModelError(f"{path} does not have the tensors that its sidecar describes")
    return inputs, outputs


def _shapes(shape: BatchShape) -> list[tuple[tuple[int, ...], np.dtype[Any]]]:
    """Of the arrays in and out, in the order of `_arrays`."""
    image = (shape.image, np.dtype(np.uint8 if shape.io == "uint8" else np.float32))
    statistics = ((shape.count, shape.statistics), np.dtype(np.float32))
    return [image, image, *[statistics] * (2 if shape.statistics else 0)]


def _arrays(
    batch: Array, out: Array, given: F32 | None, used: F32 | None
) -> tuple[list[Array], list[Array]]:
    """Those that go in and those that come out."""
    if given is None or used is None:
        return [batch], [out]
    return [batch, given], [out, used]
