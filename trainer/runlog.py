"""metrics.csv: one line of mean losses per interval and one per evaluation, for anything to read;
the same for TensorBoard where it is installed.

    step, epoch, lr, G_A, ..., frechet, ...    what a line does not say is empty
"""

from __future__ import annotations

import csv
import importlib.util
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from cgt.runtime.files import whole_file

from .csvlog import Row, read_log, text_of


class RunLog:
    """Appends to RUN/metrics.csv; lines after `from_step` (of a run that was cut off) go.

    pending: losses since the last line; a checkpoint keeps them. names: theirs, set by the first.
    """

    def __init__(self, folder: Path, from_step: int, pending: list[Tensor]) -> None:
        self.path = folder / "metrics.csv"
        self.pending = pending
        self.names: list[str] = []
        self._columns: list[str] = []
        self._trim(from_step)
        self._board: Any = None
        if importlib.util.find_spec("tensorboard"):
            from torch.utils.tensorboard import SummaryWriter

            self._board = SummaryWriter(str(folder / "tensorboard"), purge_step=from_step + 1)

    def _trim(self, from_step: int) -> None:
        if self.path.exists():
            rows = [row for row in read_log(self.path) if row["step"] <= from_step]
            self._columns = list(dict.fromkeys(name for row in rows for name in row))
            self._rewrite(rows)

    def _rewrite(self, rows: list[Row]) -> None:
        with whole_file(self.path) as temporary, open(temporary, "w", newline="") as file:
            writer = csv.DictWriter(file, self._columns)
            if self._columns:
                writer.writeheader()
            writer.writerows({name: text_of(value) for name, value in row.items()} for row in rows)

    def add(self, losses: dict[str, Tensor]) -> None:
        """Remember one step's losses."""
        # Stacked on the device: reading a value here would wait for the GPU at each step.
        self.names = list(losses)
        self.pending.append(torch.stack(list(losses.values())))

    def not_finite(self, step: int) -> tuple[int, str] | None:
        """The first step, of those up to `step` that are pending, with a loss that is no number,
        and which loss."""
        if not self.pending:
            return None
        bad = ~torch.isfinite(torch.stack(self.pending))
        if not bool(bad.any()):
            return None
        row, column = torch.nonzero(bad)[0].tolist()
        return step - len(self.pending) + row + 1, self.names[column]

    def flush(self) -> Row:
        """The means since the last time."""
        means = torch.stack(self.pending).mean(0).tolist()
        self.pending.clear()
        return dict(zip(self.names, means, strict=True))

    def write(self, step: int, epoch: float, values: Row) -> None:
        """One line; a column that is new is added to all."""
        row = {"step": float(step), "epoch": epoch, **values}
        if new := [name for name in row if name not in self._columns]:
            rows = read_log(self.path) if self.path.exists() else []
            self._columns += new
            self._rewrite([*rows, row])
        else:
            with open(self.path, "a", newline="") as file:
                csv.DictWriter(file, self._columns).writerow(
                    {name: text_of(value) for name, value in row.items()}
                )
        if self._board is not None:
            for name, value in values.items():
                self._board.add_scalar(name, value, step)
            self._board.flush()

    def close(self) -> None:
        if self._board is not None:
            self._board.close()
