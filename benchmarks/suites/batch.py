"""Piles of video: what Ray costs, and what a cluster that loses a worker and a node makes.

    python -m benchmarks.suites.batch [VIDEO] [--rounds 1]      --ray against --jobs, 2 workers each
    python -m benchmarks.suites.batch --cluster [--minutes 10]  12 videos and a long one on two nodes

The first translates a film of five minutes (VIDEO, over and over) at 256 and compares frames/s, of
the whole command and of the work alone. The second compares every picture, time and packet with
what single processes make, and exits with 1 where anything differs.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import click
from rich.progress import track

from cgt.runtime.errors import EngineError, QualityError
from cgt.runtime.models.sample_clip import sample_clip
from tests.support.ray_cluster import RayCluster, start_ray_cluster
from tests.support.videos import repeat_video, video_differences, write_video

from ._cli import run_command

_NUM_SHORT_VIDEOS = 12
_MIN_RAY_SPEED_RATIO = 0.9  # of the frames/s of --jobs


@click.command()
@click.argument(
    "video", type=click.Path(exists=True, dir_okay=False, path_type=Path), required=False
)
@click.option("--rounds", default=1, show_default=True, help="Of --jobs and --ray, by turns.")
@click.option("--seconds", default=300, show_default=True, help="Length of the film.")
@click.option("--size", default="256", show_default=True)
@click.option("--cluster", is_flag=True, help="Break a cluster and compare, instead.")
@click.option("--minutes", default=10.0, show_default=True, help="Of the long film of --cluster.")
def main(
    video: Path | None, rounds: int, seconds: int, size: str, cluster: bool, minutes: float
) -> None:
    """Exit code 4 where Ray reaches less than 90 % of --jobs, 1 where an output differs."""
    with tempfile.TemporaryDirectory(prefix="cgt-jobs-") as name:
        folder = Path(name)
        if cluster:
            _check_cluster_failures(folder, minutes)
        else:
            long_video = folder / "film.mp4"
            repeat_video(video or sample_clip(), long_video, seconds)
            _compare_ray_with_jobs(long_video, folder, rounds, size)


def _compare_ray_with_jobs(video: Path, folder: Path, rounds: int, size: str) -> None:
    commands = {"--jobs 2": ("--jobs", "2"), "--ray --jobs 2": ("--jobs", "2", "--ray")}
    fps_total: dict[str, list[float]] = {way: [] for way in commands}
    fps_working: dict[str, list[float]] = {way: [] for way in commands}
    for turn in range(rounds):
        for way, flags in commands.items():
            out = folder / f"out-{turn}.mp4"
            began = time.perf_counter()
            facts = _run_translate(
                video, "-o", out, "--size", size, *flags, stats=folder / "s.json"
            )
            frames = sum(one["frames"] for one in facts["videos"])
            fps_total[way].append(frames / (time.perf_counter() - began))
            fps_working[way].append(frames / facts["seconds_of_work"])
            click.echo(
                f"{way:15} {frames} frames, {fps_total[way][-1]:6.1f} frames/s in all, "
                f"{fps_working[way][-1]:6.1f} at work"
            )
    ratios = [
        max(speed["--ray --jobs 2"]) / max(speed["--jobs 2"]) for speed in (fps_total, fps_working)
    ]
    click.echo(
        f"best of {rounds}: --ray is {ratios[0]:.3f} of --jobs in all, {ratios[1]:.3f} at work"
    )
    if ratios[1] < _MIN_RAY_SPEED_RATIO:
        raise QualityError(f"Ray is below {_MIN_RAY_SPEED_RATIO:.0%} of local processes")


def _check_cluster_failures(folder: Path, minutes: float) -> None:
    videos, reference_dir, out = folder / "videos", folder / "one", folder / "out"
    videos.mkdir()
    reference_dir.mkdir()
    for number in range(_NUM_SHORT_VIDEOS):
        write_video(videos / f"{number:02d}.{('mp4', 'mkv', 'ts')[number % 3]}", 10 + 2 * number)
    write_video(videos / "long.mp4", 60 * minutes)
    video_paths = sorted(videos.iterdir())
    began = time.perf_counter()
    for video_path in track(video_paths, "single processes", transient=True):
        _run_translate(video_path, "-o", reference_dir / video_path.name, "--size", "64")
    click.echo(f"single processes: {time.perf_counter() - began:.0f} s")
    with start_ray_cluster(2, 1) as cluster:
        began = time.perf_counter()
        facts = _run_translate(
            *(f"{videos}/*", "-o", out, "--size", "64", "--ray", cluster.address),
            stats=folder / "s.json",
            while_running=lambda process: _kill_worker_then_node(cluster, process, out),
        )
        click.echo(f"cluster: {time.perf_counter() - began:.0f} s, {facts['retries']} tasks again")
    found_differences = [
        text
        for film in video_paths
        for text in video_differences(reference_dir / film.name, out / film.name)
    ]
    parts = [item["parts"] for item in facts["videos"]]
    frames = sum(item["frames"] for item in facts["videos"])
    click.echo(
        f"{len(video_paths)} videos, {sum(parts)} parts, {frames} frames; {len(found_differences)} differences"
    )
    if found_differences or facts["retries"] < 2:
        raise EngineError("; ".join(found_differences) or "nothing was killed in time")


def _kill_worker_then_node(cluster: RayCluster, process: subprocess.Popen[str], out: Path) -> None:
    """A worker when a third of the parts of the long film are there, a node at two thirds."""
    kills: list[tuple[int, Callable[[], bool]]] = [
        (6, lambda: cluster.kill_worker(0)),
        (12, cluster.kill_last_node),
    ]
    while kills and process.poll() is None:
        parts = len(list(out.glob(".cgt-jobs/*/0*.part")))
        if parts >= kills[0][0] and kills[0][1]():
            click.echo(f"killed a {'worker' if len(kills) == 2 else 'node'} at {parts} parts")
            kills.pop(0)
        time.sleep(0.05)


def _run_translate(
    *arguments: object,
    stats: Path | None = None,
    while_running: Callable[[subprocess.Popen[str]], None] = lambda process: None,
) -> dict[str, Any]:
    """Runs `cgt translate`; returns what it wrote to `stats`. Raises EngineError."""
    command: Sequence[object] = (Path(sys.executable).with_name("cgt"), "translate", *arguments)
    if stats is not None:
        command = (*command, "--json", stats)
    process = subprocess.Popen(
        [*map(str, command)], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
    )
    while_running(process)
    _, error_text = process.communicate()
    if process.returncode != 0:
        raise EngineError(f"cgt translate failed: {(error_text.strip().splitlines() or ['?'])[-1]}")
    facts: dict[str, Any] = json.loads(stats.read_text()) if stats is not None else {}
    return facts


if __name__ == "__main__":
    run_command(main)
