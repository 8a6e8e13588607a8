"""ONNX Runtime engine: on the CPU, and with `onnxruntime-gpu` on NVIDIA GPUs."""

from __future__ import annotations

import threading

from ..errors import EngineError, MissingDependency, ModelError
from ..image.preprocess import F32
from ..utils.log import warn_user
from ..utils.system import available_cpus
from .base import Array, Engine, EngineOptions, NetworkArray, last_error_line
from .onnxruntime_cuda import PlacementCheck, load_cuda_libraries, warn_about_int8

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
}
# EXHAUSTIVE: the fastest cuDNN kernel is measured. Without TF32, fp32 is fp32, as on other engines.
_CUDA_OPTIONS = {"cudnn_conv_algo_search": "EXHAUSTIVE", "use_tf32": "0"}


class OnnxRuntimeEngine(Engine):
    """ONNX Runtime with the provider for CPU or CUDA.

    The CPU provider computes in fp32, because its kernels widen FP16 weights. The default is CUDA
    if this build of ONNX Runtime has it.

    ONNX Runtime drops a provider that does not load and continues without it. Here that is an
    error if the device was requested by name, else a warning. It also runs nodes on the CPU for
    which CUDA has no kernel; the first run shows that.
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
        providers: list[object] = [_PROVIDER_NAMES["cpu"]]
        self._library_error = ""
        self._placement_check: PlacementCheck | None = None
        self._placement_lock = threading.Lock()
        if not on_cpu:
            providers.insert(0, (_PROVIDER_NAMES["cuda"], _CUDA_OPTIONS))
            self._library_error = load_cuda_libraries(ort)
            self._placement_check = PlacementCheck(session_options)
        try:
            self._session = ort.InferenceSession(path, session_options, providers=providers)
        except Exception as error:  # ONNX Runtime's errors have no other base class
            if self._placement_check is not None:
                self._placement_check.close()
            raise ModelError(f"ONNX Runtime cannot read {path}: {last_error_line(error)}") from None
        self._check_provider(wanted, requested=device is not None)
        self.precision = "fp32" if self.device == "CPU" else "as in the file"
        if self.device == "CUDA":
            warn_about_int8(path)
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
            f"ONNX Runtime's {_PROVIDER_NAMES[wanted]} does not load here "
            f"({self._library_error or 'libraries, driver?'})"
        )
        self._discard_profile()
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
        if self._placement_check is not None:
            self._finish_placement_check()

    def _finish_placement_check(self) -> None:
        with self._placement_lock:  # of several first runs
            check, self._placement_check = self._placement_check, None
        if check is not None:
            check.finish(self._session, ort.__version__)

    def _discard_profile(self) -> None:
        check, self._placement_check = self._placement_check, None
        if check is not None:
            self._session.end_profiling()
            check.close()

    def close(self) -> None:
        self._discard_profile()
