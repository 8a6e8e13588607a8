"""Importer of third-party checkpoints: from a file to the requested generator.

Discriminators are recognized too, for error messages.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import Any

from cgt.runtime.errors import CheckpointError, UsageError
from cgt.runtime.models.checkpoint_options import NO_OPTIONS, CheckpointOptions
from cgt.runtime.models.metadata import Direction

from ..networks import Generator
from ..networks.config import GeneratorConfig
from . import resnet, unet
from .certainty.assumptions import Assumption, find_class_beside, require_consent
from .certainty.evidence import Finding, check_biases, check_statistics
from .certainty.fingerprints import find_family
from .conventions import (
    Convention,
    TrainOptions,
    direction_from_name,
    find_convention,
    find_sibling_generator,
    reverse_direction_name,
)
from .diagnostics import closest_architecture, sanity_check
from .file_reader import read_payload
from .layer_graph import LayerGraph, parse_layers
from .norm_padding import unused_statistics
from .parsed_generator import NotThisArchitecture, ParsedGenerator
from .state_dicts import NamedStateDict, find_state_dicts, split_by_prefix
from .weight_mapping import build_with_weights

_DISCRIMINATOR_NAME_RE = re.compile(
    r"(^|[_/.])(net)?(D|disc|critic)(_?[A-Z0-9]*$|[_/.]|riminator)", re.IGNORECASE
)


def describe_discriminator(layers: LayerGraph) -> str | None:
    """Describe a discriminator; return None if the layers are not one.

    A discriminator is a chain of convolutions with growing width that ends in a single channel.
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
    """Return whether the name of a network or file is that of a discriminator."""
    return bool(_DISCRIMINATOR_NAME_RE.search(name))


CODE_HINT = "; to build it by its own code, add --code"


class MultipleGeneratorsError(UsageError):
    """A file contains several generators, and no name determines which one to use."""


@dataclass(frozen=True)
class IdentifiedNetwork:
    """A state dict and what it was recognized as.

    Attributes:
        network: the state dict.
        generator: the parsed generator, if it is one.
        discriminator: description of the discriminator, if it is one.
        unexpected_keys: keys that belong to no layer of the generator.
        reason: why it is neither.
    """

    network: NamedStateDict
    generator: ParsedGenerator | None = None
    discriminator: str | None = None
    unexpected_keys: tuple[str, ...] = ()
    reason: str = ""

    @property
    def name(self) -> str:
        """Name of the network in the file."""
        return self.network.name


@dataclass(frozen=True)
class ImportedGenerator:
    """A generator of another trainer.

    Attributes:
        network: the generator in eval mode.
        path: the file.
        name: name in the file; empty if the file is one network.
        direction: its direction; None if no name or option has one.
        options: options of the run that wrote the file.
        evidence: facts that the architecture was inferred from.
        ambiguities: what the file leaves open without an effect on the output.
        warnings: reasons to believe that the architecture is wrong or the weights are untrained.
        family: the project that wrote the file; empty if its names are not unique.
        assumptions: what the reading assumes; empty for a match.
        keys: keys of the network in the file.
    """

    network: Generator
    path: Path
    name: str
    direction: Direction | None
    options: TrainOptions
    evidence: tuple[str, ...]
    ambiguities: tuple[str, ...]
    warnings: tuple[str, ...]
    family: str
    assumptions: tuple[Assumption, ...]
    keys: tuple[str, ...]


@dataclass(frozen=True)
class ImportContext:
    """What a file is read with.

    Attributes:
        path: the file.
        options: options of the run that wrote it.
        choices: what the user states.
        payload: content of the file.
    """

    path: Path
    options: TrainOptions
    choices: CheckpointOptions
    payload: Any

    @classmethod
    def load(cls, path: Path, payload: Any, choices: CheckpointOptions) -> ImportContext:
        """Read what lies beside the file."""
        return cls(path, TrainOptions.load_next_to(path), choices, payload)


def identify_networks(context: ImportContext) -> list[IdentifiedNetwork]:
    """Recognize all networks in the payload of a file."""
    identified: list[IdentifiedNetwork] = []
    for network in find_state_dicts(context.payload):
        identified += _identify_network(network, context, depth=0)
    return identified


