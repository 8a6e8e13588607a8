"""Piles of video: what Ray costs, and what a cluster that loses a worker and a node makes.

    python -m cgt.benchmarks.jobs [VIDEO] [--rounds 1]      --ray against --jobs, 2 workers each
    python -m cgt.benchmarks.jobs --cluster [--minutes 10]  12 videos and a long one on two nodes

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

from cgt.runtime.clip import sample_clip
from cgt.runtime.errors import EngineError, QualityError

from .command import run_command
from .films import repeat_video, write_film
from .ray_cluster import RayCluster, ray_cluster
from .same import differences

_SHORT = 12
_FLOOR = 0.9  # of the frames/s of --jobs


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
            _break_a_cluster(folder, minutes)
        else:
            film = folder / "film.mp4"
            repeat_video(video or sample_clip(), film, seconds)
            _compare(film, folder, rounds, size)


def _compare(film: Path, folder: Path, rounds: int, size: str) -> None:
    ways = {"--jobs 2": ("--jobs", "2"), "--ray --jobs 2": ("--jobs", "2", "--ray")}
    whole: dict[str, list[float]] = {way: [] for way in ways}
    work: dict[str, list[float]] = {way: [] for way in ways}
    for turn in range(rounds):
        for way, flags in ways.items():
            out = folder / f"out-{turn}.mp4"
            began = time.perf_counter()
            facts = _translate(film, "-o", out, "--size", size, *flags, stats=folder / "s.json")
            frames = sum(one["frames"] for one in facts["videos"])
            whole[way].append(frames / (time.perf_counter() - began))
            work[way].append(frames / facts["seconds_of_work"])
            click.echo(
                f"{way:15} {frames} frames, {whole[way][-1]:6.1f} frames/s in all, "
                f"{work[way][-1]:6.1f} at work"
            )
    ratios = [max(speed["--ray --jobs 2"]) / max(speed["--jobs 2"]) for speed in (whole, work)]
    click.echo(
        f"best of {rounds}: --ray is {ratios[0]:.3f} of --jobs in all, {ratios[1]:.3f} at work"
    )
    if ratios[1] < _FLOOR:
        raise QualityError(f"Ray is below {_FLOOR:.0%} of local processes")


def _break_a_cluster(folder: Path, minutes: float) -> None:
    videos, one, out = folder / "videos", folder / "one", folder / "out"
    videos.mkdir()
    one.mkdir()
    for number in range(_SHORT):
        write_film(videos / f"{number:02d}.{('mp4', 'mkv', 'ts')[number % 3]}", 10 + 2 * number)
    write_film(videos / "long.mp4", 60 * minutes)
    films = sorted(videos.iterdir())
    began = time.perf_counter()
    for film in track(films, "single processes", transient=True):
        _translate(film, "-o", one / film.name, "--size", "64")
    click.echo(f"single processes: {time.perf_counter() - began:.0f} s")
    with ray_cluster(2, 1) as cluster:
        began = time.perf_counter()
        facts = _translate(
            *(f"{videos}/*", "-o", out, "--size", "64", "--ray", cluster.address),
            stats=folder / "s.json",
            meanwhile=lambda process: _kill_both(cluster, process, out),
        )
        click.echo(f"cluster: {time.perf_counter() - began:.0f} s, {facts['retries']} tasks again")
    wrong = [text for film in films for text in differences(one / film.name, out / film.name)]
    parts = [item["parts"] for item in facts["videos"]]
    frames = sum(item["frames"] for item in facts["videos"])
    click.echo(
        f"{len(films)} videos, {sum(parts)} parts, {frames} frames; {len(wrong)} differences"
    )
    if wrong or facts["retries"] < 2:
        raise EngineError("; ".join(wrong) or "nothing was killed in time")


def _kill_both(cluster: RayCluster, process: subprocess.Popen[str], out: Path) -> None:
    """A worker when a third of the parts of the long film are there, a node at two thirds."""
    acts: list[tuple[int, Callable[[], bool]]] = [
        (6, lambda: cluster.kill_worker(0)),
        (12, cluster.kill_last_node),
    ]
    while acts and process.poll() is None:
        parts = len(list(out.glob(".cgt-jobs/*/0*.part")))
        if parts >= acts[0][0] and acts[0][1]():
            click.echo(f"killed a {'worker' if len(acts) == 2 else 'node'} at {parts} parts")
            acts.pop(0)
        time.sleep(0.05)


def _translate(
    *words: object,
    stats: Path | None = None,
    meanwhile: Callable[[subprocess.Popen[str]], None] = lambda process: None,
) -> dict[str, Any]:
    """Runs `cgt translate`; returns what it wrote to `stats`. Raises EngineError."""
    command: Sequence[object] = (Path(sys.executable).with_name("cgt"), "translate", *words)
    if stats is not None:
        command = (*command, "--stats", stats)
    process = subprocess.Popen(
        [*map(str, command)], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
    )
    meanwhile(process)
    _, said = process.communicate()
    if process.returncode != 0:
        raise EngineError(f"cgt translate failed: {(said.strip().splitlines() or ['?'])[-1]}")
    facts: dict[str, Any] = json.loads(stats.read_text()) if stats is not None else {}
    return facts


if __name__ == "__main__":
    run_command(main)
