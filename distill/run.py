"""What `cgt distill` does: choose a student, train it, measure it, keep it.

The end of `cgt distill`: the student is measured, as it is and as it will be used, and kept.
"""

from __future__ import annotations

import dataclasses
import re
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
from rich.console import Console
from rich.table import Table

from cgt.export import export
from cgt.runtime.errors import SinkError, UsageError
from cgt.runtime.inference.translator import Translator
from cgt.runtime.utils.progress import progress_bar
from cgt.trainer.data.folders import ImageFolder
from cgt.trainer.evaluation.report import TranslateFn
from cgt.trainer.networks.config import GeneratorConfig
from cgt.trainer.pretrained import TrainedGenerator, open_generator

from .config import DistillConfig
from .pruning.prune import pruned_config, unprunable_reason
from .report import EvaluationSet, build_report
from .search.candidates import Candidate, StudentVariant
from .search.latency_table import load_latency_table
from .search.measure import CandidateBenchmark
from .search.pipeline_cost import measure_run
from .search.search import SearchResult, choose_from_table, search_students, target_missed_error
from .teacher import load_teacher_discriminator
from .train import DistillRun, load_student, save_student


def finalize(run: DistillRun, output: Path) -> None:
    """Measure, write `output`, print. Raises QualityError where it is too slow, with all saved."""
    config, student = run.config, load_student(run.folder)
    evaluation_set = EvaluationSet(
        config.crop_size,
        run.photos.test,
        tuple(Path(video) for video in config.videos),
        ImageFolder.open(Path(config.target_images)) if config.target_images else None,
    )
    with tempfile.TemporaryDirectory(prefix="cgt-student-") as folder:
        model = _export_student(student, config, run.photos.train.files[0].parent, Path(folder))
        exported: dict[str, TranslateFn] = {}
        if config.for_precision != "fp32":
            exported[config.for_precision] = Translator(
                model, engine=config.for_engine, size="source"
            )
        report = build_report(run.teacher, student, exported, evaluation_set)
        report["bytes"] = {config.for_precision: model.stat().st_size}
        if config.target_fps:
            report["speed"] = _measure_speed(model, config)
    try:
        save_student(run.folder, output, report)
    except OSError as error:
        raise SinkError(f"cannot write {output}: {error.strerror}") from None
    print_report(report)
    click.echo(f"{output}: done; `cgt export --ckpt {output}` makes a model of it")
    teacher = GeneratorConfig.from_json(run.teacher.source.architecture)
    check_target_speed(report.get("speed"), config.for_engine, teacher)


def _export_student(
    student: TrainedGenerator, config: DistillConfig, photos: Path, folder: Path
) -> Path:
    """As what it will be used as. photos: that it learned from; int8 is calibrated on them."""
    precision, _, remainder = config.for_precision.partition("-")
    options: dict[str, Any] = {"precision": precision, "remainder": remainder or "fp32"}
    if precision == "int8":
        options["calib"] = str(photos)
    return export(student, folder / "student.onnx", min_psnr=0.0, **options)[0]


def _measure_speed(model: Path, config: DistillConfig) -> dict[str, Any]:
    """From source to sink, as `cgt translate` runs it here."""
    size = (config.crop_size, config.crop_size)
    end_to_end = measure_run(model, config.for_engine, size)
    return {
        "fps": end_to_end.fps,
        "target": config.target_fps,
        "engine": end_to_end.engine,
        "precision": config.for_precision,
        "size": list(size),
        "others": end_to_end.other_load,
    }


def check_target_speed(
    speed: dict[str, Any] | None, engine: str, teacher: GeneratorConfig | None = None
) -> None:
    """Raises QualityError where it is too slow, naming a student that is not. engine: that students
    were measured on."""
    if speed:
        size = speed["size"][0], speed["size"][1]
        benchmark = CandidateBenchmark(size, speed["precision"], engine, teacher=teacher)
        if error := target_missed_error(speed["fps"], speed["target"], benchmark):
            raise error


def print_report(report: dict[str, Any]) -> None:
    """As a table: a row for each student and set of pictures."""
    size = report["size"]
    table = Table(
        "",
        "",
        "mse_skill",
        "PSNR",
        "SSIM",
        "warping",
        title=f"against the teacher at {size}x{size}",
    )
    for column in table.columns[2:]:
        column.justify = "right"
    sets = {"held-out photos": report["photos"]} | report["videos"]
    for name, found in sets.items():
        warping = found.get("warping", {})
        for student, figures in found.items():
            if student not in ("count", "warping"):
                shown = (f"{figures[key]:.3g}" for key in ("mse_skill", "psnr", "ssim"))
                error = f"{warping[student]:.2e}" if warping else ""
                table.add_row(name, student, *shown, error)
        if warping:
            table.add_row("", "teacher", "", "", "", f"{warping['teacher']:.2e}")
            table.add_row("", "input", "", "", "", f"{warping['input']:.2e}")
    Console().print(table)
    for name, value in report.get("frechet", {}).items():
        click.echo(f"Frechet distance to the target domain, {name}: {value:.4g}")
    teacher, student = report["teacher"], report["student"]
    click.echo(
        f"teacher {teacher['parameters'] / 1e6:.2f} M parameters, {teacher['macs'] / 1e9:.2f} G "
        f"multiply-adds; student {student['parameters'] / 1e6:.3f} M, "
        f"{student['macs'] / 1e9:.3f} G ({teacher['macs'] / student['macs']:.0f} times fewer)"
    )
    if speed := report.get("speed"):
        click.echo(
            f"{speed['fps']:.1f} frames/s from source to sink ({speed['engine']}, "
            f"{speed['precision']}), target {speed['target']:g}"
        )


DEFAULT_TARGET_FPS, DEFAULT_SIZE_PX = 30.0, 256

ExplicitOptions = dict[str, Any]  # flags that were given
AllOptions = dict[str, Any]  # all flags


def show_candidates(options: AllOptions) -> None:
    """The table of candidates, the chosen one marked. Raises QualityError where none is."""
    from rich.console import Console

    from .search.latency_table import print_latency_table

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
    first: "20x9,pruned", "32x6", "32x6,batch_film,separable". Raises UsageError."""
    width, *rest = text.split(",")
    match = re.fullmatch(r"([1-9]\d*)x([1-9]\d*)", width)
    if match and rest == ["pruned"]:
        return StudentSpec(None, int(match[1]), int(match[2]))
    values = {
        "norm": ("instance", "instance_affine", "batch", "batch_film", "none"),
        "block": ("plain", "separable"),
        "upsampling": ("transposed", "resize"),
    }
    known = {word: name for name, words in values.items() for word in words}
    if not match or set(rest) - set(known):
        raise UsageError(
            f"--student {text} is not like 20x9,pruned or 32x6 or 32x6,batch_film,separable,resize: "
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
        "target_images": str(options["target_images"].resolve())
        if options["target_images"]
        else "",
        "teacher_cache": str(options["teacher_cache"].resolve())
        if options["teacher_cache"]
        else "",
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
