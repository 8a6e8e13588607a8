"""Generators of `--code`: their code, their weights, and what images they take."""

from __future__ import annotations

import copy
from pathlib import Path

from torch import nn

from cgt.runtime.errors import UsageError
from cgt.runtime.models.metadata import Direction
from cgt.runtime.models.model_code import ModelCode
from cgt.runtime.utils.atomic import file_sha256

from ..checkpoint import is_cgt_checkpoint
from ..importers.conventions import (
    TrainOptions,
    direction_from_name,
    infer_domains,
    reverse_direction_name,
)
from ..importers.file_reader import read_payload
from ..pretrained import TrainedGenerator
from .interface import probe_interface
from .loader import build_network, their_errors
from .weights import LoadedWeights, bake_reparametrizations, load_strictly


def open_code_generator(
    code: ModelCode,
    path: Path | None,
    direction: Direction | None = None,
    network: str | None = None,
) -> TrainedGenerator:
    """Execute code that builds a generator, and load its weights strictly.

    Args:
        code: The code.
        path: The checkpoint; None for the weights that the code initializes.
        direction: Direction to load; by default the only one in the file, or AtoB if it has both.
        network: Name of a network in the file, if several fit.

    Raises:
        CheckpointError: The checkpoint cannot be read or does not fit the code, or the code fails.
        UsageError: The code does not translate images, or the request does not fit.
        MissingDependency: The code needs a package that is not installed.
    """
    if path is not None:
        path = _file_of_direction(path, direction)
        payload = read_payload(path)  # before the code runs: it may be a wrong file
        if is_cgt_checkpoint(payload):
            raise UsageError(f"{path} was written by cgt, which knows its network; omit --code")
    model = build_network(code)
    if path is None:
        loaded = LoadedWeights("", ("no checkpoint: the weights are random",))
        options = TrainOptions()
    else:
        loaded = load_strictly(model, path, payload, direction, network)
        options = TrainOptions.load_next_to(path)
    bake_reparametrizations(model)
    _check_copyable(model, code)
    image_model, interface = probe_interface(model, code, options.positive_int("crop_size"))
    named = direction_from_name(loaded.name) or (direction_from_name(path.stem) if path else None)
    root = options.get("dataroot")
    translated = direction or named or "AtoB"
    location = path or code.file or Path(f"{code.module}.py")
    return TrainedGenerator(
        network=image_model,
        path=location,
        domains=(
            infer_domains(path, Path(root or "").name, options.get("name")) if path else ("A", "B")
        ),
        direction=translated,
        size=interface.size,
        multiple=interface.multiple,
        norm=_norm_kind(model),
        in_channels=interface.in_channels,
        out_channels=interface.out_channels,
        architecture={
            "origin": "code",
            "kind": code.label,
            "class": f"{type(model).__module__}.{type(model).__qualname__}",
            "input_range": list(code.input_range),
            "output_range": list(image_model.output_range),
            **({"code_sha256": file_sha256(code.file)} if code.file else {}),
        },
        test_folder=(Path(root) / ("testA" if translated == "AtoB" else "testB") if root else None),
        sha256=file_sha256(path) if path else "",
        evidence=(
            f"built by their code, {code.label}",
            *loaded.notes,
            *interface.notes,
            _range_note(code),
        ),
        filter="bicubic",
        direction_known=named is not None,
        code=code,
        fixed_size=interface.fixed,
    )


def _file_of_direction(path: Path, direction: Direction | None) -> Path:
    """Return the file, or that of the reverse generator next to it if the direction is its."""
    known = direction_from_name(path.stem)
    if direction is None or known in (None, direction):
        return path
    name = reverse_direction_name(path.name)
    sibling = path.with_name(name) if name else None
    if sibling is None or not sibling.is_file():
        missing = f"; the reverse generator {name} is not next to it" if name else ""
        raise UsageError(f"{path} translates {known}, not {direction}{missing}")
    return sibling


def _check_copyable(model: nn.Module, code: ModelCode) -> None:
    """Copy the network once, as an export does; some code stores what cannot be copied."""
    with their_errors(code, "copying the network"):
        copy.deepcopy(model)


def _norm_kind(model: nn.Module) -> str:
    """Return "instance" if the output depends on statistics of the image, else "unknown"."""
    norms = [m for m in model.modules() if isinstance(m, nn.modules.instancenorm._InstanceNorm)]
    return "instance" if any(not norm.track_running_stats for norm in norms) else "unknown"


def _range_note(code: ModelCode) -> str:
    low, high = code.input_range
    return f"gets RGB from {low:g} (black) to {high:g} (white); --model-range states another"
