"""ONNX -> TensorRT or TensorRT-RTX plan, proved to compute in the precisions of the graph.

One code path for TensorRT 10, 11 and RTX: the network is strongly typed, so the graph decides and
no builder flag does (11 has none any more). TF32 is switched off, so that fp32 is fp32.
"""

from __future__ import annotations

from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

from cgt.runtime.artifact import Artifact
from cgt.runtime.cuda import GPU, gpus
from cgt.runtime.engines.tensorrt_log import make_log
from cgt.runtime.errors import (
    EngineError,
    Interrupted,
    ModelError,
    SinkError,
    UsageError,
)
from cgt.runtime.files import whole_file
from cgt.runtime.stopping import stop_on_signal

from ..formats import BuildOptions, Format
from .base import Built, Say, load_package
from .configure import configure, known_compute_capabilities
from .layers import Convolution, Layer, layers_of_inspector, layers_of_log, verify
from .profiles import describe, profiles_of, set_shapes
from .progress import progress_monitor

if TYPE_CHECKING:
    import tensorrt as trt

_LAYER_TYPES = {"CONVOLUTION": "IConvolutionLayer", "DECONVOLUTION": "IDeconvolutionLayer"}
_TYPES = {"FLOAT": "fp32", "HALF": "fp16", "BF16": "bf16"}


def build(onnx: Path, artifact: Artifact, kind: Format, options: BuildOptions, say: Say) -> Built:
    """Raises MissingDependency without the package, UsageError for an option that this
    machine or this version has not, ModelError naming the node that the parser refuses,
    EngineError where the build fails, QualityError naming the layers that compute in another
    precision than the graph says, Interrupted after a signal."""
    api = load_package(kind)
    here = gpus()
    targets = targets_of(api, kind, options, here)
    log = make_log(api)
    builder: trt.Builder = api.Builder(log)
    network, parser = _parse(api, builder, log, onnx)
    wanted = _convolutions(api, network)
    config = configure(api, builder, options, () if kind.on_gpu else targets)
    profiles = profiles_of(artifact)
    for profile in profiles:
        shapes: trt.IOptimizationProfile = builder.create_optimization_profile()
        set_shapes(profile, shapes, network, artifact.io)
        config.add_optimization_profile(shapes)
    say(f"{kind.name} {api.__version__}: building for {', '.join(map(describe, profiles))}")
    with stop_on_signal() as stop, progress_monitor(api, stop) as monitor:
        config.progress_monitor = monitor
        plan = builder.build_serialized_network(network, config)
    del parser  # it owns the weights; nothing needs them from here on
    if stop.is_set():
        raise Interrupted("stopped; no engine was written")
    if plan is None:
        raise EngineError(f"{kind.name} cannot build {onnx}: {log.last_error()}")
    _save_timing_cache(config, options.timing_cache)
    layers = _layers(api, log, plan, kind)
    names = ", ".join(f"{target / 10:.1f}" for target in targets)
    counts = verify(layers, wanted, f"the {kind.name} engine for {names}")
    kinds = ", ".join(f"{count} in {precision}" for precision, count in counts.items())
    say(f"engine: {len(layers)} layers, convolutions {kinds}, all as in the graph; for {names}")
    return Built(
        version=api.__version__,
        files={kind.suffix: bytes(memoryview(plan))},
        facts={
            "gpu": here[0].name if kind.on_gpu else "",
            "compute_capabilities": targets,
            "hardware_compatible": options.hardware_compatible,
            "version_compatible": options.version_compatible,
            "dla": options.dla,
            "convolutions": dict(counts),
        },
    )


def targets_of(
    api: ModuleType, kind: Format, options: BuildOptions, here: list[GPU]
) -> tuple[int, ...]:
    """Compute capabilities to build for. Raises UsageError for an unknown one, and for none."""
    if kind.on_gpu:
        return (here[0].compute_capability,)
    asked = options.compute_capabilities
    if not asked and not here:
        raise UsageError("say which cards it is for, such as --compute-capability 75,86,89,120")
    known = known_compute_capabilities(api)
    for target in asked:
        if target not in known:
            raise UsageError(
                f"{kind.name} {api.__version__} does not build for compute capability {target}; "
                f"it does for {', '.join(map(str, known))}"
            )
    return asked or (here[0].compute_capability,)


def _parse(
    api: ModuleType, builder: trt.Builder, log: Any, onnx: Path
) -> tuple[trt.INetworkDefinition, trt.OnnxParser]:
    # Without the bit TensorRT 10 would choose precisions itself; 11 ignores it.
    typed = 1 << int(api.NetworkDefinitionCreationFlag.STRONGLY_TYPED)
    network: trt.INetworkDefinition = builder.create_network(typed)
    parser: trt.OnnxParser = api.OnnxParser(network, log)
    if not parser.parse_from_file(str(onnx)) or not network.num_inputs:
        if not parser.num_errors:
            raise ModelError(f"{api.__name__} cannot read {onnx}: {log.last_error()}")
        error: trt.ParserError = parser.get_error(0)
        node = error.node_name() or f"number {error.node()}"
        code = str(error.code()).rpartition(".")[2]
        raise ModelError(
            f"{api.__name__} {api.__version__} refuses the {error.node_operator()} node {node} "
            f"of {onnx}: {code}, {' '.join(error.desc().split())}"
        )
    return network, parser


def _convolutions(api: ModuleType, network: trt.INetworkDefinition) -> list[Convolution]:
    """The network's convolutions and the precision that the graph gives each."""
    quantized: set[str] = set()  # tensors that come from integers
    found = []
    for index in range(network.num_layers):
        layer: trt.ILayer = network.get_layer(index)
        if layer.type == api.LayerType.DEQUANTIZE:
            quantized.add(layer.get_output(0).name)
        made = _LAYER_TYPES.get(layer.type.name)
        if made is None:
            continue
        names = [layer.get_input(n).name for n in range(layer.num_inputs) if layer.get_input(n)]
        integers = len(names) > 1 and all(name in quantized for name in names[:2])
        kind = layer.get_input(0).dtype.name
        precision = "int8" if integers else _TYPES.get(kind, kind.lower())
        layer.__class__ = getattr(api, made)  # the bindings do not downcast
        convolution: trt.IConvolutionLayer = layer
        kernel = tuple(convolution.kernel_size_nd)
        found.append(Convolution(layer.name, kernel, precision))
    return found


def _layers(api: ModuleType, log: Any, plan: trt.IHostMemory, kind: Format) -> list[Layer]:
    """From the engine itself where a GPU can load it, else from what the builder logged."""
    if not kind.on_gpu:
        return layers_of_log(log.tables)
    runtime: trt.Runtime = api.Runtime(log)
    runtime.engine_host_code_allowed = True  # of a version-compatible plan, made just now
    engine: trt.ICudaEngine = runtime.deserialize_cuda_engine(plan)
    if engine is None:
        raise EngineError(f"{kind.name} cannot load what it built: {log.last_error()}")
    inspector: trt.EngineInspector = engine.create_engine_inspector()
    return layers_of_inspector(inspector.get_engine_information(api.LayerInformationFormat.JSON))


def _save_timing_cache(config: trt.IBuilderConfig, path: Path | None) -> None:
    if path is None:
        return
    cache: trt.ITimingCache = config.get_timing_cache()
    try:
        with whole_file(path) as temporary:
            temporary.write_bytes(bytes(memoryview(cache.serialize())))
    except OSError as error:
        raise SinkError(f"timing cache {path} cannot be written: {error.strerror}") from None
