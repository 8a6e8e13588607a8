"""Last step of `cgt distill`: evaluate the student, save it and print the results.

The student is evaluated in fp32 and as the model that it will be deployed as.
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import click
from rich.table import Table

from cgt.export import export
from cgt.runtime.errors import SinkError
from cgt.runtime.inference.translator import Translator
from cgt.runtime.utils.progress import open_console
from cgt.trainer.data.folders import ImageFolder
from cgt.trainer.evaluation.report import TranslateFn
from cgt.trainer.networks.config import GeneratorConfig
from cgt.trainer.pretrained import TrainedGenerator

from .config import DistillConfig
from .report import EvaluationSet, build_report
from .search.measure import CandidateBenchmark
from .search.pipeline_cost import measure_run
from .search.search import target_missed_error
from .train import DistillRun, load_student, save_student


def finalize(run: DistillRun, output: Path) -> None:
    """Evaluate the student of a finished run, write it to `output` and print the report.

    Raises:
        SinkError: the file cannot be written.
        QualityError: the student is slower than the target; it has been saved nevertheless.
    """
    config, student = run.config, load_student(run.folder)
    evaluation_set = EvaluationSet(
        config.crop_size,
        run.photos.test,
        tuple(Path(video) for video in config.videos),
        ImageFolder.open(Path(config.target_images)) if config.target_images else None,
    )
    with tempfile.TemporaryDirectory(prefix="cgt-student-") as folder:
        photos = run.photos.train.files[0].parent
        model = _export_student(student, config, photos, Path(folder))
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
    click.echo(f"{output}: done; export it as a model with `cgt export --ckpt {output}`")
    source = run.teacher.source
    teacher = None if source.code else GeneratorConfig.from_json(source.architecture)
    check_target_speed(report.get("speed"), config.for_engine, teacher)


def _export_student(
    student: TrainedGenerator, config: DistillConfig, photos: Path, folder: Path
) -> Path:
    """Export for deployment; INT8 is calibrated on the training photos."""
    precision, _, remainder = config.for_precision.partition("-")
    options: dict[str, Any] = {"precision": precision, "remainder": remainder or "fp32"}
    if precision == "int8":
        options["calib"] = str(photos)
    return export(student, folder / "student.onnx", min_psnr=0.0, **options)[0]


def _measure_speed(model: Path, config: DistillConfig) -> dict[str, Any]:
    """Measure end-to-end frames/s of `cgt translate` with a model."""
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
    """Check the measured speed of a student against its target.

    Args:
        speed: the entry of a report; None if there is no target.
        engine: engine that candidates were measured on.
        teacher: the teacher, whose pruned students are candidates too.

    Raises:
        QualityError: the student is too slow; the message names a candidate that is not.
    """
    if speed:
        size = speed["size"][0], speed["size"][1]
        benchmark = CandidateBenchmark(size, speed["precision"], engine, teacher=teacher)
        if error := target_missed_error(speed["fps"], speed["target"], benchmark):
            raise error


def print_report(report: dict[str, Any]) -> None:
    """Print a table with a row for each student and set of images, then costs and speed."""
    size = report["size"]
    title = f"compared with the teacher at {size}x{size}"
    table = Table("", "", "mse_skill", "PSNR", "SSIM", "warping", title=title)
    for column in table.columns[2:]:
        column.justify = "right"
    results = {"held-out photos": report["photos"]} | report["videos"]
    for set_name, by_student in results.items():
        warping = by_student.get("warping", {})
        for student_name, metrics in by_student.items():
            if student_name not in ("count", "warping"):
                cells = (f"{metrics[key]:.3g}" for key in ("mse_skill", "psnr", "ssim"))
                warping_text = f"{warping[student_name]:.2e}" if warping else ""
                table.add_row(set_name, student_name, *cells, warping_text)
        if warping:
            table.add_row("", "teacher", "", "", "", f"{warping['teacher']:.2e}")
            table.add_row("", "input", "", "", "", f"{warping['input']:.2e}")
    open_console().print(table)
    for name, distance in report.get("frechet", {}).items():
        click.echo(f"Frechet distance to the target domain, {name}: {distance:.4g}")
    teacher, student = report["teacher"], report["student"]
    click.echo(
        f"teacher {teacher['parameters'] / 1e6:.2f} M parameters, {teacher['macs'] / 1e9:.2f} G "
        f"multiply-adds; student {student['parameters'] / 1e6:.3f} M, "
        f"{student['macs'] / 1e9:.3f} G ({teacher['macs'] / student['macs']:.0f} times fewer)"
    )
    if speed := report.get("speed"):
        click.echo(
            f"{speed['fps']:.1f} frames/s end to end ({speed['engine']}, "
            f"{speed['precision']}), target {speed['target']:g}"
        )
