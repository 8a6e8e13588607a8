"""Strict loading of a checkpoint into a network that another project's code built."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize, remove_spectral_norm, remove_weight_norm
from torch.nn.utils.spectral_norm import SpectralNorm
from torch.nn.utils.weight_norm import WeightNorm

from cgt.runtime.errors import CheckpointError, UsageError
from cgt.runtime.models.metadata import Direction

from ..importers.conventions import direction_from_name
from ..importers.state_dicts import StateDict

_MAX_DEPTH = 6
_MAX_LISTED = 3
_WRAPPER_RE = re.compile(r"(^|\.)(_orig_mod|_fsdp_wrapped_module|_checkpoint_wrapped_module)\.")
_COUNTERS = {"n_averaged"}  # of an averaged model, next to its tensors
_NORM_COUNTER = "num_batches_tracked"
_NORM_STATISTICS = ("running_mean", "running_var", _NORM_COUNTER)


@dataclass(frozen=True)
class _Candidate:
    """Tensors of a file that may be the network's.

    Attributes:
        name: their keys in the file and their common prefix, "state_dict/netG_A".
        tensors: tensors without that prefix.
    """

    name: str
    tensors: StateDict


@dataclass(frozen=True)
class LoadedWeights:
    """What was loaded from where.

    Attributes:
        name: name of the network in the file; empty if the file is the state dict.
        notes: what was removed from the file's tensors.
    """

    name: str
    notes: tuple[str, ...]


def load_strictly(
    network: nn.Module,
    path: Path,
    payload: Any,
    direction: Direction | None,
    wanted: str | None = None,
) -> LoadedWeights:
    """Load the tensors of a file that are exactly those of a network.

    Every tensor of the network must be in the file with the same shape, and the file's state dict
    must have no other. Prefixes of wrappers and of an enclosing network are removed.

    Args:
        network: Network to load into.
        path: The file, for messages.
        payload: Its content, from `read_payload`.
        direction: Direction that selects one of several fitting state dicts.
        wanted: Name that selects one.

    Raises:
        CheckpointError: No state dict of the file fits.
        UsageError: Several fit.
    """
    expected = _tensors_of(network)
    candidates = list(_find_candidates(payload, expected))
    if wanted is not None:
        candidates = [c for c in candidates if wanted in (c.name, *c.name.split("/"))]
        if not candidates:
            raise UsageError(f"{path} has no network {wanted!r} for --code")
    if not candidates:
        raise CheckpointError(f"{path} contains no tensors")
    fitting = {c.name: c for c in candidates if not _differences(network, c.tensors)}
    if not fitting:
        closest = min(candidates, key=lambda c: len(_differences(network, c.tensors)))
        raise CheckpointError(_mismatch_message(network, path, closest))
    chosen = _select(path, list(fitting.values()), direction)
    tensors = {key: chosen.tensors[key] for key in expected if key in chosen.tensors}
    broken = [k for k, t in tensors.items() if t.is_floating_point() and not t.isfinite().all()]
    if broken:
        raise CheckpointError(f"{path}: {broken[0]} has NaN or infinite values")
    network.load_state_dict(tensors, strict=False)  # checked above; old norms have no counters
    dropped = [k for k in chosen.tensors if k not in expected and k not in _COUNTERS]
    notes = [f"found under {chosen.name!r} in the file"] if chosen.name else []
    if dropped:
        notes.append(
            f"{len(dropped)} running statistics that PyTorch 0.3 wrote for InstanceNorm have no "
            "place in their code"
        )
    return LoadedWeights(chosen.name, tuple(notes))


def bake_reparametrizations(network: nn.Module) -> None:
    """Replace spectral and weight norms by the weights that they compute, in place."""
    for module in network.modules():
        if parametrize.is_parametrized(module):
            for name in list(module.parametrizations):  # type: ignore[arg-type]
                parametrize.remove_parametrizations(module, name, leave_parametrized=True)
        for hook in list(module._forward_pre_hooks.values()):
            if isinstance(hook, SpectralNorm):
                remove_spectral_norm(module, hook.name)
            elif isinstance(hook, WeightNorm):
                remove_weight_norm(module, hook.name)
    network.requires_grad_(False)


def _find_candidates(payload: Any, expected: Mapping[str, Tensor]) -> Iterator[_Candidate]:
    for name, tensors in _walk(payload, "", 0):
        tensors = {_WRAPPER_RE.sub(r"\1", key): tensor for key, tensor in tensors.items()}
        yield _Candidate(name, tensors)
        for prefix in _prefixes(tensors, expected):
            inner = {k.removeprefix(prefix): t for k, t in tensors.items() if k.startswith(prefix)}
            label = prefix.removesuffix(".").removesuffix("module").removesuffix(".")
            yield _Candidate("/".join(filter(None, (name, label))), inner)


def _prefixes(tensors: StateDict, expected: Mapping[str, Tensor]) -> list[str]:
    """Return prefixes after which a key of the file is the network's first key."""
    first = next(iter(expected), "")
    found = {key.removesuffix(first) for key in tensors if first and key.endswith(f".{first}")}
    return sorted(found)


