"""How fast students would be here: candidates of a family with random weights, exported and timed.

What was measured is remembered, by machine, versions, size, precision and engine, unless other
programs disturbed it. A table is also a file, so that a student can be chosen for another machine.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

from cgt.runtime.cache import Remembered, digest
from cgt.runtime.engines import candidates as engines_for
from cgt.runtime.errors import UsageError
from cgt.trainer.config import GeneratorConfig
from cgt.trainer.distill.family import Candidate, family, pruned_family, usual_pruned

from .doubts import SHARE
from .latency_table import VERSION, Speed, Table
from .machine import describe_machine, one_line, versions
from .measure import measure_all
from .pipeline_cost import Cost, Size, measure_cost
from .random_students import export_random
from .session import Job

SESSIONS, SECONDS = 3, 0.4  # fresh processes for each candidate; of latency, and of throughput
PRECISION = "int8"

Told = Callable[[str], None]


@dataclass
class Measuring:
    """Measures candidates at one size, precision and engine, each once. An engine "auto" is chosen
    by the first of them, for what is quickest for one student is so for all. teacher: of which
    there may be pruned ones."""

    size: Size = (256, 256)
    precision: str = PRECISION
    engine: str = "auto"
    video: str | None = None  # for the pipeline; a real clip or a made one by default
    tell: Told = lambda note: None
    teacher: GeneratorConfig | None = None
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

    @property
    def pruned(self) -> list[Candidate]:
        """From the narrowest to the widest."""
        return pruned_family(self.teacher) if self.teacher else []

    def recall(self) -> Table:
        """What is remembered; nothing is measured."""
        known = [self._remembered_speed(c) for chain in (self.pruned, *family()) for c in chain]
        self.table = self.table.with_speeds([speed for speed in known if speed is not None])
        self.table = replace(self.table, cost=self.table.cost or self._remembered_cost())
        return self.table

    def _remembered_speed(self, candidate: Candidate) -> Speed | None:
        entry = self._remembered.get(self._name(candidate.config.to_json()))
        return Speed.from_json(entry) if entry else None

    def _remembered_cost(self) -> Cost | None:
        entry = self._remembered.get(self._name(self.video))
        return Cost(**entry) if entry else None

    def _measure(self, candidate: Candidate) -> Speed:
        with tempfile.TemporaryDirectory(prefix="cgt-candidate-") as folder:
            path = export_random(candidate, self.precision, Path(folder))
            engine = self.table.speeds[0].engine if self.table.speeds else self.engine
            job = Job(path, self.size, engine, seconds=SECONDS)
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
            result.engine,
            candidate.layout.to_json() if candidate.layout else None,
        )

    def _name(self, about: object) -> str:
        table = self.table
        where = (VERSION, table.machine, table.versions)
        return digest(*where, self.size, self.precision, self.engine, SESSIONS, SECONDS, about)


def measure_candidates(measuring: Measuring, advance: Callable[[], None] = lambda: None) -> Table:
    """All of `every_candidate`, and the cost of the pipeline around one of them."""
    for candidate in every_candidate():
        measuring.speed(candidate)
        advance()
    measuring.cost(typical())
    return measuring.table


def every_candidate() -> list[Candidate]:
    """New ones, and pruned ones of the usual teachers."""
    return [candidate for chain in (*family(), *usual_pruned()) for candidate in chain]


def typical() -> Candidate:
    """One that the cost of the pipeline is measured around."""
    first = family()[0]
    return first[len(first) // 2]
