"""OpenVINO engine, the default on a CPU."""

from __future__ import annotations

import contextlib
import json
import threading
import zlib
from pathlib import Path

from ..errors import EngineError, ModelError
from ..image.preprocess import F32
from ..models.sidecar import read_sidecar, read_verified_bytes, sidecar_path
from ..models.third_party import ThirdPartyTensors
from ..utils.atomic import atomic_write
from ..utils.cache import cache_dir, cached_sha256, short_hash
from ..utils.system import cpu_name
from .base import Array, BatchShape, Engine, EngineOptions, last_error_line
from .openvino_cpu import avoid_int8_saturation, fp32_faster_than_bf16, is_quantized
from .openvino_import import ov
from .openvino_subpixel import use_subpixel_output

_PRECISION_NAMES = {"f32": "fp32", "f16": "fp16", "bf16": "bf16", "i8": "int8", "u8": "int8"}
_CONVOLUTION_TYPES = ("Convolution", "Deconvolution")

# Layers prepared for one size, if sizes vary. The default of 5000 takes 1 MiB per new size.
_MAX_CACHED_SHAPES = 256

# Increased when models are rewritten in another way before they are compiled.
_REWRITES = 1

# In a folder of the cache; the second is written last.
_BLOB_FILE, _CONFIG_FILE = "compiled.blob", "config.json"


class OpenVINOEngine(Engine):
    """OpenVINO on CPU, GPU or NPU; compiled models are kept in the cache folder.

    A compiled model loads in half the time of OpenVINO's own cache, which reads and transforms the
    model file first in order to recognize it.

    On a CPU it computes floats in bf16 if that is faster there and `precision` is not "fp32", else
    in fp32. INT8 models get 7-bit weights on CPUs that need them. See `openvino_cpu` for both.
    """

    name = "openvino"
    devices = ("cpu", "gpu", "npu")

    def __init__(self, options: EngineOptions) -> None:
        path, device = options.path, options.device or "cpu"
        core = ov.Core()
        key = short_hash(
            *(_model_sha256(path), ov.__version__, cpu_name(), options.shape),
            *(options.performance_hint, options.precision, device, _REWRITES),
        )
        folder = cache_dir("openvino", key)
        compiled = _load_compiled(core, device, folder)
        self.loaded_from_cache = compiled is not None
        self._compiled = compiled or _compile(core, options, device, folder)
        self.device = device.upper()
        self.workers = int(self._compiled.get_property("OPTIMAL_NUMBER_OF_INFER_REQUESTS"))
        self.precision = _convolution_precision(self._compiled)
        self._thread_local = threading.local()

    def infer(
        self,
        batch: Array,
        out: Array,
        statistics_in: F32 | None = None,
        statistics_out: F32 | None = None,
    ) -> None:
        local = self._thread_local
        arrays = (batch, out, statistics_in, statistics_out)
        try:
            if not hasattr(local, "request"):
                local.request = self._compiled.create_infer_request()
                local.arrays = (None,) * 4
            if any(new is not old for new, old in zip(arrays, local.arrays, strict=True)):
                _bind_tensors(local.request, *arrays)
                local.arrays = arrays
            local.request.start_async()
            local.request.wait()
        except RuntimeError as error:
            raise EngineError(f"OpenVINO failed: {last_error_line(error)}") from None

    def close(self) -> None:
        self._thread_local = threading.local()


def _load_compiled(core: ov.Core, device: str, folder: Path | None) -> ov.CompiledModel | None:
    """Return the compiled model in a folder of the cache; None if it has none that is usable."""
    if folder is None:
        return None
    try:
        stored = json.loads((folder / _CONFIG_FILE).read_text())
        blob = (folder / _BLOB_FILE).read_bytes()
        if zlib.crc32(blob) != stored["crc32"]:  # OpenVINO does not check
            return None
        return core.import_model(blob, device.upper(), stored["config"])
    except (OSError, ValueError, LookupError, TypeError, RuntimeError):  # damaged
        return None


