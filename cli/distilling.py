"""What `cgt distill` does: choose a student, train it, measure it, keep it."""

from __future__ import annotations

import dataclasses
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click

from cgt.benchmarks.candidates import CandidateBenchmark
from cgt.benchmarks.latency_table import load_latency_table
from cgt.benchmarks.search import SearchResult, choose_from_table, search_students
from cgt.runtime.errors import UsageError
from cgt.runtime.progress import progress_bar
from cgt.trainer.config import GeneratorConfig
from cgt.trainer.distill.config import DistillConfig
from cgt.trainer.distill.family import Candidate, StudentVariant
from cgt.trainer.distill.judge import load_teacher_discriminator
from cgt.trainer.distill.pruning import pruned_config, unprunable_reason
from cgt.trainer.distill.run import DistillRun
from cgt.trainer.generator import TrainedGenerator, open_generator

from .concluding import finalize

DEFAULT_TARGET_FPS, DEFAULT_SIZE_PX = 30.0, 256

ExplicitOptions = dict[str, Any]  # flags that were given
AllOptions = dict[str, Any]  # all flags


def show_candidates(options: AllOptions) -> None:
    """The table of candidates, the chosen one marked. Raises QualityError where none is."""
    from rich.console import Console

    from cgt.benchmarks.candidate_table import print_latency_table

    teacher = _open_teacher_generator(options) if options["ckpt"] else None
    choice = _search_student(options, _generator_config(teacher) if teacher else None)
    print_latency_table(choice.table, Console(), choice.timing)


def run_distillation(explicit: ExplicitOptions, options: AllOptions) -> None:
    """A new run, to its end. Raises QualityError where the student is too slow in the end."""
    folder, init_from = _run_folder(options["output"]), options["init_from"]
    if init_from is not None and options["student"] is not None:
        raise UsageError("--init-from brings the student; leave out --student")
    spec = parse_student_spec(options["student"]) if options["student"] is not None else None
    teacher = _open_teacher_generator(
        options
    )  # what is wrong with it is said before minutes of measuring
    candidate, target = None, options["target_fps"] or 0.0
    if init_from is None:
        candidate, target = _select_student(options, spec, _generator_config(teacher))
    config = _build_config(explicit, options, teacher, candidate, target)
    _run_to_end(DistillRun.create(folder, config, init_from, log=click.echo), options["output"])


def resume_distillation(explicit: ExplicitOptions) -> None:
    """The same from where a run was left."""
    run_path = explicit.pop("resume")
    output = run_path if run_path.suffix == ".pth" else run_path.with_name(f"{run_path.name}.pth")
    changes = {name: value for name, value in explicit.items() if name not in ("ckpt", "video")}
    if "ckpt" in explicit:
        changes["teacher"] = str(explicit["ckpt"].resolve())
    if "video" in explicit:
        changes["videos"] = tuple(str(path.resolve()) for path in explicit["video"])
    fields = {field.name for field in dataclasses.fields(DistillConfig)}
    if not_resumable := set(changes) - fields:
        raise UsageError(
            f"--{min(not_resumable).replace('_', '-')} is of a new run; --resume goes on"
        )
    _run_to_end(DistillRun.resume(_run_folder(output), changes, log=click.echo), output)


@dataclass(frozen=True)
class StudentSpec:
    """What --student says. kind: None where it shall be pruned from its teacher."""

    variant: StudentVariant | None
    ngf: int
    blocks: int

    def to_candidate(self, teacher: GeneratorConfig) -> Candidate:
        """Raises UsageError where the teacher cannot be pruned to that."""
        if self.variant is not None:
            return Candidate(self.variant, self.ngf, self.blocks)
        pruned_config(teacher, self.ngf, self.blocks)
        return Candidate.from_teacher(teacher, self.ngf, self.blocks)


