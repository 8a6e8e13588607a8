"""CUDA driver functions that pycuda lacks: GPUs without a context, driver version, CUDA graphs.

They are called through ctypes in the libcuda.so.1 of the driver. Signatures are from the CUDA
Driver API reference.
"""

from __future__ import annotations

import ctypes
import gc
from collections.abc import Callable
from dataclasses import dataclass

from ..errors import EngineError
from ..utils.closeable import Closeable

_SM_COUNT_ATTRIBUTE = 16  # CU_DEVICE_ATTRIBUTE_MULTIPROCESSOR_COUNT
_CC_MAJOR_ATTRIBUTE, _CC_MINOR_ATTRIBUTE = 75, 76  # CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_*
_CAPTURE_MODE_THREAD_LOCAL = 1  # CU_STREAM_CAPTURE_MODE_*: other threads may allocate meanwhile


@dataclass(frozen=True)
class GPU:
    """A CUDA device.

    Attributes:
        name: the name that the driver reports.
        compute_capability: 86 means 8.6.
        multiprocessors: number of streaming multiprocessors; 0 if unknown.
    """

    name: str
    compute_capability: int
    multiprocessors: int = 0


def list_gpus() -> list[GPU]:
    """Return the CUDA devices; empty without a driver."""
    try:
        driver = _load_driver()
    except OSError:
        return []
    count = ctypes.c_int()
    if driver.cuInit(0) or driver.cuDeviceGetCount(ctypes.byref(count)):
        return []
    return [_query_gpu(driver, index) for index in range(count.value)]


def cuda_driver_version() -> str:
    """Return the newest CUDA version that the driver supports, such as "12.4"; "" without one."""
    version = ctypes.c_int()
    try:
        failed = _load_driver().cuDriverGetVersion(ctypes.byref(version))
    except OSError:
        return ""
    return "" if failed else f"{version.value // 1000}.{version.value % 1000 // 10}"


def pop_context() -> None:
    """Pop the current CUDA context of this thread from the driver's stack."""
    _load_driver().cuCtxPopCurrent_v2(ctypes.byref(ctypes.c_void_p()))


def _load_driver() -> ctypes.CDLL:
    """Load the driver library. Raises OSError if there is none."""
    return ctypes.CDLL("libcuda.so.1")


def _query_gpu(driver: ctypes.CDLL, index: int) -> GPU:
    name = ctypes.create_string_buffer(256)
    driver.cuDeviceGetName(name, len(name), index)

    def attribute(number: int) -> int:
        value = ctypes.c_int()
        driver.cuDeviceGetAttribute(ctypes.byref(value), number, index)
        return value.value

    return GPU(
        name.value.decode(),
        10 * attribute(_CC_MAJOR_ATTRIBUTE) + attribute(_CC_MINOR_ATTRIBUTE),
        attribute(_SM_COUNT_ATTRIBUTE),
    )


class CudaGraph(Closeable):
    """Work on a CUDA stream, captured once and launched with one call.

    Args:
        stream: handle of the stream.
        record: enqueues the work, which is captured but not run. It must not allocate or
            synchronize.

    Raises:
        EngineError: the work cannot be captured.
    """

    def __init__(self, stream: int, record: Callable[[], None]) -> None:
        self._driver = _load_driver()
        self._stream = ctypes.c_void_p(stream)
        self._graph_exec = ctypes.c_void_p()
        graph = ctypes.c_void_p()
        self._call("cuStreamBeginCapture_v2", self._stream, _CAPTURE_MODE_THREAD_LOCAL)
        collects_garbage = gc.isenabled()
        gc.disable()  # freeing memory in this thread would make the capture invalid
        try:
            try:
                record()
            finally:  # a stream that still captures cannot be used
                code = self._driver.cuStreamEndCapture(self._stream, ctypes.byref(graph))
            if code:
                raise _cuda_error("cuStreamEndCapture", code)
            self._call(
                "cuGraphInstantiateWithFlags",
                ctypes.byref(self._graph_exec),
                graph,
                ctypes.c_ulonglong(0),
            )
        finally:
            if collects_garbage:
                gc.enable()
            if graph:
                self._driver.cuGraphDestroy(graph)

    def launch(self) -> None:
        """Enqueue the captured work. Raises EngineError."""
        self._call("cuGraphLaunch", self._graph_exec, self._stream)

    def close(self) -> None:
        if self._graph_exec:
            self._driver.cuGraphExecDestroy(self._graph_exec)
            self._graph_exec = ctypes.c_void_p()

    def _call(self, name: str, *arguments: object) -> None:
        code = getattr(self._driver, name)(*arguments)
        if code:
            raise _cuda_error(name, code)


def _cuda_error(name: str, code: int) -> EngineError:
    return EngineError(f"CUDA: {name} failed with code {code}")
