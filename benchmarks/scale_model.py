"""From the cost of a frame to machines and hours. Cores share all stages of the CPU evenly: each
translates files or parts of its own, which is what --jobs and --ray do."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

HOURS = (1, 24, 1000)
_GIGABIT = 125e6  # bytes per second
_USABLE = 0.9  # of a link


@dataclass(frozen=True)
class Costs:
    """Of a frame: seconds of one core for each stage, and bytes of compressed video on both ends.
    size: (height, width) that the network sees and that is written."""

    size: tuple[int, int]
    decode: float
    pixels: float
    network: float
    encode: float
    bytes_in: float
    bytes_out: float

    @property
    def around(self) -> float:
        """Of all but the network, which a GPU takes over."""
        return self.decode + self.pixels + self.encode

    @property
    def raw(self) -> int:
        """Bytes of an uncompressed picture."""
        return 3 * self.size[0] * self.size[1]

    @property
    def text(self) -> str:
        return f"{self.size[0]}x{self.size[1]}"


@dataclass(frozen=True)
class Machine:
    """gpu: frames/s of the network there, 0 for none."""

    name: str
    cores: int
    gpu: float = 0.0

    def rate(self, costs: Costs) -> float:
        """Frames/s, of many videos at once."""
        if not self.gpu:
            return self.cores / (costs.around + costs.network)
        return min(self.gpu, self.cores / costs.around)

    def limit(self, costs: Costs) -> str:
        """The stage that more of would help first."""
        stages = {"decode": costs.decode, "resize": costs.pixels, "encode": costs.encode}
        if not self.gpu:
            stages["network"] = costs.network
        elif self.gpu < self.cores / costs.around:
            return "network, on the GPU"
        return f"{max(stages, key=lambda name: stages[name])}, on the cores"


def cost_table(all_: Sequence[Costs]) -> list[str]:
    """Core-milliseconds of each stage."""
    lines = [
        "| one frame of 1080p, ms of one core | decode | resize | network | encode | sum "
        "| frames/s per core |",
        "|---|---|---|---|---|---|---|",
    ]
    for costs in all_:
        stages = (costs.decode, costs.pixels, costs.network, costs.encode)
        cells = [f"{1e3 * seconds:.1f}" for seconds in (*stages, sum(stages))]
        lines.append(f"| to {costs.text} | {' | '.join(cells)} | {1 / sum(stages):.2f} |")
    return lines


def machine_table(machines: Sequence[Machine], costs: Costs, fps: int) -> list[str]:
    """Time for video of some lengths, and how many machines do the most of it in a day."""
    most = HOURS[-1]
    lines = [
        f"| {fps} frames/s of 1080p to {costs.text} | frames/s | what limits | "
        + " | ".join(f"{hours} h of video" for hours in HOURS)
        + f" | machines for {most} h in a day |",
        "|---" * (4 + len(HOURS)) + "|",
    ]
    for machine in machines:
        rate = machine.rate(costs)
        took = [hours * fps / rate for hours in HOURS]  # hours
        cells = [f"{rate:.1f}", machine.limit(costs), *map(_hours, took)]
        lines.append(f"| {machine.name} | {' | '.join(cells)} | {math.ceil(took[-1] / 24)} |")
    return lines


def transport_table(all_: Sequence[Costs], fps: int) -> list[str]:
    """What has to be moved and kept."""
    lines = [
        f"| {fps} frames/s of 1080p to | files, GB per hour of video: in, out | to a server and "
        "back, MB per frame | frames/s of 1 Gbit/s | of 10 Gbit/s |",
        "|---|---|---|---|---|",
    ]
    for costs in all_:
        hour = 3600 * fps / 1e9
        both = 2 * costs.raw  # each way has the link's rate to itself
        links = [f"{gigabits * _GIGABIT * _USABLE / costs.raw:.0f}" for gigabits in (1, 10)]
        files = f"{hour * costs.bytes_in:.2f}, {hour * costs.bytes_out:.2f}"
        lines.append(f"| {costs.text} | {files} | {both / 1e6:.2f} | {' | '.join(links)} |")
    return lines


def _hours(hours: float) -> str:
    if hours < 1:
        return f"{60 * hours:.0f} min"
    return f"{hours:.1f} h" if hours < 48 else f"{hours / 24:.1f} days"
