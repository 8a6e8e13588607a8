"""Roofline bound of a network, layer by layer (Williams, Waterman and Patterson, 2009).

A layer cannot take less time than its multiply-adds at the machine's peak, nor less than its bytes
at the memory bandwidth. The network cannot take less than the sum of its layers. The measured time
is reported as a percentage of this bound. The bound is strict: engines may keep one layer's output
in a cache for the next layer, which no bound can count, and no network consists of the one
convolution that gives the peak.
"""

from __future__ import annotations

import bisect
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cgt.export.verify.macs import LayerCost, count_layer_costs, total_macs
from cgt.runtime.errors import CgtError, ModelError
from cgt.runtime.models.sidecar import read_sidecar
from cgt.runtime.utils.atomic import file_sha256

from ..harness.results import Result
from .peaks import ComputePeak, measure_compute_peak, measure_copy_bandwidths

FLOAT_BYTES = {"fp32": 4, "fp16": 2, "bf16": 2, "int8": 4}  # bytes of each value that is not int8

# The bandwidth of a GPU's memory is not measured: its bound is that of the multiply-adds alone.
_NO_MEMORY_LIMIT = {1: float("inf")}


@dataclass(frozen=True)
class RooflineBound:
    """Lower bound of one run, at one size and batch on one machine."""

    macs: int
    bytes: int
    compute: float  # seconds of all multiply-adds at the peak
    memory: float  # seconds of all bytes at the copy bandwidth
    seconds: float  # sum of the larger of both, layer by layer: no run is faster
    macs_per_second: float  # peak in `precision`
    bytes_per_second: float  # average over the layers
    precision: str  # precision of the peak

    @property
    def bound(self) -> str:
        """Return the limiting resource: "compute" or "memory"."""
        return "compute" if self.compute >= self.memory else "memory"

    @property
    def intensity(self) -> float:
        """Return multiply-adds per byte."""
        return self.macs / max(self.bytes, 1)

    def to_json(self) -> dict[str, Any]:
        return {**vars(self), "bound": self.bound, "intensity": self.intensity}


def compute_roofline_bound(
    layers: Sequence[LayerCost],
    precision: str,
    macs_per_second: Mapping[str, float],
    copy_bandwidths: Mapping[int, float],
) -> RooflineBound:
    """Compute the lower bound of a network's run time.

    In an int8 network, layers that are not quantized run at the best of the other peaks.

    Args:
        layers: Costs of the layers, from `count_layer_costs`.
        precision: Precision that the engine computes in.
        macs_per_second: Measured peaks by precision, with `precision` at least.
        copy_bandwidths: Bytes per second by bytes moved, one entry at least.
    """
    float_rates = {kind: rate for kind, rate in macs_per_second.items() if kind != "int8"}
    remainder = max(float_rates, key=lambda kind: float_rates[kind]) if float_rates else precision
    float_kind = remainder if precision == "int8" else precision
    float_size = FLOAT_BYTES.get(float_kind, 4)
    compute = memory = seconds = 0.0
    total_bytes = 0
    for layer in layers:
        int8 = precision == "int8" and layer.quantized
        rate = macs_per_second["int8" if int8 else float_kind]
        num_bytes = layer.bytes_moved(float_size)
        times = layer.macs / rate, num_bytes / copy_bandwidth(copy_bandwidths, num_bytes)
        compute, memory = compute + times[0], memory + times[1]
        seconds += max(times)
        total_bytes += num_bytes
    return RooflineBound(
        total_macs(list(layers)),
        total_bytes,
        compute,
        memory,
        seconds,
        macs_per_second[precision],
        total_bytes / memory if memory else 0.0,
        precision,
    )


def copy_bandwidth(copy_bandwidths: Mapping[int, float], num_bytes: int) -> float:
    """Return the rate of the smallest copy that is at least as large, else of the largest."""
    sizes = sorted(copy_bandwidths)
    return copy_bandwidths[sizes[min(bisect.bisect_left(sizes, num_bytes), len(sizes) - 1)]]


def _measured_engine(result: Result, model: Path) -> tuple[str, Path]:
    """Return the engine to measure the peaks of, and the ONNX file with the layers of a model.

    Raises:
        ModelError: A TensorRT engine does not have its ONNX file beside it.
    """
    if model.suffix not in (".engine", ".plan"):
        return result.engine, model
    build = read_sidecar(model).build
    onnx = model.with_name(build.onnx)
    if not onnx.is_file() or file_sha256(onnx) != build.onnx_sha256:
        raise ModelError(
            f"no roofline for {result.label}: the {build.onnx} that {model.name} was built from is "
            "not beside it"
        )
    return build.format, onnx


def attach_roofline_bounds(
    results: Sequence[Result], models: dict[str, Path]
) -> tuple[dict[str, Any], list[str]]:
    """Set `Result.limit` where possible.

    Args:
        results: Results to complete.
        models: Model files by name.

    Returns:
        The measured peaks as JSON types, and a message for each reason why a bound is missing.
    """
    messages: dict[str, None] = {}
    copy_bandwidths: dict[int, float] = {}
    peaks: dict[tuple[str, str, str], ComputePeak] = {}

    def peak_of(engine: str, requested_precision: str, file_precision: str) -> ComputePeak:
        key = engine, requested_precision, file_precision
        if key not in peaks:
            peaks[key] = measure_compute_peak(*key)
        return peaks[key]

    for result in results:
        if result.engine == "triton":
            messages[f"no roofline for {result.label}: a server computed it"] = None
            continue
        try:
            engine, onnx = _measured_engine(result, models[result.model])
            layers = count_layer_costs(onnx, result.size, result.batch)
            kinds = (
                {result.file_precision, "fp32"}
                if result.file_precision == "int8"
                else {result.file_precision}
            )
            compute_peaks = [
                peak_of(engine, result.requested_precision, kind) for kind in sorted(kinds)
            ]
            rates = {p.precision: p.macs_per_second for p in compute_peaks}
            on_cpu = result.device.upper() == "CPU"
            if on_cpu:
                copy_bandwidths = copy_bandwidths or measure_copy_bandwidths()
            if result.precision not in rates:
                messages[
                    f"no roofline for {result.label}: the peak was computed in {', '.join(rates)}"
                ] = None
                continue
            result.limit = compute_roofline_bound(
                layers, result.precision, rates, copy_bandwidths if on_cpu else _NO_MEMORY_LIMIT
            ).to_json()
        except CgtError as error:
            messages[str(error)] = None
    compute = [
        {"engine": e, "requested_precision": r, "file_precision": f, **vars(peak)}
        for (e, r, f), peak in peaks.items()
    ]
    return {"compute": compute, "copies": {str(k): v for k, v in copy_bandwidths.items()}}, list(
        messages
    )
