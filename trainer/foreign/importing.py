"""A file of another trainer -> the generator that was asked for."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cgt.runtime.artifact import Direction
from cgt.runtime.errors import CheckpointError, UsageError

from ..networks import Generator
from . import discriminator, resnet, unet
from .dialects import find_dialect
from .layers import read_layers
from .mapping import build
from .names import direction_of, generator_beside, other_way
from .nearest import nearest
from .networks import Network, find_networks, split
from .options import Options
from .proof import doubts
from .reading import read_payload
from .recognised import Disagreement, Recognised


class SeveralGenerators(UsageError):
    """A file holds more than one, and no name tells which is meant."""


@dataclass(frozen=True)
class Identified:
    """A state dict in a file and what it is: a generator, a discriminator, or neither, and why."""

    network: Network
    generator: Recognised | None = None
    discriminator: str | None = None
    strangers: tuple[str, ...] = ()  # keys that are no part of a generator's layers
    reason: str = ""  # why it is neither

    @property
    def name(self) -> str:
        return self.network.name


@dataclass(frozen=True)
class Imported:
    """A generator of another trainer. direction: None where no name tells it."""

    network: Generator
    path: Path
    name: str  # in the file; "" where the file is one network
    direction: Direction | None
    options: Options
    evidence: tuple[str, ...]
    ambiguous: tuple[str, ...]
    doubts: tuple[str, ...]


def identify(payload: Any, options: Options) -> list[Identified]:
    """All networks in what a file holds."""
    found: list[Identified] = []
    for network in find_networks(payload):
        found += _identify(network, options, depth=0)
    return found


def _identify(network: Network, options: Options, depth: int) -> list[Identified]:
    layers = read_layers(network.tensors)
    reasons = {}
    dialect = find_dialect(network.tensors)
    try:
        recognised = resnet.recognise(layers, options, dialect)
        return [Identified(network, recognised, strangers=tuple(layers.strangers))]
    except Disagreement as no:
        reasons["resnet"] = str(no)
    try:
        recognised = unet.recognise(layers, options)
        return [Identified(network, recognised, strangers=tuple(layers.strangers))]
    except Disagreement as no:
        reasons["unet"] = str(no)
    if judge := discriminator.describe(layers):
        return [Identified(network, discriminator=judge)]
    if depth < 3:
        parts = [one for part in split(network) for one in _identify(part, options, depth + 1)]
        if any(part.generator or part.discriminator for part in parts):
            return parts
    return [Identified(network, reason=nearest(layers, reasons))]


def import_generator(
    path: Path, payload: Any, direction: Direction | None, network: str | None
) -> Imported:
    """The generator of `direction` in a file, or in the one beside it that leads back.

    Raises CheckpointError when there is none, UsageError when the request does not fit the file.
    """
    options = Options.beside(path)
    chosen = _choose(path, identify(payload, options), direction, network)
    known = known_direction(path, chosen, options)
    if direction and known and direction != known:
        return _from_beside(path, direction, known)
    return import_identified(path, chosen, options)


def known_direction(path: Path, one: Identified, options: Options) -> Direction | None:
    """Which way a generator leads, by its name, its file's, or the options; None: not known."""
    return _named_direction(one) or direction_of(path.stem) or _said_direction(options)


def _named_direction(one: Identified) -> Direction | None:
    """By its name in the file, as its project means it."""
    named = direction_of(one.name)
    if named and find_dialect(one.network.tensors).backwards:
        return "BtoA" if named == "AtoB" else "AtoB"
    return named


def import_identified(path: Path, one: Identified, options: Options) -> Imported:
    """Build a network that was identified as a generator, and try it on a picture."""
    assert one.generator is not None
    try:
        built, changes = build(one.network, one.generator, list(one.strangers))
        tried = _try(built)
        if tried and (other := _with_norms(one, options)):
            return import_identified(path, other, options)
    except CheckpointError as error:
        raise CheckpointError(f"{path}: {error}") from None
    dialect = find_dialect(one.network.tensors)
    evidence = (
        *one.network.notes,
        *([f"named as in {dialect.name}"] if dialect.name else []),
        *(["there G_ab makes A of B"] if dialect.backwards and direction_of(one.name) else []),
        *one.generator.evidence,
        *changes,
    )
    return Imported(
        built,
        path,
        one.name,
        known_direction(path, one, options),
        options,
        evidence,
        one.generator.ambiguous,
        tuple(tried),
    )


def _try(network: Generator) -> list[str]:
    return doubts(network, network.config.in_channels, network.config.multiple)


def _with_norms(one: Identified, options: Options) -> Identified | None:
    """The other reading of weights that tell nothing of norms, if it is the one that translates."""
    assert one.generator is not None
    config = one.generator.config
    if config.norm != "none" or config.bias or options.norm:
        return None
    other = dataclasses.replace(
        one.generator,
        config=dataclasses.replace(config, norm="instance"),
        ambiguous=(
            "without biases and norm weights, no norm and an instance norm look the same; taken as "
            "instance norm, because only with it a test picture is translated",
        ),
    )
    built, _ = build(one.network, other, list(one.strangers))
    return None if _try(built) else dataclasses.replace(one, generator=other)


def _choose(
    path: Path, found: list[Identified], direction: Direction | None, name: str | None
) -> Identified:
    """The generator that was asked for."""
    generators = [one for one in found if one.generator]
    if name is not None:
        return _by_name(path, found, name)
    if not generators:
        raise CheckpointError(f"{path} {_no_generator(path, found)}")
    if len(generators) == 1:
        return generators[0]
    wanted = [one for one in generators if _named_direction(one) == (direction or "AtoB")]
    if len(wanted) == 1:
        return wanted[0]
    names = ", ".join(one.name for one in generators)
    raise SeveralGenerators(f"{path} holds several generators; pick one with --network: {names}")


def _by_name(path: Path, found: list[Identified], name: str) -> Identified:
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


def _no_generator(path: Path, found: list[Identified]) -> str:
    """The end of a sentence that begins with the file's name."""
    judges = [one for one in found if one.discriminator]
    if judges:
        beside = generator_beside(path)
        where = f"; {beside.name} beside it is one" if beside else ""
        named = f"{judges[0].name}: " if judges[0].name else ""
        return f"holds a {named}{judges[0].discriminator}, but a generator is needed{where}"
    if found:
        one = max(found, key=lambda each: len(each.network.tensors))
        named = f" (of {one.name})" if one.name else ""
        judged = " and is named as a discriminator" if discriminator.named_so(path.stem) else ""
        return f"holds no generator that is known{named}{judged}: {one.reason}"
    return "holds no image network: nothing in it has convolutions"


def _said_direction(options: Options) -> Direction | None:
    """pix2pix and CUT have one generator, of the direction that their options say."""
    said = options.get("direction")
    if options.get("model") == "cycle_gan" or said not in ("AtoB", "BtoA"):
        return None
    return "AtoB" if said == "AtoB" else "BtoA"


def _from_beside(path: Path, wanted: Direction, known: Direction) -> Imported:
    name = other_way(path.name)
    beside = path.with_name(name) if name else None
    if beside is None or not beside.is_file():
        missing = f"; {name}, which would lead back, is not beside it" if name else ""
        raise UsageError(f"{path} translates {known}, not {wanted}{missing}")
    other = import_generator(beside, read_payload(beside), None, None)
    note = f"taken from {beside.name}, which leads back from what {path.name} leads to"
    return Imported(
        other.network,
        other.path,
        other.name,
        wanted,
        other.options,
        (note, *other.evidence),
        other.ambiguous,
        other.doubts,
    )
