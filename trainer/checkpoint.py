"""`latest.pth`: a whole run in one file that loads with `weights_only=True`.

    format, version   "cgt-checkpoint", 1
    config            TrainConfig as plain JSON types
    domains           names of A and B
    step              training steps done
    networks          G_A, G_B, D_A, D_B: state dicts; pix2pix has one of either
    optimizers        G, D
    averages          G_A, G_B: their moving averages; empty without --ema
    pools             A, B: images and random state
    scaler            of fp16's gradients; empty in other precisions
    best              metric, value and epoch of best.pth
    unlogged          losses since the last line of metrics.csv
    world             how many processes trained
    distilling        of `cgt distill`: adapter, thresholds of INT8
    report            of a finished student: what was measured of it

Nothing else is random after the start: data order, augmentation and dropout follow from seed and
step, and so does the learning rate.
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

# Imported when needed: cgt.distill is built on this package.
_TRAIN_CONFIG = "cgt.trainer.config:TrainConfig"
_CONFIG_CLASSES = {"distill": "cgt.distill.config:DistillConfig"}
FORMAT, VERSION = "cgt-checkpoint", 1
_REQUIRED_KEYS = ("networks", "optimizers", "averages", "pools", "unlogged")
_OPTIONAL_KEYS = (
    "scaler",
    "best",
    "world",
    "distilling",
    "report",
)  # what the first checkpoints lack


@dataclass(frozen=True)
class Checkpoint:
    """A loaded checkpoint; tensors are on the CPU."""

    path: Path
    config: TrainConfig
    domains: tuple[str, str]
    step: int
    state: dict[str, Any]

    def load_generator(self, direction: Direction) -> Generator:
        """The generator of one direction, in eval mode; its moving average where there is one."""
        name = "G_A" if direction == "AtoB" else "G_B"
        if direction not in self.config.directions:
            raise CheckpointError(
                f"{self.path} has no generator {direction}; it learned {self.config.direction}"
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
                f"{self.path} is damaged: {name} does not fit its settings"
            ) from None
        return network.eval()

    @property
    def written_by(self) -> str:
        """The command."""
        return "cgt distill" if self.config.method == "distill" else "cgt train"

    def sha256(self) -> str:
        return file_sha256(self.path)


def save_checkpoint(
    path: Path, config: TrainConfig, domains: tuple[str, str], step: int, state: dict[str, Any]
) -> None:
    """Write atomically: the old file stays until the new one is on the disk."""
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
    """Raises CheckpointError when the file is missing, damaged, or neither `cgt train`'s nor `cgt
    distill`'s."""
    payload = read_payload(path)
    if not is_cgt_checkpoint(payload):
        raise CheckpointError(
            f"{path} was not written by `cgt train` or `cgt distill`; `cgt train --init-from` "
            "begins with the weights of other trainers"
        )
    return parse_checkpoint(path, payload)


def is_cgt_checkpoint(payload: Any) -> bool:
    """Whether `cgt train` or `cgt distill` wrote what a file holds."""
    return isinstance(payload, dict) and payload.get("format") == FORMAT


def parse_checkpoint(path: Path, payload: dict[str, Any]) -> Checkpoint:
    """Raises CheckpointError for a newer version's, and for one with parts missing."""
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
        raise CheckpointError(f"{path} is damaged: {error} is missing or wrong in it") from None


def _parse_config(values: dict[str, Any]) -> TrainConfig:
    """Return the run's config. Raises CheckpointError for settings that this version lacks."""
    module, _, name = _CONFIG_CLASSES.get(values.get("method", ""), _TRAIN_CONFIG).partition(":")
    config_class: type[TrainConfig] = getattr(importlib.import_module(module), name)
    return config_class.from_json(values)
