"""Trained generators from checkpoints of cgt and of other trainers.

Export, evaluation, the torch engine and `cgt train --init-from` load checkpoints by this module.
"""

from __future__ import annotations

import contextlib
import dataclasses
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from torch import nn

from cgt.runtime.errors import CgtError, UsageError
from cgt.runtime.image.preprocess import Filter
from cgt.runtime.models.checkpoint_options import NO_OPTIONS, CheckpointOptions
from cgt.runtime.models.metadata import Direction, Origin
from cgt.runtime.models.model_code import ModelCode
from cgt.runtime.utils.atomic import file_sha256

from .checkpoint import Checkpoint, is_cgt_checkpoint, parse_checkpoint
from .config import TrainConfig, reverse_direction
from .importers.certainty.assumptions import Assumption
from .importers.conventions import infer_domains
from .importers.file_reader import read_payload
from .importers.importer import ImportedGenerator, MultipleGeneratorsError, import_generator
from .networks.config import GeneratorConfig
from .networks.macs import count_macs, count_network_macs

_NETWORK_DIRECTIONS: dict[str, Direction] = {"G_A": "AtoB", "G_B": "BtoA"}


@dataclass(frozen=True)
class TrainedGenerator:
    """A generator with its weights; it maps RGB images, NCHW float32 in [-1, 1].

    Attributes:
        network: The generator, in eval mode, on the CPU.
        path: The checkpoint.
        domains: Names of A and B.
        direction: Direction of the translation.
        size: (height, width) in pixels at which objects are as large as in training.
        multiple: Number of which height and width must be multiples.
        norm: "instance", "batch", "batch_film" or "none".
        in_channels: Channels of the input.
        out_channels: Channels of the output.
        architecture: GeneratorConfig as plain JSON types.
        test_folder: Folder of images of the source domain, if known.
        sha256: SHA-256 of the checkpoint.
        evidence: What was inferred from the file, and from which evidence.
        filter: Filter by which the training resized images.
        ambiguities: What the file leaves open without an effect on the output.
        warnings: Signs that the output on a test image is not a translation.
        distill_report: Evaluation report of `cgt distill`; empty for other checkpoints.
        direction_known: Whether the file tells its direction; otherwise it is assumed to be AtoB.
        assumptions: What the file leaves open with an effect; the user has accepted it.
        code: Code of another project that built the network; None for cgt's own networks.
        options: What the user stated about the file, with `code`.
        fixed_size: Whether the network takes no other size than `size`.
        imported: Whether the importer read the file of another trainer.
    """

    network: nn.Module
    path: Path
    domains: tuple[str, str]
    direction: Direction
    size: tuple[int, int]
    multiple: int
    norm: str
    in_channels: int
    out_channels: int
    architecture: dict[str, Any]
    test_folder: Path | None
    sha256: str
    evidence: tuple[str, ...]
    filter: Filter
    ambiguities: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    distill_report: dict[str, Any] = field(default_factory=dict)
    direction_known: bool = True
    assumptions: tuple[Assumption, ...] = ()
    code: ModelCode | None = None
    options: CheckpointOptions = NO_OPTIONS
    fixed_size: bool = False
    imported: bool = False

    @property
    def origin(self) -> Origin:
        """Return what defines the network: cgt, its reading of a file, or another's code."""
        return "code" if self.code else "imported" if self.imported else "cgt"

    @property
    def reading(self) -> str:
        """Return "code", or "match" if the file determines the network, otherwise "guess"."""
        return "code" if self.code else "guess" if self.assumptions else "match"

    @property
    def code_id(self) -> str:
        """Return a text that differs for code or arguments that differ; empty without code."""
        if self.code is None:
            return ""
        names = ("kind", "input_range", "output_range", "code_sha256")
        return " ".join(str(self.architecture.get(name, "")) for name in names)

    @property
    def source(self) -> str:
        """Return the name of the source domain."""
        return self.domains[0 if self.direction == "AtoB" else 1]

    @property
    def target(self) -> str:
        """Return the name of the target domain."""
        return self.domains[1 if self.direction == "AtoB" else 0]

    @property
    def summary(self) -> str:
        """Return the architecture in a few words."""
        architecture = self.architecture
        if self.code is not None:
            return (
                f"{architecture['kind']}, {self.parameters / 1e6:.3f} M parameters, "
                f"{self.in_channels} to {self.out_channels} channels"
            )
        norm = str(architecture["norm"]).replace("instance_affine", "affine instance")
        norm = "no" if norm == "none" else norm
        return (
            f"{architecture['kind']}, ngf {architecture['ngf']}, {norm} norm, "
            f"{self.in_channels} to {self.out_channels} channels"
        )

    @property
    def parameters(self) -> int:
        """Return the number of parameters."""
        return sum(p.numel() for p in self.network.parameters())

    def count_macs(self, size: tuple[int, int]) -> int:
        """Return the multiply-accumulates for one image of (height, width) pixels."""
        if self.code is not None:
            return count_network_macs(self.network, self.in_channels, size)
        return count_macs(GeneratorConfig.from_json(self.architecture), size)


