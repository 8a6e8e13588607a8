"""The state dicts in a file, by name."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from .conventions import direction_from_name

StateDict = dict[str, Tensor]

# Put around a network by DataParallel, torch.compile, averaging, Lightning.
_WRAPPER_PREFIX_RE = re.compile(r"module|_orig_mod|_fsdp_wrapped_module|ema_model|averaged_model")
_AVERAGING_KEYS = {"n_averaged"}  # beside the tensors of an averaged model
_MAX_DEPTH = 6
_MIN_CONVOLUTIONS = 3  # convolutions that make a network


@dataclass(frozen=True)
class NamedStateDict:
    """One state dict. name: where it was, such as "G_AB" or "state_dict/netG_A"; "" for a file
    that is one. tensors: in the file's order, without what wrappers prefix. notes: what was
    unwrapped."""

    name: str
    tensors: StateDict
    notes: tuple[str, ...] = ()


def find_state_dicts(payload: Any) -> list[NamedStateDict]:
    """Every state dict in what a file holds, nested in dicts and lists at any key. Names are
    still to be split: see `split`."""
    return list(_walk_payload(payload, "", 0))


def _walk_payload(value: Any, name: str, depth: int) -> Iterator[NamedStateDict]:
    if isinstance(value, list | tuple):
        value = {str(index): item for index, item in enumerate(value)}
    if not isinstance(value, Mapping) or depth > _MAX_DEPTH or "param_groups" in value:
        return
    tensors = {
        str(key): item for key, item in value.items() if isinstance(item, Tensor) and str(key)
    }
    if count_convolutions(tensors) >= _MIN_CONVOLUTIONS:
        notes = (f"found under {name!r} in the file",) if name else ()
        yield strip_wrappers(NamedStateDict(name, tensors, notes))
    for key, item in value.items():
        if not isinstance(item, Tensor):
            yield from _walk_payload(item, f"{name}/{key}" if name else str(key), depth + 1)


def count_convolutions(tensors: StateDict) -> int:
    """How many weights are four-dimensional, the fixed blur filters left out."""
    return sum(1 for key, t in tensors.items() if t.dim() == 4 and not key.endswith("filt"))


def strip_wrappers(network: NamedStateDict) -> NamedStateDict:
    """Without the prefixes that all tensors have: those of wrappers, and a name such as "G_A2B."
    that tells a direction, which becomes the network's."""
    name, tensors, notes = network.name, network.tensors, list(network.notes)
    while True:
        named = [key for key in tensors if key not in _AVERAGING_KEYS]
        first = named[0].partition(".")[0] if named else ""
        wrapper, naming = _WRAPPER_PREFIX_RE.fullmatch(first), direction_from_name(first)
        if not (wrapper or naming) or not all(key.startswith(f"{first}.") for key in named):
            return NamedStateDict(name, tensors, tuple(notes))
        notes.append(f"prefix '{first}.' {'removed' if wrapper else 'names the network'}")
        if not wrapper:
            name = f"{name}/{first}" if name else first
        tensors = {key.removeprefix(f"{first}."): tensors[key] for key in named}


def split_by_prefix(network: NamedStateDict) -> list[NamedStateDict]:
    """One network per first component of the keys: "netG_A.model.1.weight" is in "netG_A"."""
    groups: dict[str, StateDict] = {}
    for key, tensor in network.tensors.items():
        first, _, rest = key.partition(".")
        if rest:
            groups.setdefault(first, {})[rest] = tensor
    return [
        strip_wrappers(
            NamedStateDict(
                f"{network.name}/{first}" if network.name else first,
                tensors,
                (*network.notes, f"prefix '{first}.' names the network"),
            )
        )
        for first, tensors in groups.items()
        if count_convolutions(tensors) >= _MIN_CONVOLUTIONS
    ]
