"""The end of `cgt distill`: the student is measured, as it is and as it will be used, and kept."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import click
from rich.console import Console
from rich.table import Table

from cgt.benchmarks.candidates import CandidateBenchmark
from cgt.benchmarks.pipeline_cost import measure_run
from cgt.benchmarks.search import target_missed_error
from cgt.export import export
from cgt.runtime.errors import SinkError
from cgt.runtime.translator import Translator
from cgt.trainer.config import GeneratorConfig
from cgt.trainer.distill.config import DistillConfig
from cgt.trainer.distill.report import EvaluationSet, build_report
from cgt.trainer.distill.run import DistillRun
from cgt.trainer.distill.student import load_student, save_student
from cgt.trainer.domain import ImageFolder
from cgt.trainer.evaluation.report import TranslateFn
from cgt.trainer.generator import TrainedGenerator


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
        "explained",
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
                shown = (f"{figures[key]:.3g}" for key in ("explained", "psnr", "ssim"))
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
