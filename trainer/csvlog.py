"""losses.csv: one line of mean losses per interval, readable by anything."""

from __future__ import annotations

import csv
from pathlib import Path

import torch
from torch import Tensor


class LossLog:
    """Appends to a CSV file; lines after `from_step` (of a run that was cut off) are dropped."""

    def __init__(self, path: Path, from_step: int, pending: list[Tensor]) -> None:
        self.path = path
        self.latest: dict[str, float] = {}
        self.pending = pending  # losses since the last line; a checkpoint keeps them
        if path.exists():
            with open(path, newline="") as file:
                header, *rows = list(csv.reader(file)) or [[]]
            kept = [row for row in rows if row and int(row[0]) <= from_step]
            with open(path, "w", newline="") as file:
                csv.writer(file).writerows([header, *kept] if header else [])

    def add(self, step: int, losses: dict[str, Tensor], every: int) -> bool:
        """Remember one step's losses; write their mean, and return True, every `every` steps."""
        # Summing on the device: reading a value here would wait for the GPU at each step.
        self.pending.append(torch.stack(list(losses.values())))
        if step % every:
            return False
        means = torch.stack(self.pending).mean(0).tolist()
        self.pending.clear()
        self.latest = dict(zip(losses, means, strict=True))
        new = not self.path.exists() or self.path.stat().st_size == 0
        with open(self.path, "a", newline="") as file:
            writer = csv.writer(file)
            if new:
                writer.writerow(["step", *losses])
            writer.writerow([step, *(f"{value:.6g}" for value in means)])
        return True