def _identify_network(
    network: NamedStateDict, context: ImportContext, depth: int
) -> list[IdentifiedNetwork]:
    layers = parse_layers(network.tensors)
    reasons = {}
    convention = find_convention(network.tensors)
    parsers: dict[str, Callable[[], ParsedGenerator]] = {
        "resnet": lambda: resnet.parse_resnet(layers, context.options, convention, context.choices),
        "unet": lambda: unet.parse_unet(layers, context.options, context.choices),
    }
    for family, parse in parsers.items():
        try:
            parsed = parse()
        except NotThisArchitecture as error:
            reasons[family] = str(error)
            continue
        unexpected_keys = tuple(layers.unexpected_keys)
        if not unexpected_keys:
            parsed = replace(parsed, family=_find_family(network, parsed, convention, context))
            parsed = _weigh_evidence(network, parsed, context)
        return [IdentifiedNetwork(network, parsed, unexpected_keys=unexpected_keys)]
    if discriminator_text := describe_discriminator(layers):
        return [IdentifiedNetwork(network, discriminator=discriminator_text)]
    if depth < 3:
        parts = [
            one
            for part in split_by_prefix(network)
            for one in _identify_network(part, context, depth + 1)
        ]
        if any(part.generator or part.discriminator for part in parts):
            return parts
    return [IdentifiedNetwork(network, reason=closest_architecture(layers, reasons))]


def _find_family(
    network: NamedStateDict,
    parsed: ParsedGenerator,
    convention: Convention,
    context: ImportContext,
) -> str:
    """Return the project that wrote a network; a reading that the user changes has none."""
    if context.choices.given.keys() - {"assume", "norm_statistics"}:
        return ""
    config = parsed.config
    if context.choices.norm_statistics == "batch" and unused_statistics(parsed.layers, config.norm):
        config = replace(config, norm="batch")  # as the file has it
    return find_family(network.tensors, config, convention)


def _weigh_evidence(
    network: NamedStateDict, parsed: ParsedGenerator, context: ImportContext
) -> ParsedGenerator:
    """Return the reading that agrees with the biases and statistics of the file.

    What the user states stays. A known project whose reading the evidence contradicts was changed.
    """

    original = parsed

    def build(config: GeneratorConfig) -> Generator:
        return build_with_weights(network, replace(original, config=config), [])[0]

    checks: tuple[Callable[[ParsedGenerator], Finding], ...] = (
        # In half precision, rounding noise looks like a gradient: names win.
        lambda one: (
            Finding(one.config)
            if one.family
            else check_biases(one.config, one.layers, network.tensors, context.payload)
        ),
        lambda one: check_statistics(
            one.config,
            build,
            network.tensors,
            context.options.source_images(context.path),
            is_known=bool(one.family),
        ),
    )
    for check in checks:
        try:
            finding = check(parsed)
        except CheckpointError:  # `build_imported` reports it
            return parsed
        changed = finding.config != parsed.config
        if changed and context.choices.given.keys() - {"assume"}:
            continue
        parsed = replace(
            parsed,
            config=finding.config,
            settled=parsed.settled | finding.settled,
            evidence=(*parsed.evidence, *finding.lines),
            family="" if changed else parsed.family,
        )
    return parsed


def import_generator(
    path: Path,
    payload: Any,
    direction: Direction | None,
    network: str | None,
    choices: CheckpointOptions = NO_OPTIONS,
) -> ImportedGenerator:
    """Import the generator of a direction from a file, or from that of its reverse generator.

    Args:
        path: the file.
        payload: its content, from `read_payload`.
        direction: the direction; None for that of the file.
        network: name of the network, if the file has several.
        choices: what the user states about the network.

    Raises:
        CheckpointError: there is no usable generator.
        GuessError: the file leaves properties open, and the user did not accept the defaults.
        UsageError: the request does not fit the file.
    """
    context = ImportContext.load(path, payload, choices)
    identified = _select_generator(path, identify_networks(context), direction, network)
    known = infer_direction(path, identified, context.options)
    if direction and known and direction != known:
        return _import_reverse_sibling(context, direction, known)
    imported = build_imported(context, identified)
    require_consent(path, imported.assumptions, imported.keys, choices.assume)
    return imported


def infer_direction(
    path: Path, identified: IdentifiedNetwork, options: TrainOptions
) -> Direction | None:
    """Return the direction by network name, file name or options; None if unknown."""
    return (
        _direction_by_convention(identified)
        or direction_from_name(path.stem)
        or _direction_from_options(options)
    )


def _direction_by_convention(identified: IdentifiedNetwork) -> Direction | None:
    """Return the direction by the name in the file, with the meaning that its project uses."""
    named = direction_from_name(identified.name)
    if named and find_convention(identified.network.tensors).swaps_directions:
        return "BtoA" if named == "AtoB" else "AtoB"
    return named


