"""Checkpoint report for `cgt inspect`: the file and the networks in it."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

from torch import Tensor

from cgt.runtime.errors import CheckpointError
from cgt.runtime.models.checkpoint_options import NO_OPTIONS, CheckpointOptions
from cgt.runtime.utils.atomic import file_sha256

from ..checkpoint import Checkpoint, is_cgt_checkpoint, parse_checkpoint
from ..pretrained import (
    TrainedGenerator,
    generator_from_checkpoint,
    generator_from_import,
    open_generator,
)
from .certainty.assumptions import find_class_beside
from .file_reader import read_payload
from .importer import IdentifiedNetwork, ImportContext, build_imported, identify_networks

OptionalSize = tuple[int, int] | None


def inspect_checkpoint(
    path: Path, size: OptionalSize = None, choices: CheckpointOptions = NO_OPTIONS
) -> dict[str, Any]:
    """Describe a checkpoint and each network in it.

    Args:
        path: the file.
        size: height and width for counting multiply-adds, rounded up to what the network accepts;
            by default the size that it was trained for.
        choices: what the user states about a checkpoint of another trainer.

    Returns:
        Plain JSON types.

    Raises:
        CheckpointError: the file cannot be read or contains no image network.
    """
    if choices.code is not None:
        return _inspect_with_code(path, size, choices)
    payload = read_payload(path)
    if is_cgt_checkpoint(payload):
        checkpoint = parse_checkpoint(path, payload)
        networks = [
            _describe_generator(generator_from_checkpoint(checkpoint, network=name), name, size)
            if name.startswith("G")
            else _describe_other(name, "discriminator", checkpoint.config.discriminator, weights)
            for name, weights in checkpoint.state["networks"].items()
        ]
        return {
            "file": str(path),
            "kind": "checkpoint",
            "written_by": f"{checkpoint.written_by}, at step {checkpoint.step}",
            "sha256": checkpoint.sha256(),
            "training": _training_settings(checkpoint),
            "networks": networks,
            "distill_report": checkpoint.state["report"],
        }
    context = ImportContext.load(path, payload, choices)
    options = context.options
    identified = identify_networks(context)
    if not identified:
        raise CheckpointError(f"{path} contains no image network: nothing in it has convolutions")
    return {
        "file": str(path),
        "kind": "checkpoint",
        "written_by": "another trainer",
        "sha256": file_sha256(path),
        "options": str(options.path) if options.path else None,
        "networks": [_describe_identified(context, one, size) for one in identified],
    }


def _inspect_with_code(
    path: Path, size: OptionalSize, options: CheckpointOptions
) -> dict[str, Any]:
    from ..model_code.comparison import compare_with_reading

    generator = open_generator(path, options=options)
    networks = [_describe_generator(generator, "", size)]
    networks[0]["comparison"] = compare_with_reading(generator, ())
    return {
        "file": str(path),
        "kind": "checkpoint",
        "written_by": "another trainer",
        "code": generator.architecture["kind"],
        "sha256": generator.sha256,
        "networks": networks,
    }


def _describe_identified(
    context: ImportContext, identified: IdentifiedNetwork, size: OptionalSize
) -> dict[str, Any]:
    tensors = identified.network.tensors
    code = find_class_beside(context.path, tensors)
    if identified.generator:
        try:
            generator = generator_from_import(build_imported(context, identified))
        except CheckpointError as error:
            return _describe_other(identified.name, "unknown", str(error), tensors)
        return _describe_generator(generator, identified.name, size) | {"code": code}
    if identified.discriminator:
        return _describe_other(identified.name, "discriminator", identified.discriminator, tensors)
    return _describe_other(identified.name, "unknown", identified.reason, tensors) | {"code": code}


def _describe_generator(
    generator: TrainedGenerator, name: str, size: OptionalSize
) -> dict[str, Any]:
    height, width = (
        -(-side // generator.multiple) * generator.multiple for side in size or generator.size
    )
    return {
        "name": name,
        "what": "generator",
        "direction": generator.direction,
        "domains": list(generator.domains),
        "size": list(generator.size),
        "multiple": generator.multiple,
        "channels": [generator.in_channels, generator.out_channels],
        "norm": generator.norm,
        "parameters": generator.parameters,
        "macs": {"size": [height, width], "count": generator.count_macs((height, width))},
        "architecture": generator.architecture,
        "reading": generator.reading,
        "assumptions": [asdict(one) for one in generator.assumptions],
        "evidence": list(generator.evidence),
        "ambiguities": list(generator.ambiguities),
        "warnings": list(generator.warnings),
    }


def _describe_other(name: str, what: str, about: str, tensors: dict[str, Tensor]) -> dict[str, Any]:
    parameters = sum(t.numel() for t in tensors.values() if t.is_floating_point())
    return {"name": name, "what": what, "about": about, "parameters": parameters}


def _training_settings(checkpoint: Checkpoint) -> dict[str, Any]:
    """Return the training settings, without those of the generator."""
    values = checkpoint.config.to_json()
    return {name: value for name, value in values.items() if name != "architecture"}
