"""What a run begins with in place of random weights: `cgt train --init-from`.

A generator that has been trained, whoever trained it: all that the rest of `cgt` asks of a
checkpoint.
"""

from __future__ import annotations

import contextlib
import dataclasses
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from torch import nn

from cgt.runtime.errors import UsageError
from cgt.runtime.image.preprocess import Filter
from cgt.runtime.models.metadata import Direction
from cgt.runtime.utils.atomic import file_sha256

from .checkpoint import Checkpoint, is_cgt_checkpoint, parse_checkpoint
from .config import TrainConfig
from .importers.conventions import infer_domains
from .importers.file_reader import read_payload
from .importers.importer import ImportedGenerator, MultipleGeneratorsError, import_generator

_NETWORK_DIRECTIONS: dict[str, Direction] = {"G_A": "AtoB", "G_B": "BtoA"}


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
    test_folder: Path | None  # a folder with images of the source domain, where it is known
    sha256: str  # of the file
    evidence: tuple[str, ...]  # what was inferred, and from what
    filter: Filter  # with which the training resized
    ambiguities: tuple[str, ...] = ()  # what the file leaves open, and which reading was taken
    warnings: tuple[str, ...] = ()  # why its output on a test picture is no translation
    distill_report: dict[str, Any] = field(
        default_factory=dict
    )  # what `cgt distill` measured of it
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
        architecture = self.architecture
        norm = str(architecture["norm"]).replace("instance_affine", "affine instance")
        return (
            f"{architecture['kind']}, ngf {architecture['ngf']}, {'no' if norm == 'none' else norm} norm, "
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
    if is_cgt_checkpoint(payload):
        return generator_from_checkpoint(parse_checkpoint(path, payload), direction, network)
    return generator_from_import(import_generator(path, payload, direction, network), direction)


def open_generators(path: Path) -> dict[str, TrainedGenerator]:
    """The generators of both directions, "G_A" and "G_B", as far as the file, or the one beside it
    that leads back, has them. Raises what open_generator raises."""
    payload = read_payload(path)
    if is_cgt_checkpoint(payload):
        checkpoint = parse_checkpoint(path, payload)
        directions = checkpoint.config.directions
        return {
            name: generator_from_checkpoint(checkpoint, network=name)
            for name, direction in _NETWORK_DIRECTIONS.items()
            if direction in directions
        }
    first = import_generator(path, payload, None, None)
    known = first.direction or "AtoB"
    found = {known: generator_from_import(first)}
    if first.direction is not None:
        back: Direction = "BtoA" if known == "AtoB" else "AtoB"
        with contextlib.suppress(UsageError):  # there is none
            found[back] = generator_from_import(import_generator(path, payload, back, None), back)
    return {name: found[way] for name, way in _NETWORK_DIRECTIONS.items() if way in found}


def generator_from_checkpoint(
    checkpoint: Checkpoint, direction: Direction | None = None, network: str | None = None
) -> TrainedGenerator:
    """From a run of `cgt train` or `cgt distill`, which has recorded everything."""
    if network is not None:
        if network not in _NETWORK_DIRECTIONS:
            raise UsageError(f"--network {network} is not a generator; take G_A or G_B")
        if direction not in (None, _NETWORK_DIRECTIONS[network]):
            raise UsageError(f"--network {network} translates {_NETWORK_DIRECTIONS[network]}")
        direction = _NETWORK_DIRECTIONS[network]
    direction = direction or checkpoint.config.directions[0]
    config = checkpoint.config
    generator = config.generator_config_for(direction)
    side = config.inference_size
    return TrainedGenerator(
        network=checkpoint.load_generator(direction),
        path=checkpoint.path,
        domains=checkpoint.domains,
        direction=direction,
        size=(side, side),
        multiple=generator.multiple,
        norm=generator.norm_kind,
        in_channels=generator.in_channels,
        out_channels=generator.out_channels,
        architecture=config.architecture(direction),
        test_folder=config.test_folder(direction),
        sha256=checkpoint.sha256(),
        evidence=(f"{checkpoint.written_by} recorded its settings in the file",),
        filter="bilinear",
        distill_report=checkpoint.state["report"],
    )


def generator_from_import(
    imported: ImportedGenerator, direction: Direction | None = None
) -> TrainedGenerator:
    """From another trainer's file, which has recorded little."""
    config, options = imported.network.config, imported.options
    evidence = list(imported.evidence)
    direction = direction or imported.direction or "AtoB"
    if imported.direction is None:
        evidence.append(f"no name tells the direction; taken as {direction}")
    # A deep U-Net is made for the size that it brings down to a point.
    default_side = config.multiple if config.levels >= 7 else 256
    side = (
        -(-(options.positive_int("crop_size") or default_side) // config.multiple) * config.multiple
    )
    root = options.get("dataroot")
    tests = Path(root) / ("testA" if direction == "AtoB" else "testB") if root else None
    return TrainedGenerator(
        network=imported.network,
        path=imported.path,
        domains=infer_domains(imported.path, Path(root or "").name, options.get("name")),
        direction=direction,
        size=(side, side),
        multiple=config.multiple,
        norm=config.norm_kind,
        in_channels=config.in_channels,
        out_channels=config.out_channels,
        architecture=config.to_json(),
        test_folder=tests,
        sha256=file_sha256(imported.path),
        evidence=tuple(evidence),
        filter="bicubic",  # what nearly all of them resize with
        ambiguities=imported.ambiguities,
        warnings=imported.warnings,
        direction_known=imported.direction is not None,
    )


@dataclass(frozen=True)
class PretrainedInit:
    """Generators of a checkpoint, "G_A", "G_B" or both, of one architecture."""

    pretrained: dict[str, TrainedGenerator]

    @classmethod
    def from_checkpoint(cls, path: Path) -> PretrainedInit:
        """Raises CheckpointError for a file without generators, UsageError when they are not both
        of one architecture, or do not take RGB images."""
        try:
            pretrained = open_generators(path)
        except MultipleGeneratorsError as error:
            found = str(error).partition("; ")[0]
            raise UsageError(
                f"{found}, and their names tell no direction; save them as G_AB.pth and G_BA.pth"
            ) from None
        one, *others = pretrained.values()
        if (one.in_channels, one.out_channels) != (3, 3):
            raise UsageError(
                f"{path} translates {one.in_channels} to {one.out_channels} channels; only RGB "
                "trains"
            )
        if any(other.architecture != one.architecture for other in others):
            raise UsageError(f"the two generators of {path} differ in architecture; they must not")
        return cls(pretrained)

    def apply_architecture(self, config: TrainConfig) -> TrainConfig:
        """The run with this architecture."""
        architecture = next(iter(self.pretrained.values())).architecture
        return dataclasses.replace(
            config,
            generator=architecture["kind"],
            ngf=architecture["ngf"],
            generator_json=architecture,
        )

    def load_weights(self, generators: dict[str, nn.Module]) -> str:
        """Set the weights. Returns a line that says which, and which begin from scratch.
        Raises UsageError when there is none for them."""
        matching = {name: one for name, one in self.pretrained.items() if name in generators}
        if not matching:
            raise UsageError(
                f"the checkpoint has {', '.join(self.pretrained)}, the run learns "
                f"{', '.join(generators)}; give the other --direction"
            )
        for name, one in matching.items():
            generators[name].load_state_dict(one.network.state_dict())
        loaded = [f"{name} begins with {one.path.name}" for name, one in matching.items()]
        remaining = [] if len(matching) == len(generators) else ["the other from scratch"]
        return ", ".join([*loaded, *remaining])
