"""Comparison of a teacher and its finished students: latency, size, quality, speedup.

    python -m benchmarks.suites.students TEACHER STUDENT.pth ... --photos DIR --video FILE ...

The output has

- a table of latency (p50, p99), multiply-adds, parameters and quality by engine and precision,
- with --plot, a plot of quality against speed,
- the speedup of each student over the teacher in PyTorch (eager, fp32), in alternating runs, one
  frame after the other and with several in flight, and
- frames per second of `cgt translate` on a clip, at 256x256 and 512x288.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
import numpy as np
import torch
from rich.console import Console

from cgt.benchmarks.harness.environment import current_conditions, describe_machine
from cgt.benchmarks.harness.results import Result
from cgt.benchmarks.harness.runner import run_jobs
from cgt.benchmarks.harness.session import BenchmarkJob
from cgt.distill.report import EvaluationSet, evaluate_students, model_costs
from cgt.distill.teacher import Teacher
from cgt.export import export
from cgt.runtime.errors import EngineError, MissingDependency
from cgt.runtime.image.geometry import format_size, parse_size
from cgt.runtime.image.preprocess import U8
from cgt.runtime.inference.translator import Translator
from cgt.runtime.models.metadata import DIRECTIONS, Direction
from cgt.runtime.models.sample_clip import sample_clip
from cgt.runtime.utils.atomic import atomic_write
from cgt.runtime.utils.progress import progress_bar
from cgt.trainer.data.folders import ImageFolder
from cgt.trainer.evaluation.report import TranslateFn
from cgt.trainer.logs.best_checkpoint import make_translate_fn
from cgt.trainer.precision import Precision
from cgt.trainer.pretrained import TrainedGenerator, open_generator

from ._cli import results_option, run_command
from ._results_md import write_section
from .baseline_networks import (
    cgt_network_timer,
    cgt_throughput_timer,
    median_timer,
)
from .vs_baselines import Baseline, PairedRun, run_paired

TIMING_SESSIONS = 5
SHIFTED_TEACHER = "teacher, input shifted by a pixel"

Size = tuple[int, int]
LatencyResults = dict[tuple[str, str, str], Result]  # key: network, precision, engine
ProgressFn = Callable[[str], None]


@dataclass(frozen=True)
class ExportedNetwork:
    """A generator and its model files by precision."""

    name: str
    generator: TrainedGenerator
    models: dict[str, Path]


@dataclass(frozen=True)
class ComparisonRow:
    """One row of the table.

    The quality is that of the model file on OpenVINO, and the same for all engines. A metric is
    None if there is no data to compute it on.

    Attributes:
        mse_skill_photos: MSE skill on the held-out photos.
        psnr_db: PSNR against the teacher on the photos.
        warping: Mean warping error of the videos.
        frechet: Frechet distance to the images of the target domain.
        mse_skill_by_video: MSE skill of each video.
    """

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
        """Return the mean MSE skill of the videos."""
        return _mean_or_none(list(self.mse_skill_by_video.values()))


def export_precisions(
    name: str, generator: TrainedGenerator, precisions: Sequence[str], calib: Path, folder: Path
) -> ExportedNetwork:
    """Export a generator in each precision, without a quality floor.

    `calib` gives the calibration images of int8.
    """
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
    """Return the report of `evaluate_students` on each "NETWORK PRECISION" and SHIFTED_TEACHER."""
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
    """Wrap `translate` to shift its input right by a pixel and its output back.

    The difference to the plain output shows how much depends on the position of the pixels.
    """

    def run(image: U8) -> U8:
        output = translate(np.ascontiguousarray(np.hstack([image[:, 1:2], image[:, :-1]])))
        return np.hstack([output[:, 1:], output[:, -1:]])

    return run


def measure_latencies(
    networks: Sequence[ExportedNetwork],
    engines: Sequence[str],
    size: Size,
    seconds: float,
    on_progress: ProgressFn,
) -> LatencyResults:
    """Measure all configurations interleaved, so that a noisy machine disturbs all alike."""
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
    """Combine latency, cost and quality into the rows of the table."""
    by_name = {network.name: network for network in networks}
    rows = []
    for (name, precision, engine), result in timed.items():
        network, key = by_name[name], f"{name} {precision}"
        skill_by_video = {
            video: metrics[key]["mse_skill"] for video, metrics in measured["videos"].items()
        }
        warping = [metrics["warping"][key] for metrics in measured["videos"].values()]
        cost = model_costs(network.generator, size[0])
        rows.append(
            ComparisonRow(
                name,
                precision,
                engine,
                result.percentile(50),
                result.percentile(99),
                cost["macs"],
                cost["parameters"],
                network.models[precision].stat().st_size,
                measured["photos"][key]["mse_skill"],
                measured["photos"][key]["psnr"],
                _mean_or_none(warping),
                measured.get("frechet", {}).get(key),
                skill_by_video,
            )
        )
    return rows


def _mean_or_none(values: Sequence[float]) -> float | None:
    return sum(values) / len(values) if values else None


def make_eager_runner(generator: TrainedGenerator, size: Size) -> Callable[[], None]:
    """Return a function that runs one frame in PyTorch: eager, fp32, default threads."""
    network, image = generator.network, torch.rand(1, generator.in_channels, *size) * 2 - 1

    def run() -> None:
        with torch.inference_mode():
            network(image)

    return run


MARKERS = "os^Dvp"  # one per engine; the color shows the network, a hollow marker is not int8


def plot_quality_speed(rows: Sequence[ComparisonRow], output: Path) -> None:
    """Plot MSE skill of videos, else of photos, over frames per second of sequential runs.

    Raises MissingDependency without matplotlib.
    """
    try:
        from matplotlib.figure import Figure
        from matplotlib.lines import Line2D
        from matplotlib.ticker import LogLocator
    except ImportError:
        raise MissingDependency(
            "matplotlib is not installed; install the extra: pip install 'cyclegan-toolkit[plot]'"
        ) from None
    networks = list(dict.fromkeys(row.network for row in rows))
    engines = list(dict.fromkeys(row.engine for row in rows))
    figure = Figure(figsize=(8, 4.5), layout="constrained")
    panel = figure.subplots()
    for row in rows:
        color = f"C{networks.index(row.network)}"
        panel.plot(
            1e3 / row.p50_ms,
            _mse_skill(row),
            MARKERS[engines.index(row.engine) % len(MARKERS)],
            color=color,
            markerfacecolor=color if row.precision.startswith("int8") else "none",
        )
    videos = all(row.mse_skill_videos is not None for row in rows)
    panel.set_xscale("log")
    panel.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    panel.xaxis.set_major_formatter("{x:g}")
    panel.xaxis.set_minor_formatter("")
    panel.set_xlabel("frames/s, 1000 / p50 of the network alone")
    panel.set_ylabel(f"MSE skill, {'videos' if videos else 'held-out photos'}")
    panel.grid(alpha=0.3)
    kinds = dict.fromkeys((row.engine, row.precision) for row in rows)
    keys = [
        Line2D([], [], color=f"C{i}", marker=".", linestyle="", label=network)
        for i, network in enumerate(networks)
    ]
    keys += [
        Line2D(
            *([], []),
            color="gray",
            marker=MARKERS[engines.index(engine) % len(MARKERS)],
            markerfacecolor="gray" if precision.startswith("int8") else "none",
            linestyle="",
            label=f"{precision}, {engine}",
        )
        for engine, precision in kinds
    ]
    figure.legend(handles=keys, loc="outside right upper", fontsize="x-small")
    with atomic_write(output) as temporary:
        figure.savefig(temporary, format=output.suffix.lstrip(".") or "png", dpi=150)


def _mse_skill(row: ComparisonRow) -> float:
    return row.mse_skill_photos if row.mse_skill_videos is None else row.mse_skill_videos


TEACHER_NAME = "teacher"
VIDEO_SIZES: tuple[Size, ...] = ((256, 256), (288, 512))
_PATH = click.Path(path_type=Path)


@click.command()
@click.argument("teacher", type=_PATH)
@click.argument("students", type=_PATH, nargs=-1, required=True)
@click.option(
    "--direction", type=click.Choice(DIRECTIONS), help="Direction of a teacher that has both."
)
@click.option("--photos", type=_PATH, required=True, help="Held-out photos.")
@click.option("--calib", type=_PATH, help="Calibration images for int8 (default: --photos).")
@click.option(
    "--video",
    "videos",
    type=_PATH,
    multiple=True,
    help="Video that was not used for training; may be repeated.",
)
@click.option("--target-images", type=_PATH, help="Images of the target domain.")
@click.option("--clip", type=_PATH, help="Video for `cgt translate` (default: the sample clip).")
@click.option("--size", default="256", show_default=True)
@click.option("--precision", "precisions", default="fp32,int8", show_default=True)
@click.option("--engine", "engines", default="openvino,onnxruntime", show_default=True)
@click.option(
    "--seconds", default=3.0, show_default=True, help="Duration of each latency measurement."
)
@click.option("--rounds", default=5, show_default=True, help="Alternating rounds against PyTorch.")
@click.option("--plot", "plot_path", type=_PATH, help="Write a plot of quality over speed.")
@results_option
def main(
    teacher: Path,
    students: tuple[Path, ...],
    direction: Direction | None,
    photos: Path,
    calib: Path | None,
    videos: tuple[Path, ...],
    target_images: Path | None,
    clip: Path | None,
    size: str,
    precisions: str,
    engines: str,
    seconds: float,
    rounds: int,
    plot_path: Path | None,
    results: Path | None,
) -> None:
    """Compare the teacher and its students; each student is called by its file name."""
    sides = parse_size(size)
    if not isinstance(sides, tuple):
        raise click.UsageError("give a size in pixels")
    names = [TEACHER_NAME, *(path.stem for path in students)]
    for name in names:
        if names.count(name) > 1:
            raise click.UsageError(f"two networks have the name {name}; rename a file")
    before = current_conditions()
    teacher_network = Teacher.open(
        teacher, direction, Precision.from_name("auto", torch.device("cpu"))
    )
    target = ImageFolder.open(target_images) if target_images else None
    evaluation_set = EvaluationSet(min(sides), ImageFolder.open(photos), videos, target)
    generators = {TEACHER_NAME: open_generator(teacher, direction)}
    generators |= {path.stem: open_generator(path) for path in students}
    with tempfile.TemporaryDirectory(prefix="cgt-students-") as temporary:
        folder = Path(temporary)
        networks = [
            export_precisions(label, generator, precisions.split(","), calib or photos, folder)
            for label, generator in generators.items()
        ]
        timed = _measure_with_progress(networks, engines.split(","), sides, seconds)
        measured = evaluate_quality(teacher_network, networks, evaluation_set)
        table = build_rows(networks, timed, measured, sides)
        paired_runs = _compare_with_eager(networks, table, sides, rounds)
        translate_lines = _translate_rates(networks, table, clip or sample_clip(), folder)
    lines = [*markdown_table(table), *per_video_table(table), "", shift_consistency(measured), ""]
    lines += [*speedup_table(paired_runs), "", *translate_lines]
    Console().print("\n".join(lines), highlight=False, markup=False)
    if plot_path:
        plot_quality_speed(table, plot_path)
    if results:
        write_section(results, "students", lines, describe_machine(), before, current_conditions())


def _measure_with_progress(
    networks: Sequence[ExportedNetwork], engines: Sequence[str], size: Size, seconds: float
) -> LatencyResults:
    count = sum(len(network.models) for network in networks) * len(engines)
    with progress_bar("timing", count * TIMING_SESSIONS, unit="session") as bar:

        def on_progress(job: str) -> None:
            bar.set_postfix(job)
            bar.advance()

        return measure_latencies(networks, engines, size, seconds, on_progress)


def fastest_row(table: Sequence[ComparisonRow], network: str) -> ComparisonRow:
    """Return the fastest precision and engine of one network."""
    return min((row for row in table if row.network == network), key=lambda row: row.p50_ms)


def _compare_with_eager(
    networks: Sequence[ExportedNetwork], table: Sequence[ComparisonRow], size: Size, rounds: int
) -> dict[str, PairedRun]:
    """Pair each student's fastest configuration with the teacher in PyTorch."""
    first, *students = networks
    baseline = Baseline(
        "PyTorch eager fp32", median_timer(make_eager_runner(first.generator, size), 0.0)
    )
    timers = {"one after the other": cgt_network_timer, "in flight": cgt_throughput_timer}
    paired_runs = {}
    with progress_bar("against PyTorch", rounds * len(students) * len(timers), unit="round") as bar:
        for student in students:
            row = fastest_row(table, student.name)
            model = student.models[row.precision]
            for label, make_timer in timers.items():
                ours = make_timer(model, size, row.engine, 1.0)
                paired_runs[f"{student.name} {row.precision} {row.engine}, {label}"] = run_paired(
                    baseline, ours, rounds, bar.advance
                )
    return paired_runs


