"""ONNX Runtime engine: on the CPU, and with `onnxruntime-gpu` on NVIDIA GPUs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ..errors import EngineError, MissingDependency, ModelError
from ..image.preprocess import F32
from ..utils.cache import cache_dir, cached_sha256, short_hash
from ..utils.log import warn_user
from ..utils.system import available_cpus
from .base import Array, BatchShape, Engine, EngineOptions, NetworkArray, last_error_line

try:
    import onnxruntime as ort
except ImportError:
    raise MissingDependency(
        "ONNX Runtime is not installed; install the extra: pip install 'cyclegan-toolkit[ort]' "
        "(or [gpu], which adds CUDA)"
    ) from None

_PROVIDER_NAMES = {
    "cpu": "CPUExecutionProvider",
    "cuda": "CUDAExecutionProvider",
    "tensorrt": "TensorrtExecutionProvider",
}


class OnnxRuntimeEngine(Engine):
    """ONNX Runtime with the provider for CPU, CUDA or TensorRT.

    The CPU provider computes in fp32, because its kernels widen FP16 weights. The default is CUDA
    if this build of ONNX Runtime has it. TensorRT, which builds for minutes, is used on request
    only.

    ONNX Runtime drops a provider that does not load and continues without it. Here that is an
    error if the device was requested by name, else a warning.
    """

    name = "onnxruntime"
    devices = tuple(_PROVIDER_NAMES)

    def __init__(self, options: EngineOptions) -> None:
        path, device = options.path, options.device
        available = ort.get_available_providers()
        wanted = device or ("cuda" if _PROVIDER_NAMES["cuda"] in available else "cpu")
        if _PROVIDER_NAMES[wanted] not in available:
            raise MissingDependency(
                f"this ONNX Runtime has no {_PROVIDER_NAMES[wanted]}; install the extra [gpu]: "
                "pip uninstall onnxruntime, then pip install 'cyclegan-toolkit[gpu]'"
            )
        on_cpu = wanted == "cpu"
        session_options = ort.SessionOptions()
        session_options.log_severity_level = 3
        throughput = options.performance_hint == "throughput"
        concurrent = throughput and on_cpu
        self.workers = available_cpus() if concurrent else 2 if throughput else 1
        session_options.intra_op_num_threads = 1 if concurrent else available_cpus()
        # Threads that spin between layers would slow down decoding and encoding.
        session_options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        try:
            self._session = ort.InferenceSession(
                path, session_options, providers=_provider_options(wanted, path, options.shape)
            )
        except Exception as error:  # ONNX Runtime's errors have no other base class
            raise ModelError(f"ONNX Runtime cannot read {path}: {last_error_line(error)}") from None
        self._check_provider(wanted, requested=device is not None)
        self.precision = "fp32" if self.device == "CPU" else "as in the file"
        self._inputs = [tensor.name for tensor in self._session.get_inputs()]
        self._outputs = [tensor.name for tensor in self._session.get_outputs()]
        self._constants: dict[str, NetworkArray] = {}
        if tensors := options.shape.third_party:
            self._inputs, self._outputs = [tensors.input.name], [tensors.output.name]
            self._constants = {each.name: each.array for each in tensors.constants}

    def _check_provider(self, wanted: str, requested: bool) -> None:
        """Set the device to the provider that was loaded; fail or warn if it is another one."""
        names = {provider: name for name, provider in _PROVIDER_NAMES.items()}
        actual = names.get(self._session.get_providers()[0], "cpu")
        self.device = actual.upper()
        if actual == wanted:
            return
        message = (
            f"ONNX Runtime's {_PROVIDER_NAMES[wanted]} does not load here (libraries, driver?)"
        )
        if requested:
            raise EngineError(f"{message}; run `cgt doctor`, or use --engine onnxruntime:{actual}")
        warn_user(f"{message}; computing on the {self.device} instead")

    def infer(
        self,
        batch: Array,
        out: Array,
        statistics_in: F32 | None = None,
        statistics_out: F32 | None = None,
    ) -> None:
        arrays: tuple[Array, ...] = (batch, out)
        if statistics_in is not None and statistics_out is not None:
            arrays += (statistics_in, statistics_out)
        try:
            binding = self._session.io_binding()
            inputs = zip(self._inputs, arrays[::2], strict=True)
            for name, array in (*inputs, *self._constants.items()):
                binding.bind_input(name, "cpu", 0, array.dtype, array.shape, array.ctypes.data)
            for name, array in zip(self._outputs, arrays[1::2], strict=True):
                binding.bind_output(name, "cpu", 0, array.dtype, array.shape, array.ctypes.data)
            self._session.run_with_iobinding(binding)
        except Exception as error:
            raise EngineError(f"ONNX Runtime failed: {last_error_line(error)}") from None

    def close(self) -> None:
        pass


def _provider_options(wanted: str, path: Path, shape: BatchShape) -> list[Any]:
    """Return providers in order of preference; later ones run the layers that earlier ones lack."""
    if wanted == "cpu":
        return [_PROVIDER_NAMES["cpu"]]
    cuda = (_PROVIDER_NAMES["cuda"], {"cudnn_conv_algo_search": "EXHAUSTIVE"})
    if wanted == "cuda":
        return [cuda, _PROVIDER_NAMES["cpu"]]
    settings: dict[str, Any] = {}
    key = short_hash(cached_sha256(path), ort.__version__, shape)
    if folder := cache_dir("tensorrt", key):
        settings = {
            "trt_engine_cache_enable": True,
            "trt_engine_cache_path": str(folder),
            "trt_timing_cache_enable": True,
            "trt_timing_cache_path": str(folder),
        }
    return [(_PROVIDER_NAMES["tensorrt"], settings), cuda, _PROVIDER_NAMES["cpu"]]
