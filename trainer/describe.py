"""What a checkpoint is, for `cgt inspect`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from torch import Tensor

from cgt.runtime.errors import CheckpointError
from cgt.runtime.files import file_sha256

from .checkpoint import Checkpoint, from_payload, is_own
from .config import GeneratorConfig
from .foreign.importing import Identified, identify, import_identified
from .foreign.options import Options
from .foreign.reading import read_payload
from .generator import TrainedGenerator, foreign_generator, own_generator
from .macs import count_macs

Size = tuple[int, int] | None


def describe_checkpoint(path: Path, size: Size = None) -> dict[str, Any]:
    """Plain JSON types: what the file is, and each network in it.

    size: height, width at which to count MACs, rounded up to what the network takes; by default
    the one that it was trained for. Raises CheckpointError when the file cannot be read.
    """
    payload = read_payload(path)
    if is_own(payload):
        checkpoint = from_payload(path, payload)
        networks = [
            _generator(own_generator(checkpoint, network=name), name, size)
            if name.startswith("G")
            else _other(name, "discriminator", checkpoint.config.discriminator, weights)
            for name, weights in checkpoint.state["networks"].items()
        ]
        return {
            "file": str(path),
            "kind": "checkpoint",
            "written_by": f"{checkpoint.written_by}, at step {checkpoint.step}",
            "sha256": checkpoint.sha256(),
            "training": _training(checkpoint),
            "networks": networks,
            "distilled": checkpoint.state["report"],
        }
    options = Options.beside(path)
    found = identify(payload, options)
    if not found:
        raise CheckpointError(f"{path} holds no image network: nothing in it has convolutions")
    return {
        "file": str(path),
        "kind": "checkpoint",
        "written_by": "another trainer",
        "sha256": file_sha256(path),
        "options": str(options.path) if options.path else None,
        "networks": [_identified(path, one, options, size) for one in found],
    }


def _identified(path: Path, one: Identified, options: Options, size: Size) -> dict[str, Any]:
    tensors = one.network.tensors
    if one.generator:
        try:
            opened = foreign_generator(import_identified(path, one, options))
        except CheckpointError as error:
            return _other(one.name, "unknown", str(error), tensors)
        return _generator(opened, one.name, size)
    if one.discriminator:
        return _other(one.name, "discriminator", one.discriminator, tensors)
    return _other(one.name, "unknown", one.reason, tensors)


def _generator(opened: TrainedGenerator, name: str, size: Size) -> dict[str, Any]:
    config = GeneratorConfig.from_json(opened.architecture)
    height, width = (-(-side // opened.multiple) * opened.multiple for side in size or opened.size)
    return {
        "name": name,
        "what": "generator",
        "direction": opened.direction,
        "domains": list(opened.domains),
        "size": list(opened.size),
        "multiple": opened.multiple,
        "channels": [opened.in_channels, opened.out_channels],
        "norm": opened.norm,
        "parameters": opened.parameters,
        "macs": {"size": [height, width], "count": count_macs(config, (height, width))},
        "architecture": opened.architecture,
        "evidence": list(opened.evidence),
        "ambiguous": list(opened.ambiguous),
        "doubts": list(opened.doubts),
    }


def _other(name: str, what: str, about: str, tensors: dict[str, Tensor]) -> dict[str, Any]:
    parameters = sum(t.numel() for t in tensors.values() if t.is_floating_point())
    return {"name": name, "what": what, "about": about, "parameters": parameters}


def _training(checkpoint: Checkpoint) -> dict[str, Any]:
    """The settings that are not the generator's."""
    values = checkpoint.config.to_json()
    return {name: value for name, value in values.items() if name != "architecture"}