def open_generator(
    path: Path | None,
    direction: Direction | None = None,
    network: str | None = None,
    options: CheckpointOptions = NO_OPTIONS,
) -> TrainedGenerator:
    """Load one generator from a checkpoint of cgt or of another trainer.

    Args:
        path: The checkpoint. With code it may be None, for random weights.
        direction: Direction to load; by default the only one in the file, or AtoB if it has both.
        network: Name of a network in the file, if there are several.
        options: What the user states about a checkpoint of another trainer. Its `code` is executed.

    Raises:
        CheckpointError: If the file is missing or damaged, or has no generator.
        GuessError: If the file leaves properties open, and `options` does not accept the defaults.
        UsageError: If the file has no such direction or network.
    """
    if code := options.model_code:
        from .model_code.generator import open_code_generator  # it imports this module

        generator = open_code_generator(code, path, direction, network)
        return dataclasses.replace(generator, options=options)
    assert path is not None
    payload = read_payload(path)
    if is_cgt_checkpoint(payload):
        _refuse_options(path, options)
        return generator_from_checkpoint(parse_checkpoint(path, payload), direction, network)
    imported = import_generator(path, payload, direction, network, options)
    return generator_from_import(imported, direction)


def _refuse_options(path: Path, options: CheckpointOptions) -> None:
    if options.given:
        raise UsageError(
            f"{path} is a checkpoint of cgt, which has its settings; leave out {options.first_flag}"
        )


def open_generators(
    path: Path, options: CheckpointOptions = NO_OPTIONS
) -> dict[str, TrainedGenerator]:
    """Load the generators of both directions, "G_A" (AtoB) and "G_B" (BtoA), as far as they exist.

    For other trainers, the generator of the reverse direction may be in a file next to `path`.

    Args:
        path: The checkpoint.
        options: As `open_generator`.

    Raises:
        CheckpointError: As `open_generator`.
        UsageError: As `open_generator`.
    """
    payload = read_payload(path)
    if is_cgt_checkpoint(payload):
        _refuse_options(path, options)
        checkpoint = parse_checkpoint(path, payload)
        directions = checkpoint.config.directions
        return {
            name: generator_from_checkpoint(checkpoint, network=name)
            for name, direction in _NETWORK_DIRECTIONS.items()
            if direction in directions
        }
    first = import_generator(path, payload, None, None, options)
    known = first.direction or "AtoB"
    found = {known: generator_from_import(first)}
    if first.direction is not None:
        reverse = reverse_direction(known)
        with contextlib.suppress(UsageError):  # there is no reverse generator
            imported = import_generator(path, payload, reverse, None, options)
            found[reverse] = generator_from_import(imported, reverse)
    return {
        name: found[direction]
        for name, direction in _NETWORK_DIRECTIONS.items()
        if direction in found
    }