def _compile(
    core: ov.Core, options: EngineOptions, device: str, folder: Path | None
) -> ov.CompiledModel:
    """Read a model file, compile it and store the result in a folder of the cache."""
    path, shape = options.path, options.shape
    try:
        model = _read_ov_model(core, path)
        if shape.third_party is not None:
            _select_tensors(model, shape.third_party)
        model.reshape(_input_shapes(shape))
        if device == "cpu":
            avoid_int8_saturation(model)
    except RuntimeError as error:
        raise ModelError(f"OpenVINO cannot read {path}: {last_error_line(error)}") from None
    config = {"PERFORMANCE_HINT": options.performance_hint.upper()}
    # INT8 models have few float layers, and bf16 is faster for their tensors of half the size.
    is_float = device == "cpu" and not is_quantized(model)
    if is_float:
        use_subpixel_output(model)
    if options.precision == "fp32" or (is_float and fp32_faster_than_bf16(core)):
        config["INFERENCE_PRECISION_HINT"] = "f32"
    if not shape.is_static and device == "cpu":
        config["CPU_RUNTIME_CACHE_CAPACITY"] = str(_MAX_CACHED_SHAPES)
    try:
        compiled = core.compile_model(model, device.upper(), config)
    except RuntimeError as error:
        raise EngineError(f"OpenVINO cannot run {path}: {last_error_line(error)}") from None
    if folder is not None:
        with contextlib.suppress(OSError, RuntimeError):  # it is only a cache
            blob = compiled.export_model().getvalue()
            with atomic_write(folder / _BLOB_FILE) as temporary:
                temporary.write_bytes(blob)
            with atomic_write(folder / _CONFIG_FILE) as temporary:
                temporary.write_text(json.dumps({"config": config, "crc32": zlib.crc32(blob)}))
    return compiled


def _read_ov_model(core: ov.Core, path: Path) -> ov.Model:
    """Read an ONNX file, or OpenVINO's pair of files after a check against their sidecar."""
    if path.suffix != ".xml":
        return core.read_model(path)
    build = read_sidecar(path).build
    graph, weights = (read_verified_bytes(path, build, suffix) for suffix in (".xml", ".bin"))
    return core.read_model(graph, weights)


def _model_sha256(path: Path) -> str:
    """Return a hash of graph and weights; the sidecar of OpenVINO's pair of files has both."""
    return cached_sha256(sidecar_path(path) if path.suffix == ".xml" else path)


def _select_tensors(model: ov.Model, tensors: ThirdPartyTensors) -> None:
    """Leave the image as the only input and its translation as the only output of a model."""
    for constant in tensors.constants:
        port = model.input(constant.name)
        port.get_node().output(0).replace(ov.opset13.constant(constant.array).output(0))
        model.remove_parameter(port.get_node())
    for port in model.outputs:
        if tensors.output.name not in port.names:
            model.remove_result(port.get_node())


def _input_shapes(shape: BatchShape) -> dict[int, ov.PartialShape]:
    """Return the shapes by index of the input."""
    dims = [size or ov.Dimension(-1) for size in shape.network_specs[0][0]]
    shapes = {0: ov.PartialShape(dims)}
    if shape.statistics:
        shapes[1] = ov.PartialShape([shape.batch_size, shape.statistics])
    return shapes


def _bind_tensors(
    request: ov.InferRequest,
    batch: Array,
    out: Array,
    statistics_in: F32 | None,
    statistics_out: F32 | None,
) -> None:
    request.set_input_tensor(0, ov.Tensor(batch, shared_memory=True))
    request.set_output_tensor(0, ov.Tensor(out, shared_memory=True))
    if statistics_in is not None and statistics_out is not None:
        request.set_input_tensor(1, ov.Tensor(statistics_in, shared_memory=True))
        request.set_output_tensor(1, ov.Tensor(statistics_out, shared_memory=True))


def _convolution_precision(compiled: ov.CompiledModel) -> str:
    """Return the type that most convolutions run in, read from the executable graph."""
    counts: dict[str, int] = {}
    for op in compiled.get_runtime_model().get_ops():
        info = op.get_rt_info()
        if str(info["layerType"].astype(str)) in _CONVOLUTION_TYPES:
            precision = str(info["runtimePrecision"].astype(str))
            counts[precision] = counts.get(precision, 0) + 1
    if not counts:
        return "unknown"
    most_common = max(counts, key=lambda precision: counts[precision])
    return _PRECISION_NAMES.get(most_common, most_common)
