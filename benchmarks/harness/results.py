"""What a benchmark found, as data: dataclasses that are written to JSON and read back.

A configuration is measured in several *sessions*, each in a fresh process, because processes of
the same program differ (where memory lies, how threads were placed) more than runs within one do;
a session's runs are kept in *rounds*, because noise comes in bursts. `compare` resamples both.
Georges, Buytaert, Eeckhout, "Statistically rigorous Java performance evaluation" (2007);
Kalibera, Jones, "Rigorous benchmarking in reasonable time" (2013).

Measurements as JSON files, whose first key names their kind and its version.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from cgt.runtime.errors import UsageError
from cgt.runtime.utils.atomic import atomic_write

T = TypeVar("T")


def save_json(
    path: Path, kind: str, version: int, values: Mapping[str, Any], indent: int | None = None
) -> None:
    """Whole or not at all. Raises OSError."""
    with atomic_write(path) as temporary:
        text = json.dumps({kind: version, **values}, default=float, indent=indent)
        temporary.write_text(text + "\n", encoding="utf-8")


def load_json(
    path: Path, kind: str, version: int, description: str, build: Callable[[dict[str, Any]], T]
) -> T:
    """What `build` makes of the values that `save_json` wrote. what: such a file, for people.
    Raises UsageError for a file that is none, or of another version."""
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


@dataclass(frozen=True)
class Round:
    """Runs in a row. Shares are of all cores, 0 to 1; None where the system does not say."""

    at: float  # seconds since the session began
    ms: tuple[float, ...]  # each run, milliseconds
    reference_load_ms: float  # a fixed piece of work, just before: how fast the machine is now
    other_load: float | None = None  # cores that other programs used meanwhile
    steal: float | None = None  # cores that the hypervisor gave to other machines


@dataclass(frozen=True)
class ThroughputRun:
    """Throughput with several frames in flight: measured, never computed from a latency."""

    streams: int  # calls in flight
    fps: float  # frames per second, batches counted as their frames
    ms: tuple[float, ...]  # each call, milliseconds
    other_load: float | None = None


@dataclass(frozen=True)
class DeviceTimes:
    """Milliseconds of each run on a device with a memory of its own."""

    h2d: tuple[float, ...]  # copy to the device
    compute: tuple[float, ...]
    d2h: tuple[float, ...]  # copy back
    enqueue: tuple[float, ...]  # the host's time to ask for it
    cuda_graph: bool = False
    spin_wait: str = "off"  # or "on", or who decides


@dataclass(frozen=True)
class SessionResult:
    """One fresh process."""

    cold_start: float  # seconds from importing the engine to the first result
    rss: int  # bytes, the process's peak
    rss_before: int  # bytes, before the engine was imported
    rounds: tuple[Round, ...]
    throughput_runs: tuple[ThroughputRun, ...] = ()
    device_times: DeviceTimes | None = None


@dataclass
class Result:
    """One configuration."""

    model: str
    engine: str
    device: str
    precision: str  # as the engine reports it
    file_precision: str  # precision of the file
    size: tuple[int, int]
    batch: int
    sessions: list[SessionResult]
    requested_precision: str = "auto"  # precision
    workers: int = 1  # calls in flight that the engine recommends
    psnr: float | None = None  # dB against fp32
    limit: dict[str, Any] | None = None  # roofline.Limit

    @property
    def key(self) -> tuple[Any, ...]:
        """By which runs of the same thing are recognised in two reports."""
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
        """Short, for tables and plots."""
        many = f" x{self.batch}" if self.batch > 1 else ""
        kind = (
            self.precision
            if self.precision == self.file_precision
            else f"{self.precision} ({self.file_precision} file)"
        )
        return f"{self.engine} {kind} {self.size[0]}x{self.size[1]}{many}"

    @property
    def samples(self) -> np.ndarray[Any, np.dtype[np.float64]]:
        """All runs, milliseconds."""
        return np.concatenate([r.ms for s in self.sessions for r in s.rounds])

    def percentile(self, q: float) -> float:
        """Milliseconds."""
        return float(np.percentile(self.samples, q))

    @property
    def variation(self) -> float:
        """Coefficient of variation: standard deviation by mean."""
        return float(self.samples.std() / self.samples.mean())

    @property
    def cold_start(self) -> float:
        """Seconds, median of the sessions."""
        return float(np.median([session.cold_start for session in self.sessions]))

    @property
    def rss(self) -> int:
        """Bytes, median of the sessions' peaks."""
        return int(np.median([session.rss for session in self.sessions]))

    @property
    def other_load(self) -> float | None:
        """Share of the cores that other programs used."""
        shares = [r.other_load for s in self.sessions for r in s.rounds if r.other_load is not None]
        return float(np.mean(shares)) if shares else None

    def throughput(self) -> dict[int, float]:
        """Frames per second by calls in flight, median of the sessions."""
        rates: dict[int, list[float]] = {}
        for session in self.sessions:
            for overlap in session.throughput_runs:
                rates.setdefault(overlap.streams, []).append(overlap.fps)
        return {streams: float(np.median(fps)) for streams, fps in sorted(rates.items())}

    @property
    def fps(self) -> float:
        """The best throughput measured; without any, that of one frame after the other."""
        one_by_one = 1e3 * self.batch / float(self.samples.mean())
        return max(self.throughput().values(), default=one_by_one)


@dataclass
class BenchReport:
    """One `cgt bench`."""

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
        """As JSON, whole or not at all. Raises OSError."""
        save_json(path, _REPORT_KIND, REPORT_VERSION, asdict(self))


def load_report(path: Path) -> BenchReport:
    """The inverse of `Report.save`. Raises UsageError for a file that is no report."""

    def parse_report(values: dict[str, Any]) -> BenchReport:
        values.pop("projections", None)  # written until 0.1.0
        return BenchReport(
            **values | {"results": [_parse_result(entry) for entry in values["results"]]}
        )

    return load_json(
        path, _REPORT_KIND, REPORT_VERSION, "a report of `cgt bench --json`", parse_report
    )


def parse_session(entry: Mapping[str, Any]) -> SessionResult:
    """From JSON types. Raises KeyError and TypeError on other ones."""
    device = entry.get("device_times")
    return SessionResult(
        **{name: entry[name] for name in ("cold_start", "rss", "rss_before")},
        rounds=tuple(Round(**{**r, "ms": tuple(r["ms"])}) for r in entry["rounds"]),
        throughput_runs=tuple(
            ThroughputRun(**{**o, "ms": tuple(o["ms"])}) for o in entry["overlaps"]
        ),
        device_times=DeviceTimes(**device) if device else None,
    )


def _parse_result(entry: dict[str, Any]) -> Result:
    sessions = [parse_session(session) for session in entry["sessions"]]
    return Result(**{**entry, "size": tuple(entry["size"]), "sessions": sessions})
