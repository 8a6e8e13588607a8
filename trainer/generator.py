"""A generator that has been trained, whoever trained it: all that the rest of `cgt` asks of a
checkpoint."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from torch import nn

from cgt.runtime.artifact import Direction
from cgt.runtime.errors import UsageError
from cgt.runtime.files import file_sha256
from cgt.runtime.preprocess import Filter

from .checkpoint import Checkpoint, from_payload, is_own
from .foreign.importing import Imported, import_generator
from .foreign.names import domains_of
from .foreign.reading import read_payload

_NETWORKS: dict[str, Direction] = {"G_A": "AtoB", "G_B": "BtoA"}


@dataclass(frozen=True)
class TrainedGenerator:
    """A generator with its weights. Images are RGB; tensors NCHW float32 in [-1, 1]."""

    network: nn.Module  # in eval mode, on the CPU
    path: Path
    domains: tuple[str, str]
    direction: Direction
    size: tuple[int, int]  # height, width at which things are as large as in training
    multiple: int  # of which both sides must be
    norm: str  # instance, batch or none
    in_channels: int
    out_channels: int
    architecture: dict[str, Any]  # GeneratorConfig as plain JSON types
    test_images: Path | None  # a folder with images of the source domain, where it is known
    sha256: str  # of the file
    evidence: tuple[str, ...]  # what was inferred, and from what
    filter: Filter  # with which the training resized
    ambiguous: tuple[str, ...] = ()  # what the file leaves open, and which reading was taken
    doubts: tuple[str, ...] = ()  # why its output on a test picture is no translation
    distilled: dict[str, Any] = field(default_factory=dict)  # what `cgt distill` measured of it
    direction_known: bool = True  # or taken as A to B

    @property
    def source(self) -> str:
        return self.domains[0 if self.direction == "AtoB" else 1]

    @property
    def target(self) -> str:
        return self.domains[1 if self.direction == "AtoB" else 0]

    @property
    def summary(self) -> str:
        """What it is, in a few words."""
        about = self.architecture
        norm = str(about["norm"]).replace("instance_affine", "affine instance")
        return (
            f"{about['kind']}, ngf {about['ngf']}, {'no' if norm == 'none' else norm} norm, "
            f"{self.in_channels} to {self.out_channels} channels"
        )

    @property
    def parameters(self) -> int:
        return sum(p.numel() for p in self.network.parameters())


def open_generator(
    path: Path, direction: Direction | None = None, network: str | None = None
) -> TrainedGenerator:
    """The generator of one direction in a checkpoint.

    direction: by default what the file holds, A to B where it holds both. network: the name of
    one network in the file, where it holds several.
    Raises CheckpointError when the file is missing, damaged or holds no generator, UsageError
    when the direction or the network is not in it.
    """
    payload = read_payload(path)
    if is_own(payload):
        return own_generator(from_payload(path, payload), direction, network)
    return foreign_generator(import_generator(path, payload, direction, network), direction)


def open_both(path: Path) -> dict[str, TrainedGenerator]:
    """The generators of both directions, "G_A" and "G_B", as far as the file, or the one beside it
    that leads back, has them. Raises what open_generator raises."""
    payload = read_payload(path)
    if is_own(payload):
        checkpoint = from_payload(path, payload)
        held = checkpoint.config.directions
        return {
            name: own_generator(checkpoint, network=name)
            for name, way in _NETWORKS.items()
            if way in held
        }
    first = import_generator(path, payload, None, None)
    known = first.direction or "AtoB"
    found = {known: foreign_generator(first)}
    if first.direction is not None:
        back: Direction = "BtoA" if known == "AtoB" else "AtoB"
        with contextlib.suppress(UsageError):  # there is none
            found[back] = foreign_generator(import_generator(path, payload, back, None), back)
    return {name: found[way] for name, way in _NETWORKS.items() if way in found}


def own_generator(
    checkpoint: Checkpoint, direction: Direction | None = None, network: str | None = None
) -> TrainedGenerator:
    """From a run of `cgt train` or `cgt distill`, which has recorded everything."""
    if network is not None:
        if network not in _NETWORKS:
            raise UsageError(f"--network {network} is not a generator; take G_A or G_B")
        if direction not in (None, _NETWORKS[network]):
            raise UsageError(f"--network {network} translates {_NETWORKS[network]}")
        direction = _NETWORKS[network]
    direction = direction or checkpoint.config.directions[0]
    config = checkpoint.config
    generator = config.generator_of(direction)
    side = config.serving_size
    return TrainedGenerator(
        network=checkpoint.generator(direction),
        path=checkpoint.path,
        domains=checkpoint.domains,
        direction=direction,
        size=(side, side),
        multiple=generator.multiple,
        norm=generator.norm_kind,
        in_channels=generator.in_channels,
        out_channels=generator.out_channels,
        architecture=config.architecture(direction),
        test_images=config.test_images(direction),
        sha256=checkpoint.sha256(),
        evidence=(f"{checkpoint.written_by} recorded its settings in the file",),
        filter="bilinear",
        distilled=checkpoint.state["report"],
    )


def foreign_generator(found: Imported, direction: Direction | None = None) -> TrainedGenerator:
    """From another trainer's file, which has recorded little."""
    config, options = found.network.config, found.options
    evidence = list(found.evidence)
    direction = direction or found.direction or "AtoB"
    if found.direction is None:
        evidence.append(f"no name tells the direction; taken as {direction}")
    # A deep U-Net is made for the size that it brings down to a point.
    usual = config.multiple if config.levels >= 7 else 256
    side = -(-(options.number("crop_size") or usual) // config.multiple) * config.multiple
    root = options.get("dataroot")
    tests = Path(root) / ("testA" if direction == "AtoB" else "testB") if root else None
    return TrainedGenerator(
        network=found.network,
        path=found.path,
        domains=domains_of(found.path, Path(root or "").name, options.get("name")),
        direction=direction,
        size=(side, side),
        multiple=config.multiple,
        norm=config.norm_kind,
        in_channels=config.in_channels,
        out_channels=config.out_channels,
        architecture=config.to_json(),
        test_images=tests,
        sha256=file_sha256(found.path),
        evidence=tuple(evidence),
        filter="bicubic",  # what nearly all of them resize with
        ambiguous=found.ambiguous,
        doubts=found.doubts,
        direction_known=found.direction is not None,
    )