def _walk(value: Any, name: str, depth: int) -> Iterator[tuple[str, StateDict]]:
    if isinstance(value, list | tuple):
        value = {str(index): item for index, item in enumerate(value)}
    if not isinstance(value, Mapping) or depth > _MAX_DEPTH or "param_groups" in value:
        return
    tensors = {str(key): item for key, item in value.items() if isinstance(item, Tensor)}
    if tensors:
        yield name, tensors
    for key, item in value.items():
        if not isinstance(item, Tensor):
            yield from _walk(item, f"{name}/{key}" if name else str(key), depth + 1)


def _tensors_of(network: nn.Module) -> StateDict:
    return {k: t for k, t in network.state_dict().items() if isinstance(t, Tensor)}


def _differences(network: nn.Module, tensors: StateDict) -> list[str]:
    """Return the missing and unexpected keys and the shapes that differ, as short texts."""
    expected = _tensors_of(network)
    wrong = [
        f"{key} is {_shape(tensors[key])}, in their code {_shape(tensor)}"
        for key, tensor in expected.items()
        if key in tensors and tensors[key].shape != tensor.shape
    ]
    wrong += [
        f"{key} is missing"
        for key in expected
        if key not in tensors and not key.endswith(_NORM_COUNTER)
    ]
    wrong += [
        f"{key} has no place in their code"
        for key in tensors
        if key not in expected
        and key not in _COUNTERS
        and not _is_obsolete_statistic(network, key, tensors)
    ]
    return wrong


def _is_obsolete_statistic(network: nn.Module, key: str, tensors: StateDict) -> bool:
    """Return whether a key is a statistic that PyTorch before 0.4 wrote for every InstanceNorm.

    From PyTorch 0.4.1 on only norms that use their statistics write them, with a counter.
    """
    name, _, kind = key.rpartition(".")
    if kind not in _NORM_STATISTICS or f"{name}.{_NORM_COUNTER}" in tensors:
        return False
    module = dict(network.named_modules()).get(name)
    is_instance_norm = isinstance(module, nn.modules.instancenorm._InstanceNorm)
    return is_instance_norm and not getattr(module, "track_running_stats", True)


def _mismatch_message(network: nn.Module, path: Path, closest: _Candidate) -> str:
    wrong = _differences(network, closest.tensors)
    more = f" and {len(wrong) - _MAX_LISTED} more" if len(wrong) > _MAX_LISTED else ""
    named = f" ({closest.name})" if closest.name else ""
    return (
        f"{path}{named} does not fit the network that --code builds: "
        f"{'; '.join(wrong[:_MAX_LISTED])}{more}; change --code-args (such as channels, width or "
        "blocks), or name the class that wrote the file"
    )


def _shape(tensor: Tensor) -> str:
    return "x".join(map(str, tensor.shape)) or "a number"


def _select(path: Path, fitting: list[_Candidate], direction: Direction | None) -> _Candidate:
    """Return the only one, the only different one, or that of the direction."""
    first = fitting[0]
    if all(_equal(first.tensors, other.tensors) for other in fitting[1:]):
        return first
    wanted = [c for c in fitting if direction_from_name(c.name) == (direction or "AtoB")]
    if len(wanted) == 1:
        return wanted[0]
    names = ", ".join(c.name or "(the file itself)" for c in fitting)
    raise UsageError(
        f"{path} contains several networks for --code; select one with --network: {names}"
    )


def _equal(a: StateDict, b: StateDict) -> bool:
    return a.keys() == b.keys() and all(torch.equal(a[key], b[key]) for key in a)
