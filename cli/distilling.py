"""What `cgt distill` does: choose a student, train it, measure it, keep it."""

from __future__ import annotations

import dataclasses
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click

from cgt.benchmarks.candidates import Measuring
from cgt.benchmarks.latency_table import load_table
from cgt.benchmarks.search import Choice, choose, search
from cgt.runtime.errors import UsageError
from cgt.runtime.progress import progress_bar
from cgt.trainer.config import GeneratorConfig
from cgt.trainer.distill.config import DistillConfig
from cgt.trainer.distill.family import Candidate, Kind
from cgt.trainer.distill.judge import judge_of
from cgt.trainer.distill.pruning import pruned_config, why_not
from cgt.trainer.distill.run import DistillRun
from cgt.trainer.generator import TrainedGenerator, open_generator

from .concluding import conclude

TARGET_FPS, SIZE = 30.0, 256

Chosen = dict[str, Any]  # flags that were given
Given = dict[str, Any]  # all flags


def show(given: Given) -> None:
    """The table of candidates, the chosen one marked. Raises QualityError where none is."""
    from rich.console import Console

    from cgt.benchmarks.candidate_table import print_table

    teacher = _teacher(given) if given["ckpt"] else None
    choice = _pick(given, _layout(teacher) if teacher else None)
    print_table(choice.table, Console(), choice.speed)


def distill(chosen: Chosen, given: Given) -> None:
    """A new run, to its end. Raises QualityError where the student is too slow in the end."""
    folder, first = _folder(given["output"]), given["init_from"]
    if first is not None and given["student"] is not None:
        raise UsageError("--init-from brings the student; leave out --student")
    asked = parse_student(given["student"]) if given["student"] is not None else None
    teacher = _teacher(given)  # what is wrong with it is said before minutes of measuring
    candidate, target = None, given["target_fps"] or 0.0
    if first is None:
        candidate, target = _student(given, asked, _layout(teacher))
    config = _config(chosen, given, teacher, candidate, target)
    _go(DistillRun.create(folder, config, first, say=click.echo), given["output"])


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


@dataclass(frozen=True)
class Asked:
    """What --student says. kind: None where it shall be pruned from its teacher."""

    kind: Kind | None
    ngf: int
    blocks: int

    def of(self, teacher: GeneratorConfig) -> Candidate:
        """Raises UsageError where the teacher cannot be pruned to that."""
        if self.kind is not None:
            return Candidate(self.kind, self.ngf, self.blocks)
        pruned_config(teacher, self.ngf, self.blocks)
        return Candidate.pruned(teacher, self.ngf, self.blocks)


def parse_student(text: str) -> Asked:
    """NGFxBLOCKS, then "pruned", or of norm, block and upsampling what is not as the family has it
    first: "20x9,pruned", "32x6", "32x6,steered,mobile". Raises UsageError."""
    width, *rest = text.split(",")
    match = re.fullmatch(r"([1-9]\d*)x([1-9]\d*)", width)
    if match and rest == ["pruned"]:
        return Asked(None, int(match[1]), int(match[2]))
    values = {
        "norm": ("instance", "instance_affine", "batch", "steered", "none"),
        "block": ("plain", "mobile"),
        "upsampling": ("transposed", "resize"),
    }
    known = {word: name for name, words in values.items() for word in words}
    if not match or set(rest) - set(known):
        raise UsageError(
            f"--student {text} is not like 20x9,pruned or 32x6 or 32x6,steered,mobile,resize: "
            f"width, blocks, and pruned or any of {', '.join(known)}"
        )
    return Asked(Kind(**{known[word]: word for word in rest}), int(match[1]), int(match[2]))


def _folder(output: Path) -> Path:
    """Of the run of NAME.pth. Raises UsageError."""
    if output.suffix != ".pth":
        raise UsageError(f"the output {output} must end in .pth")
    return output.with_suffix("")


def _teacher(given: Given) -> TrainedGenerator:
    return open_generator(given["ckpt"], given["direction"], given["network"])


def _layout(teacher: TrainedGenerator) -> GeneratorConfig:
    return GeneratorConfig.from_json(teacher.architecture)


def _student(
    given: Given, asked: Asked | None, teacher: GeneratorConfig
) -> tuple[Candidate, float]:
    """What to train, and the frames per second it must reach here; 0 for any."""
    if asked is not None:
        return asked.of(teacher), given["target_fps"] or 0.0
    if reason := why_not(teacher):
        click.echo(f"the teacher cannot be pruned: {reason}; its student begins anew")
    choice = _pick(given, teacher)
    click.echo(str(choice))
    return choice.candidate, choice.target if choice.measured else 0.0


def _pick(given: Given, teacher: GeneratorConfig | None) -> Choice:
    """The largest student that is fast enough. Raises QualityError where none is."""
    target = given["target_fps"] or TARGET_FPS
    if given["latency_table"] is not None:
        return choose(load_table(given["latency_table"]), target, teacher)
    size, about = given["size"] or SIZE, (given["precision"], given["engine"])
    with progress_bar("measuring students", None, unit="student") as bar:
        measuring = Measuring((size, size), *about, tell=bar.note, teacher=teacher)
        return search(measuring, target)


def _config(
    chosen: Chosen,
    given: Given,
    teacher: TrainedGenerator,
    candidate: Candidate | None,
    target: float,
) -> DistillConfig:
    """candidate: None where another network brings the architecture."""
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
    if candidate is not None:
        about |= {
            "described": candidate.config.to_json(),
            "generator": candidate.config.kind,
            "ngf": candidate.ngf,
            "pruned": candidate.layout is not None,
        }
    about |= settings | {
        "data": photos[0],
        "photos": photos,
        "teacher": str(given["ckpt"].resolve()),
        "teacher_sha256": teacher.sha256,
        "direction": teacher.direction,
        "network": given["network"] or "",
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
