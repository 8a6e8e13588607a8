"""A file of another trainer -> the generator that was asked for.

Discriminators, which are no generators: recognised in order to say so.
"""

from __future__ import annotations

import dataclasses
import re
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

from cgt.runtime.errors import CheckpointError, UsageError
from cgt.runtime.models.metadata import Direction

from ..networks import Generator
from . import resnet, unet
from .conventions import (
    TrainOptions,
    direction_from_name,
    find_convention,
    find_sibling_generator,
    reverse_direction_name,
)
from .diagnostics import closest_architecture, sanity_check
from .file_reader import read_payload
from .layer_graph import LayerGraph, parse_layers
from .parsed_generator import NotThisArchitecture, ParsedGenerator
from .state_dicts import NamedStateDict, find_state_dicts, split_by_prefix
from .weight_mapping import build_with_weights

_DISCRIMINATOR_NAME_RE = re.compile(
    r"(^|[_/.])(net)?(D|disc|critic)(_?[A-Z0-9]*$|[_/.]|riminator)", re.IGNORECASE
)


def describe_discriminator(layers: LayerGraph) -> str | None:
    """What kind of discriminator it is; None: none.

    A row of convolutions, each fed by the one before, that ends in a single channel and never
    grows back: generators double what they have halved.
    """
    shapes = [layer.shape for layer in layers.convolutions]
    if len(shapes) < 3 or shapes[-1][0] != 1:
        return None
    chained = all(b[1] == a[0] for a, b in pairwise(shapes))
    narrowing = any(b[0] < a[0] for a, b in pairwise(shapes[:-1]))
    if not chained or narrowing:
        return None
    widths = " ".join(str(shape[0]) for shape in shapes)
    kind = "PatchGAN" if all(shape[2] == 4 for shape in shapes) else "convolutional"
    return f"{kind} discriminator ({shapes[0][1]} channels in, then {widths})"


def looks_like_discriminator(name: str) -> bool:
    """Whether a network or file is called a discriminator."""
    return bool(_DISCRIMINATOR_NAME_RE.search(name))


class MultipleGeneratorsError(UsageError):
    """A file holds more than one, and no name tells which is meant."""


@dataclass(frozen=True)
class IdentifiedNetwork:
    """A state dict in a file and what it is: a generator, a discriminator, or neither, and why."""

    network: NamedStateDict
    generator: ParsedGenerator | None = None
    discriminator: str | None = None
    unexpected_keys: tuple[str, ...] = ()  # keys that are no part of a generator's layers
    reason: str = ""  # why it is neither

    @property
    def name(self) -> str:
        return self.network.name


@dataclass(frozen=True)
class ImportedGenerator:
    """A generator of another trainer. direction: None where no name tells it."""

    network: Generator
    path: Path
    name: str  # in the file; "" where the file is one network
    direction: Direction | None
    options: TrainOptions
    evidence: tuple[str, ...]
    ambiguities: tuple[str, ...]
    warnings: tuple[str, ...]


def identify_networks(payload: Any, options: TrainOptions) -> list[IdentifiedNetwork]:
    """All networks in what a file holds."""
    found: list[IdentifiedNetwork] = []
    for network in find_state_dicts(payload):
        found += _identify_network(network, options, depth=0)
    return found


def _identify_network(
    network: NamedStateDict, options: TrainOptions, depth: int
) -> list[IdentifiedNetwork]:
    layers = parse_layers(network.tensors)
    reasons = {}
    convention = find_convention(network.tensors)
    try:
        parsed = resnet.parse_resnet(layers, options, convention)
        return [IdentifiedNetwork(network, parsed, unexpected_keys=tuple(layers.unexpected_keys))]
    except NotThisArchitecture as error:
        reasons["resnet"] = str(error)
    try:
        parsed = unet.parse_unet(layers, options)
        return [IdentifiedNetwork(network, parsed, unexpected_keys=tuple(layers.unexpected_keys))]
    except NotThisArchitecture as error:
        reasons["unet"] = str(error)
    if discriminator_text := describe_discriminator(layers):
        return [IdentifiedNetwork(network, discriminator=discriminator_text)]
    if depth < 3:
        parts = [
            one
            for part in split_by_prefix(network)
            for one in _identify_network(part, options, depth + 1)
        ]
        if any(part.generator or part.discriminator for part in parts):
            return parts
    return [IdentifiedNetwork(network, reason=closest_architecture(layers, reasons))]


def import_generator(
    path: Path, payload: Any, direction: Direction | None, network: str | None
) -> ImportedGenerator:
    """The generator of `direction` in a file, or in the one beside it that leads back.

    Raises CheckpointError when there is none, UsageError when the request does not fit the file.
    """
    options = TrainOptions.load_next_to(path)
    identified = _select_generator(path, identify_networks(payload, options), direction, network)
    known = infer_direction(path, identified, options)
    if direction and known and direction != known:
        return _import_reverse_sibling(path, direction, known)
    return build_imported(path, identified, options)


def infer_direction(
    path: Path, identified: IdentifiedNetwork, options: TrainOptions
) -> Direction | None:
    """Which way a generator leads, by its name, its file's, or the options; None: not known."""
    return (
        _direction_by_convention(identified)
        or direction_from_name(path.stem)
        or _direction_from_options(options)
    )


def _direction_by_convention(identified: IdentifiedNetwork) -> Direction | None:
    """By its name in the file, as its project means it."""
    named = direction_from_name(identified.name)
    if named and find_convention(identified.network.tensors).swaps_directions:
        return "BtoA" if named == "AtoB" else "AtoB"
    return named


