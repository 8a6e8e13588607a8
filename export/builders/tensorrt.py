"""Builder of TensorRT and TensorRT-RTX engines, verified to compute in the graph's precisions.

TensorRT 10, 11 and RTX share one code path: the network is strongly typed, so the graph defines the
precisions and no builder flag does (11 has none any more). TF32 is disabled, so that fp32 is fp32.
"""

from __future__ import annotations

from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

from cgt.runtime.engines.cuda import GPU, list_gpus
from cgt.runtime.engines.tensorrt_compat import (
    create_with_logger,
    make_logger,
    read_layer_information,
)
from cgt.runtime.errors import EngineError, Interrupted, ModelError, SinkError, UsageError
from cgt.runtime.models.metadata import ModelMetadata
from cgt.runtime.models.sidecar import UNVERIFIED
from cgt.runtime.utils.atomic import atomic_write
from cgt.runtime.utils.log import warn_user
from cgt.runtime.utils.signals import stop_on_signal

from ..formats import BuildOptions, Format
from .base import BuildResult, LogFn, load_package
from .tensorrt_config import (
    engine_profiles,
    format_profile,
    make_builder_config,
    progress_monitor,
    set_profile_shapes,
    supported_compute_capabilities,
)
from .tensorrt_inspector import (
    EngineLayer,
    ExpectedConvolution,
    parse_build_log,
    parse_inspector_json,
    verify_precisions,
)
from .tensorrt_traffic import sum_traffic

if TYPE_CHECKING:
    import tensorrt as trt

_CONV_LAYER_CLASSES = {"CONVOLUTION": "IConvolutionLayer", "DECONVOLUTION": "IDeconvolutionLayer"}
_PRECISION_OF_DTYPE = {"FLOAT": "fp32", "HALF": "fp16", "BF16": "bf16"}


def build(
    onnx: Path, metadata: ModelMetadata, fmt: Format, options: BuildOptions, log: LogFn
) -> BuildResult:
    """Build an engine and check the precision of each convolution, where the engine tells it.

    Raises:
        MissingDependency: The package is not installed.
        UsageError: This machine or this version does not support an option.
        ModelError: The parser rejects a node; the message names it.
        EngineError: The build failed.
        QualityError: Layers compute in another precision than the graph; the message names them.
        Interrupted: A signal stopped the build.
    """
    api = load_package(fmt)
    local_gpus = list_gpus()
    targets = target_compute_capabilities(api, fmt, options, local_gpus)
    trt_logger = make_logger(api)
    builder: trt.Builder = create_with_logger(api, api.Builder, trt_logger)
    network, parser = _parse_onnx(api, builder, trt_logger, onnx)
    expected = _expected_convolutions(api, network)
    config = make_builder_config(api, builder, options, () if fmt.needs_gpu else targets)
    profiles = engine_profiles(metadata)
    for profile in profiles:
        shapes: trt.IOptimizationProfile = builder.create_optimization_profile()
        set_profile_shapes(profile, shapes, network, metadata.io)
        config.add_optimization_profile(shapes)
    log(f"{fmt.name} {api.__version__}: building for {', '.join(map(format_profile, profiles))}")
    with stop_on_signal() as stop, progress_monitor(api, stop) as monitor:
        config.progress_monitor = monitor
        plan = builder.build_serialized_network(network, config)
    del parser  # it owns the weights, which are no longer needed
    if stop.is_set():
        raise Interrupted("stopped; no engine was written")
    if plan is None:
        raise EngineError(f"{fmt.name} cannot build {onnx}: {trt_logger.last_error()}")
    _save_timing_cache(config, options.timing_cache)
    layers = _read_engine_layers(api, trt_logger, plan, fmt)
    names = ", ".join(f"{target / 10:.1f}" for target in targets)
    counts = verify_precisions(layers, expected, f"the {fmt.name} engine for {names}")
    verified = [
        f"{count} in {precision}" for precision, count in counts.items() if precision != UNVERIFIED
    ]
    if verified:
        log(
            f"engine: {len(layers)} layers, convolutions {', '.join(verified)}, as in the graph; "
            f"for {names}"
        )
    if counts[UNVERIFIED]:
        warn_user(
            f"{counts[UNVERIFIED]} of {len(expected)} convolutions are unverified: {fmt.name} "
            f"{api.__version__} does not tell their precision; compare the engine's images and "
            "speed with those of the ONNX file: cgt bench, cgt eval"
        )
    if traffic := sum_traffic(trt_logger.tables[-1:]):
        log(f"memory traffic: {traffic} per run")
    return BuildResult(
        version=api.__version__,
        files={fmt.suffix: bytes(memoryview(plan))},
        build_info={
            "gpu": local_gpus[0].name if fmt.needs_gpu else "",
            "multiprocessors": local_gpus[0].multiprocessors if fmt.needs_gpu else 0,
            "compute_capabilities": targets,
            "hardware_compatible": options.hardware_compatible,
            "version_compatible": options.version_compatible,
            "convolutions": dict(counts),
        },
    )


