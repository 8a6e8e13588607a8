"""Execution slot of a TensorRT engine: a CUDA stream, an execution context and buffers."""

from __future__ import annotations

import time
from collections.abc import Sequence
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
        "pip install 'cyclegan-toolkit[tensorrt]' on a machine with an NVIDIA GPU"
    ) from None

if TYPE_CHECKING:
    import tensorrt as trt

__all__ = ["ArraySpec", "ExecutionSlot", "GpuTimings", "cuda"]


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
        self.device = cuda.mem_alloc(self.host.nbytes)

    def free(self) -> None:
        self.device.free()
        self.host.base.free()


class ExecutionSlot(Closeable):
    """Stream, context and buffers for one frame at a time; the CUDA context must be current.

    Args:
        engine: the deserialized plan.
        inputs: names of the input tensors.
        outputs: names of the output tensors.
        use_graph: capture the work as a CUDA graph.
    """

    def __init__(
        self,
        engine: trt.ICudaEngine,
        inputs: list[str],
        outputs: list[str],
        use_graph: bool,
    ) -> None:
        self._engine, self._inputs, self._outputs = engine, inputs, outputs
        self._use_graph = use_graph
        self._graph: CudaGraph | None = None
        self._specs: list[ArraySpec] = []
        self._input_buffers: list[_HostDeviceBuffer] = []
        self._output_buffers: list[_HostDeviceBuffer] = []
        self._stream = cuda.Stream()
        self._context: trt.IExecutionContext | None = engine.create_execution_context()
        if self._context is None:
            raise EngineError("the GPU is out of memory for another execution context")

    def set_shapes(self, specs: Sequence[ArraySpec]) -> None:
        """Allocate buffers for arrays of these shapes, unless they are the same as before.

        Args:
            specs: shape and type of an input, of its output, of the next input, and so on.

        Raises:
            UsageError: the engine was not built for these shapes.
        """
        specs = list(specs)
        if specs == self._specs:
            return
        self._free_buffers()
        assert self._context is not None
        in_specs, out_specs = specs[::2], specs[1::2]
        profile = _find_profile(self._engine, self._inputs, in_specs)
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
        self._input_buffers = [
            _HostDeviceBuffer(*pair) for pair in zip(self._inputs, in_specs, strict=True)
        ]
        self._output_buffers = [
            _HostDeviceBuffer(*pair) for pair in zip(self._outputs, out_specs, strict=True)
        ]
        for buffer in (*self._input_buffers, *self._output_buffers):
            self._context.set_tensor_address(buffer.name, int(buffer.device))
        self._specs = specs
        if self._use_graph:
            self._enqueue()  # the first run after a change of shape cannot be captured
            self._stream.synchronize()
            self._graph = CudaGraph(self._stream.handle, self._enqueue)

    def run(self, arrays: list[Array], out: list[Array]) -> None:
        """Copy the inputs to the device, compute, and copy the outputs back."""
        self._stage_inputs(arrays, out)
        if self._graph is not None:
            self._graph.launch()
        else:
            self._enqueue()
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
        pairs = zip(arrays, out, strict=True)
        self.set_shapes([(array.shape, array.dtype) for pair in pairs for array in pair])
        for buffer, array in zip(self._input_buffers, arrays, strict=True):
            buffer.host[...] = array

    def _fetch_outputs(self, out: list[Array]) -> None:
        self._stream.synchronize()
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
        self._input_buffers, self._output_buffers, self._specs = [], [], []

    def close(self) -> None:
        self._free_buffers()
        self._context = self._stream = None


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
