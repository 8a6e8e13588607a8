"""`cgt` against common alternatives: same frames, same weights, same size.

    python -m benchmarks.suites.vs_baselines [VIDEO] [--model FILE | --ckpt FILE] [--size 256]
        [--rounds 3]

Each baseline alternates with cgt, so that a noisy machine disturbs both alike. The ratio is the
median of the rounds' ratios. Whole videos come first; they include start-up, decoding, translation
and encoding on both sides. Then the network alone is measured, one frame after the other.
"""

from __future__ import annotations

import statistics
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import click
from rich.console import Console

from cgt.benchmarks.harness.environment import current_conditions, describe_machine
from cgt.runtime.engines import read_model_metadata
from cgt.runtime.errors import CgtError, MissingDependency
from cgt.runtime.image.geometry import format_size, parse_size
from cgt.runtime.inference.translator import DEFAULT_MODEL
from cgt.runtime.models.metadata import DIRECTIONS, Direction
from cgt.runtime.models.sample_clip import sample_clip
from cgt.runtime.utils.progress import progress_bar

from ._cli import results_option, run_command
from ._results_md import write_section
from .baseline_networks import cgt_network_timer, network_baselines, write_dequantized
from .baseline_videos import VideoWorkload, cgt_video_timer, video_baselines

FrameTimer = Callable[[], float]
"""Returns seconds per frame."""


@dataclass(frozen=True)
class Baseline:
    """An alternative to cgt."""

    name: str
    run: FrameTimer


@dataclass(frozen=True)
class PairedRun:
    """Seconds per frame of a baseline and of cgt, round by round."""

    baseline: str
    baseline_seconds: list[float]
    cgt_seconds: list[float]

    @property
    def speedup(self) -> float:
        """Return how many times as fast cgt is: the median of the rounds' ratios."""
        turns = zip(self.baseline_seconds, self.cgt_seconds, strict=True)
        return statistics.median(theirs / ours for theirs, ours in turns)


def run_paired(
    baseline: Baseline, cgt_timer: FrameTimer, rounds: int, tick: Callable[[], None]
) -> PairedRun:
    """Measure both in alternating order; also alternate which starts."""
    paired_run = PairedRun(baseline.name, [], [])
    for turn in range(rounds):
        sides = [(paired_run.baseline_seconds, baseline.run), (paired_run.cgt_seconds, cgt_timer)]
        for times, run in sides if turn % 2 == 0 else sides[::-1]:
            times.append(run())
        tick()
    return paired_run


def format_table(paired_runs: Sequence[PairedRun], cgt_label: str, unit: str) -> list[str]:
    """Return a Markdown table in `unit`, "frames/s" or "ms"."""
    lines = [f"| | {unit} | {cgt_label}, {unit} | ratio |", "|---|---|---|---|"]
    for paired_run in paired_runs:
        baseline_median, cgt_median = (
            statistics.median(times)
            for times in (paired_run.baseline_seconds, paired_run.cgt_seconds)
        )
        values = [1 / s if unit == "frames/s" else s * 1e3 for s in (baseline_median, cgt_median)]
        cells = " | ".join(f"{value:.2f}" for value in values)
        lines.append(f"| {paired_run.baseline} | {cells} | {paired_run.speedup:.2f} |")
    return lines


@click.command()
@click.argument(
    "video", type=click.Path(exists=True, dir_okay=False, path_type=Path), required=False
)
@click.option(
    "--model", type=click.Path(path_type=Path), help="ONNX file; the bundled model by default."
)
@click.option(
    "--ckpt", type=click.Path(path_type=Path), help="Checkpoint to export and use instead."
)
@click.option("--direction", type=click.Choice(DIRECTIONS), help="Direction of --ckpt.")
@click.option("--size", default="256", show_default=True)
@click.option("--engine", default="auto", show_default=True, help="Engine of cgt.")
@click.option("--frames", type=click.IntRange(1), default=100, show_default=True)
@click.option("--rounds", default=3, show_default=True)
@click.option(
    "--seconds", default=2.0, show_default=True, help="Duration of each network measurement."
)
@results_option
def main(
    video: Path | None,
    model: Path | None,
    ckpt: Path | None,
    direction: Direction | None,
    size: str,
    engine: str,
    frames: int,
    rounds: int,
    seconds: float,
    results: Path | None,
) -> None:
    """Compare cgt with each baseline; print which are left out because they are not installed."""
    sides = parse_size(size)
    if sides == "source":
        raise click.UsageError("give a size in pixels")
    before = current_conditions()
    with tempfile.TemporaryDirectory(prefix="cgt-baselines-") as name:
        folder = Path(name)
        path = _export_checkpoint(ckpt, direction, folder) if ckpt else model or DEFAULT_MODEL
        fp32_model = path
        if read_model_metadata(path).precision.startswith("int8"):
            fp32_model = write_dequantized(folder / "fp32.onnx", path)
        workload = VideoWorkload(
            video or sample_clip(), path, sides, frames, folder, engine, fp32_model
        )
        missing: list[str] = []
        video_factories = {**video_baselines(workload, ckpt, direction)}
        network_factories = network_baselines(path, fp32_model, sides, ckpt, direction, seconds)
        total = rounds * (len(video_factories) + len(network_factories))
        with progress_bar("measuring", total, unit="round") as bar:
            video_runs = _run_all_paired(
                video_factories, cgt_video_timer(workload), rounds, bar.advance, missing
            )
            cgt_timer = cgt_network_timer(path, sides, engine, seconds)
            network_runs = _run_all_paired(
                network_factories, cgt_timer, rounds, bar.advance, missing
            )
    lines = [
        f"{workload.video.name}, {frames} frames translated at {format_size(sides)} into a video, "
        f"{ckpt.name if ckpt else path.name}; {rounds} rounds, medians.",
        "",
        *format_table(video_runs, f"`cgt translate` ({engine})", "frames/s"),
        "",
        "The network alone, one frame after the other:",
        "",
        *format_table(network_runs, f"`cgt` ({engine})", "ms"),
        *([""] + [f"Left out: {line}." for line in dict.fromkeys(missing)] if missing else []),
    ]
    Console().print("\n".join(lines), highlight=False, markup=False)
    if results:
        title = f"Baselines, {ckpt.name if ckpt else path.name}"
        name = f"baselines {ckpt.stem if ckpt else path.stem}"
        write_section(results, name, lines, describe_machine(), before, current_conditions(), title)


def _run_all_paired(
    timer_factories: dict[str, Callable[[], FrameTimer]],
    cgt_timer: FrameTimer,
    rounds: int,
    tick: Callable[[], None],
    missing: list[str],
) -> list[PairedRun]:
    paired_runs = []
    for name, make in timer_factories.items():
        try:
            paired_runs.append(run_paired(Baseline(name, make()), cgt_timer, rounds, tick))
        except (CgtError, MissingDependency) as error:
            missing.append(f"{name} ({error})")
    return paired_runs


def _export_checkpoint(ckpt: Path, direction: Direction | None, folder: Path) -> Path:
    from cgt.export import export

    path, _ = export(ckpt, folder / f"{ckpt.stem}.onnx", direction=direction, precision="fp32")
    return path


if __name__ == "__main__":
    run_command(main)