def build_imported(context: ImportContext, identified: IdentifiedNetwork) -> ImportedGenerator:
    """Build a network that was recognized as a generator, and run it on a test image.

    Raises:
        CheckpointError: its weights do not fit.
    """
    path, options = context.path, context.options
    assert identified.generator is not None
    try:
        built, changes = build_with_weights(
            identified.network, identified.generator, list(identified.unexpected_keys)
        )
        problems = _run_sanity_check(built)
        if problems and (other := _retry_with_instance_norm(identified, options)):
            return build_imported(context, other)
    except CheckpointError as error:
        raise CheckpointError(f"{path}: {error}") from None
    convention = find_convention(identified.network.tensors)
    evidence = (
        *identified.network.notes,
        *_describe_origin(identified.generator.family, convention),
        *(
            ["G_ab translates B to A in that project"]
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
        identified.generator.family,
        identified.generator.assumptions,
        tuple(identified.network.tensors),
    )


def _describe_origin(family: str, convention: Convention) -> list[str]:
    if family:
        return [f"keys are those of {family}"]
    return [f"names as in {convention.name}, but not only there"] if convention.name else []


def _run_sanity_check(network: Generator) -> list[str]:
    return sanity_check(network, network.config.in_channels, network.config.multiple)


def _retry_with_instance_norm(
    identified: IdentifiedNetwork, options: TrainOptions
) -> IdentifiedNetwork | None:
    """Return the reading with instance norms if the norm is unknown and only it translates."""
    assert identified.generator is not None
    config = identified.generator.config
    if config.norm != "none" or config.bias or options.norm:
        return None
    other = replace(
        identified.generator,
        config=replace(config, norm="instance"),
        ambiguities=(
            "without biases and norm weights, no norm and an instance norm look the same; instance "
            "norm is assumed, because only with it a test image is translated",
        ),
    )
    built, _ = build_with_weights(identified.network, other, list(identified.unexpected_keys))
    return None if _run_sanity_check(built) else replace(identified, generator=other)


def _select_generator(
    path: Path, found: list[IdentifiedNetwork], direction: Direction | None, name: str | None
) -> IdentifiedNetwork:
    """Return the generator for a direction or a name."""
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
        f"{path} contains several generators; select one with --network: {names}"
    )


def _select_by_name(path: Path, found: list[IdentifiedNetwork], name: str) -> IdentifiedNetwork:
    matching = [one for one in found if name in (one.name, one.name.rpartition("/")[2])]
    if len(matching) != 1:
        names = ", ".join(one.name or "(a single one without a name)" for one in found)
        raise UsageError(f"{path} has no network {name!r}; it contains {names or 'none'}")
    (one,) = matching
    if one.discriminator:
        raise UsageError(f"{path}: {name} is a {one.discriminator}; select a generator")
    if not one.generator:
        raise CheckpointError(f"{path}: {name} is not a supported generator: {one.reason}")
    return one


def _no_generator_message(path: Path, found: list[IdentifiedNetwork]) -> str:
    """Return what a file without generators contains, as a predicate."""
    discriminators = [one for one in found if one.discriminator]
    others = [
        one for one in found if not one.discriminator and not looks_like_discriminator(one.name)
    ]
    if discriminators and not others:
        sibling = find_sibling_generator(path)
        where = f"; use {sibling.name} next to it" if sibling else ""
        named = f"{discriminators[0].name}: " if discriminators[0].name else ""
        return f"contains a {named}{discriminators[0].discriminator}, not a generator{where}"
    if found:
        one = max(others or found, key=lambda each: len(each.network.tensors))
        named = f" (of {one.name})" if one.name else ""
        text = f"contains no supported generator{named}"
        if looks_like_discriminator(path.stem):
            return f"{text}, and its name is that of a discriminator: {one.reason}"
        code = find_class_beside(path, one.network.tensors)
        return f"{text}: {one.reason}{CODE_HINT} {code}"
    return "contains no image network: nothing in it has convolutions"


def _direction_from_options(options: TrainOptions) -> Direction | None:
    """Return the direction of the single generator of pix2pix or CUT, from the options."""
    stated = options.get("direction")
    if options.get("model") == "cycle_gan" or stated not in ("AtoB", "BtoA"):
        return None
    return "AtoB" if stated == "AtoB" else "BtoA"


def _import_reverse_sibling(
    context: ImportContext, wanted: Direction, known: Direction
) -> ImportedGenerator:
    path = context.path
    name = reverse_direction_name(path.name)
    sibling = path.with_name(name) if name else None
    if sibling is None or not sibling.is_file():
        missing = f"; the reverse generator {name} is not next to it" if name else ""
        raise UsageError(f"{path} translates {known}, not {wanted}{missing}")
    other = import_generator(sibling, read_payload(sibling), None, None, context.choices)
    note = f"taken from {sibling.name}, the reverse generator of {path.name}"
    return replace(other, direction=wanted, evidence=(note, *other.evidence))
