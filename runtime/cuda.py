"""What of the CUDA driver pycuda does not give: whether there is a GPU, without loading anything,
and CUDA graphs. By ctypes, on the libcuda.so.1 that comes with the driver.

Signatures from the CUDA Driver API reference.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from dataclasses import dataclass

from .closing import Closing
from .errors import EngineError

_MAJOR, _MINOR = 75, 76  # CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_*
_THREAD_LOCAL = 1  # CU_STREAM_CAPTURE_MODE_*: other threads may allocate meanwhile


@dataclass(frozen=True)
class GPU:
    """A device. compute_capability: 86 for 8.6."""

    name: str
    compute_capability: int


def gpus() -> list[GPU]:
    """The CUDA devices, empty without a driver."""
    try:
        driver = _driver()
    except OSError:
        return []
    count = ctypes.c_int()
    if driver.cuInit(0) or driver.cuDeviceGetCount(ctypes.byref(count)):
        return []
    return [_describe(driver, index) for index in range(count.value)]


def _driver() -> ctypes.CDLL:
    """Raises OSError without one."""
    return ctypes.CDLL("libcuda.so.1")


def _describe(driver: ctypes.CDLL, index: int) -> GPU:
    name = ctypes.create_string_buffer(256)
    major, minor = ctypes.c_int(), ctypes.c_int()
    driver.cuDeviceGetName(name, len(name), index)
    driver.cuDeviceGetAttribute(ctypes.byref(major), _MAJOR, index)
    driver.cuDeviceGetAttribute(ctypes.byref(minor), _MINOR, index)
    return GPU(name.value.decode(), 10 * major.value + minor.value)


class Graph(Closing):
    """Work on a stream, recorded once and launched again as one call.

    stream: its handle. record: does the work, which is captured and not run; nothing in it may
    allocate or synchronise. Raises EngineError where the work cannot be captured.
    """

    def __init__(self, stream: int, record: Callable[[], None]) -> None:
        self._driver = _driver()
        self._stream = ctypes.c_void_p(stream)
        self._executable = ctypes.c_void_p()
        graph = ctypes.c_void_p()
        self._do("cuStreamBeginCapture_v2", self._stream, _THREAD_LOCAL)
        try:
            record()
        finally:  # a stream left capturing would be of no use
            code = self._driver.cuStreamEndCapture(self._stream, ctypes.byref(graph))
        if code:
            raise _error("cuStreamEndCapture", code)
        try:
            self._do(
                "cuGraphInstantiateWithFlags",
                ctypes.byref(self._executable),
                graph,
                ctypes.c_ulonglong(0),
            )
        finally:
            self._driver.cuGraphDestroy(graph)

    def launch(self) -> None:
        """Enqueue all of it. Raises EngineError."""
        self._do("cuGraphLaunch", self._executable, self._stream)

    def close(self) -> None:
        if self._executable:
            self._driver.cuGraphExecDestroy(self._executable)
            self._executable = ctypes.c_void_p()

    def _do(self, name: str, *arguments: object) -> None:
        code = getattr(self._driver, name)(*arguments)
        if code:
            raise _error(name, code)


def _error(name: str, code: int) -> EngineError:
    return EngineError(f"CUDA: {name} failed with code {code}")
