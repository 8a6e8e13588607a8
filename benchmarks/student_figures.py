"""A teacher and its students, in every precision and on every engine: how quick, and how alike."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from cgt.export import export
from cgt.runtime.preprocess import U8
from cgt.runtime.translator import Translator
from cgt.trainer.distill.report import EvaluationSet, evaluate_students, model_costs
from cgt.trainer.distill.teacher import Teacher
from cgt.trainer.evaluation.report import TranslateFn
from cgt.trainer.generator import TrainedGenerator
from cgt.trainer.selection import make_translate_fn

from .measure import run_jobs
from .results import Result
from .session import BenchmarkJob

TIMING_SESSIONS = 5
SHIFTED_TEACHER = "the teacher, of pictures moved by a pixel"

Size = tuple[int, int]
LatencyResults = dict[tuple[str, str, str], Result]  # by network, precision and engine
ProgressFn = Callable[[str], None]


@dataclass(frozen=True)
class ExportedNetwork:
    """A generator and its model files, by precision."""

    name: str
    generator: TrainedGenerator
    models: dict[str, Path]


@dataclass(frozen=True)
class ComparisonRow:
    """One line of the table. p50, p99: milliseconds. Quality is of the model file, on OpenVINO, and
    the same for all engines: explained change (of held-out photos, of videos), PSNR in dB on
    photos, mean warping error of the videos, Frechet distance to the target domain; None where
    there is nothing to measure it on. films: explained change, by video."""

    network: str
    precision: str
    engine: str
    p50_ms: float
    p99_ms: float
    macs: int
    parameters: int
    file_bytes: int
    mse_skill_photos: float
    psnr_db: float
    warping: float | None
    frechet: float | None
    mse_skill_by_video: Mapping[str, float]

    @property
    def mse_skill_videos(self) -> float | None:
        """Mean of the films."""
        return _mean_or_none(list(self.mse_skill_by_video.values()))


def export_precisions(
    name: str, generator: TrainedGenerator, precisions: Sequence[str], calib: Path, folder: Path
) -> ExportedNetwork:
    """Model files of one generator. calib: images for int8. No floor: quality is what is shown."""
    models = {}
    for precision in precisions:
        kind, _, remainder = precision.partition("-")
        options: dict[str, Any] = {"precision": kind, "remainder": remainder or "fp32"}
        if kind == "int8":
            options["calib"] = str(calib)
        path = folder / f"{name}_{precision}.onnx"
        models[precision] = export(generator, path, min_psnr=0.0, **options)[0]
    return ExportedNetwork(name, generator, models)


def evaluate_quality(
    teacher: Teacher, networks: Sequence[ExportedNetwork], evaluation_set: EvaluationSet
) -> dict[str, Any]:
    """What `cgt.trainer.distill.report` says of each "NETWORK PRECISION", and of MOVED."""
    device = teacher.precision.device
    teacher_translate = make_translate_fn(teacher, device, teacher.source.multiple)
    students: dict[str, TranslateFn] = {
        f"{network.name} {precision}": Translator(path, engine="openvino", size="source")
        for network in networks
        for precision, path in network.models.items()
    }
    return evaluate_students(
        teacher_translate,
        students | {SHIFTED_TEACHER: with_shifted_input(teacher_translate)},
        evaluation_set,
    )


def with_shifted_input(translate: TranslateFn) -> TranslateFn:
    """What it makes of a picture that is moved right by a pixel, moved back: how much of its
    answer is of the picture, and not of where its pixels happen to lie."""

    def run(image: U8) -> U8:
        made = translate(np.ascontiguousarray(np.hstack([image[:, 1:2], image[:, :-1]])))
        return np.hstack([made[:, 1:], made[:, -1:]])

    return run


def measure_latencies(
    networks: Sequence[ExportedNetwork],
    engines: Sequence[str],
    size: Size,
    seconds: float,
    on_progress: ProgressFn,
) -> LatencyResults:
    """By network, precision and engine; all in turn, so that a noisy machine disturbs all alike."""
    jobs = {
        (network.name, precision, engine): BenchmarkJob(
            path, size, engine, streams=None, seconds=seconds / TIMING_SESSIONS
        )
        for network in networks
        for precision, path in network.models.items()
        for engine in engines
    }
    results = run_jobs(list(jobs.values()), TIMING_SESSIONS, on_progress)
    return dict(zip(jobs, results, strict=True))


def build_rows(
    networks: Sequence[ExportedNetwork],
    timed: LatencyResults,
    measured: dict[str, Any],
    size: Size,
) -> list[ComparisonRow]:
    """The table."""
    by_name = {network.name: network for network in networks}
    found = []
    for (name, precision, engine), result in timed.items():
        network, key = by_name[name], f"{name} {precision}"
        skill_by_video = {
            film: video[key]["explained"] for film, video in measured["videos"].items()
        }
        warping = [video["warping"][key] for video in measured["videos"].values()]
        cost = model_costs(network.generator, size[0])
        found.append(
            ComparisonRow(
                name,
                precision,
                engine,
                result.percentile(50),
                result.percentile(99),
                cost["macs"],
                cost["parameters"],
                network.models[precision].stat().st_size,
                measured["photos"][key]["explained"],
                measured["photos"][key]["psnr"],
                _mean_or_none(warping),
                measured.get("frechet", {}).get(key),
                skill_by_video,
            )
        )
    return found


def _mean_or_none(values: Sequence[float]) -> float | None:
    return sum(values) / len(values) if values else None


def make_eager_runner(generator: TrainedGenerator, size: Size) -> Callable[[], None]:
    """One frame through PyTorch as it is: eager, fp32, its own number of threads."""
    network, image = generator.network, torch.rand(1, generator.in_channels, *size) * 2 - 1

    def run() -> None:
        with torch.inference_mode():
            network(image)

    return run
