"""One frame's way through the GPU: a stream, an execution context, and buffers on both sides."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from ..closing import Closing
from ..cuda import Graph
from ..errors import EngineError, MissingDependency, UsageError
from .base import Array

try:
    import pycuda.driver as cuda
except (ImportError, OSError):
    raise MissingDependency(
        "pycuda is not installed, or finds no CUDA driver; install the extra: "
        "pip install 'cyclegan-toolkit[tensorrt]' on a machine with an NVIDIA GPU"
    ) from None

if TYPE_CHECKING:
    import tensorrt as trt

__all__ = ["Form", "Slot", "Spans", "cuda"]

Form = tuple[tuple[int, ...], "np.dtype[Any]"]  # shape and type of an array


@dataclass(frozen=True)
class Spans:
    """Milliseconds on the GPU: image to the device, network, translation to the host. enqueue: the
    host's, to ask for all that."""

    to_device: float
    compute: float
    to_host: float
    enqueue: float = 0.0


class _Buffer:
    """An array on both sides."""

    def __init__(self, name: str, form: Form) -> None:
        self.name = name
        self.host = cuda.pagelocked_empty(*form)
        self.device = cuda.mem_alloc(self.host.nbytes)

    def free(self) -> None:
        self.device.free()
        self.host.base.free()


class Slot(Closing):
    """To be used by one thread at a time, with the GPU's context current.

    inputs, outputs: names of the engine's tensors. graph: record the work as a CUDA graph.
    """

    def __init__(
        self,
        engine: trt.ICudaEngine,
        inputs: list[str],
        outputs: list[str],
        graph: bool,
    ) -> None:
        self._engine, self._inputs, self._outputs = engine, inputs, outputs
        self._record = graph
        self._graph: Graph | None = None
        self._forms: list[Form] = []
        self._in: list[_Buffer] = []
        self._out: list[_Buffer] = []
        self._stream = cuda.Stream()
        self._context: trt.IExecutionContext | None = engine.create_execution_context()
        if self._context is None:
            raise EngineError("the GPU has no memory left for another execution context")

    def fit(self, forms: Sequence[Form]) -> None:
        """Make ready for arrays in, then out, alternating. Nothing is done where they are as
        before. Raises UsageError for shapes that the engine was not built for."""
        forms = list(forms)
        if forms == self._forms:
            return
        self._release()
        assert self._context is not None
        into, out = forms[::2], forms[1::2]
        profile = _find_profile(self._engine, self._inputs, into)
        if not self._context.set_optimization_profile_async(profile, self._stream.handle):
            raise EngineError(f"the engine refuses its profile {profile}")
        for name, (shape, _) in zip(self._inputs, into, strict=True):
            if not self._context.set_input_shape(name, shape):
                raise EngineError(f"the engine refuses a {name} of {_text(shape)}")
        for name, (shape, _) in zip(self._outputs, out, strict=True):
            given = tuple(self._context.get_tensor_shape(name))
            if given != shape:
                raise EngineError(
                    f"the engine gives a {name} of {_text(given)}, not {_text(shape)}"
                )
        self._in = [_Buffer(*pair) for pair in zip(self._inputs, into, strict=True)]
        self._out = [_Buffer(*pair) for pair in zip(self._outputs, out, strict=True)]
        for buffer in (*self._in, *self._out):
            self._context.set_tensor_address(buffer.name, int(buffer.device))
        self._forms = forms
        if self._record:
            self._work()  # the first run after a change of shape does what cannot be captured
            self._stream.synchronize()
            self._graph = Graph(self._stream.handle, self._work)

    def run(self, arrays: list[Array], out: list[Array]) -> None:
        """Copy in, compute, copy out."""
        self._enter(arrays, out)
        if self._graph is not None:
            self._graph.launch()
        else:
            self._work()
        self._leave(out)

    def timed(self, arrays: list[Array], out: list[Array]) -> Spans:
        """`run`, step by step, with an event between."""
        self._enter(arrays, out)
        marks = [cuda.Event() for _ in range(4)]
        began = time.perf_counter()
        for mark, step in zip(marks, (self._upload, self._compute, self._download), strict=False):
            mark.record(self._stream)
            step()
        marks[-1].record(self._stream)
        enqueue = (time.perf_counter() - began) * 1e3
        self._leave(out)
        to_device, compute, to_host = (marks[n + 1].time_since(marks[n]) for n in range(3))
        return Spans(to_device, compute, to_host, enqueue)

    def _enter(self, arrays: list[Array], out: list[Array]) -> None:
        pairs = zip(arrays, out, strict=True)
        self.fit([(array.shape, array.dtype) for pair in pairs for array in pair])
        for buffer, array in zip(self._in, arrays, strict=True):
            buffer.host[...] = array

    def _leave(self, out: list[Array]) -> None:
        self._stream.synchronize()
        for buffer, array in zip(self._out, out, strict=True):
            array[...] = buffer.host

    def _work(self) -> None:
        self._upload()
        self._compute()
        self._download()

    def _upload(self) -> None:
        for buffer in self._in:
            cuda.memcpy_htod_async(buffer.device, buffer.host, self._stream)

    def _compute(self) -> None:
        assert self._context is not None
        if not self._context.execute_async_v3(self._stream.handle):
            raise EngineError("TensorRT failed to run the engine")

    def _download(self) -> None:
        for buffer in self._out:
            cuda.memcpy_dtoh_async(buffer.host, buffer.device, self._stream)

    def _release(self) -> None:
        if self._graph is not None:
            self._graph.close()
            self._graph = None
        for buffer in (*self._in, *self._out):
            buffer.free()
        self._in, self._out, self._forms = [], [], []

    def close(self) -> None:
        self._release()
        self._context = self._stream = None


def _find_profile(engine: trt.ICudaEngine, inputs: list[str], forms: list[Form]) -> int:
    """The first profile that takes the shapes."""
    ranges = []
    for profile in range(engine.num_optimization_profiles):
        fits = True
        for name, (shape, _) in zip(inputs, forms, strict=True):
            least, _, most = map(tuple, engine.get_tensor_profile_shape(name, profile))
            fits &= len(least) == len(shape) and all(
                low <= side <= high for low, side, high in zip(least, shape, most, strict=True)
            )
            if name == inputs[0]:
                ranges.append(_text(least) if least == most else f"{_text(least)} to {_text(most)}")
        if fits:
            return profile
    raise UsageError(
        f"the engine takes images of {', or '.join(ranges)}, not {_text(forms[0][0])}; "
        "export it for that size with --size"
    )


def _text(shape: tuple[int, ...]) -> str:
    return "x".join(map(str, shape))
