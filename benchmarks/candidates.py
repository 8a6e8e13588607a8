"""How fast students would be here: candidates of a family with random weights, exported and timed.

What was measured is remembered, by machine, versions, size, precision and engine, unless other
programs disturbed it. A table is also a file, so that a student can be chosen for another machine.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

from cgt.runtime.cache import Remembered, digest
from cgt.runtime.engines import candidates as engines_for
from cgt.runtime.errors import UsageError
from cgt.runtime.files import whole_file
from cgt.trainer.distill.family import Candidate, Kind, family

from .doubts import SHARE
from .machine import describe_machine, one_line, versions
from .measure import measure_all
from .pipeline_cost import Cost, measure_cost
from .random_students import export_random
from .session import Job

VERSION = 1
SESSIONS, SECONDS = 3, 0.4  # fresh processes for each candidate; of latency, and of throughput
PRECISION = "int8"

Size = tuple[int, int]
Told = Callable[[str], None]


@dataclass(frozen=True)
class Speed:
    """One candidate, measured. p50, p99: milliseconds of one frame after the other; fps: frames per
    second of the engine alone, as many in flight as it likes."""

    kind: tuple[str, str, str]  # norm, block, upsampling
    ngf: int
    blocks: int
    parameters: int
    macs: int
    p50: float
    p99: float
    fps: float
    others: float  # share of the cores that other programs used meanwhile

    @property
    def candidate(self) -> Candidate:
        return Candidate(Kind(*self.kind), self.ngf, self.blocks)

    @property
    def order(self) -> tuple[int, bool, float]:
        """By capacity: parameters; with as many, resized and no checkerboard; then the quicker."""
        return self.parameters, self.kind[2] == "resize", -self.p50


@dataclass(frozen=True)
class Table:
    """What was measured of one machine, size, precision and engine. cost: what the pipeline takes
    beside the engine; None where it was not measured."""

    machine: str
    versions: dict[str, str]
    size: Size
    precision: str
    engine: str
    speeds: tuple[Speed, ...]
    cost: Cost | None = None

    def end_to_end(self, speed: Speed) -> float:
        """Frames per second from source to sink, estimated."""
        return self.cost.end_to_end(speed.fps) if self.cost else speed.fps

    def with_speeds(self, more: Sequence[Speed]) -> Table:
        kept = {(s.kind, s.ngf, s.blocks): s for s in (*self.speeds, *more)}
        return replace(self, speeds=tuple(sorted(kept.values(), key=lambda s: s.order)))

    def save(self, path: Path) -> None:
        """As JSON, whole or not at all. Raises OSError."""
        with whole_file(path) as temporary:
            text = json.dumps({"cgt_candidates": VERSION, **asdict(self)}, indent=1)
            temporary.write_text(text + "\n", encoding="utf-8")


def load_table(path: Path) -> Table:
    """The inverse of `Table.save`. Raises UsageError for a file that is no such table."""
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
        version = values.pop("cgt_candidates")
        if version != VERSION:
            raise UsageError(f"{path} was written by another version of cgt; measure again")
        values["size"] = tuple(values["size"])
        values["cost"] = Cost(**values["cost"]) if values["cost"] else None
        speeds = [Speed(**{**entry, "kind": tuple(entry["kind"])}) for entry in values["speeds"]]
        return Table(**{**values, "speeds": tuple(speeds)})
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {error.strerror}") from None
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        if isinstance(error, UsageError):
            raise
        raise UsageError(f"{path} is not a table of `cgt bench --candidates --json`") from None


@dataclass
class Measuring:
    """Measures candidates at one size, precision and engine, each once."""

    size: Size = (256, 256)
    precision: str = PRECISION
    engine: str = "auto"
    video: str | None = None  # for the pipeline; a real clip or a made one by default
    tell: Told = lambda note: None
    table: Table = field(init=False)

    def __post_init__(self) -> None:
        if self.engine != "auto" and self.engine.partition(":")[0] not in engines_for(
            Path(".onnx")
        ):
            raise UsageError(
                f"--engine {self.engine}: candidates are ONNX files, which "
                f"{' and '.join(engines_for(Path('.onnx')))} run"
            )
        machine = one_line(describe_machine())
        self.table = Table(machine, versions(), self.size, self.precision, self.engine, ())
        self._remembered = Remembered("candidates.json")

    def speed(self, candidate: Candidate) -> Speed:
        """Raises what exporting and running it raise."""
        for known in self.table.speeds:
            if known.candidate == candidate:
                return known
        self.tell(str(candidate))
        speed = self._remembered_speed(candidate)
        if speed is None:
            speed = self._measure(candidate)
            if speed.others <= SHARE:
                self._remembered.put(self._name(candidate.config.to_json()), asdict(speed))
        self.table = self.table.with_speeds([speed])
        return speed

    def cost(self, candidate: Candidate) -> Cost:
        """What the pipeline takes beside the engine: measured once, with that candidate in it."""
        cost = self.table.cost or self._remembered_cost()
        if cost is None:
            fps = self.speed(candidate).fps
            self.tell(f"source to sink with {candidate}")
            with tempfile.TemporaryDirectory(prefix="cgt-candidate-") as folder:
                path = export_random(candidate, self.precision, Path(folder))
                cost = measure_cost(path, self.engine, self.size, self.video, fps)
            if cost.others <= SHARE:
                self._remembered.put(self._name(self.video), asdict(cost))
        self.table = replace(self.table, cost=cost)
        return cost

    def recall(self) -> Table:
        """What is remembered; nothing is measured."""
        known = [self._remembered_speed(c) for chain in family() for c in chain]
        self.table = self.table.with_speeds([speed for speed in known if speed is not None])
        self.table = replace(self.table, cost=self.table.cost or self._remembered_cost())
        return self.table

    def _remembered_speed(self, candidate: Candidate) -> Speed | None:
        entry = self._remembered.get(self._name(candidate.config.to_json()))
        return Speed(**{**entry, "kind": tuple(entry["kind"])}) if entry else None

    def _remembered_cost(self) -> Cost | None:
        entry = self._remembered.get(self._name(self.video))
        return Cost(**entry) if entry else None

    def _measure(self, candidate: Candidate) -> Speed:
        with tempfile.TemporaryDirectory(prefix="cgt-candidate-") as folder:
            path = export_random(candidate, self.precision, Path(folder))
            job = Job(path, self.size, self.engine, seconds=SECONDS)
            result = measure_all([job], SESSIONS)[0]
        kind = candidate.kind
        return Speed(
            (kind.norm, kind.block, kind.upsampling),
            candidate.ngf,
            candidate.blocks,
            candidate.parameters,
            candidate.macs(self.size),
            result.percentile(50),
            result.percentile(99),
            result.fps,
            result.others or 0.0,
        )

    def _name(self, about: object) -> str:
        table = self.table
        where = (VERSION, table.machine, table.versions)
        return digest(*where, self.size, self.precision, self.engine, SESSIONS, SECONDS, about)


def measure_candidates(measuring: Measuring, advance: Callable[[], None] = lambda: None) -> Table:
    """All of the family, and the cost of the pipeline around one of them."""
    chains = family()
    for candidate in (candidate for chain in chains for candidate in chain):
        measuring.speed(candidate)
        advance()
    measuring.cost(chains[0][len(chains[0]) // 2])
    return measuring.table
