"""Candidates on the terminal: size, work, speed."""

from __future__ import annotations

from rich.console import Console
from rich.table import Table as Shown

from .doubts import MAX_OTHER_LOAD
from .latency_table import CandidateTiming, LatencyTable

COLUMNS = ("par. k", "MACs M", "p50 ms", "p99 ms", "alone", "whole")


def print_latency_table(
    table: LatencyTable, console: Console, chosen: CandidateTiming | None = None
) -> None:
    """Smallest first; the chosen one is starred."""
    height, width = table.size
    engines = ", ".join(sorted({speed.engine for speed in table.timings})) or table.engine
    console.print(table.machine, style="dim", highlight=False)
    console.print(
        f"students at {height}x{width} in {table.precision} on {engines}, random weights; "
        "frames/s of the engine alone, and estimated of the whole from source to sink",
        highlight=False,
    )
    rich_table = Shown("student", box=None, pad_edge=False)
    for name in COLUMNS:
        rich_table.add_column(name, justify="right")
    for speed in table.timings:
        kind = f"pruned {speed.variant[2]}" if speed.pruned_from else " ".join(speed.variant)
        name = f"{speed.ngf}x{speed.blocks} {kind}"
        figures = (
            f"{speed.parameters / 1e3:.0f}",
            f"{speed.macs / 1e6:.0f}",
            f"{speed.p50_ms:.2f}",
            f"{speed.p99_ms:.2f}",
            f"{speed.fps:.1f}",
            f"{table.end_to_end_fps(speed):.1f}" if table.overhead else "-",
        )
        star, style = ("* ", "bold") if speed is chosen else ("", "")
        rich_table.add_row(star + name, *figures, style=style)
    console.print(rich_table)
    if table.overhead:
        beside = f"{table.overhead.seconds_per_frame * 1e3:.1f} ms a frame beside the engine"
        console.print(f"the pipeline takes {beside} ({table.overhead.video})", highlight=False)
    if chosen:
        console.print("* is the largest that reaches the target", highlight=False)
    disturbed_count = sum(speed.other_load > MAX_OTHER_LOAD for speed in table.timings)
    if disturbed_count:
        console.print(
            f"warning: other programs disturbed {disturbed_count} of {len(table.timings)} measurements, "
            "which are not remembered; measure again when the machine is quiet",
            style="yellow",
            highlight=False,
        )
