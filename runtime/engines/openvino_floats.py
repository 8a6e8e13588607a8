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

from ..cache import Remembered, cpu_name, digest

_CHANNELS, _SIDE, _LAYERS = 64, 64, 3  # as in the middle of a generator
_REPEATS = 20


def fp32_is_faster(core: ov.Core) -> bool:
    """Whether convolutions run sooner in fp32 than in what OpenVINO takes by itself; measured once
    (a quarter of a second) and remembered by machine and version."""
    if core.get_property("CPU", "INFERENCE_PRECISION_HINT") == ov.Type.f32:
        return False
    memory = Remembered("floats.json")
    key = digest(cpu_name(), ov.__version__)  # all processes of a pile compute in the same
    known = memory.get(key)
    if isinstance(known, bool):
        return known
    model = _convolutions()
    faster = _seconds(core, model, {"INFERENCE_PRECISION_HINT": "f32"}) < _seconds(core, model, {})
    memory.put(key, faster)
    return faster


def _convolutions() -> ov.Model:
    x = ops.parameter([1, _CHANNELS, _SIDE, _SIDE], ov.Type.f32)
    weights = np.full((_CHANNELS, _CHANNELS, 3, 3), 1 / (9 * _CHANNELS), np.float32)
    y = x.output(0)
    for _ in range(_LAYERS):
        y = ops.convolution(y, ops.constant(weights), [1, 1], [1, 1], [1, 1], [1, 1]).output(0)
    return ov.Model([y], [x])


def _seconds(core: ov.Core, model: ov.Model, config: dict[str, str]) -> float:
    """Of the quickest run: what the machine does where nothing disturbs it."""
    request = core.compile_model(model, "CPU", config).create_infer_request()
    request.infer({0: np.ones(model.input(0).shape, np.float32)})
    best = float("inf")
    for _ in range(_REPEATS):
        began = time.perf_counter()
        request.infer()
        best = min(best, time.perf_counter() - began)
    return best
