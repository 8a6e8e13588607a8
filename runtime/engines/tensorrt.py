"""TensorRT and TensorRT-RTX engine on an NVIDIA GPU, through pycuda.

The path of a frame: caller's array -> pinned memory -> device -> network -> pinned memory ->
caller's array. Each frame in flight has a slot with its own stream, context and buffers, so that
the copies of one frame overlap with the computation of another. Sizes that alternate keep their
slots. Once a size has run twice, TensorRT's three steps are captured as a CUDA graph and launched
with one call; TensorRT-RTX captures the network itself. CGT_CUDA_GRAPH=0 disables both.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import EngineError, ModelError
from ..image.preprocess import F32
from ..models.sidecar import EngineBuildInfo, read_sidecar, read_verified_bytes
from ..utils.log import warn_user
from .base import Array, BatchShape, Engine, EngineOptions, last_error_line
from .cuda import CudaGraph, pop_context
from .tensorrt_compat import (
    check_compatibility,
    create_with_logger,
    load_tensorrt,
    make_logger,
    read_layer_information,
)
from .tensorrt_context import ArraySpec, ExecutionSlot, GpuTimings, array_specs, cuda

if TYPE_CHECKING:
    import tensorrt as trt

_DTYPES = {
    "FLOAT": np.dtype(np.float32),
    "HALF": np.dtype(np.float16),
    "UINT8": np.dtype(np.uint8),
}
_MAX_SIZES = 4  # image sizes whose slots are kept, if sizes vary


class TensorRTEngine(Engine):
    """A TensorRT plan; its sidecar tells the precision that it was built and verified in.

    Attributes:
        cuda_graph: whether runs are launched as CUDA graphs; False if a capture failed.

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
        self._format = build.format
        self.precision = build.precision
        self._api = load_tensorrt(build)
        gpu = check_compatibility(path, build, self._api)
        self.device = gpu.name
        if cuda_graph is None:
            cuda_graph = os.environ.get("CGT_CUDA_GRAPH") != "0"
        self.cuda_graph = cuda_graph
        throughput = options.performance_hint == "throughput"
        self.workers = 2 if throughput else 1
        # Cores that wait for the GPU are needed for decoding and encoding.
        self._spin = not throughput
        self._max_slots = self.workers + (0 if shape.is_static else _MAX_SIZES - 1)
        self._permits = threading.Semaphore(self.workers)
        self._lock = threading.Lock()
        self._all_slots: list[ExecutionSlot] = []
        self._idle_slots: list[ExecutionSlot] = []  # the most recently used is the last
        self._cuda_context: cuda.Context | None = None
        plan = read_verified_bytes(path, build)
        try:
            cuda.init()
            self._cuda_context = cuda.Device(0).retain_primary_context()
            with self._active_context():
                self._load_plan(path, build, plan, shape)
        except cuda.Error as error:
            raise EngineError(f"CUDA does not start: {last_error_line(error)}") from None
        except BaseException:
            self.close()
            raise

    def _load_plan(
        self, path: Path, build: EngineBuildInfo, plan: bytes, shape: BatchShape
    ) -> None:
        logger = make_logger(self._api)
        runtime: trt.Runtime = create_with_logger(self._api, self._api.Runtime, logger)
        if build.version_compatible:
            runtime.engine_host_code_allowed = True  # the hash of the file was verified
        engine: trt.ICudaEngine | None = runtime.deserialize_cuda_engine(plan)
        if engine is None:
            raise EngineError(
                f"{build.format} cannot load {path}: {logger.last_error()}; "
                f"run: {build.rebuild_command}"
            )
        # The logger must outlive the runtime, and the runtime the engine.
        self._logger, self._runtime, self._engine = logger, runtime, engine
        self._inputs, self._outputs = _io_tensor_names(self._api, engine, path, shape)
        _, opt, _ = engine.get_tensor_profile_shape(self._inputs[0], 0)
        sides = tuple(opt)
        self.probe_size = (sides[1], sides[2]) if shape.io == "uint8" else (sides[2], sides[3])
        for _ in range(self.workers):
            slot = self._add_slot()
            self._idle_slots.append(slot)
            if shape.is_static:
                slot.set_shapes(_array_specs(shape))
                slot.warm_up()

    def _add_slot(self) -> ExecutionSlot:
        engine: trt.ICudaEngine = self._engine
        context: trt.IExecutionContext | None
        if self._format == "tensorrt-rtx":
            config: trt.IRuntimeConfig = engine.create_runtime_config()
            strategies = self._api.CudaGraphStrategy
            config.cuda_graph_strategy = (
                strategies.WHOLE_GRAPH_CAPTURE if self.cuda_graph else strategies.DISABLED
            )
            # By default it compiles kernels for a size while slower ones already run, and a capture
            # would keep those.
            config.dynamic_shapes_kernel_specialization_strategy = (
                self._api.DynamicShapesKernelSpecializationStrategy.EAGER
            )
            context = engine.create_execution_context(config)
        else:
            context = engine.create_execution_context()
        if context is None:
            raise EngineError("the GPU is out of memory for another execution context")
        slot = ExecutionSlot(
            engine, context, self._inputs, self._outputs, self._capture, self._spin
        )
        self._all_slots.append(slot)
        return slot

    def _capture(self, stream: int, record: Callable[[], None]) -> CudaGraph | None:
        if not self.cuda_graph or self._format == "tensorrt-rtx":
            return None
        try:
            return CudaGraph(stream, record)
        except (EngineError, cuda.Error) as error:
            self.cuda_graph = False
            warn_user(
                f"no CUDA graph ({last_error_line(error)}); the steps of a frame are launched one "
                "by one; CGT_CUDA_GRAPH=0 omits the attempt"
            )
            return None

    def infer(
        self,
        batch: Array,
        out: Array,
        statistics_in: F32 | None = None,
        statistics_out: F32 | None = None,
    ) -> None:
        arrays = _split_arrays(batch, out, statistics_in, statistics_out)
        with self._slot(array_specs(*arrays)) as slot:
            slot.run(*arrays)

    def infer_timed(
        self,
        batch: Array,
        out: Array,
        statistics_in: F32 | None = None,
        statistics_out: F32 | None = None,
    ) -> GpuTimings:
        """Run `infer` without the CUDA graph and time each step with CUDA events."""
        arrays = _split_arrays(batch, out, statistics_in, statistics_out)
        with self._slot(array_specs(*arrays)) as slot:
            return slot.run_timed(*arrays)

    @property
    def input_names(self) -> tuple[str, ...]:
        """Names of the input tensors: the image and, if there are any, the statistics."""
        return tuple(self._inputs)

    def layer_information(self) -> str:
        """Return the JSON of TensorRT's EngineInspector: all layers with their types."""
        with self._active_context():
            return read_layer_information(self._api, self._engine)

    @contextmanager
    def _slot(self, specs: list[ArraySpec]) -> Iterator[ExecutionSlot]:
        """Lend a slot, if possible one that already has buffers of these shapes."""
        with self._permits, self._active_context():
            with self._lock:
                slot = self._choose_slot(specs)
            try:
                yield slot
            finally:
                with self._lock:
                    self._idle_slots.append(slot)

    def _choose_slot(self, specs: list[ArraySpec]) -> ExecutionSlot:
        for suitable in (specs, []):
            for slot in reversed(self._idle_slots):
                if slot.specs == suitable:
                    self._idle_slots.remove(slot)
                    return slot
        if len(self._all_slots) < self._max_slots:
            try:
                return self._add_slot()
            except (EngineError, cuda.Error):  # out of memory
                self._max_slots = len(self._all_slots)
                warn_user(f"the GPU has no memory for another image size; {self._max_slots} fit")
        return self._idle_slots.pop(0)

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
        context, self._cuda_context = self._cuda_context, None
        if context is None:
            return
        context.push()
        try:
            for slot in self._all_slots:
                slot.close()
        finally:
            self._all_slots.clear()
            self._idle_slots.clear()
            self._engine = self._runtime = None
            # pycuda releases a primary context in any thread where it is current, but then leaves
            # it on the driver's stack.
            pop_context()
            context.detach()


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
