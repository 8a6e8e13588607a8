"""What `cgt distill` does: choose a student, train it, measure it, keep it."""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path
from typing import Any

import click

from cgt.benchmarks.candidates import Measuring
from cgt.benchmarks.latency_table import load_table
from cgt.benchmarks.search import Choice, choose, search
from cgt.runtime.errors import UsageError
from cgt.runtime.progress import progress_bar
from cgt.trainer.distill.config import DistillConfig
from cgt.trainer.distill.family import Candidate, Kind
from cgt.trainer.distill.judge import judge_of
from cgt.trainer.distill.run import DistillRun
from cgt.trainer.generator import open_generator

from .concluding import conclude

TARGET_FPS, SIZE = 30.0, 256

Chosen = dict[str, Any]  # flags that were given
Given = dict[str, Any]  # all flags


def show(given: Given) -> None:
    """The table of candidates, the chosen one marked. Raises QualityError where none is."""
    from rich.console import Console

    from cgt.benchmarks.candidate_table import print_table

    choice = _pick(given)
    print_table(choice.table, Console(), choice.speed)


def distill(chosen: Chosen, given: Given) -> None:
    """A new run, to its end. Raises QualityError where the student is too slow in the end."""
    folder = _folder(given["output"])
    candidate, target = _student(given)
    config = _config(chosen, given, candidate, target)
    _go(DistillRun.create(folder, config, say=click.echo), given["output"])


def go_on(chosen: Chosen) -> None:
    """The same from where a run was left."""
    given = chosen.pop("resume")
    output = given if given.suffix == ".pth" else given.with_name(f"{given.name}.pth")
    changes = {name: value for name, value in chosen.items() if name not in ("ckpt", "video")}
    if "ckpt" in chosen:
        changes["teacher"] = str(chosen["ckpt"].resolve())
    if "video" in chosen:
        changes["videos"] = tuple(str(path.resolve()) for path in chosen["video"])
    fields = {field.name for field in dataclasses.fields(DistillConfig)}
    if other := set(changes) - fields:
        raise UsageError(f"--{min(other).replace('_', '-')} is of a new run; --resume goes on")
    _go(DistillRun.resume(_folder(output), changes, say=click.echo), output)


def parse_student(text: str) -> Candidate:
    """NGFxBLOCKS, then of norm, block and upsampling what is not as the family has it first:
    "32x6", "32x6,steered,mobile". Raises UsageError."""
    width, *rest = text.split(",")
    match = re.fullmatch(r"(\d+)x(\d+)", width)
    values = {
        "norm": ("instance", "instance_affine", "batch", "steered", "none"),
        "block": ("plain", "mobile"),
        "upsampling": ("transposed", "resize"),
    }
    known = {word: name for name, words in values.items() for word in words}
    if not match or set(rest) - set(known):
        raise UsageError(
            f"--student {text} is not like 32x6 or 32x6,steered,mobile,resize: width, blocks, and "
            f"any of {', '.join(known)}"
        )
    return Candidate(Kind(**{known[word]: word for word in rest}), int(match[1]), int(match[2]))


def _folder(output: Path) -> Path:
    """Of the run of NAME.pth. Raises UsageError."""
    if output.suffix != ".pth":
        raise UsageError(f"the output {output} must end in .pth")
    return output.with_suffix("")


def _student(given: Given) -> tuple[Candidate, float]:
    """What to train, and the frames per second it must reach here; 0 for any."""
    if given["student"] is not None:
        return parse_student(given["student"]), given["target_fps"] or 0.0
    choice = _pick(given)
    click.echo(str(choice))
    return choice.candidate, choice.target if choice.measured else 0.0


def _pick(given: Given) -> Choice:
    """The largest student that is fast enough. Raises QualityError where none is."""
    target = given["target_fps"] or TARGET_FPS
    if given["latency_table"] is not None:
        return choose(load_table(given["latency_table"]), target)
    size = given["size"] or SIZE
    with progress_bar("measuring students", None, unit="student") as bar:
        measuring = Measuring((size, size), given["precision"], given["engine"], tell=bar.note)
        return search(measuring, target)


def _config(chosen: Chosen, given: Given, candidate: Candidate, target: float) -> DistillConfig:
    teacher = open_generator(given["ckpt"], given["direction"])
    size, steps = given["size"] or SIZE, given["steps"] or DistillConfig.steps
    fields = {field.name for field in dataclasses.fields(DistillConfig)}
    settings = {name: value for name, value in chosen.items() if name in fields}
    photos = tuple(str(folder.resolve()) for folder in given["data"])
    about: dict[str, Any] = {
        "int8_steps": steps // 10 if given["precision"].startswith("int8") else 0,
        "load_size": size * 9 // 8,
    }
    if judge := judge_of(given["ckpt"], teacher.direction) if given["lambda_gan"] else None:
        about |= judge.settings
        click.echo("the discriminator is the teacher's own")
    about |= settings | {
        "data": photos[0],
        "photos": photos,
        "teacher": str(given["ckpt"].resolve()),
        "teacher_sha256": teacher.sha256,
        "direction": teacher.direction,
        "described": candidate.config.to_json(),
        "generator": candidate.config.kind,
        "ngf": candidate.ngf,
        "crop_size": size,
        "videos": tuple(str(path.resolve()) for path in given["video"]),
        "domain": str(given["domain"].resolve()) if given["domain"] else "",
        "targets": str(given["targets"].resolve()) if given["targets"] else "",
        "target_fps": target,
        "for_precision": given["precision"],
        "for_engine": given["engine"],
    }
    return DistillConfig(**{name: v for name, v in about.items() if name != "precision"})


def _go(run: DistillRun, output: Path) -> None:
    click.echo(run.describe())
    run.train()
    if run.leads:
        conclude(run, output)
