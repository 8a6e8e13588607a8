"""Their tensors under our names: layer by layer, strictly, so that no key is left over."""

from __future__ import annotations

import torch
from torch import Tensor

from cgt.runtime.errors import CheckpointError

from ..networks import Generator, build_generator
from .layers import Layer, read_layers
from .networks import Network
from .recognised import Recognised


def build(network: Network, found: Recognised, strangers: list[str]) -> tuple[Generator, list[str]]:
    """The described generator with the network's weights, in eval mode, and what was changed on
    the way.

    Raises CheckpointError when a key has no place, a shape disagrees, or a weight is no number.
    """
    if strangers:
        listed = ", ".join(strangers[:3]) + (", ..." if len(strangers) > 3 else "")
        raise CheckpointError(
            f"it looks like {found.config.kind}, but {len(strangers)} tensors have no place in it: "
            f"{listed}"
        )
    ours = build_generator(found.config)
    empty = ours.state_dict()
    places = read_layers(empty).convolutions
    state: dict[str, Tensor] = {}
    notes: list[str] = []
    for theirs, place in zip(found.layers, places, strict=True):
        state |= _fill(theirs, place, network.tensors, set(found.dropped))
    kinds = {str(t.dtype).removeprefix("torch.") for t in network.tensors.values() if t.dim() == 4}
    if kinds != {"float32"}:
        notes.append(f"weights stored as {', '.join(sorted(kinds))}, computed in float32")
    missing = sorted(set(empty) - set(state))
    zeroed = [key for key in missing if key.endswith(".bias")]
    for key in missing:  # a bias that is not there adds nothing; counters do not act in eval mode
        if not key.endswith((".bias", "num_batches_tracked")):
            raise CheckpointError(f"the file lacks what {key} of {found.config.kind} needs")
        state[key] = torch.zeros_like(empty[key])
    if zeroed:
        notes.append(f"{len(zeroed)} biases that the file lacks are zero")
    if found.dropped:
        notes.append(f"{len(found.dropped)} old statistics dropped")
    used = {key for layer in found.layers for key in layer.keys()}  # noqa: SIM118
    unused = sorted(set(network.tensors) - used)
    if unused:
        raise CheckpointError(f"{unused[0]} has no place in {found.config.kind}")
    for key, value in state.items():
        if value.shape != empty[key].shape:
            raise CheckpointError(
                f"what becomes {key} of {found.config.kind} is {tuple(value.shape)}, where "
                f"{tuple(empty[key].shape)} should be"
            )
        if not bool(torch.isfinite(value).all()):
            raise CheckpointError(
                f"a weight that becomes {key} is not finite; the training diverged or the file is "
                "damaged"
            )
    ours.load_state_dict(state, strict=True)
    return ours.eval(), notes


def _fill(
    theirs: Layer, place: Layer, tensors: dict[str, Tensor], dropped: set[str]
) -> dict[str, Tensor]:
    """The tensors of one layer under our keys, in float32."""
    pairs: list[tuple[str | None, str | None]] = [
        (place.weight, theirs.weight),
        (place.bias, theirs.bias),
        (place.blur_before, theirs.blur_before),
        (place.blur_after, theirs.blur_after),
    ]
    given = theirs.norm.keys if theirs.norm else {}
    wanted = place.norm.keys if place.norm else {}
    for leaf, key in given.items():
        if key not in dropped:
            if leaf not in wanted:
                raise CheckpointError(f"{key} has no place behind {place.path}")
            pairs.append((wanted[leaf], key))
    filled = {}
    for target, source in pairs:
        if source is not None:
            if target is None:
                raise CheckpointError(f"{source} has no place at {place.path}")
            tensor = tensors[source]
            filled[target] = tensor.float() if tensor.dim() else tensor.long()
    return filled
