"""Limits for the results of a report: the networks counted, the machine's peaks measured."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from cgt.export.counting import count
from cgt.runtime.errors import CgtError

from .peaks import Compute, compute_peak, copy_peaks
from .results import Result
from .roofline import limit


def attach_limits(
    results: Sequence[Result], models: dict[str, Path]
) -> tuple[dict[str, Any], list[str]]:
    """Fill in `Result.limit` where that is possible; models: paths by name. Returns the peaks as
    JSON types, and what there is to say where something is missing."""
    notes: dict[str, None] = {}
    copies: dict[int, float] = {}
    peaks: dict[tuple[str, str, str], Compute] = {}

    def peak(engine: str, asked: str, graph: str) -> Compute:
        key = engine, asked, graph
        if key not in peaks:
            peaks[key] = compute_peak(*key)
        return peaks[key]

    for result in results:
        if result.engine == "triton":
            notes[f"no limit for {result.label}: it was computed by a server"] = None
            continue
        try:
            layers = count(models[result.model], result.size, result.batch)
            kinds = {result.graph, "fp32"} if result.graph == "int8" else {result.graph}
            found = [peak(result.engine, result.asked, kind) for kind in sorted(kinds)]
            rates = {p.precision: p.macs_per_second for p in found}
            copies = copies or copy_peaks()
            if result.precision not in rates:
                notes[
                    f"no limit for {result.label}: the peak was computed in {', '.join(rates)}"
                ] = None
                continue
            result.limit = limit(layers, result.precision, rates, copies).to_json()
        except CgtError as error:
            notes[str(error)] = None
    compute = [{"engine": e, "asked": a, "graph": g, **vars(p)} for (e, a, g), p in peaks.items()]
    return {"compute": compute, "copies": {str(k): v for k, v in copies.items()}}, list(notes)
