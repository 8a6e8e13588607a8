"""A finished student as a file: its generator, and what was measured of it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ..checkpoint import Checkpoint, load_checkpoint, save_checkpoint
from ..generator import TrainedGenerator, generator_from_checkpoint


def save_student(run_folder: Path, output: Path, report: dict[str, Any]) -> TrainedGenerator:
    """Write the student of RUN/latest.pth as a checkpoint of its own, without what only training
    needs. Returns it as `open_generator` would. Raises CheckpointError, OSError."""
    checkpoint = load_checkpoint(run_folder / "latest.pth")
    lean = _inference_state(checkpoint, report)
    save_checkpoint(output, checkpoint.config, checkpoint.domains, checkpoint.step, lean)
    return generator_from_checkpoint(load_checkpoint(output))


def load_student(run_folder: Path) -> TrainedGenerator:
    """The student of RUN/latest.pth as it is now. Raises CheckpointError."""
    return generator_from_checkpoint(load_checkpoint(run_folder / "latest.pth"))


def _inference_state(checkpoint: Checkpoint, report: dict[str, Any]) -> dict[str, Any]:
    direction = checkpoint.config.directions[0]
    name = "G_A" if direction == "AtoB" else "G_B"
    no_training_state: dict[str, Any] = {
        "optimizers": {},
        "averages": {},
        "pools": {},
        "unlogged": [],
    }
    networks = {name: checkpoint.load_generator(direction).state_dict()}
    return no_training_state | {"networks": networks, "report": report}