def _translate_rates(
    networks: Sequence[ExportedNetwork], table: Sequence[ComparisonRow], clip: Path, folder: Path
) -> list[str]:
    """Return a Markdown table of `cgt translate` in its own process."""
    names = [format_size(size) for size in VIDEO_SIZES]
    heads = "".join(f" {name}, frames/s |" for name in names)
    lines = [f"`cgt translate {clip.name}`, decoding and encoding included:", ""]
    lines += [f"| |{heads}", "|---|" + "---|" * len(names)]
    for network in networks[1:]:
        row = fastest_row(table, network.name)
        rates = [
            translate_fps(clip, network.models[row.precision], row.engine, size, folder)
            for size in VIDEO_SIZES
        ]
        cells = "".join(f" {rate:.1f} |" for rate in rates)
        lines.append(f"| {network.name} {row.precision} {row.engine} |{cells}")
    return lines


def translate_fps(clip: Path, model: Path, engine: str, size: Size, folder: Path) -> float:
    """Return the frames per second that `cgt translate --json` reports. Raises EngineError."""
    stats = folder / "stats.json"
    command = [sys.executable, "-c", "from cgt.cli.main import main; main()", "translate"]
    command += [str(clip), "-o", str(folder / "out.mp4"), "--model", str(model)]
    command += ["--engine", engine, "--size", format_size(size), "--json", str(stats)]
    completed = subprocess.run(command, capture_output=True, text=True, check=False)
    if completed.returncode != 0:
        last_line = (completed.stderr.strip().splitlines() or ["?"])[-1]
        raise EngineError(f"cgt translate failed: {last_line}")
    return float(json.loads(stats.read_text())["frames_per_second"])


