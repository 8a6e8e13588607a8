"""The lines of a metrics.csv."""

from __future__ import annotations

import csv
import math
from pathlib import Path

MetricsRow = dict[str, float]
"""A line by the names of its columns; what it does not say is left out."""


def format_value(value: float) -> str:
    """Six digits, whole numbers as such."""
    return str(int(value)) if float(value).is_integer() else f"{value:.6g}"


def read_metrics(path: Path) -> list[MetricsRow]:
    """All whole lines; one that was cut off in the middle is none."""
    rows = []
    with open(path, newline="") as file:
        for row in csv.DictReader(file):
            try:
                numbers = {k: float(v) for k, v in row.items() if k and v}
            except ValueError:
                continue
            if None not in row.values() and "step" in numbers:
                rows.append({k: v for k, v in numbers.items() if math.isfinite(v)})
    return rows