def generator_from_checkpoint(
    checkpoint: Checkpoint, direction: Direction | None = None, network: str | None = None
) -> TrainedGenerator:
    """Load a generator from a checkpoint of `cgt train` or `cgt distill`.

    Args:
        checkpoint: The checkpoint.
        direction: Direction to load; by default the first one.
        network: "G_A" or "G_B", instead of a direction.

    Raises:
        CheckpointError: If the checkpoint is damaged or has no such direction.
        UsageError: If the network is not a generator or contradicts the direction.
    """
    if network is not None:
        if network not in _NETWORK_DIRECTIONS:
            raise UsageError(f"--network {network} is not a generator; use G_A or G_B")
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
    """Load a generator from the imported file of another trainer.

    Args:
        imported: The network and the options found next to the file.
        direction: Direction of the translation, if the file does not tell it.
    """
    config, options = imported.network.config, imported.options
    evidence = list(imported.evidence)
    direction = direction or imported.direction or "AtoB"
    if imported.direction is None:
        evidence.append(f"no name tells the direction; assuming {direction}")
    # A deep U-Net is designed for the size that it reduces to one pixel.
    default_side = config.multiple if config.levels >= 7 else 256
    side = (
        -(-(options.positive_int("crop_size") or default_side) // config.multiple) * config.multiple
    )
    root = options.get("dataroot")
    test_folder = Path(root) / ("testA" if direction == "AtoB" else "testB") if root else None
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
        test_folder=test_folder,
        sha256=file_sha256(imported.path),
        evidence=tuple(evidence),
        filter="bicubic",  # nearly all other trainers resize by this filter
        ambiguities=imported.ambiguities,
        warnings=imported.warnings,
        direction_known=imported.direction is not None,
        imported=True,
        assumptions=imported.assumptions,
    )


@dataclass(frozen=True)
class PretrainedInit:
    """Pretrained weights for `cgt train --init-from`.

    Attributes:
        pretrained: Generators "G_A", "G_B" or both, of one architecture.
    """

    pretrained: dict[str, TrainedGenerator]

    @classmethod
    def from_checkpoint(cls, path: Path, options: CheckpointOptions = NO_OPTIONS) -> PretrainedInit:
        """Load the generators of a checkpoint of any trainer.

        Args:
            path: The checkpoint.
            options: What the user states about it, if another trainer wrote it. With `code`, the
                generators must translate like it.

        Raises:
            CheckpointError: If the file has no generators.
            UsageError: If their architectures differ or they do not translate RGB to RGB.
        """
        try:
            pretrained = open_generators(path, options.without_code)
        except MultipleGeneratorsError as error:
            problem = str(error).partition("; ")[0]
            raise UsageError(
                f"{problem}, and their names tell no direction; save them as G_AB.pth and G_BA.pth"
            ) from None
        except CgtError as error:
            if options.code is None:
                raise
            raise UsageError(f"{path} is no generator that cgt can train: {error}") from None
        if options.code is not None:
            from .model_code.comparison import require_equal  # it imports this module

            for generator in pretrained.values():
                require_equal(generator, options)
        one, *others = pretrained.values()
        if (one.in_channels, one.out_channels) != (3, 3):
            raise UsageError(
                f"{path} translates {one.in_channels} to {one.out_channels} channels; training "
                "supports only RGB"
            )
        if any(other.architecture != one.architecture for other in others):
            raise UsageError(
                f"the two generators of {path} differ in architecture; save them in separate files"
            )
        return cls(pretrained)

    def apply_architecture(self, config: TrainConfig) -> TrainConfig:
        """Return the config with the architecture of these generators."""
        architecture = next(iter(self.pretrained.values())).architecture
        return dataclasses.replace(
            config,
            generator=architecture["kind"],
            ngf=architecture["ngf"],
            generator_json=architecture,
        )

    def load_weights(self, generators: dict[str, nn.Module]) -> str:
        """Load the weights into a run's generators.

        Args:
            generators: Generators of the run, "G_A", "G_B" or both.

        Returns:
            A line that lists the initialized generators.

        Raises:
            UsageError: If there are no weights for any of them.
        """
        matching = {name: one for name, one in self.pretrained.items() if name in generators}
        if not matching:
            raise UsageError(
                f"the checkpoint has {', '.join(self.pretrained)}, the run trains "
                f"{', '.join(generators)}; use the other --direction"
            )
        for name, one in matching.items():
            generators[name].load_state_dict(one.network.state_dict())
        loaded = [f"{name} starts from {one.path.name}" for name, one in matching.items()]
        remaining = [] if len(matching) == len(generators) else ["the other from scratch"]
        return ", ".join([*loaded, *remaining])
