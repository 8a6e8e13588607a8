"""A teacher and its finished students, side by side in one run.

    python -m benchmarks.suites.students TEACHER STUDENT.pth ... --photos DIR --video FILE ...

A table of latency (p50, p99), multiply-adds, parameters and quality by engine and precision, and a
picture of quality against speed; how many times as fast as PyTorch's eager fp32 of the teacher each
student is, in turns, one frame after the other and with as many in flight as in a video; and frames
per second of `cgt translate` on a clip, at 256x256 and 512x288.

A teacher and its students, in every precision and on every engine: how quick, and how alike.

Quality against speed of teachers and students, as a picture.
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
from cgt.runtime.image.geometry import parse_size
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
    the same for all engines: MSE skill (of held-out photos, of videos), PSNR in dB on
    photos, mean warping error of the videos, Frechet distance to the target domain; None where
    there is nothing to measure it on. films: MSE skill, by video."""

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
    """What `cgt.distill.report` says of each "NETWORK PRECISION", and of MOVED."""
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
            film: video[key]["mse_skill"] for film, video in measured["videos"].items()
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
                measured["photos"][key]["mse_skill"],
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


MARKERS = "os^Dvp"  # a mark for each engine, a colour for each network; hollow is not quantised


def plot_quality_speed(rows: Sequence[ComparisonRow], output: Path) -> None:
    """Frames per second of one after the other against MSE skill of videos, else of photos.
    Raises MissingDependency without matplotlib."""
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
@click.option("--direction", type=click.Choice(DIRECTIONS), help="Of a teacher that has both.")
@click.option("--photos", type=_PATH, required=True, help="Held out.")
@click.option("--calib", type=_PATH, help="Images to calibrate int8 on; by default --photos.")
@click.option("--video", "videos", type=_PATH, multiple=True, help="Never learned from.")
@click.option("--target-images", type=_PATH, help="Images of what is translated to.")
@click.option("--clip", type=_PATH, help="Translated from source to sink.")
@click.option("--size", default="256", show_default=True)
@click.option("--precision", "precisions", default="fp32,int8", show_default=True)
@click.option("--engine", "engines", default="openvino,onnxruntime", show_default=True)
@click.option("--seconds", default=3.0, show_default=True, help="Of each latency.")
@click.option("--rounds", default=5, show_default=True, help="Against PyTorch.")
@click.option("--plot", "picture", type=_PATH, help="Quality against speed, as NAME.png.")
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
    """The teacher, and students of it by the names of their files."""
    sides = parse_size(size)
    if not isinstance(sides, tuple):
        raise click.UsageError("give a size in pixels")
    names = [TEACHER_NAME, *(path.stem for path in students)]
    for name in names:
        if names.count(name) > 1:
            raise click.UsageError(f"two networks would be called {name}; rename a file")
    before = current_conditions()
    teacher_network = Teacher.open(
        teacher, direction, Precision.from_name("auto", torch.device("cpu"))
    )
    target = ImageFolder.open(target_images) if target_images else None
    evaluation_set = EvaluationSet(min(sides), ImageFolder.open(photos), videos, target)
    generators = {TEACHER_NAME: open_generator(teacher, direction)}
    generators |= {path.stem: open_generator(path) for path in students}
    with tempfile.TemporaryDirectory(prefix="cgt-students-") as made:
        folder = Path(made)
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

        def on_progress(what: str) -> None:
            bar.set_postfix(what)
            bar.advance()

        return measure_latencies(networks, engines, size, seconds, on_progress)


def fastest_row(table: Sequence[ComparisonRow], network: str) -> ComparisonRow:
    """The quickest precision and engine of one network."""
    return min((row for row in table if row.network == network), key=lambda row: row.p50_ms)


