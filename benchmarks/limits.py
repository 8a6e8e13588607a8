"""Limits for the results of a report: the networks counted, the machine's peaks measured."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from cgt.export.counting import count_layer_costs
from cgt.runtime.errors import CgtError

from .peaks import ComputePeak, measure_compute_peak, measure_copy_bandwidths
from .results import Result
from .roofline import compute_roofline_bound


def attach_roofline_bounds(
    results: Sequence[Result], models: dict[str, Path]
) -> tuple[dict[str, Any], list[str]]:
    """Fill in `Result.limit` where that is possible; models: paths by name. Returns the peaks as
    JSON types, and what there is to say where something is missing."""
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
            messages[f"no limit for {result.label}: it was computed by a server"] = None
            continue
        try:
            layers = count_layer_costs(models[result.model], result.size, result.batch)
            kinds = (
                {result.file_precision, "fp32"}
                if result.file_precision == "int8"
                else {result.file_precision}
            )
            found = [
                peak_of(result.engine, result.requested_precision, kind) for kind in sorted(kinds)
            ]
            rates = {p.precision: p.macs_per_second for p in found}
            copy_bandwidths = copy_bandwidths or measure_copy_bandwidths()
            if result.precision not in rates:
                messages[
                    f"no limit for {result.label}: the peak was computed in {', '.join(rates)}"
                ] = None
                continue
            result.limit = compute_roofline_bound(
                layers, result.precision, rates, copy_bandwidths
            ).to_json()
        except CgtError as error:
            messages[str(error)] = None
    compute = [{"engine": e, "asked": a, "graph": g, **vars(p)} for (e, a, g), p in peaks.items()]
    return {"compute": compute, "copies": {str(k): v for k, v in copy_bandwidths.items()}}, list(
        messages
    )
