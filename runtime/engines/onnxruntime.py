"""ONNX Runtime on the CPU."""

from __future__ import annotations

from pathlib import Path

from ..errors import EngineError, MissingDependency, ModelError
from ..preprocess import F32
from .base import Array, BatchShape, Engine, Goal, cores, one_line

try:
    import onnxruntime as ort
except ImportError:
    raise MissingDependency(
        "ONNX Runtime is not installed; install the extra: pip install 'cyclegan-toolkit[ort]' "
        "(or [gpu], the one that also has CUDA)"
    ) from None


class OnnxRuntimeEngine(Engine):
    """Computes in fp32: its CPU kernels widen FP16 weights."""

    name = "onnxruntime"

    def __init__(
        self, path: Path, shape: BatchShape, goal: Goal, precision: str | None = None
    ) -> None:
        options = ort.SessionOptions()
        options.log_severity_level = 3
        self.workers = cores() if goal == "throughput" else 1
        options.intra_op_num_threads = 1 if goal == "throughput" else cores()
        # Spinning between layers would take the cores from decoding and encoding.
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        try:
            self._session = ort.InferenceSession(path, options, providers=["CPUExecutionProvider"])
        except Exception as error:  # its classes derive from Exception alone
            raise ModelError(f"ONNX Runtime cannot read {path}: {one_line(error)}") from None
        self.device = "CPU"
        self.precision = "fp32"
        self._inputs = [tensor.name for tensor in self._session.get_inputs()]
        self._outputs = [tensor.name for tensor in self._session.get_outputs()]

    def infer(
        self, batch: Array, out: Array, given: F32 | None = None, used: F32 | None = None
    ) -> None:
        arrays = (batch, out) if given is None or used is None else (batch, out, given, used)
        try:
            binding = self._session.io_binding()
            for name, array in zip(self._inputs, arrays[::2], strict=True):
                binding.bind_input(name, "cpu", 0, array.dtype, array.shape, array.ctypes.data)
            for name, array in zip(self._outputs, arrays[1::2], strict=True):
                binding.bind_output(name, "cpu", 0, array.dtype, array.shape, array.ctypes.data)
            self._session.run_with_iobinding(binding)
        except Exception as error:
            raise EngineError(f"ONNX Runtime failed: {one_line(error)}") from None

    def close(self) -> None:
        pass
