"""Benchmark results as dataclasses, and the versioned JSON files that store them.

A configuration is measured in several *sessions*, each in a fresh process: two processes of the
same program differ (memory layout, thread placement) more than two runs within one process. The
runs of a session are kept in *rounds*, because noise comes in bursts. `compare` resamples both. See
Georges, Buytaert, Eeckhout, "Statistically rigorous Java performance evaluation" (2007), and
Kalibera, Jones, "Rigorous benchmarking in reasonable time" (2013).

The first key of a file gives its kind and version. Sizes are "WIDTHxHEIGHT" in JSON and (height,
width) in Python.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from cgt.runtime.errors import UsageError
from cgt.runtime.image.geometry import format_size, parse_size
from cgt.runtime.utils.atomic import atomic_write

T = TypeVar("T")


def save_json(
    path: Path, kind: str, version: int, values: Mapping[str, Any], indent: int | None = None
) -> None:
    """Write `values` as JSON under a key that gives its kind and version.

    The file appears whole or not at all. Raises OSError.
    """
    with atomic_write(path) as temporary:
        text = json.dumps({kind: version, **values}, default=float, indent=indent)
        temporary.write_text(text + "\n", encoding="utf-8")


def load_json(
    path: Path, kind: str, version: int, description: str, build: Callable[[dict[str, Any]], T]
) -> T:
    """Return what `build` creates from the values that `save_json` wrote.

    Args:
        path: File to read.
        kind: Name of the first key.
        version: Value that this key must have.
        description: What the file should be, for the error message.
        build: Converts the values; may raise ValueError, KeyError, TypeError or AttributeError.

    Raises:
        UsageError: The file cannot be read, is of another kind, or of another version.
    """
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
        if values.pop(kind) != version:
            raise UsageError(f"{path} was written by another version of cgt; measure again")
        return build(values)
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {error.strerror}") from None
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        if isinstance(error, UsageError):
            raise
        raise UsageError(f"{path} is not {description}") from None


REPORT_VERSION = 1
_REPORT_KIND = "cgt_bench"
_PERCENTILES = {"p50": 50, "p90": 90, "p95": 95, "p99": 99, "max": 100}
_DERIVED_KEYS = ("latency_ms", "fps")  # of a result; computed from its sessions
# Keys of reports written before version 0.1.0: old -> current.
_RENAMED_KEYS = {
    "yardstick_ms": "reference_load_ms",
    "others": "other_load",
    "stolen": "steal",
    "overlaps": "throughput_runs",
    "graph": "file_precision",
    "asked": "requested_precision",
    "psnr": "psnr_db",
    "alone": "engine_fps",
}


@dataclass(frozen=True)
class Round:
    """Consecutive runs. Loads are shares of all cores, 0 to 1; None where unknown."""

    at: float  # seconds since the session began
    ms: tuple[float, ...]  # each run, milliseconds
    reference_load_ms: float  # time of the reference workload, run just before
    other_load: float | None = None  # cores that other programs used during the round
    steal: float | None = None  # cores that the hypervisor gave to other virtual machines


@dataclass(frozen=True)
class ThroughputRun:
    """Throughput with several calls in flight: measured, never derived from a latency."""

    streams: int  # calls in flight
    fps: float  # frames per second; a batch counts as its frames
    ms: tuple[float, ...]  # each call, milliseconds
    other_load: float | None = None


@dataclass(frozen=True)
class DeviceTimes:
    """Milliseconds of each run on a device with its own memory."""

    h2d: tuple[float, ...]  # copy to the device
    compute: tuple[float, ...]
    d2h: tuple[float, ...]  # copy back
    enqueue: tuple[float, ...]  # host time to submit the work
    cuda_graph: bool = False
    spin_wait: str = "off"  # "on", "off" or "the driver's choice"


@dataclass(frozen=True)
class SessionResult:
    """Measurements of one fresh process."""

    cold_start: float  # seconds from importing the engine to the first result
    rss: int  # peak of the process, bytes
    rss_before: int  # the same before the engine was imported, bytes
    rounds: tuple[Round, ...]
    throughput_runs: tuple[ThroughputRun, ...] = ()
    device_times: DeviceTimes | None = None


@dataclass
class Result:
    """All sessions of one configuration."""

    model: str
    engine: str
    device: str
    precision: str  # as the engine reports it
    file_precision: str  # as the model's metadata gives it
    size: tuple[int, int]  # (height, width)
    batch: int
    sessions: list[SessionResult]
    requested_precision: str = "auto"  # "fp32" keeps the engine from using less
    workers: int = 1  # calls in flight that the engine recommends
    psnr_db: float | None = None  # against fp32
    limit: dict[str, Any] | None = None  # RooflineBound.to_json()

    @property
    def key(self) -> tuple[Any, ...]:
        """Identify the configuration: results of two reports with the same key are compared."""
        return (
            self.model,
            self.engine,
            self.requested_precision,
            self.file_precision,
            *self.size,
            self.batch,
        )

    @property
    def label(self) -> str:
        """Describe the configuration in a few words, for tables and plots."""
        many = f" x{self.batch}" if self.batch > 1 else ""
        kind = (
            self.precision
            if self.precision == self.file_precision
            else f"{self.precision} ({self.file_precision} file)"
        )
        return f"{self.engine} {kind} {format_size(self.size)}{many}"

    @property
    def samples(self) -> np.ndarray[Any, np.dtype[np.float64]]:
        """Return the milliseconds of all runs."""
        return np.concatenate([r.ms for s in self.sessions for r in s.rounds])

    def percentile(self, q: float) -> float:
        """Return the q-th percentile of the latency in milliseconds."""
        return float(np.percentile(self.samples, q))

    @property
    def variation(self) -> float:
        """Return the coefficient of variation: standard deviation divided by mean."""
        return float(self.samples.std() / self.samples.mean())

    @property
    def cold_start(self) -> float:
        """Return the median of the sessions' cold starts in seconds."""
        return float(np.median([session.cold_start for session in self.sessions]))

    @property
    def rss(self) -> int:
        """Return the median of the sessions' peak memory in bytes."""
        return int(np.median([session.rss for session in self.sessions]))

    @property
    def other_load(self) -> float | None:
        """Return the mean share of the cores that other programs used; None where unknown."""
        shares = [r.other_load for s in self.sessions for r in s.rounds if r.other_load is not None]
        return float(np.mean(shares)) if shares else None

    def throughput(self) -> dict[int, float]:
        """Map calls in flight to frames per second, the median of the sessions."""
        rates: dict[int, list[float]] = {}
        for session in self.sessions:
            for overlap in session.throughput_runs:
                rates.setdefault(overlap.streams, []).append(overlap.fps)
        return {streams: float(np.median(fps)) for streams, fps in sorted(rates.items())}

    @property
    def fps(self) -> float:
        """Return the best measured throughput, else the rate of one run after the other."""
        one_by_one = 1e3 * self.batch / float(self.samples.mean())
        return max(self.throughput().values(), default=one_by_one)

    def to_json(self) -> dict[str, Any]:
        """Return JSON types: the values that scripts read, then the raw sessions."""
        values = asdict(self)
        sessions = values.pop("sessions")
        latency = {name: self.percentile(q) for name, q in _PERCENTILES.items()}
        derived = {"size": format_size(self.size), "latency_ms": latency, "fps": self.fps}
        return {**values, **derived, "sessions": sessions}

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Result:
        """Invert `to_json`. Raises KeyError, TypeError and UsageError on other values."""
        fields = {name: value for name, value in values.items() if name not in _DERIVED_KEYS}
        sessions = [parse_session(session) for session in values["sessions"]]
        return cls(**fields | {"size": parse_size(values["size"]), "sessions": sessions})


