"""Reader and writer of metrics.csv, the log of losses and evaluation metrics.

    step, epoch, lr, G_A, ..., frechet, ...    missing values are empty

There is one row of mean losses per interval and one row per evaluation. If TensorBoard is
installed, the writer also writes its event files.
"""

from __future__ import annotations

import csv
import importlib.util
import math
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from cgt.runtime.utils.atomic import atomic_write

MetricsRow = dict[str, float]
"""Values of a row by column; missing values have no entry."""

# Names of metrics in files written before version 0.1.0.
OLD_METRIC_NAMES = {"explained": "mse_skill"}


def format_value(value: float) -> str:
    """Format a value with six significant digits; integers have no decimal point."""
    return str(int(value)) if float(value).is_integer() else f"{value:.6g}"


def read_metrics(path: Path) -> list[MetricsRow]:
    """Read all complete rows of a metrics.csv. An interrupted run may leave an incomplete one."""
    rows = []
    with open(path, newline="") as file:
        for row in csv.DictReader(file):
            try:
                numbers = {OLD_METRIC_NAMES.get(k, k): float(v) for k, v in row.items() if k and v}
            except ValueError:
                continue
            if None not in row.values() and "step" in numbers:
                rows.append({k: v for k, v in numbers.items() if math.isfinite(v)})
    return rows


class MetricsLogger:
    """Writer of RUN/metrics.csv and RUN/tensorboard.

    Args:
        folder: Folder of the run.
        from_step: Step from which the run resumes; rows after it are dropped.
        pending_losses: Losses since the last row, one tensor per step; checkpoints keep them.

    Attributes:
        loss_names: Names of the losses, known after the first step.
    """

    def __init__(self, folder: Path, from_step: int, pending_losses: list[Tensor]) -> None:
        self.path = folder / "metrics.csv"
        self.pending_losses = pending_losses
        self.loss_names: list[str] = []
        self._columns: list[str] = []
        self._drop_rows_after(from_step)
        self._tensorboard: Any = None
        if importlib.util.find_spec("tensorboard"):
            from torch.utils.tensorboard import SummaryWriter

            self._tensorboard = SummaryWriter(str(folder / "tensorboard"), purge_step=from_step + 1)

    def _drop_rows_after(self, from_step: int) -> None:
        if self.path.exists():
            rows = [row for row in read_metrics(self.path) if row["step"] <= from_step]
            self._columns = list(dict.fromkeys(name for row in rows for name in row))
            self._rewrite(rows)

    def _rewrite(self, rows: list[MetricsRow]) -> None:
        with atomic_write(self.path) as temporary, open(temporary, "w", newline="") as file:
            writer = csv.DictWriter(file, self._columns)
            if self._columns:
                writer.writeheader()
            writer.writerows(
                {name: format_value(value) for name, value in row.items()} for row in rows
            )

    def add_losses(self, losses: dict[str, Tensor]) -> None:
        """Record the losses of one step until the next row."""
        # They stay on the device, because reading a value would wait for the GPU at each step.
        self.loss_names = list(losses)
        self.pending_losses.append(torch.stack(list(losses.values())))

    def find_non_finite(self, step: int) -> tuple[int, str] | None:
        """Find a NaN or infinite value among the pending losses.

        Args:
            step: Step of the last pending losses.

        Returns:
            The first step with such a loss, and the name of the loss; None if all are finite.
        """
        if not self.pending_losses:
            return None
        bad = ~torch.isfinite(torch.stack(self.pending_losses))
        if not bool(bad.any()):
            return None
        row, column = torch.nonzero(bad)[0].tolist()
        return step - len(self.pending_losses) + row + 1, self.loss_names[column]

    def pop_means(self) -> MetricsRow:
        """Return the mean of the pending losses by name, and clear them."""
        means = torch.stack(self.pending_losses).mean(0).tolist()
        self.pending_losses.clear()
        return dict(zip(self.loss_names, means, strict=True))

    def write_row(self, step: int, epoch: float, values: MetricsRow) -> None:
        """Append a row. If it has a new column, rewrite the file with that column."""
        row = {"step": float(step), "epoch": epoch, **values}
        if new := [name for name in row if name not in self._columns]:
            rows = read_metrics(self.path) if self.path.exists() else []
            self._columns += new
            self._rewrite([*rows, row])
        else:
            with open(self.path, "a", newline="") as file:
                csv.DictWriter(file, self._columns).writerow(
                    {name: format_value(value) for name, value in row.items()}
                )
        if self._tensorboard is not None:
            for name, value in values.items():
                self._tensorboard.add_scalar(name, value, step)
            self._tensorboard.flush()

    def close(self) -> None:
        """Close the TensorBoard writer."""
        if self._tensorboard is not None:
            self._tensorboard.close()
