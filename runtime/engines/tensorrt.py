"""TensorRT and TensorRT-RTX engine on an NVIDIA GPU, through pycuda.

The path of a frame: caller's array -> pinned memory -> device -> network -> pinned memory ->
caller's array. Each of the `workers` has its own stream and buffers, so that the copies of one
frame overlap with the computation of another. With fixed shapes the three steps are captured once
as a CUDA graph and launched with one call; CGT_CUDA_GRAPH=0 disables that.
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
from ..image.preprocess import F32
from ..models.sidecar import EngineBuildInfo, read_sidecar, read_verified_bytes
from .base import Array, BatchShape, Engine, EngineOptions, last_error_line
from .tensorrt_compat import check_compatibility, load_tensorrt, make_logger
from .tensorrt_context import ExecutionSlot, GpuTimings, cuda

if TYPE_CHECKING:
    import tensorrt as trt

_DTYPES = {
    "FLOAT": np.dtype(np.float32),
    "HALF": np.dtype(np.float16),
    "UINT8": np.dtype(np.uint8),
}


class TensorRTEngine(Engine):
    """A TensorRT plan; its sidecar tells the precision that it was built and verified in.

    Raises:
        MissingDependency: the libraries or the GPU are missing.
        ModelError: the plan is not the file that its sidecar describes.
        EngineError: the plan is for another TensorRT version or GPU.
    """

    name = "tensorrt"

    def __init__(self, options: EngineOptions, cuda_graph: bool | None = None) -> None:
        path, shape = options.path, options.shape
        sidecar = read_sidecar(path)
        build = sidecar.build
        self.name = build.format
        self.precision = build.precision
        self._api = load_tensorrt(build)
        gpu = check_compatibility(path, build, self._api)
        self.device = gpu.name
        if cuda_graph is None:
            cuda_graph = os.environ.get("CGT_CUDA_GRAPH") != "0"
        self.cuda_graph = cuda_graph and shape.is_static
        self.workers = 2 if options.performance_hint == "throughput" else 1
        self._free_slots: queue.SimpleQueue[ExecutionSlot] = queue.SimpleQueue()
        self._all_slots: list[ExecutionSlot] = []
        self._cuda_context: cuda.Context | None = None
        plan = read_verified_bytes(path, build)
        cuda.init()
        self._cuda_context = cuda.Device(0).retain_primary_context()
        try:
            with self._active_context():
                self._load_plan(path, build, plan, shape)
        except BaseException:
            self.close()
            raise

    def _load_plan(
        self, path: Path, build: EngineBuildInfo, plan: bytes, shape: BatchShape
    ) -> None:
        logger = make_logger(self._api)
        runtime: trt.Runtime = self._api.Runtime(logger)
        if build.version_compatible:
            runtime.engine_host_code_allowed = True  # the hash of the file was verified
        if build.dla is not None:
            runtime.DLA_core = build.dla
        engine: trt.ICudaEngine | None = runtime.deserialize_cuda_engine(plan)
        if engine is None:
            raise EngineError(
                f"{build.format} cannot load {path}: {logger.last_error()}; "
                f"run: {build.rebuild_command}"
            )
        # The logger must outlive the runtime, and the runtime the engine.
        self._logger, self._runtime, self._engine = logger, runtime, engine
        inputs, outputs = _io_tensor_names(self._api, engine, path, shape)
        for _ in range(self.workers):
            slot = ExecutionSlot(engine, inputs, outputs, self.cuda_graph)
            self._all_slots.append(slot)
            if shape.is_static:
                slot.set_shapes(_array_specs(shape))
            self._free_slots.put(slot)

    def infer(
        self,
        batch: Array,
        out: Array,
        statistics_in: F32 | None = None,
        statistics_out: F32 | None = None,
    ) -> None:
        self._with_slot(
            lambda slot: slot.run(*_split_arrays(batch, out, statistics_in, statistics_out))
        )

    def infer_timed(
        self,
        batch: Array,
        out: Array,
        statistics_in: F32 | None = None,
        statistics_out: F32 | None = None,
    ) -> GpuTimings:
        """Run `infer` without the CUDA graph and time each step with CUDA events."""
        timings: GpuTimings = self._with_slot(
            lambda slot: slot.run_timed(*_split_arrays(batch, out, statistics_in, statistics_out))
        )
        return timings

    def layer_information(self) -> str:
        """Return the JSON of TensorRT's EngineInspector: all layers with their types."""
        with self._active_context():
            inspector: trt.EngineInspector = self._engine.create_engine_inspector()
            text: str = inspector.get_engine_information(self._api.LayerInformationFormat.JSON)
            return text

    def _with_slot(self, work: Callable[[ExecutionSlot], Any]) -> Any:
        slot = self._free_slots.get()
        try:
            with self._active_context():
                return work(slot)
        finally:
            self._free_slots.put(slot)

    @contextmanager
    def _active_context(self) -> Iterator[None]:
        """Make the CUDA context current in this thread; turn CUDA errors into EngineError."""
        if self._cuda_context is None:
            raise EngineError(f"the {self.name} engine is closed")
        self._cuda_context.push()
        try:
            yield
        except cuda.Error as error:
            raise EngineError(f"CUDA failed: {last_error_line(error)}") from None
        finally:
            cuda.Context.pop()

    def close(self) -> None:
        if self._cuda_context is None:
            return
        with self._active_context():
            for slot in self._all_slots:
                slot.close()
            self._all_slots.clear()
            self._engine = self._runtime = None
        self._cuda_context.detach()
        self._cuda_context = None


def _io_tensor_names(
    api: ModuleType, engine: trt.ICudaEngine, path: Path, shape: BatchShape
) -> tuple[list[str], list[str]]:
    """Return the names of inputs and outputs; raise ModelError if they contradict the sidecar."""
    names = [engine.get_tensor_name(index) for index in range(engine.num_io_tensors)]
    inputs = [n for n in names if engine.get_tensor_mode(n) == api.TensorIOMode.INPUT]
    outputs = [name for name in names if name not in inputs]
    if shape.third_party is not None and shape.third_party.constants:
        raise ModelError(f"--model-input is for --engine openvino and onnxruntime, not {path}")
    for group, (_, image) in zip((inputs, outputs), shape.network_specs, strict=True):
        expected = [image, np.dtype(np.float32)][: 2 if shape.statistics else 1]
        found = [_DTYPES.get(engine.get_tensor_dtype(name).name) for name in group]
        if found != expected:
            raise ModelError(f"{path} does not have the tensors that its sidecar describes")
    return inputs, outputs


def _array_specs(shape: BatchShape) -> list[tuple[tuple[int, ...], np.dtype[Any]]]:
    """Return shape and type of image in and out, then of statistics in and out."""
    statistics = ((shape.batch_size, shape.statistics), np.dtype(np.float32))
    return [*shape.network_specs, *[statistics] * (2 if shape.statistics else 0)]


def _split_arrays(
    batch: Array, out: Array, statistics_in: F32 | None, statistics_out: F32 | None
) -> tuple[list[Array], list[Array]]:
    """Return the input arrays and the output arrays."""
    if statistics_in is None or statistics_out is None:
        return [batch], [out]
    return [batch, statistics_in], [out, statistics_out]
