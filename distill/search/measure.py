"""Benchmark of candidate students: export with random weights, measure, cache the timings.

A network with random weights is as fast as a trained one. Timings are cached by machine, package
versions, size, precision and engine, unless other programs disturbed the measurement. A table can
also be saved as a file, to select a student for another machine.
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
from cgt.runtime.engines import compatible_engines
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

CALIBRATION_SIDE_PX = 64  # side of the calibration images; the exported graph takes any size
CALIBRATION_IMAGES = 12
_EXPORT_OPTIONS: dict[str, dict[str, Any]] = {
    **{name: {"precision": name} for name in ("fp32", "fp16", "bf16", "int8")},
    "int8-fp16": {"precision": "int8", "remainder": "fp16"},
}


def export_random_student(candidate: Candidate, precision: str, folder: Path) -> Path:
    """Export a candidate with random weights as an ONNX file.

    Args:
        candidate: the architecture.
        precision: fp32, fp16, bf16, int8 or int8-fp16.
        folder: folder of the file.

    Returns:
        The file.

    Raises:
        UsageError: the precision is unknown.
    """
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
            "calib": str(_write_calibration_images(folder / "images")),
            "calib_frames": CALIBRATION_IMAGES,
        }
    return export(source, folder / "random.onnx", min_psnr=0.0, **options)[0]


def _write_calibration_images(folder: Path) -> Path:
    folder.mkdir()
    for seed in range(CALIBRATION_IMAGES):
        png = encode_image(
            dead_leaves((CALIBRATION_SIDE_PX, CALIBRATION_SIDE_PX), np.random.default_rng(seed)),
            ".png",
        )
        assert png is not None
        (folder / f"{seed}.png").write_bytes(png)
    return folder


SESSIONS_PER_CANDIDATE = 3  # worker processes per candidate
SESSION_S = 0.4  # duration of the latency and of the throughput measurement in each
DEFAULT_PRECISION = "int8"

ProgressFn = Callable[[str], None]


@dataclass
class CandidateBenchmark:
    """Measures candidates at one size, precision and engine, each once.

    The first candidate selects the engine for "auto": the fastest engine for one student is the
    fastest for all.

    Attributes:
        size: height and width of the network's input.
        precision: precision of the exported models.
        engine: name of an engine, or "auto".
        video: video for the pipeline overhead; by default the sample clip or a synthetic one.
        on_progress: called with a text before each measurement.
        teacher: configuration whose pruned students are candidates too.
        table: the timings so far.

    Raises:
        UsageError: the engine does not run ONNX files.
    """

    size: Size = (256, 256)
    precision: str = DEFAULT_PRECISION
    engine: str = "auto"
    video: str | None = None
    on_progress: ProgressFn = lambda text: None
    teacher: GeneratorConfig | None = None
    table: LatencyTable = field(init=False)

    def __post_init__(self) -> None:
        engines = compatible_engines(Path(".onnx"))
        if self.engine != "auto" and self.engine.partition(":")[0] not in engines:
            raise UsageError(
                f"--engine {self.engine} does not run ONNX files, which candidates are; use "
                f"{' or '.join(engines)}"
            )
        machine = machine_summary(describe_machine())
        self.table = LatencyTable(
            machine, package_versions(), self.size, self.precision, self.engine, ()
        )
        self._cache = JsonCache("candidates.json")

    def measure(self, candidate: Candidate) -> CandidateTiming:
        """Return the timing of a candidate, measured now if neither table nor cache has it.

        Raises:
            CgtError: the export or the engine fails.
        """
        for timing in self.table.timings:
            if timing.candidate == candidate:
                return timing
        self.on_progress(str(candidate))
        cached = self._cached_timing(candidate)
        timing = cached or self._run_sessions(candidate)
        if not cached and timing.other_load <= MAX_OTHER_LOAD:
            self._cache.put(self._cache_key(_key_spelling(candidate.config)), asdict(timing))
        self.table = self.table.with_timings([timing])
        return timing

    def measure_overhead(self, candidate: Candidate) -> PipelineOverhead:
        """Return the pipeline overhead, measured once with `candidate` as the network."""
        overhead = self.table.overhead or self._cached_overhead()
        if overhead is None:
            fps = self.measure(candidate).fps
            self.on_progress(f"end to end with {candidate}")
            with tempfile.TemporaryDirectory(prefix="cgt-candidate-") as folder:
                path = export_random_student(candidate, self.precision, Path(folder))
                overhead = measure_pipeline_overhead(path, self.engine, self.size, self.video, fps)
            if overhead.other_load <= MAX_OTHER_LOAD:
                self._cache.put(self._cache_key(self.video), asdict(overhead))
        self.table = replace(self.table, overhead=overhead)
        return overhead

    @property
    def pruned_candidates(self) -> list[Candidate]:
        """Candidates pruned from the teacher, narrowest first."""
        return pruned_candidates(self.teacher) if self.teacher else []

    def load_cached(self) -> LatencyTable:
        """Return the table with all cached timings, without any measurement."""
        cached = [
            self._cached_timing(candidate)
            for chain in (self.pruned_candidates, *student_candidates())
            for candidate in chain
        ]
        self.table = self.table.with_timings([timing for timing in cached if timing is not None])
        self.table = replace(self.table, overhead=self.table.overhead or self._cached_overhead())
        return self.table

    def _cached_timing(self, candidate: Candidate) -> CandidateTiming | None:
        entry = self._cache.get(self._cache_key(_key_spelling(candidate.config)))
        return CandidateTiming.from_json(entry) if entry else None

    def _cached_overhead(self) -> PipelineOverhead | None:
        entry = self._cache.get(self._cache_key(self.video))
        return PipelineOverhead.from_json(entry) if entry else None

    def _run_sessions(self, candidate: Candidate) -> CandidateTiming:
        with tempfile.TemporaryDirectory(prefix="cgt-candidate-") as folder:
            path = export_random_student(candidate, self.precision, Path(folder))
            engine = self.table.timings[0].engine if self.table.timings else self.engine
            job = BenchmarkJob(path, self.size, engine, seconds=SESSION_S)
            result = run_jobs([job], SESSIONS_PER_CANDIDATE)[0]
        variant = candidate.variant
        return CandidateTiming(
            (variant.norm, variant.block, variant.upsampling),
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

    def _cache_key(self, subject: object) -> str:
        """Hash everything that a measurement of `subject` depends on."""
        environment = (TABLE_VERSION, self.table.machine, self.table.versions)
        settings = (self.size, self.precision, self.engine, SESSIONS_PER_CANDIDATE, SESSION_S)
        return short_hash(*environment, *settings, subject)


# Cache keys spell a configuration as before version 0.1.0, so that cached timings stay valid.
_KEY_FIELDS = {
    **{"color_transform": "tone", "n_downsampling": "halvings", "shuffle_factor": "patch"},
    **{"sampling_kernel": "kernel", "stem_kernel": "ends_kernel", "stem_padding": "ends_padding"},
    **{"no_stem_norm": "bare_first", "output_activation": "output"},
}
_KEY_VALUES = {"batch_film": "steered", "separable": "mobile"}
# Fields of imported generators, which no candidate sets.
_KEY_IGNORED = {"stem_activation", "activation", "block_order", "interpolation", "value_range"}


def _key_spelling(config: GeneratorConfig) -> dict[str, Any]:
    return {
        _KEY_FIELDS.get(name, name): _KEY_VALUES.get(value, value)
        if isinstance(value, str)
        else value
        for name, value in config.to_json().items()
        if name not in _KEY_IGNORED
    }


def measure_candidates(
    benchmark: CandidateBenchmark, advance: Callable[[], None] = lambda: None
) -> LatencyTable:
    """Measure all of `all_candidates`, and the pipeline overhead around one of them.

    Args:
        benchmark: what to measure with.
        advance: called after each candidate.
    """
    for candidate in all_candidates():
        benchmark.measure(candidate)
        advance()
    benchmark.measure_overhead(median_candidate())
    return benchmark.table


def all_candidates() -> list[Candidate]:
    """Return all students, and the pruned ones of common teachers."""
    return [
        candidate
        for chain in (*student_candidates(), *common_pruned_candidates())
        for candidate in chain
    ]


def median_candidate() -> Candidate:
    """Return the candidate that the pipeline overhead is measured with."""
    first = student_candidates()[0]
    return first[len(first) // 2]