def _compare_with_eager(
    networks: Sequence[ExportedNetwork], table: Sequence[ComparisonRow], size: Size, rounds: int
) -> dict[str, PairedRun]:
    """Of each student's quickest way with the teacher in PyTorch, turn by turn."""
    first, *students = networks
    baseline = Baseline(
        "PyTorch eager fp32", median_timer(make_eager_runner(first.generator, size), 0.0)
    )
    ways = {"one after the other": cgt_network_timer, "in flight": cgt_throughput_timer}
    found = {}
    with progress_bar("against PyTorch", rounds * len(students) * len(ways), unit="round") as bar:
        for student in students:
            row = fastest_row(table, student.name)
            model = student.models[row.precision]
            for way, run in ways.items():
                ours = run(model, size, row.engine, 1.0)
                found[f"{student.name} {row.precision} {row.engine}, {way}"] = run_paired(
                    baseline, ours, rounds, bar.advance
                )
    return found


def _translate_rates(
    networks: Sequence[ExportedNetwork], table: Sequence[ComparisonRow], clip: Path, folder: Path
) -> list[str]:
    """Lines of Markdown: `cgt translate`, as a process of its own."""
    names = [f"{width}x{height}" for height, width in VIDEO_SIZES]
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
    """Frames per second that `cgt translate` says it reached. Raises EngineError."""
    stats = folder / "stats.json"
    command = [sys.executable, "-c", "from cgt.cli.main import main; main()", "translate"]
    command += [str(clip), "-o", str(folder / "out.mp4"), "--model", str(model)]
    command += ["--engine", engine, "--size", f"{size[1]}x{size[0]}", "--json", str(stats)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise EngineError(
            f"cgt translate failed: {(done.stderr.strip().splitlines() or ['?'])[-1]}"
        )
    return float(json.loads(stats.read_text())["frames_per_second"])


def markdown_table(table: Sequence[ComparisonRow]) -> list[str]:
    """Lines of the table."""
    heads = "| | | engine | p50 ms | p99 ms | G MACs | M par. | MB | explained, photos | videos |"
    lines = [f"{heads} PSNR dB | warping | Frechet |", "|" + "---|" * 13]
    for row in table:
        figures = [
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
        lines.append("| " + " | ".join([row.network, row.precision, row.engine, *figures]) + " |")
    return lines


def per_video_table(table: Sequence[ComparisonRow]) -> list[str]:
    """Lines of the MSE skill of each video, whatever the engine; none without videos."""
    videos = list(table[0].mse_skill_by_video)
    if not videos:
        return []
    lines = ["", "| mse_skill | |" + "".join(f" {video} |" for video in videos)]
    lines.append("|" + "---|" * (len(videos) + 2))
    found = {
        f"| {row.network} | {row.precision} |": "".join(
            f" {row.mse_skill_by_video[film]:.3f} |" for film in videos
        )
        for row in table
    }
    return lines + [name + cells for name, cells in found.items()]


def shift_consistency(measured: dict[str, Any]) -> str:
    """How much of its own change the teacher explains where the picture is moved by a pixel."""
    sets = {"photos": measured["photos"], **measured["videos"]}
    figures = ", ".join(
        f"{name} {found[SHIFTED_TEACHER]['explained']:.3f}" for name, found in sets.items()
    )
    return f"Of its own change explains {SHIFTED_TEACHER}: {figures}."


def speedup_table(paired_runs: dict[str, PairedRun]) -> list[str]:
    """Lines of how many times as fast as the teacher in PyTorch."""
    lines = [
        "| against the teacher in PyTorch, eager fp32 | times as fast | in turns |",
        "|---|---|---|",
    ]
    for name, found in paired_runs.items():
        speedups = sorted(
            t / o for t, o in zip(found.baseline_seconds, found.cgt_seconds, strict=True)
        )
        lines.append(f"| {name} | {found.speedup:.1f} | {speedups[0]:.1f} to {speedups[-1]:.1f} |")
    return lines


if __name__ == "__main__":
    run_command(main)
