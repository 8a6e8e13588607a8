"""Candidates on the terminal: size, work, speed."""

from __future__ import annotations

from rich.console import Console
from rich.table import Table as Shown

from .doubts import SHARE
from .latency_table import Speed, Table

FIGURES = ("par. k", "MACs M", "p50 ms", "p99 ms", "alone", "whole")


def print_table(table: Table, console: Console, chosen: Speed | None = None) -> None:
    """Smallest first; the chosen one is starred."""
    height, width = table.size
    engines = ", ".join(sorted({speed.engine for speed in table.speeds})) or table.engine
    console.print(table.machine, style="dim", highlight=False)
    console.print(
        f"students at {height}x{width} in {table.precision} on {engines}, random weights; "
        "frames/s of the engine alone, and estimated of the whole from source to sink",
        highlight=False,
    )
    shown = Shown("student", box=None, pad_edge=False)
    for name in FIGURES:
        shown.add_column(name, justify="right")
    for speed in table.speeds:
        kind = f"pruned {speed.kind[2]}" if speed.layout else " ".join(speed.kind)
        name = f"{speed.ngf}x{speed.blocks} {kind}"
        figures = (
            f"{speed.parameters / 1e3:.0f}",
            f"{speed.macs / 1e6:.0f}",
            f"{speed.p50:.2f}",
            f"{speed.p99:.2f}",
            f"{speed.fps:.1f}",
            f"{table.end_to_end(speed):.1f}" if table.cost else "-",
        )
        star, style = ("* ", "bold") if speed is chosen else ("", "")
        shown.add_row(star + name, *figures, style=style)
    console.print(shown)
    if table.cost:
        beside = f"{table.cost.seconds * 1e3:.1f} ms a frame beside the engine"
        console.print(f"the pipeline takes {beside} ({table.cost.video})", highlight=False)
    if chosen:
        console.print("* is the largest that reaches the target", highlight=False)
    disturbed = sum(speed.others > SHARE for speed in table.speeds)
    if disturbed:
        console.print(
            f"warning: other programs disturbed {disturbed} of {len(table.speeds)} measurements, "
            "which are not remembered; measure again when the machine is quiet",
            style="yellow",
            highlight=False,
        )