def target_compute_capabilities(
    api: ModuleType, fmt: Format, options: BuildOptions, local_gpus: list[GPU]
) -> tuple[int, ...]:
    """Return the compute capabilities to build for.

    Raises UsageError if one is unknown or none is given.
    """
    if fmt.needs_gpu:
        return (local_gpus[0].compute_capability,)
    requested = options.compute_capabilities
    if not requested and not local_gpus:
        raise UsageError("give the GPUs to build for, such as --compute-capability 75,86,89,120")
    known = supported_compute_capabilities(api)
    for target in requested:
        if target not in known:
            raise UsageError(
                f"{fmt.name} {api.__version__} does not build for compute capability {target}; "
                f"use one of {', '.join(map(str, known))}"
            )
    return requested or (local_gpus[0].compute_capability,)


def _parse_onnx(
    api: ModuleType, builder: trt.Builder, trt_logger: Any, onnx: Path
) -> tuple[trt.INetworkDefinition, trt.OnnxParser]:
    # Without this flag TensorRT 10 would choose precisions itself; 11 ignores it.
    typed = 1 << int(api.NetworkDefinitionCreationFlag.STRONGLY_TYPED)
    network: trt.INetworkDefinition = builder.create_network(typed)
    parser: trt.OnnxParser = api.OnnxParser(network, trt_logger)
    if not parser.parse_from_file(str(onnx)) or not network.num_inputs:
        if not parser.num_errors:
            raise ModelError(f"{api.__name__} cannot read {onnx}: {trt_logger.last_error()}")
        error: trt.ParserError = parser.get_error(0)
        node = error.node_name() or f"number {error.node()}"
        code = str(error.code()).rpartition(".")[2]
        raise ModelError(
            f"{api.__name__} {api.__version__} rejects the {error.node_operator()} node {node} "
            f"of {onnx}: {code}, {' '.join(error.desc().split())}"
        )
    return network, parser


def _expected_convolutions(
    api: ModuleType, network: trt.INetworkDefinition
) -> list[ExpectedConvolution]:
    """Return the network's convolutions with the precision that the graph gives each."""
    quantized: set[str] = set()  # tensors that come from integers
    convolutions = []
    for index in range(network.num_layers):
        layer: trt.ILayer = network.get_layer(index)
        if layer.type == api.LayerType.DEQUANTIZE:
            quantized.add(layer.get_output(0).name)
        layer_class = _CONV_LAYER_CLASSES.get(layer.type.name)
        if layer_class is None:
            continue
        names = [layer.get_input(n).name for n in range(layer.num_inputs) if layer.get_input(n)]
        is_int8 = len(names) > 1 and all(name in quantized for name in names[:2])
        dtype = layer.get_input(0).dtype.name
        precision = "int8" if is_int8 else _PRECISION_OF_DTYPE.get(dtype, dtype.lower())
        layer.__class__ = getattr(api, layer_class)  # the bindings do not downcast
        convolution: trt.IConvolutionLayer = layer
        kernel = tuple(convolution.kernel_size_nd)
        convolutions.append(ExpectedConvolution(layer.name, kernel, precision))
    return convolutions


def _read_engine_layers(
    api: ModuleType, trt_logger: Any, plan: trt.IHostMemory, fmt: Format
) -> list[EngineLayer]:
    """Read layers from the engine if a GPU can load it, else from the builder's log."""
    if not fmt.needs_gpu:
        return parse_build_log(trt_logger.tables)
    runtime: trt.Runtime = create_with_logger(api, api.Runtime, trt_logger)
    runtime.engine_host_code_allowed = True  # for the version-compatible plan just built
    engine: trt.ICudaEngine = runtime.deserialize_cuda_engine(plan)
    if engine is None:
        raise EngineError(f"{fmt.name} cannot load what it built: {trt_logger.last_error()}")
    return parse_inspector_json(read_layer_information(api, engine))


def _save_timing_cache(config: trt.IBuilderConfig, path: Path | None) -> None:
    if path is None:
        return
    cache: trt.ITimingCache = config.get_timing_cache()
    try:
        with atomic_write(path) as temporary:
            temporary.write_bytes(bytes(memoryview(cache.serialize())))
    except OSError as error:
        raise SinkError(f"timing cache {path} cannot be written: {error.strerror}") from None
