"""How fast students would be here: candidates of a family with random weights, exported and timed.

What was measured is remembered, by machine, versions, size, precision and engine, unless other
programs disturbed it. A table is also a file, so that a student can be chosen for another machine.

Students with random weights as model files: as quick as trained ones.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from cgt.benchmarks.harness.environment import describe_machine, machine_summary, package_versions
from cgt.benchmarks.harness.measurement_warnings import MAX_OTHER_LOAD
from cgt.benchmarks.harness.runner import run_jobs
from cgt.benchmarks.harness.session import BenchmarkJob
from cgt.export import export
from cgt.runtime.engines import compatible_engines as engines_for
from cgt.runtime.errors import UsageError
from cgt.runtime.image.files import encode_image
from cgt.runtime.utils.cache import JsonCache, short_hash
from cgt.trainer.data.synthetic import dead_leaves
from cgt.trainer.networks import build_generator, init_generator
from cgt.trainer.networks.config import GeneratorConfig
from cgt.trainer.pretrained import TrainedGenerator

from .candidates import Candidate, common_pruned_candidates, pruned_candidates, student_candidates
from .latency_table import TABLE_VERSION, CandidateTiming, LatencyTable
from .pipeline_cost import PipelineOverhead, Size, measure_pipeline_overhead

CALIBRATION_SIDE_PX = 64  # of the pictures to calibrate on; a graph takes any size
CALIBRATION_IMAGES = 12
_EXPORT_OPTIONS: dict[str, dict[str, Any]] = {
    **{name: {"precision": name} for name in ("fp32", "fp16", "bf16", "int8")},
    "int8-fp16": {"precision": "int8", "remainder": "fp16"},
}


def export_random_student(candidate: Candidate, precision: str, folder: Path) -> Path:
    """An ONNX file in `folder`. precision: as artifacts have it, "int8" or "int8-fp16".
    Raises UsageError for another one."""
    if precision not in _EXPORT_OPTIONS:
        raise UsageError(f"--precision {precision} is none of {', '.join(_EXPORT_OPTIONS)}")
    config = candidate.config
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        network = build_generator(config)
        init_generator(network)
    source = TrainedGenerator(
        network=network.eval(),
        path=folder / "random.pth",
        domains=("anything", "noise"),
        direction="AtoB",
        size=(CALIBRATION_SIDE_PX, CALIBRATION_SIDE_PX),
        multiple=config.multiple,
        norm=config.norm_kind,
        in_channels=config.in_channels,
        out_channels=config.out_channels,
        architecture=config.to_json(),
        test_folder=None,
        sha256="",
        evidence=(),
        filter="bilinear",
    )
    options = dict(_EXPORT_OPTIONS[precision])
    if options["precision"] == "int8":
        options |= {
            "calib": str(_write_calibration_images(folder / "pictures")),
            "calib_frames": CALIBRATION_IMAGES,
        }
    return export(source, folder / "random.onnx", min_psnr=0.0, **options)[0]


def _write_calibration_images(folder: Path) -> Path:
    """A folder of some to calibrate on."""
    folder.mkdir()
    for seed in range(CALIBRATION_IMAGES):
        png = encode_image(
            dead_leaves((CALIBRATION_SIDE_PX, CALIBRATION_SIDE_PX), np.random.default_rng(seed)),
            ".png",
        )
        assert png is not None
        (folder / f"{seed}.png").write_bytes(png)
    return folder


SESSIONS_PER_CANDIDATE, SESSION_S = (
    3,
    0.4,
)  # fresh processes for each candidate; of latency, and of throughput
DEFAULT_PRECISION = "int8"

ProgressFn = Callable[[str], None]


@dataclass
class CandidateBenchmark:
    """Measures candidates at one size, precision and engine, each once. An engine "auto" is chosen
    by the first of them, for what is quickest for one student is so for all. teacher: of which
    there may be pruned ones."""

    size: Size = (256, 256)
    precision: str = DEFAULT_PRECISION
    engine: str = "auto"
    video: str | None = None  # for the pipeline; a real clip or a made one by default
    on_progress: ProgressFn = lambda note: None
    teacher: GeneratorConfig | None = None
    table: LatencyTable = field(init=False)

    def __post_init__(self) -> None:
        if self.engine != "auto" and self.engine.partition(":")[0] not in engines_for(
            Path(".onnx")
        ):
            raise UsageError(
                f"--engine {self.engine}: candidates are ONNX files, which "
                f"{' and '.join(engines_for(Path('.onnx')))} run"
            )
        machine = machine_summary(describe_machine())
        self.table = LatencyTable(
            machine, package_versions(), self.size, self.precision, self.engine, ()
        )
        self._cache = JsonCache("candidates.json")

    def measure(self, candidate: Candidate) -> CandidateTiming:
        """Raises what exporting and running it raise."""
        for known in self.table.timings:
            if known.candidate == candidate:
                return known
        self.on_progress(str(candidate))
        speed = self._cached_timing(candidate)
        if speed is None:
            speed = self._run_sessions(candidate)
            if speed.other_load <= MAX_OTHER_LOAD:
                self._cache.put(self._cache_key(candidate.config.to_json()), asdict(speed))
        self.table = self.table.with_timings([speed])
        return speed

    def measure_overhead(self, candidate: Candidate) -> PipelineOverhead:
        """What the pipeline takes beside the engine: measured once, with that candidate in it."""
        cost = self.table.overhead or self._cached_overhead()
        if cost is None:
            fps = self.measure(candidate).fps
            self.on_progress(f"source to sink with {candidate}")
            with tempfile.TemporaryDirectory(prefix="cgt-candidate-") as folder:
                path = export_random_student(candidate, self.precision, Path(folder))
                cost = measure_pipeline_overhead(path, self.engine, self.size, self.video, fps)
            if cost.other_load <= MAX_OTHER_LOAD:
                self._cache.put(self._cache_key(self.video), asdict(cost))
        self.table = replace(self.table, overhead=cost)
        return cost

    @property
    def pruned_candidates(self) -> list[Candidate]:
        """From the narrowest to the widest."""
        return pruned_candidates(self.teacher) if self.teacher else []

    def load_cached(self) -> LatencyTable:
        """What is remembered; nothing is measured."""
        known = [
            self._cached_timing(c)
            for chain in (self.pruned_candidates, *student_candidates())
            for c in chain
        ]
        self.table = self.table.with_timings([speed for speed in known if speed is not None])
        self.table = replace(self.table, overhead=self.table.overhead or self._cached_overhead())
        return self.table

    def _cached_timing(self, candidate: Candidate) -> CandidateTiming | None:
        entry = self._cache.get(self._cache_key(candidate.config.to_json()))
        return CandidateTiming.from_json(entry) if entry else None

    def _cached_overhead(self) -> PipelineOverhead | None:
        entry = self._cache.get(self._cache_key(self.video))
        return PipelineOverhead(**entry) if entry else None

    def _run_sessions(self, candidate: Candidate) -> CandidateTiming:
        with tempfile.TemporaryDirectory(prefix="cgt-candidate-") as folder:
            path = export_random_student(candidate, self.precision, Path(folder))
            engine = self.table.timings[0].engine if self.table.timings else self.engine
            job = BenchmarkJob(path, self.size, engine, seconds=SESSION_S)
            result = run_jobs([job], SESSIONS_PER_CANDIDATE)[0]
        kind = candidate.variant
        return CandidateTiming(
            (kind.norm, kind.block, kind.upsampling),
            candidate.ngf,
            candidate.blocks,
            candidate.parameters,
            candidate.macs(self.size),
            result.percentile(50),
            result.percentile(99),
            result.fps,
            result.other_load or 0.0,
            result.engine,
            candidate.pruned_from.to_json() if candidate.pruned_from else None,
        )

    def _cache_key(self, about: object) -> str:
        table = self.table
        where = (TABLE_VERSION, table.machine, table.versions)
        return short_hash(
            *where, self.size, self.precision, self.engine, SESSIONS_PER_CANDIDATE, SESSION_S, about
        )


def measure_candidates(
    benchmark: CandidateBenchmark, advance: Callable[[], None] = lambda: None
) -> LatencyTable:
    """All of `every_candidate`, and the cost of the pipeline around one of them."""
    for candidate in all_candidates():
        benchmark.measure(candidate)
        advance()
    benchmark.measure_overhead(median_candidate())
    return benchmark.table


def all_candidates() -> list[Candidate]:
    """New ones, and pruned ones of the usual teachers."""
    return [
        candidate
        for chain in (*student_candidates(), *common_pruned_candidates())
        for candidate in chain
    ]


def median_candidate() -> Candidate:
    """One that the cost of the pipeline is measured around."""
    first = student_candidates()[0]
    return first[len(first) // 2]