def build_imported(
    path: Path, identified: IdentifiedNetwork, options: TrainOptions
) -> ImportedGenerator:
    """Build a network that was identified as a generator, and try it on a picture."""
    assert identified.generator is not None
    try:
        built, changes = build_with_weights(
            identified.network, identified.generator, list(identified.unexpected_keys)
        )
        problems = _run_sanity_check(built)
        if problems and (other := _retry_with_instance_norm(identified, options)):
            return build_imported(path, other, options)
    except CheckpointError as error:
        raise CheckpointError(f"{path}: {error}") from None
    convention = find_convention(identified.network.tensors)
    evidence = (
        *identified.network.notes,
        *([f"named as in {convention.name}"] if convention.name else []),
        *(
            ["there G_ab makes A of B"]
            if convention.swaps_directions and direction_from_name(identified.name)
            else []
        ),
        *identified.generator.evidence,
        *changes,
    )
    return ImportedGenerator(
        built,
        path,
        identified.name,
        infer_direction(path, identified, options),
        options,
        evidence,
        identified.generator.ambiguities,
        tuple(problems),
    )


def _run_sanity_check(network: Generator) -> list[str]:
    return sanity_check(network, network.config.in_channels, network.config.multiple)


def _retry_with_instance_norm(
    identified: IdentifiedNetwork, options: TrainOptions
) -> IdentifiedNetwork | None:
    """The other reading of weights that tell nothing of norms, if it is the one that translates."""
    assert identified.generator is not None
    config = identified.generator.config
    if config.norm != "none" or config.bias or options.norm:
        return None
    other = dataclasses.replace(
        identified.generator,
        config=dataclasses.replace(config, norm="instance"),
        ambiguities=(
            "without biases and norm weights, no norm and an instance norm look the same; taken as "
            "instance norm, because only with it a test picture is translated",
        ),
    )
    built, _ = build_with_weights(identified.network, other, list(identified.unexpected_keys))
    return None if _run_sanity_check(built) else dataclasses.replace(identified, generator=other)


def _select_generator(
    path: Path, found: list[IdentifiedNetwork], direction: Direction | None, name: str | None
) -> IdentifiedNetwork:
    """The generator that was asked for."""
    generators = [one for one in found if one.generator]
    if name is not None:
        return _select_by_name(path, found, name)
    if not generators:
        raise CheckpointError(f"{path} {_no_generator_message(path, found)}")
    if len(generators) == 1:
        return generators[0]
    wanted = [one for one in generators if _direction_by_convention(one) == (direction or "AtoB")]
    if len(wanted) == 1:
        return wanted[0]
    names = ", ".join(one.name for one in generators)
    raise MultipleGeneratorsError(
        f"{path} holds several generators; pick one with --network: {names}"
    )


def _select_by_name(path: Path, found: list[IdentifiedNetwork], name: str) -> IdentifiedNetwork:
    matching = [one for one in found if name in (one.name, one.name.rpartition("/")[2])]
    if len(matching) != 1:
        names = ", ".join(one.name or "(a single one without a name)" for one in found)
        raise UsageError(f"{path} has no network {name!r}; it holds {names or 'none'}")
    (one,) = matching
    if one.discriminator:
        raise UsageError(f"{path}: {name} is a {one.discriminator}; a generator is needed")
    if not one.generator:
        raise CheckpointError(f"{path}: {name} is not a generator that is known: {one.reason}")
    return one


def _no_generator_message(path: Path, found: list[IdentifiedNetwork]) -> str:
    """The end of a sentence that begins with the file's name."""
    discriminators = [one for one in found if one.discriminator]
    if discriminators:
        sibling = find_sibling_generator(path)
        where = f"; {sibling.name} beside it is one" if sibling else ""
        named = f"{discriminators[0].name}: " if discriminators[0].name else ""
        return f"holds a {named}{discriminators[0].discriminator}, but a generator is needed{where}"
    if found:
        one = max(found, key=lambda each: len(each.network.tensors))
        named = f" (of {one.name})" if one.name else ""
        name_hint = (
            " and is named as a discriminator" if looks_like_discriminator(path.stem) else ""
        )
        return f"holds no generator that is known{named}{name_hint}: {one.reason}"
    return "holds no image network: nothing in it has convolutions"


def _direction_from_options(options: TrainOptions) -> Direction | None:
    """pix2pix and CUT have one generator, of the direction that their options say."""
    stated = options.get("direction")
    if options.get("model") == "cycle_gan" or stated not in ("AtoB", "BtoA"):
        return None
    return "AtoB" if stated == "AtoB" else "BtoA"


def _import_reverse_sibling(path: Path, wanted: Direction, known: Direction) -> ImportedGenerator:
    name = reverse_direction_name(path.name)
    sibling = path.with_name(name) if name else None
    if sibling is None or not sibling.is_file():
        missing = f"; {name}, which would lead back, is not beside it" if name else ""
        raise UsageError(f"{path} translates {known}, not {wanted}{missing}")
    other = import_generator(sibling, read_payload(sibling), None, None)
    note = f"taken from {sibling.name}, which leads back from what {path.name} leads to"
    return ImportedGenerator(
        other.network,
        other.path,
        other.name,
        wanted,
        other.options,
        (note, *other.evidence),
        other.ambiguities,
        other.warnings,
    )
