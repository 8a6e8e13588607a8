"""Execution slot of a TensorRT engine: a CUDA stream, an execution context and buffers."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ..errors import EngineError, MissingDependency, UsageError
from ..utils.closeable import Closeable
from .base import Array, ArraySpec
from .cuda import CudaGraph

try:
    import pycuda.driver as cuda
except (ImportError, OSError):
    raise MissingDependency(
        "pycuda is not installed or finds no CUDA driver; install the extra: "
        "pip install 'cyclegan-toolkit[tensorrt]' on a machine with an NVIDIA GPU, g++ and the "
        "CUDA toolkit"
    ) from None

if TYPE_CHECKING:
    import tensorrt as trt

__all__ = ["ArraySpec", "CaptureFn", "ExecutionSlot", "GpuTimings", "array_specs", "cuda"]

CaptureFn = Callable[[int, Callable[[], None]], CudaGraph | None]
"""Captures the work that a function enqueues on a stream, given by its handle. None: impossible."""

# CU_STREAM_NON_BLOCKING: work of other libraries on the legacy default stream would delay a stream
# that waits for it, and would make a capture fail.
_NON_BLOCKING_STREAM = 1
_RUNS_BEFORE_CAPTURE = 2  # with one size: the first run after a change cannot be captured


@dataclass(frozen=True)
class GpuTimings:
    """Durations of one run in milliseconds.

    Attributes:
        h2d_ms: copy of the inputs from host to device.
        compute_ms: network.
        d2h_ms: copy of the outputs from device to host.
        enqueue_ms: time that the host takes to enqueue the three steps.
    """

    h2d_ms: float
    compute_ms: float
    d2h_ms: float
    enqueue_ms: float = 0.0


class _HostDeviceBuffer:
    """An array in pinned host memory and on the device."""

    def __init__(self, name: str, spec: ArraySpec) -> None:
        self.name = name
        self.host = cuda.pagelocked_empty(*spec)
        try:
            self.device = cuda.mem_alloc(self.host.nbytes)
        except cuda.Error:
            self.host.base.free()
            raise

    def free(self) -> None:
        self.device.free()
        self.host.base.free()


class ExecutionSlot(Closeable):
    """Stream, context and buffers for one frame at a time; the CUDA context must be current.

    Args:
        engine: the deserialized plan.
        context: its execution context, for this slot alone.
        inputs: names of the input tensors.
        outputs: names of the output tensors.
        capture: captures work as a CUDA graph, once a size has run twice.
        spin: wait for the GPU on a core, which takes less time, instead of sleeping.

    Attributes:
        specs: shape and type of an input, of its output, of the next input, and so on, that the
            buffers have.
    """

    def __init__(
        self,
        engine: trt.ICudaEngine,
        context: trt.IExecutionContext,
        inputs: list[str],
        outputs: list[str],
        capture: CaptureFn,
        spin: bool,
    ) -> None:
        self._engine, self._inputs, self._outputs = engine, inputs, outputs
        self._capture = capture
        self._graph: CudaGraph | None = None
        self._runs = 0  # since the last change of shapes
        self.specs: list[ArraySpec] = []
        self._input_buffers: list[_HostDeviceBuffer] = []
        self._output_buffers: list[_HostDeviceBuffer] = []
        self._context: trt.IExecutionContext | None = context
        self._stream = cuda.Stream(_NON_BLOCKING_STREAM)
        flags = cuda.event_flags
        self._done = None if spin else cuda.Event(flags.BLOCKING_SYNC | flags.DISABLE_TIMING)

    def set_shapes(self, specs: Sequence[ArraySpec]) -> None:
        """Allocate buffers for arrays of these shapes, unless they are the same as before.

        Args:
            specs: shape and type of an input, of its output, of the next input, and so on.

        Raises:
            UsageError: the engine was not built for these shapes.
        """
        specs = list(specs)
        if specs == self.specs:
            return
        in_specs, out_specs = specs[::2], specs[1::2]
        profile = _find_profile(self._engine, self._inputs, in_specs)
        self._free_buffers()
        assert self._context is not None
        if not self._context.set_optimization_profile_async(profile, self._stream.handle):
            raise EngineError(f"the engine refuses its profile {profile}")
        for name, (shape, _) in zip(self._inputs, in_specs, strict=True):
            if not self._context.set_input_shape(name, shape):
                raise EngineError(f"the engine refuses a {name} of {_format_shape(shape)}")
        for name, (shape, _) in zip(self._outputs, out_specs, strict=True):
            actual = tuple(self._context.get_tensor_shape(name))
            if actual != shape:
                raise EngineError(
                    f"the engine outputs a {name} of {_format_shape(actual)}, "
                    f"not {_format_shape(shape)}"
                )
        for names, buffer_specs, buffers in (
            (self._inputs, in_specs, self._input_buffers),
            (self._outputs, out_specs, self._output_buffers),
        ):
            for name, spec in zip(names, buffer_specs, strict=True):
                buffers.append(_HostDeviceBuffer(name, spec))
                self._context.set_tensor_address(name, int(buffers[-1].device))
        self.specs = specs

    def warm_up(self) -> None:
        """Run on what the buffers contain, and capture the work."""
        for _ in range(_RUNS_BEFORE_CAPTURE + 1):
            self._launch()
            self._wait()

    def run(self, arrays: list[Array], out: list[Array]) -> None:
        """Copy the inputs to the device, compute, and copy the outputs back."""
        self._stage_inputs(arrays, out)
        self._launch()
        self._fetch_outputs(out)

    def run_timed(self, arrays: list[Array], out: list[Array]) -> GpuTimings:
        """Run step by step, with a CUDA event between the steps."""
        self._stage_inputs(arrays, out)
        steps = (self._enqueue_upload, self._enqueue_compute, self._enqueue_download)
        events = [cuda.Event() for _ in range(len(steps) + 1)]
        started_at = time.perf_counter()
        for event, step in zip(events, steps, strict=False):
            event.record(self._stream)
            step()
        events[-1].record(self._stream)
        enqueue_ms = (time.perf_counter() - started_at) * 1e3
        self._fetch_outputs(out)
        h2d_ms, compute_ms, d2h_ms = (events[i + 1].time_since(events[i]) for i in range(3))
        return GpuTimings(h2d_ms, compute_ms, d2h_ms, enqueue_ms)

    def _stage_inputs(self, arrays: list[Array], out: list[Array]) -> None:
        self.set_shapes(array_specs(arrays, out))
        for buffer, array in zip(self._input_buffers, arrays, strict=True):
            buffer.host[...] = array

    def _launch(self) -> None:
        if self._runs == _RUNS_BEFORE_CAPTURE:
            self._graph = self._capture(self._stream.handle, self._enqueue)
        self._runs += 1
        if self._graph is not None:
            self._graph.launch()
        else:
            self._enqueue()

    def _wait(self) -> None:
        if self._done is None:
            self._stream.synchronize()
        else:
            self._done.record(self._stream)
            self._done.synchronize()

    def _fetch_outputs(self, out: list[Array]) -> None:
        self._wait()
        for buffer, array in zip(self._output_buffers, out, strict=True):
            array[...] = buffer.host

    def _enqueue(self) -> None:
        self._enqueue_upload()
        self._enqueue_compute()
        self._enqueue_download()

    def _enqueue_upload(self) -> None:
        for buffer in self._input_buffers:
            cuda.memcpy_htod_async(buffer.device, buffer.host, self._stream)

    def _enqueue_compute(self) -> None:
        assert self._context is not None
        if not self._context.execute_async_v3(self._stream.handle):
            raise EngineError("TensorRT failed to run the engine")

    def _enqueue_download(self) -> None:
        for buffer in self._output_buffers:
            cuda.memcpy_dtoh_async(buffer.host, buffer.device, self._stream)

    def _free_buffers(self) -> None:
        if self._graph is not None:
            self._graph.close()
            self._graph = None
        for buffer in (*self._input_buffers, *self._output_buffers):
            buffer.free()
        self._input_buffers, self._output_buffers, self.specs = [], [], []
        self._runs = 0

    def close(self) -> None:
        self._free_buffers()
        self._context = self._stream = self._done = None


def array_specs(arrays: Sequence[Array], out: Sequence[Array]) -> list[ArraySpec]:
    """Return shape and type of an input, of its output, of the next input, and so on."""
    pairs = zip(arrays, out, strict=True)
    return [(array.shape, array.dtype) for pair in pairs for array in pair]


def _find_profile(engine: trt.ICudaEngine, inputs: list[str], specs: list[ArraySpec]) -> int:
    """Return the index of the first optimization profile that allows the shapes."""
    ranges = []
    for profile in range(engine.num_optimization_profiles):
        fits = True
        for name, (shape, _) in zip(inputs, specs, strict=True):
            smallest, _, largest = map(tuple, engine.get_tensor_profile_shape(name, profile))
            fits &= len(smallest) == len(shape) and all(
                low <= side <= high
                for low, side, high in zip(smallest, shape, largest, strict=True)
            )
            if name == inputs[0]:
                ranges.append(
                    _format_shape(smallest)
                    if smallest == largest
                    else f"{_format_shape(smallest)} to {_format_shape(largest)}"
                )
        if fits:
            return profile
    raise UsageError(
        f"the engine takes images of {', or '.join(ranges)}, not {_format_shape(specs[0][0])}; "
        "export it for that size with --size"
    )


def _format_shape(shape: tuple[int, ...]) -> str:
    return "x".join(map(str, shape))
