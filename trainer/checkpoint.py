"""Checkpoint file format: the complete state of a training run.

The file loads with `weights_only=True`. Its keys:

    format, version   "cgt-checkpoint", 1
    config            TrainConfig as plain JSON types
    domains           names of A and B
    step              number of completed training steps
    networks          state dicts G_A, G_B, D_A, D_B; pix2pix has one generator, one discriminator
    optimizers        state dicts G, D
    averages          moving averages G_A, G_B; empty without --ema
    pools             image pools A, B: images and random state
    scaler            state of the fp16 loss scaler; empty in other precisions
    best              metric, value and epoch of best.pth
    unlogged          losses since the last row of metrics.csv
    world             number of training processes
    distilling        `cgt distill` only: feature adapter, INT8 activation ranges
    report            finished students only: evaluation report

There is no other random state: data order, augmentation, dropout and learning rate depend on the
seed and the step only.
"""

from __future__ import annotations

import importlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from cgt.runtime.errors import CgtError, CheckpointError
from cgt.runtime.models.metadata import Direction, rename_skill
from cgt.runtime.utils.atomic import atomic_write, file_sha256

from .config import TrainConfig
from .importers.file_reader import read_payload
from .networks import Generator, build_generator

# Imported when needed, because cgt.distill imports this package.
_TRAIN_CONFIG = "cgt.trainer.config:TrainConfig"
_CONFIG_CLASSES = {"distill": "cgt.distill.config:DistillConfig"}
FORMAT, VERSION = "cgt-checkpoint", 1
_REQUIRED_KEYS = ("networks", "optimizers", "averages", "pools", "unlogged")
_OPTIONAL_KEYS = ("scaler", "best", "world", "distilling", "report")  # missing in early checkpoints


@dataclass(frozen=True)
class Checkpoint:
    """A loaded checkpoint; tensors are on the CPU.

    Attributes:
        path: The file.
        config: Settings of the run.
        domains: Names of A and B.
        step: Number of completed training steps.
        state: The other entries of the file, by key (see the module docstring).
    """

    path: Path
    config: TrainConfig
    domains: tuple[str, str]
    step: int
    state: dict[str, Any]

    def load_generator(self, direction: Direction) -> Generator:
        """Load the generator of one direction, in eval mode.

        The weights are the moving average if the checkpoint has one.

        Raises:
            CheckpointError: If the run does not train this direction or the file is damaged.
        """
        name = "G_A" if direction == "AtoB" else "G_B"
        if direction not in self.config.directions:
            raise CheckpointError(
                f"{self.path} has no generator {direction}; the run trains {self.config.direction}"
            )
        network = build_generator(self.config.generator_config_for(direction))
        try:
            weights = self.state["networks"][name]
            if name in self.state["averages"]:
                average = self.state["averages"][name]
                weights = {key: average[f"module.{key}"] for key in weights}
            network.load_state_dict(weights)
        except (KeyError, TypeError, AttributeError, RuntimeError):
            raise CheckpointError(
                f"{self.path} is damaged: {name} does not match its config"
            ) from None
        return network.eval()

    @property
    def written_by(self) -> str:
        """Return the command that wrote the file."""
        return "cgt distill" if self.config.method == "distill" else "cgt train"

    def sha256(self) -> str:
        """Return the SHA-256 of the file as hexadecimal digits."""
        return file_sha256(self.path)


def save_checkpoint(
    path: Path, config: TrainConfig, domains: tuple[str, str], step: int, state: dict[str, Any]
) -> None:
    """Write a checkpoint atomically: an old file stays until the new one is on the disk.

    Args:
        path: File to write.
        config: Settings of the run.
        domains: Names of A and B.
        step: Number of completed training steps.
        state: The other entries of the file, by key (see the module docstring).
    """
    payload = {
        "format": FORMAT,
        "version": VERSION,
        "config": config.to_json(),
        "domains": list(domains),
        "step": step,
        **state,
    }
    with atomic_write(path) as temporary:
        torch.save(payload, temporary)


def load_checkpoint(path: Path) -> Checkpoint:
    """Load a checkpoint of `cgt train` or `cgt distill`.

    Raises:
        CheckpointError: If the file is missing, damaged or written by another program.
    """
    payload = read_payload(path)
    if not is_cgt_checkpoint(payload):
        raise CheckpointError(
            f"{path} was not written by `cgt train` or `cgt distill`; use `cgt train --init-from` "
            "to start from the weights of other trainers"
        )
    return parse_checkpoint(path, payload)


def is_cgt_checkpoint(payload: Any) -> bool:
    """Return whether `cgt train` or `cgt distill` wrote a loaded file."""
    return isinstance(payload, dict) and payload.get("format") == FORMAT


def parse_checkpoint(path: Path, payload: dict[str, Any]) -> Checkpoint:
    """Convert a loaded file to a checkpoint.

    Args:
        path: The file, for messages.
        payload: Its content.

    Raises:
        CheckpointError: If a newer version wrote the file or if entries are missing or invalid.
    """
    try:
        if payload["version"] > VERSION:
            raise CheckpointError(
                f"{path} was written by a newer version of cgt; upgrade to read it"
            )
        a, b = payload["domains"]
        state = {name: payload[name] for name in _REQUIRED_KEYS}
        state |= {name: payload.get(name, {}) for name in _OPTIONAL_KEYS}
        state["report"] = rename_skill(state["report"])
        config = _parse_config(payload["config"])
        return Checkpoint(path, config, (a, b), payload["step"], state)
    except (KeyError, TypeError, ValueError) as error:
        if isinstance(error, CgtError):
            raise
        raise CheckpointError(f"{path} is damaged: {error} is missing or invalid") from None


def _parse_config(values: dict[str, Any]) -> TrainConfig:
    """Restore the run's config. Raises CheckpointError for settings that this version lacks."""
    module, _, name = _CONFIG_CLASSES.get(values.get("method", ""), _TRAIN_CONFIG).partition(":")
    config_class: type[TrainConfig] = getattr(importlib.import_module(module), name)
    return config_class.from_json(values)
