"""`cgt distill` from start to finish: select a student, train it, then finalize it.

`options` are all flags by name; `explicit` are those given on the command line.
"""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import click

from cgt.runtime.errors import UsageError
from cgt.runtime.utils.overwrite import refuse_overwriting
from cgt.runtime.utils.progress import open_console, progress_bar
from cgt.trainer.data.folders import refuse_run_among_images
from cgt.trainer.networks.config import GeneratorConfig
from cgt.trainer.pretrained import TrainedGenerator, open_generator

from .config import DistillConfig, teacher_settings
from .data import source_folder
from .finalize import finalize
from .pruning.prune import unprunable_reason
from .search.candidates import Candidate
from .search.latency_table import load_latency_table, print_latency_table
from .search.measure import CandidateBenchmark
from .search.search import SearchResult, choose_from_table, search_students
from .student_spec import StudentSpec, parse_student_spec
from .teacher import load_teacher_discriminator
from .train import DistillRun

DEFAULT_TARGET_FPS, DEFAULT_SIZE_PX = 30.0, 256

Options = dict[str, Any]


def run_distillation(explicit: Options, options: Options) -> None:
    """Start a run and train it to its end.

    Raises:
        UsageError: options contradict each other.
        QualityError: no candidate, or not the finished student, is fast enough.
    """
    folder, init_from = _run_folder(options["output"]), options["init_from"]
    if init_from is not None and options["student"] is not None:
        raise UsageError("--init-from determines the student; leave out --student")
    read = (options["ckpt"], init_from, options["latency_table"], *options["video"])
    refuse_overwriting([options["output"]], read)
    spec = parse_student_spec(options["student"]) if options["student"] is not None else None
    # Opened first: an unusable teacher must not be reported after minutes of measuring.
    teacher = _open_teacher_generator(options)
    candidate, target_fps = None, options["target_fps"] or 0.0
    if init_from is None:
        candidate, target_fps = _select_student(options, spec, _generator_config(teacher))
    config = _build_config(explicit, options, teacher, candidate, target_fps)
    photo_folders = [source_folder(path, teacher.direction) for path in options["data"]]
    refuse_run_among_images(folder, photo_folders)
    if options["teacher_cache"] is not None:
        refuse_run_among_images(options["teacher_cache"], photo_folders)
    _train_and_finalize(
        DistillRun.create(folder, config, init_from, log=click.echo), options["output"]
    )


def resume_distillation(explicit: Options) -> None:
    """Resume the run that `--resume` names.

    Raises:
        UsageError: a flag cannot be changed on resume.
        QualityError: the finished student is not fast enough.
    """
    run_path = explicit.pop("resume")
    output = run_path if run_path.suffix == ".pth" else run_path.with_name(f"{run_path.name}.pth")
    if "ckpt" in explicit:
        refuse_overwriting([output], [explicit["ckpt"]])
    changes = _changes_on_resume(explicit)
    if not_resumable := set(changes) - _config_fields():
        flag = f"--{min(not_resumable).replace('_', '-')}"
        raise UsageError(f"{flag} is an option of a new run; leave it out with --resume")
    _train_and_finalize(DistillRun.resume(_run_folder(output), changes, log=click.echo), output)


def _changes_on_resume(explicit: Options) -> Options:
    """Return the fields that the flags change; a checkpoint holds paths as absolute text."""
    changes: Options = {}
    for name, value in explicit.items():
        if name == "ckpt":
            changes["teacher"] = _resolved(value)
        elif name == "video":
            changes["videos"] = tuple(map(_resolved, value))
        elif name == "data":
            changes["photos"] = tuple(map(_resolved, value))
            changes["data"] = changes["photos"][0]
        else:
            changes[name] = _resolved(value) if isinstance(value, Path) else value
    return changes


def show_candidates(options: Options) -> None:
    """Print the table of candidates with the selected one marked.

    Raises:
        QualityError: no candidate is fast enough.
    """
    teacher = _open_teacher_generator(options) if options["ckpt"] else None
    result = _search_student(options, _generator_config(teacher) if teacher else None)
    print_latency_table(result.table, open_console(), result.timing)


# ---- Teacher and student -------------------------------------------------------------------------


def _open_teacher_generator(options: Options) -> TrainedGenerator:
    return open_generator(
        options["ckpt"], options["direction"], options["network"], options["checkpoint_options"]
    )


