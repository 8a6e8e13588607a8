"""State dicts in the payload of a checkpoint file, by name."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from .conventions import direction_from_name

StateDict = dict[str, Tensor]

# Prefixes of DataParallel, torch.compile, FSDP and averaged models.
_WRAPPER_PREFIX_RE = re.compile(r"module|_orig_mod|_fsdp_wrapped_module|ema_model|averaged_model")
_AVERAGING_KEYS = {"n_averaged"}  # counters of an averaged model, next to its tensors
_MAX_DEPTH = 6
_MIN_CONVOLUTIONS = 3  # a state dict with fewer is not a network


@dataclass(frozen=True)
class NamedStateDict:
    """A state dict and its place in the file.

    Attributes:
        name: its keys in the file, such as "G_AB" or "state_dict/netG_A"; empty if the file is
            the state dict.
        tensors: tensors in the order of the file, without prefixes of wrappers.
        notes: prefixes that were removed.
    """

    name: str
    tensors: StateDict
    notes: tuple[str, ...] = ()


def find_state_dicts(payload: Any) -> list[NamedStateDict]:
    """Find all state dicts in nested dicts and lists.

    A state dict may hold several networks under a prefix each, see `split_by_prefix`.
    """
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
    """Return the number of four-dimensional weights, without fixed blur filters."""
    return sum(1 for key, t in tensors.items() if t.dim() == 4 and not key.endswith("filt"))


def strip_wrappers(network: NamedStateDict) -> NamedStateDict:
    """Remove prefixes that all tensors share.

    These are prefixes of wrappers, and names with a direction, such as "G_A2B.", which are added to
    the network's name.
    """
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
    """Split by the first component of the keys: "netG_A.model.1.weight" belongs to "netG_A"."""
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
