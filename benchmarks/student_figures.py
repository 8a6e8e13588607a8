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
from cgt.trainer.distill.report import Trial, costs, report
from cgt.trainer.distill.teacher import Teacher
from cgt.trainer.evaluation.report import Translate
from cgt.trainer.generator import TrainedGenerator
from cgt.trainer.selection import network_translate

from .measure import measure_all
from .results import Result
from .session import Job

SESSIONS = 5
MOVED = "the teacher, of pictures moved by a pixel"

Size = tuple[int, int]
Timed = dict[tuple[str, str, str], Result]  # by network, precision and engine
Told = Callable[[str], None]


@dataclass(frozen=True)
class Network:
    """A generator and its model files, by precision."""

    name: str
    generator: TrainedGenerator
    models: dict[str, Path]


@dataclass(frozen=True)
class Row:
    """One line of the table. p50, p99: milliseconds. Quality is of the model file, on OpenVINO, and
    the same for all engines: explained change (of held-out photos, of videos), PSNR in dB on
    photos, mean warping error of the videos, Frechet distance to the target domain; None where
    there is nothing to measure it on. films: explained change, by video."""

    network: str
    precision: str
    engine: str
    p50: float
    p99: float
    macs: int
    parameters: int
    bytes: int
    explained_photos: float
    psnr: float
    warping: float | None
    frechet: float | None
    films: Mapping[str, float]

    @property
    def explained_videos(self) -> float | None:
        """Mean of the films."""
        return _mean(list(self.films.values()))


def exported(
    name: str, generator: TrainedGenerator, precisions: Sequence[str], calib: Path, folder: Path
) -> Network:
    """Model files of one generator. calib: images for int8. No floor: quality is what is shown."""
    models = {}
    for precision in precisions:
        kind, _, remainder = precision.partition("-")
        wishes: dict[str, Any] = {"precision": kind, "remainder": remainder or "fp32"}
        if kind == "int8":
            wishes["calib"] = str(calib)
        path = folder / f"{name}_{precision}.onnx"
        models[precision] = export(generator, path, min_psnr=0.0, **wishes)[0]
    return Network(name, generator, models)


def quality(teacher: Teacher, networks: Sequence[Network], trial: Trial) -> dict[str, Any]:
    """What `cgt.trainer.distill.report` says of each "NETWORK PRECISION", and of MOVED."""
    device = teacher.precision.device
    answer = network_translate(teacher, device, teacher.source.multiple)
    students: dict[str, Translate] = {
        f"{network.name} {precision}": Translator(path, engine="openvino", size="source")
        for network in networks
        for precision, path in network.models.items()
    }
    return report(answer, students | {MOVED: moved(answer)}, trial)


def moved(translate: Translate) -> Translate:
    """What it makes of a picture that is moved right by a pixel, moved back: how much of its
    answer is of the picture, and not of where its pixels happen to lie."""

    def run(image: U8) -> U8:
        made = translate(np.ascontiguousarray(np.hstack([image[:, 1:2], image[:, :-1]])))
        return np.hstack([made[:, 1:], made[:, -1:]])

    return run


def latencies(
    networks: Sequence[Network], engines: Sequence[str], size: Size, seconds: float, tell: Told
) -> Timed:
    """By network, precision and engine; all in turn, so that a noisy machine disturbs all alike."""
    jobs = {
        (network.name, precision, engine): Job(
            path, size, engine, streams=None, seconds=seconds / SESSIONS
        )
        for network in networks
        for precision, path in network.models.items()
        for engine in engines
    }
    results = measure_all(list(jobs.values()), SESSIONS, tell)
    return dict(zip(jobs, results, strict=True))


def rows(
    networks: Sequence[Network],
    timed: Timed,
    measured: dict[str, Any],
    size: Size,
) -> list[Row]:
    """The table."""
    by_name = {network.name: network for network in networks}
    found = []
    for (name, precision, engine), result in timed.items():
        network, key = by_name[name], f"{name} {precision}"
        films = {film: video[key]["explained"] for film, video in measured["videos"].items()}
        warping = [video["warping"][key] for video in measured["videos"].values()]
        cost = costs(network.generator, size[0])
        found.append(
            Row(
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
                _mean(warping),
                measured.get("frechet", {}).get(key),
                films,
            )
        )
    return found


def _mean(values: Sequence[float]) -> float | None:
    return sum(values) / len(values) if values else None


def eager(generator: TrainedGenerator, size: Size) -> Callable[[], None]:
    """One frame through PyTorch as it is: eager, fp32, its own number of threads."""
    network, image = generator.network, torch.rand(1, generator.in_channels, *size) * 2 - 1

    def run() -> None:
        with torch.inference_mode():
            network(image)

    return run