@dataclass
class BenchReport:
    """Everything that one `cgt bench` measured.

    Attributes:
        command: Command line.
        date: ISO 8601 time of the start, in UTC.
        machine: What `describe_machine` found.
        before: What `current_conditions` found before the measurements.
        after: The same after the measurements.
        results: One entry for each configuration.
        pipeline: What `EndToEndResult.to_json` returned, with --pipeline.
        peaks: Measured compute and copy peaks behind the roofline bounds.
        matrix: What `BenchmarkMatrix.to_json` returned, with --matrix.
        warnings: One line for each reason to distrust a value.
    """

    command: list[str]
    date: str
    machine: dict[str, Any]
    before: dict[str, Any]
    after: dict[str, Any] = field(default_factory=dict)
    results: list[Result] = field(default_factory=list)
    pipeline: dict[str, Any] | None = None
    peaks: dict[str, Any] | None = None
    matrix: dict[str, Any] | None = None
    warnings: list[str] = field(default_factory=list)

    def save(self, path: Path) -> None:
        """Write the report as JSON, whole or not at all. Raises OSError."""
        values = vars(self) | {"results": [result.to_json() for result in self.results]}
        save_json(path, _REPORT_KIND, REPORT_VERSION, values)


def load_report(path: Path) -> BenchReport:
    """Read a report that `BenchReport.save` wrote, also one of an older version of cgt.

    Raises:
        UsageError: The file cannot be read or is not a report.
    """

    def parse_report(values: dict[str, Any]) -> BenchReport:
        values = _with_current_keys(values)
        values.pop("projections", None)  # written before version 0.1.0
        return BenchReport(
            **values | {"results": [Result.from_json(entry) for entry in values["results"]]}
        )

    return load_json(
        path, _REPORT_KIND, REPORT_VERSION, "a report of `cgt bench --json`", parse_report
    )


def parse_session(entry: Mapping[str, Any]) -> SessionResult:
    """Invert `asdict` of a SessionResult. Raises KeyError and TypeError on other values."""
    device = entry.get("device_times")
    return SessionResult(
        **{name: entry[name] for name in ("cold_start", "rss", "rss_before")},
        rounds=tuple(Round(**{**r, "ms": tuple(r["ms"])}) for r in entry["rounds"]),
        throughput_runs=tuple(
            ThroughputRun(**{**run, "ms": tuple(run["ms"])}) for run in entry["throughput_runs"]
        ),
        device_times=DeviceTimes(**device) if device else None,
    )


def _with_current_keys(value: Any) -> Any:
    """Rename old keys and write sizes of [height, width] as "WIDTHxHEIGHT", at any depth."""
    if isinstance(value, list):
        return [_with_current_keys(entry) for entry in value]
    if not isinstance(value, dict):
        return value
    renamed = {_RENAMED_KEYS.get(k, k): _with_current_keys(v) for k, v in value.items()}
    if isinstance(size := renamed.get("size"), list):
        renamed["size"] = format_size(size)
    return renamed
