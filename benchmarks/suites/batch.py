"""Batch jobs: cost of Ray against local processes, and correctness when a cluster loses nodes.

    python -m benchmarks.suites.batch [VIDEO] [--rounds 1]      --ray vs. --jobs, 2 workers each
    python -m benchmarks.suites.batch --cluster [--minutes 10]  12 videos and a long one on 2 nodes

The first command translates a video of five minutes (VIDEO, repeated) at 256 pixels. It compares
frames/s of the whole command and of the translation alone. The second command compares every frame,
timestamp and packet with the outputs of single processes, and exits with 1 if any differs.
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
_MIN_RAY_SPEED_RATIO = 0.9  # --ray divided by --jobs


@click.command()
@click.argument(
    "video", type=click.Path(exists=True, dir_okay=False, path_type=Path), required=False
)
@click.option(
    "--rounds", default=1, show_default=True, help="Alternating runs of --jobs and --ray."
)
@click.option("--seconds", default=300, show_default=True, help="Length of the video in seconds.")
@click.option("--size", default="256", show_default=True, help="Side in pixels or WIDTHxHEIGHT.")
@click.option("--cluster", is_flag=True, help="Kill a worker and a node of a cluster instead.")
@click.option(
    "--minutes", default=10.0, show_default=True, help="Length of --cluster's long video."
)
def main(
    video: Path | None, rounds: int, seconds: int, size: str, cluster: bool, minutes: float
) -> None:
    """Compare Ray with local processes, or test a failing cluster.

    The exit code is 4 if Ray reaches less than 90 % of --jobs, and 1 if an output differs.
    """
    with tempfile.TemporaryDirectory(prefix="cgt-batch-") as name:
        folder = Path(name)
        if cluster:
            _check_cluster_failures(folder, minutes)
        else:
            long_video = folder / "long.mp4"
            repeat_video(video or sample_clip(), long_video, seconds)
            _compare_ray_with_jobs(long_video, folder, rounds, size)


def _compare_ray_with_jobs(video: Path, folder: Path, rounds: int, size: str) -> None:
    commands = {"--jobs 2": ("--jobs", "2"), "--ray --jobs 2": ("--jobs", "2", "--ray")}
    fps_total: dict[str, list[float]] = {name: [] for name in commands}
    fps_working: dict[str, list[float]] = {name: [] for name in commands}
    for turn in range(rounds):
        for name, flags in commands.items():
            out = folder / f"out-{turn}.mp4"
            started = time.perf_counter()
            stats = _run_translate(
                video, "-o", out, "--size", size, *flags, json_path=folder / "s.json"
            )
            frames = sum(one["frames"] for one in stats["videos"])
            fps_total[name].append(frames / (time.perf_counter() - started))
            fps_working[name].append(frames / stats["seconds_of_work"])
            click.echo(
                f"{name:15} {frames} frames, {fps_total[name][-1]:6.1f} frames/s in total, "
                f"{fps_working[name][-1]:6.1f} without start-up"
            )
    ratios = [
        max(speed["--ray --jobs 2"]) / max(speed["--jobs 2"]) for speed in (fps_total, fps_working)
    ]
    click.echo(
        f"best of {rounds}: --ray reaches {ratios[0]:.3f} of --jobs in total, "
        f"{ratios[1]:.3f} without start-up"
    )
    if ratios[1] < _MIN_RAY_SPEED_RATIO:
        raise QualityError(f"--ray is below {_MIN_RAY_SPEED_RATIO:.0%} of local processes")


def _check_cluster_failures(folder: Path, minutes: float) -> None:
    videos, reference_dir, out = folder / "videos", folder / "one", folder / "out"
    videos.mkdir()
    reference_dir.mkdir()
    for number in range(_NUM_SHORT_VIDEOS):
        write_video(videos / f"{number:02d}.{('mp4', 'mkv', 'ts')[number % 3]}", 10 + 2 * number)
    write_video(videos / "long.mp4", 60 * minutes)
    video_paths = sorted(videos.iterdir())
    started = time.perf_counter()
    for video_path in track(video_paths, "single processes", transient=True):
        _run_translate(video_path, "-o", reference_dir / video_path.name, "--size", "64")
    click.echo(f"single processes: {time.perf_counter() - started:.0f} s")
    with start_ray_cluster(2, 1) as cluster:
        started = time.perf_counter()
        stats = _run_translate(
            *(f"{videos}/*", "-o", out, "--size", "64", "--ray", cluster.address),
            json_path=folder / "s.json",
            while_running=lambda process: _kill_worker_then_node(cluster, process, out),
        )
        click.echo(f"cluster: {time.perf_counter() - started:.0f} s, {stats['retries']} retries")
    found_differences = [
        text
        for path in video_paths
        for text in video_differences(reference_dir / path.name, out / path.name)
    ]
    segments = sum(video["parts"] for video in stats["videos"])
    frames = sum(video["frames"] for video in stats["videos"])
    click.echo(
        f"{len(video_paths)} videos, {segments} segments, {frames} frames; "
        f"{len(found_differences)} differences"
    )
    if found_differences or stats["retries"] < 2:
        raise EngineError("; ".join(found_differences) or "the tasks ended before the kills")


def _kill_worker_then_node(cluster: RayCluster, process: subprocess.Popen[str], out: Path) -> None:
    """Kill a worker after a third of the long video's segments, and a node after two thirds."""
    kills: list[tuple[int, Callable[[], bool]]] = [
        (6, lambda: cluster.kill_worker(0)),
        (12, cluster.kill_last_node),
    ]
    while kills and process.poll() is None:
        segments = len(list(out.glob(".cgt-jobs/*/0*.part")))
        if segments >= kills[0][0] and kills[0][1]():
            click.echo(f"killed a {'worker' if len(kills) == 2 else 'node'} at {segments} segments")
            kills.pop(0)
        time.sleep(0.05)


def _run_translate(
    *arguments: object,
    json_path: Path | None = None,
    while_running: Callable[[subprocess.Popen[str]], None] = lambda process: None,
) -> dict[str, Any]:
    """Run `cgt translate`; return what it wrote with --json. Raises EngineError."""
    command: Sequence[object] = (Path(sys.executable).with_name("cgt"), "translate", *arguments)
    if json_path is not None:
        command = (*command, "--json", json_path)
    process = subprocess.Popen(
        [*map(str, command)], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
    )
    while_running(process)
    _, error_text = process.communicate()
    if process.returncode != 0:
        raise EngineError(f"cgt translate failed: {(error_text.strip().splitlines() or ['?'])[-1]}")
    stats: dict[str, Any] = json.loads(json_path.read_text()) if json_path is not None else {}
    return stats


if __name__ == "__main__":
    run_command(main)
