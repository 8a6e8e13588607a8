"""A finished student as a file: its generator, and what was measured of it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ..checkpoint import Checkpoint, load_checkpoint, save_checkpoint
from ..generator import TrainedGenerator, own_generator


def finish(run: Path, output: Path, report: dict[str, Any]) -> TrainedGenerator:
    """Write the student of RUN/latest.pth as a checkpoint of its own, without what only training
    needs. Returns it as `open_generator` would. Raises CheckpointError, OSError."""
    checkpoint = load_checkpoint(run / "latest.pth")
    lean = _lean(checkpoint, report)
    save_checkpoint(output, checkpoint.config, checkpoint.domains, checkpoint.step, lean)
    return own_generator(load_checkpoint(output))


def student_of(run: Path) -> TrainedGenerator:
    """The student of RUN/latest.pth as it is now. Raises CheckpointError."""
    return own_generator(load_checkpoint(run / "latest.pth"))


def _lean(checkpoint: Checkpoint, report: dict[str, Any]) -> dict[str, Any]:
    direction = checkpoint.config.directions[0]
    name = "G_A" if direction == "AtoB" else "G_B"
    empty: dict[str, Any] = {"optimizers": {}, "averages": {}, "pools": {}, "unlogged": []}
    networks = {name: checkpoint.generator(direction).state_dict()}
    return empty | {"networks": networks, "report": report}
