"""`cgt` beside what one would pick instead, in one run: same frames, same weights, same size.

    python -m cgt.benchmarks.peers [VIDEO] [--model FILE | --ckpt FILE] [--size 256] [--rounds 3]

Each peer is paired with ours and both take turns, so that a noisy machine disturbs both alike; the
ratio is the median of the rounds' ratios. Whole videos first (start-up, reading, translating and
writing all counted, on both sides), then the network alone, one frame after the other.
"""

from __future__ import annotations

import statistics
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import click
from rich.console import Console

from cgt.runtime.artifact import DIRECTIONS, Direction
from cgt.runtime.clip import sample_clip
from cgt.runtime.engines import read_model
from cgt.runtime.errors import CgtError, MissingDependency
from cgt.runtime.geometry import parse_size
from cgt.runtime.progress import progress_bar
from cgt.runtime.translator import BUNDLED_MODEL

from .command import results_option, run_command
from .machine import conditions, describe_machine
from .peer_networks import network_peers, our_network
from .peer_videos import Film, our_video, video_peers
from .sections import write_section
from .unrounded import write_unrounded

Seconds = Callable[[], float]
"""Of one frame, by running some."""


@dataclass(frozen=True)
class Peer:
    """One contestant."""

    name: str
    run: Seconds


@dataclass(frozen=True)
class Duel:
    """Seconds per frame of a peer and of ours, turn by turn."""

    peer: str
    theirs: list[float]
    ours: list[float]

    @property
    def ratio(self) -> float:
        """How many times as fast ours is: the median of the turns' ratios."""
        turns = zip(self.theirs, self.ours, strict=True)
        return statistics.median(theirs / ours for theirs, ours in turns)


def duel(peer: Peer, ours: Seconds, rounds: int, tick: Callable[[], None]) -> Duel:
    """Turns of both; who begins alternates."""
    found = Duel(peer.name, [], [])
    for turn in range(rounds):
        sides = [(found.theirs, peer.run), (found.ours, ours)]
        for times, run in sides if turn % 2 == 0 else sides[::-1]:
            times.append(run())
        tick()
    return found


def table(duels: Sequence[Duel], ours: str, unit: str) -> list[str]:
    """Lines of Markdown. unit: "frames/s" or "ms"."""
    lines = [f"| | {unit} | {ours}, {unit} | ratio |", "|---|---|---|---|"]
    for found in duels:
        theirs, own = (statistics.median(times) for times in (found.theirs, found.ours))
        figures = [1 / s if unit == "frames/s" else s * 1e3 for s in (theirs, own)]
        cells = " | ".join(f"{figure:.2f}" for figure in figures)
        lines.append(f"| {found.peer} | {cells} | {found.ratio:.2f} |")
    return lines


@click.command()
@click.argument(
    "video", type=click.Path(exists=True, dir_okay=False, path_type=Path), required=False
)
@click.option("--model", type=click.Path(path_type=Path), help="ONNX; the bundled one by default.")
@click.option(
    "--ckpt", type=click.Path(path_type=Path), help="A checkpoint instead, exported here."
)
@click.option("--direction", type=click.Choice(DIRECTIONS), help="Of --ckpt.")
@click.option("--size", default="256", show_default=True)
@click.option("--engine", default="auto", show_default=True, help="Ours.")
@click.option("--frames", type=click.IntRange(1), default=100, show_default=True)
@click.option("--rounds", default=3, show_default=True)
@click.option("--seconds", default=2.0, show_default=True, help="Of each network in each round.")
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
    """Ours against each peer; what is not installed is left out and said."""
    sides = parse_size(size)
    if sides == "source":
        raise click.UsageError("give a size in pixels")
    before = conditions()
    with tempfile.TemporaryDirectory(prefix="cgt-peers-") as name:
        folder = Path(name)
        path = _exported(ckpt, direction, folder) if ckpt else model or BUNDLED_MODEL
        plain = path
        if read_model(path).precision.startswith("int8"):
            plain = write_unrounded(folder / "plain.onnx", path)
        film = Film(video or sample_clip(), path, sides, frames, folder, engine, plain)
        missing: list[str] = []
        makers = {**video_peers(film, ckpt, direction)}
        networks = network_peers(path, plain, sides, ckpt, direction, seconds)
        total = rounds * (len(makers) + len(networks))
        with progress_bar("measuring", total, unit="round") as bar:
            videos = _duels(makers, our_video(film), rounds, bar.advance, missing)
            ours = our_network(path, sides, engine, seconds)
            alone = _duels(networks, ours, rounds, bar.advance, missing)
    lines = [
        f"{film.video.name}, {frames} frames to {sides[0]}x{sides[1]} and back into a video, "
        f"{ckpt.name if ckpt else path.name}; {rounds} rounds, medians.",
        "",
        *table(videos, f"`cgt translate` ({engine})", "frames/s"),
        "",
        "The network alone, one frame after the other:",
        "",
        *table(alone, f"`cgt` ({engine})", "ms"),
        *([""] + [f"Left out: {line}." for line in dict.fromkeys(missing)] if missing else []),
    ]
    Console().print("\n".join(lines), highlight=False, markup=False)
    if results:
        title = f"Peers, {ckpt.name if ckpt else path.name}"
        name = f"peers {ckpt.stem if ckpt else path.stem}"
        write_section(results, name, lines, describe_machine(), before, conditions(), title)


def _duels(
    makers: dict[str, Callable[[], Seconds]],
    ours: Seconds,
    rounds: int,
    tick: Callable[[], None],
    missing: list[str],
) -> list[Duel]:
    found = []
    for name, make in makers.items():
        try:
            found.append(duel(Peer(name, make()), ours, rounds, tick))
        except (CgtError, MissingDependency) as error:
            missing.append(f"{name} ({error})")
    return found


def _exported(ckpt: Path, direction: Direction | None, folder: Path) -> Path:
    from cgt.export import export

    path, _ = export(ckpt, folder / f"{ckpt.stem}.onnx", direction=direction, precision="fp32")
    return path


if __name__ == "__main__":
    run_command(main)