def parse_student_spec(text: str) -> StudentSpec:
    """NGFxBLOCKS, then "pruned", or of norm, block and upsampling what is not as the family has it
    first: "20x9,pruned", "32x6", "32x6,steered,mobile". Raises UsageError."""
    width, *rest = text.split(",")
    match = re.fullmatch(r"([1-9]\d*)x([1-9]\d*)", width)
    if match and rest == ["pruned"]:
        return StudentSpec(None, int(match[1]), int(match[2]))
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
    return StudentSpec(
        StudentVariant(**{known[word]: word for word in rest}), int(match[1]), int(match[2])
    )


def _run_folder(output: Path) -> Path:
    """Of the run of NAME.pth. Raises UsageError."""
    if output.suffix != ".pth":
        raise UsageError(f"the output {output} must end in .pth")
    return output.with_suffix("")


def _open_teacher_generator(options: AllOptions) -> TrainedGenerator:
    return open_generator(options["ckpt"], options["direction"], options["network"])


def _generator_config(teacher: TrainedGenerator) -> GeneratorConfig:
    return GeneratorConfig.from_json(teacher.architecture)


def _select_student(
    options: AllOptions, spec: StudentSpec | None, teacher: GeneratorConfig
) -> tuple[Candidate, float]:
    """What to train, and the frames per second it must reach here; 0 for any."""
    if spec is not None:
        return spec.to_candidate(teacher), options["target_fps"] or 0.0
    if reason := unprunable_reason(teacher):
        click.echo(f"the teacher cannot be pruned: {reason}; its student begins anew")
    result = _search_student(options, teacher)
    click.echo(str(result))
    return result.candidate, result.target_fps if result.is_measured else 0.0


def _search_student(options: AllOptions, teacher: GeneratorConfig | None) -> SearchResult:
    """The largest student that is fast enough. Raises QualityError where none is."""
    target = options["target_fps"] or DEFAULT_TARGET_FPS
    if options["latency_table"] is not None:
        return choose_from_table(load_latency_table(options["latency_table"]), target, teacher)
    size, about = options["size"] or DEFAULT_SIZE_PX, (options["precision"], options["engine"])
    with progress_bar("measuring students", None, unit="student") as bar:
        benchmark = CandidateBenchmark(
            (size, size), *about, on_progress=bar.set_postfix, teacher=teacher
        )
        return search_students(benchmark, target)


def _build_config(
    explicit: ExplicitOptions,
    options: AllOptions,
    teacher: TrainedGenerator,
    candidate: Candidate | None,
    target: float,
) -> DistillConfig:
    """candidate: None where another network brings the architecture."""
    size, steps = options["size"] or DEFAULT_SIZE_PX, options["steps"] or DistillConfig.steps
    fields = {field.name for field in dataclasses.fields(DistillConfig)}
    settings = {name: value for name, value in explicit.items() if name in fields}
    photos = tuple(str(folder.resolve()) for folder in options["data"])
    about: dict[str, Any] = {
        "int8_steps": steps // 10 if options["precision"].startswith("int8") else 0,
        "load_size": size * 9 // 8,
    }
    if (
        discriminator := load_teacher_discriminator(options["ckpt"], teacher.direction)
        if options["lambda_gan"]
        else None
    ):
        about |= discriminator.settings
        click.echo("the discriminator is the teacher's own")
    if candidate is not None:
        about |= {
            "described": candidate.config.to_json(),
            "generator": candidate.config.kind,
            "ngf": candidate.ngf,
            "pruned": candidate.pruned_from is not None,
        }
    about |= settings | {
        "data": photos[0],
        "photos": photos,
        "teacher": str(options["ckpt"].resolve()),
        "teacher_sha256": teacher.sha256,
        "direction": teacher.direction,
        "network": options["network"] or "",
        "crop_size": size,
        "videos": tuple(str(path.resolve()) for path in options["video"]),
        "domain": str(options["domain"].resolve()) if options["domain"] else "",
        "targets": str(options["targets"].resolve()) if options["targets"] else "",
        "target_fps": target,
        "for_precision": options["precision"],
        "for_engine": options["engine"],
    }
    return DistillConfig(**{name: v for name, v in about.items() if name != "precision"})


def _run_to_end(run: DistillRun, output: Path) -> None:
    click.echo(run.summarize())
    run.train()
    if run.is_main_process:
        finalize(run, output)
