"""In what OpenVINO computes floats soonest on this CPU.

By itself it takes bf16 wherever the CPU has an instruction for it. On AMD's Zen 5 that nearly
halves the time. Intel's CPUs whose AMX a virtual machine hides do half as much in a second in bf16
as in fp32.
"""

from __future__ import annotations

import time

import numpy as np
import openvino as ov
from openvino import opset13 as ops

from ..cache import JsonCache, cpu_name, short_hash

_BENCH_CHANNELS, _BENCH_SIDE_PX, _BENCH_LAYERS = 64, 64, 3  # as in the middle of a generator
_BENCH_RUNS = 20


def fp32_faster_than_bf16(core: ov.Core) -> bool:
    """Whether convolutions run sooner in fp32 than in what OpenVINO takes by itself; measured once
    (a quarter of a second) and remembered by machine and version."""
    if core.get_property("CPU", "INFERENCE_PRECISION_HINT") == ov.Type.f32:
        return False
    cache = JsonCache("floats.json")
    key = short_hash(cpu_name(), ov.__version__)  # all processes of a pile compute in the same
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
    """Of the quickest run: what the machine does where nothing disturbs it."""
    request = core.compile_model(model, "CPU", config).create_infer_request()
    request.infer({0: np.ones(model.input(0).shape, np.float32)})
    best = float("inf")
    for _ in range(_BENCH_RUNS):
        began = time.perf_counter()
        request.infer()
        best = min(best, time.perf_counter() - began)
    return best
