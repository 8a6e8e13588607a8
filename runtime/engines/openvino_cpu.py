"""OpenVINO on the CPU: choice between bf16 and fp32, and a fix for saturating INT8 convolutions.

bf16 or fp32: by default OpenVINO uses bf16 on every CPU with an instruction for it. On AMD's Zen 5
that nearly halves the time. On Intel CPUs whose AMX a virtual machine hides, bf16 has half the
throughput of fp32. cgt measures both once.

INT8: without VNNI, the instruction VPMADDUBSW adds two products of an unsigned and a signed byte
in 16 bits. The limit is 32,767, but 2 x 255 x 127 is 64,770, so large sums saturate. With 7-bit
weights no sum does: 2 x 255 x 64 is 32,640. They cost 0.1 dB. With saturation `vintage` has 24 dB
against its teacher instead of 29.
"""

from __future__ import annotations

import time
from functools import lru_cache

import numpy as np

from ..utils.cache import JsonCache, short_hash
from ..utils.system import cpu_name
from .openvino_import import ov

ops = ov.opset13

_BENCH_CHANNELS, _BENCH_SIDE_PX, _BENCH_LAYERS = 64, 64, 3  # like the middle of a generator
_BENCH_RUNS = 20
_PROBE_CHANNELS, _PROBE_SIDE_PX = 32, 8


def fp32_faster_than_bf16(core: ov.Core) -> bool:
    """Return whether convolutions are faster in fp32 than in OpenVINO's default precision.

    The measurement takes a quarter of a second and is cached by CPU and version of OpenVINO.
    """
    if core.get_property("CPU", "INFERENCE_PRECISION_HINT") == ov.Type.f32:
        return False
    cache = JsonCache("floats.json")
    key = short_hash(cpu_name(), ov.__version__)  # the same for all workers of a batch
    cached = cache.get(key)
    if isinstance(cached, bool):
        return cached
    model = _build_conv_model()
    faster = _fastest_run_s(core, model, {"INFERENCE_PRECISION_HINT": "f32"}) < _fastest_run_s(
        core, model, {}
    )
    cache.put(key, faster)
    return faster


def _build_conv_model() -> ov.Model:
    x = ops.parameter([1, _BENCH_CHANNELS, _BENCH_SIDE_PX, _BENCH_SIDE_PX], ov.Type.f32)
    weights = np.full(
        (_BENCH_CHANNELS, _BENCH_CHANNELS, 3, 3), 1 / (9 * _BENCH_CHANNELS), np.float32
    )
    y = x.output(0)
    for _ in range(_BENCH_LAYERS):
        y = ops.convolution(y, ops.constant(weights), [1, 1], [1, 1], [1, 1], [1, 1]).output(0)
    return ov.Model([y], [x])


def _fastest_run_s(core: ov.Core, model: ov.Model, config: dict[str, str]) -> float:
    """Return the minimum duration of a run, which other load on the machine disturbs least."""
    request = core.compile_model(model, "CPU", config).create_infer_request()
    request.infer({0: np.ones(model.input(0).shape, np.float32)})
    best = float("inf")
    for _ in range(_BENCH_RUNS):
        started_at = time.perf_counter()
        request.infer()
        best = min(best, time.perf_counter() - started_at)
    return best


@lru_cache(maxsize=1)
def int8_saturates() -> bool:
    """Return whether INT8 convolutions saturate on this CPU, by running one with maximal sums."""
    x = ops.parameter([1, _PROBE_CHANNELS, _PROBE_SIDE_PX, _PROBE_SIDE_PX], ov.Type.f32)
    low, high = (ops.constant(np.float32(value)) for value in (-128 / 127, 1))
    quantized = ops.fake_quantize(ops.relu(x), low, high, low, high, 256)
    weights = np.full((_PROBE_CHANNELS, _PROBE_CHANNELS, 3, 3), 127, np.int8)
    scaled = ops.multiply(
        ops.convert(ops.constant(weights), np.float32), ops.constant(np.float32(1 / 127))
    )
    y = ops.convolution(quantized, scaled, [1, 1], [0, 0], [0, 0], [1, 1])
    compiled = ov.Core().compile_model(ov.Model([y], [x]), "CPU")
    ones = np.ones((1, _PROBE_CHANNELS, _PROBE_SIDE_PX, _PROBE_SIDE_PX), np.float32)
    output = compiled([ones])[0]
    return bool(abs(float(output.mean()) / (9 * _PROBE_CHANNELS) - 1) > 0.01)


def avoid_int8_saturation(model: ov.Model) -> None:
    """Requantize an INT8 model in place if this CPU needs it. Raises RuntimeError."""
    if is_quantized(model) and int8_saturates():
        requantize_to_7_bits(model)


def is_quantized(model: ov.Model) -> bool:
    """Return whether the model is INT8, so that few layers compute in floats."""
    return any(op.get_type_name() == "FakeQuantize" for op in model.get_ops())


def requantize_to_7_bits(model: ov.Model) -> None:
    """Halve the INT8 weights of each convolution, rounded, and double their scales, in place."""
    for op in model.get_ordered_ops():
        if op.get_type_name() == "Constant" and op.get_element_type() == ov.Type.i8:
            scaling = _find_scale_multiply(op) if len(op.shape) >= 4 else None
            if scaling is not None:
                half = ops.constant(np.rint(op.data / 2).astype(np.int8))
                for reader in op.output(0).get_target_inputs():
                    reader.replace_source_output(half.output(0))
                scale = scaling.input(1).get_source_output()
                scale = ops.multiply(scale, ops.constant(2, scale.get_element_type()))
                scaling.input(1).replace_source_output(scale.output(0))


def _find_scale_multiply(weights: ov.Node) -> ov.Node | None:
    """Return the node that multiplies weights by their scale.

    None if they are scaled in another way, or asymmetric (with a zero point other than zero).
    """
    node = weights
    for _ in range(3):
        readers = list(node.output(0).get_target_inputs())
        if len(readers) != 1:
            return None
        node = readers[0].get_node()
        kind = node.get_type_name()
        if kind == "Multiply":
            return node
        if kind == "Subtract" and _is_zero_constant(node.input(1).get_source_output().get_node()):
            continue
        if kind != "Convert":
            return None
    return None


def _is_zero_constant(node: ov.Node) -> bool:
    while node.get_type_name() in ("Convert", "Reshape"):
        node = node.input(0).get_source_output().get_node()
    return node.get_type_name() == "Constant" and not np.any(node.data)