def markdown_table(table: Sequence[ComparisonRow]) -> list[str]:
    """Return the table in Markdown."""
    heads = "| | | engine | p50 ms | p99 ms | G MACs | M par. | MB | MSE skill, photos | videos |"
    lines = [f"{heads} PSNR dB | warping | Frechet |", "|" + "---|" * 13]
    for row in table:
        cells = [
            f"{row.p50_ms:.2f}",
            f"{row.p99_ms:.2f}",
            f"{row.macs / 1e9:.2f}",
            f"{row.parameters / 1e6:.3f}",
            f"{row.file_bytes / 1e6:.2f}",
            f"{row.mse_skill_photos:.3f}",
            "-" if row.mse_skill_videos is None else f"{row.mse_skill_videos:.3f}",
            f"{row.psnr_db:.1f}",
            "-" if row.warping is None else f"{row.warping:.1e}",
            "-" if row.frechet is None else f"{row.frechet:.4g}",
        ]
        lines.append("| " + " | ".join([row.network, row.precision, row.engine, *cells]) + " |")
    return lines


def per_video_table(table: Sequence[ComparisonRow]) -> list[str]:
    """Return a Markdown table of each video's MSE skill, which is the same for all engines."""
    videos = list(table[0].mse_skill_by_video)
    if not videos:
        return []
    lines = ["", "| MSE skill | |" + "".join(f" {video} |" for video in videos)]
    lines.append("|" + "---|" * (len(videos) + 2))
    cells_by_name = {
        f"| {row.network} | {row.precision} |": "".join(
            f" {row.mse_skill_by_video[video]:.3f} |" for video in videos
        )
        for row in table
    }
    return lines + [name + cells for name, cells in cells_by_name.items()]


def shift_consistency(measured: dict[str, Any]) -> str:
    """Return the teacher's MSE skill against itself when its input is shifted by a pixel."""
    sets = {"photos": measured["photos"], **measured["videos"]}
    values = ", ".join(
        f"{name} {metrics[SHIFTED_TEACHER]['mse_skill']:.3f}" for name, metrics in sets.items()
    )
    return f"MSE skill of the {SHIFTED_TEACHER}: {values}."


def speedup_table(paired_runs: dict[str, PairedRun]) -> list[str]:
    """Return a Markdown table of speedups over the teacher in PyTorch."""
    lines = [
        "| compared with the teacher in PyTorch, eager fp32 | speedup | range |",
        "|---|---|---|",
    ]
    for name, paired_run in paired_runs.items():
        speedups = sorted(
            t / o for t, o in zip(paired_run.baseline_seconds, paired_run.cgt_seconds, strict=True)
        )
        lines.append(
            f"| {name} | {paired_run.speedup:.1f} | {speedups[0]:.1f} to {speedups[-1]:.1f} |"
        )
    return lines


if __name__ == "__main__":
    run_command(main)