def _generator_config(teacher: TrainedGenerator) -> GeneratorConfig | None:
    """Return the architecture of the teacher; None if another project's code builds it."""
    if teacher.code is not None:
        return None
    return GeneratorConfig.from_json(teacher.architecture)


def _select_student(
    options: Options, spec: StudentSpec | None, teacher: GeneratorConfig | None
) -> tuple[Candidate, float]:
    """Return the student and the frame rate that it must reach on this machine; 0 for any."""
    if spec is not None:
        return spec.to_candidate(teacher), options["target_fps"] or 0.0
    if reason := unprunable_reason(teacher) if teacher else "its code is another project's":
        click.echo(f"the teacher cannot be pruned: {reason}; the student is trained from scratch")
    result = _search_student(options, teacher)
    click.echo(str(result))
    return result.candidate, result.target_fps if result.is_measured else 0.0


def _search_student(options: Options, teacher: GeneratorConfig | None) -> SearchResult:
    """Find the largest student that is fast enough, in a table or by measuring."""
    target_fps = options["target_fps"] or DEFAULT_TARGET_FPS
    if options["latency_table"] is not None:
        return choose_from_table(load_latency_table(options["latency_table"]), target_fps, teacher)
    side = options["size"] or DEFAULT_SIZE_PX
    with progress_bar("measuring students", None, unit="student") as bar:
        benchmark = CandidateBenchmark(
            (side, side),
            options["precision"],
            options["engine"],
            on_progress=bar.set_postfix,
            teacher=teacher,
        )
        return search_students(benchmark, target_fps)


# ---- Configuration -------------------------------------------------------------------------------


def _build_config(
    explicit: Options,
    options: Options,
    teacher: TrainedGenerator,
    candidate: Candidate | None,
    target_fps: float,
) -> DistillConfig:
    """Build the configuration; `candidate` is None if --init-from determines the architecture.

    Later entries win: derived defaults, then flags of the same name, then flags of another name.
    """
    side, steps = options["size"] or DEFAULT_SIZE_PX, options["steps"] or DistillConfig.steps
    photos = tuple(map(_resolved, options["data"]))
    settings: dict[str, Any] = {
        "int8_steps": steps // 10 if options["precision"].startswith("int8") else 0,
        "load_size": side * 9 // 8,
    }
    if options["lambda_gan"]:
        discriminator = load_teacher_discriminator(options["ckpt"], teacher.direction)
        if discriminator:
            settings |= discriminator.settings
            click.echo("the discriminator starts with the teacher's weights")
    if candidate is not None:
        settings |= {
            "generator_json": candidate.config.to_json(),
            "generator": candidate.config.kind,
            "ngf": candidate.ngf,
            "pruned": candidate.pruned_from is not None,
        }
    settings |= {name: value for name, value in explicit.items() if name in _config_fields()}
    settings |= {
        "data": photos[0],
        "photos": photos,
        "teacher": _resolved(options["ckpt"]),
        "teacher_sha256": teacher.sha256,
        "teacher_code": teacher.code_id,
        **teacher_settings(options["checkpoint_options"]),
        "direction": teacher.direction,
        "network": options["network"] or "",
        "crop_size": side,
        "videos": tuple(map(_resolved, options["video"])),
        "target_images": _resolved(options["target_images"]),
        "teacher_cache": _resolved(options["teacher_cache"]),
        "target_fps": target_fps,
        "for_precision": options["precision"],
        "for_engine": options["engine"],
    }
    # --precision is that of the exported student (for_precision), not that of training.
    settings.pop("precision", None)
    return DistillConfig(**settings)


def _config_fields() -> set[str]:
    return {field.name for field in dataclasses.fields(DistillConfig)}


def _resolved(path: Path | None) -> str:
    return str(path.resolve()) if path else ""


# ---- Training ------------------------------------------------------------------------------------


def _run_folder(output: Path) -> Path:
    """Return the folder NAME of the run of NAME.pth."""
    if output.suffix != ".pth":
        raise UsageError(f"the output {output} must end in .pth")
    return output.with_suffix("")


def _train_and_finalize(run: DistillRun, output: Path) -> None:
    click.echo(run.summarize())
    run.train()
    if run.is_main_process:
        finalize(run, output)
