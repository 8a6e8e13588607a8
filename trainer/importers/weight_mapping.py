"""Weight mapping: tensors of a third-party network under cgt's names, without unused keys."""

from __future__ import annotations

import torch
from torch import Tensor

from cgt.runtime.errors import CheckpointError, UsageError

from ..networks import Generator, build_generator
from .layer_graph import ParsedLayer, parse_layers
from .parsed_generator import ParsedGenerator
from .state_dicts import NamedStateDict


def build_with_weights(
    network: NamedStateDict, parsed: ParsedGenerator, unexpected_keys: list[str]
) -> tuple[Generator, list[str]]:
    """Build the parsed generator and load the network's weights.

    Args:
        network: the state dict.
        parsed: its architecture.
        unexpected_keys: keys that belong to no layer.

    Returns:
        The generator in eval mode, and notes about changed or missing tensors.

    Raises:
        CheckpointError: a key has no counterpart, a shape differs, or a weight is not finite.
    """
    if unexpected_keys:
        listed = ", ".join(unexpected_keys[:3]) + (", ..." if len(unexpected_keys) > 3 else "")
        raise CheckpointError(
            f"it looks like {parsed.config.kind}, but {len(unexpected_keys)} tensors do not belong "
            f"to it: {listed}"
        )
    try:
        ours = build_generator(parsed.config)
    except UsageError as error:  # such as groups that do not divide the channels
        raise CheckpointError(str(error)) from None
    empty = ours.state_dict()
    our_layers = parse_layers(empty).convolutions
    state: dict[str, Tensor] = {}
    notes: list[str] = []
    for theirs, our_layer in zip(parsed.layers, our_layers, strict=True):
        state |= _map_layer(theirs, our_layer, network.tensors, set(parsed.dropped_keys))
    kinds = {str(t.dtype).removeprefix("torch.") for t in network.tensors.values() if t.dim() == 4}
    if kinds != {"float32"}:
        notes.append(f"weights stored as {', '.join(sorted(kinds))}, converted to float32")
    missing = sorted(set(empty) - set(state))
    zeroed = [key for key in missing if not key.endswith(".weight")]
    for key in missing:  # missing biases are zero; counters have no effect in eval mode
        # An InstanceNorm that tracks statistics has no scale: it is one.
        is_unit_scale = parsed.config.norm == "batch" and empty[key].dim() == 1
        if not key.endswith((".bias", "num_batches_tracked")) and not is_unit_scale:
            raise CheckpointError(f"the file has no tensor for {key} of {parsed.config.kind}")
        state[key] = (torch.zeros_like if key in zeroed else torch.ones_like)(empty[key])
    zero_biases = [key for key in zeroed if key.endswith(".bias")]
    if len(zero_biases) > sum(1 for key in missing if key.endswith(".weight")):
        notes.append(f"{len(zero_biases)} biases that the file lacks are set to zero")
    if parsed.dropped_keys:
        notes.append(f"{len(parsed.dropped_keys)} unused running statistics dropped")
    used_keys = {key for layer in parsed.layers for key in layer.keys()}  # noqa: SIM118
    unused_keys = sorted(set(network.tensors) - used_keys)
    if unused_keys:
        raise CheckpointError(f"{unused_keys[0]} does not belong to {parsed.config.kind}")
    for key, value in state.items():
        if value.shape != empty[key].shape:
            raise CheckpointError(
                f"the tensor for {key} of {parsed.config.kind} is {tuple(value.shape)}; expected "
                f"{tuple(empty[key].shape)}"
            )
        if not bool(torch.isfinite(value).all()):
            raise CheckpointError(
                f"the tensor for {key} is not finite; the training diverged or the file is damaged"
            )
    ours.load_state_dict(state, strict=True)
    return ours.eval(), notes


def _map_layer(
    theirs: ParsedLayer, ours: ParsedLayer, tensors: dict[str, Tensor], dropped: set[str]
) -> dict[str, Tensor]:
    """Return the tensors of one layer under the keys of `ours`, in float32."""
    pairs: list[tuple[str | None, str | None]] = [
        (ours.weight, theirs.weight),
        (ours.bias, theirs.bias),
        (ours.blur_before, theirs.blur_before),
        (ours.blur_after, theirs.blur_after),
    ]
    their_norm_keys = theirs.norm.keys if theirs.norm else {}
    our_norm_keys = ours.norm.keys if ours.norm else {}
    for leaf, key in their_norm_keys.items():
        if key not in dropped:
            if leaf not in our_norm_keys:
                raise CheckpointError(f"{key} has no counterpart after {ours.path}")
            pairs.append((our_norm_keys[leaf], key))
    filled = {}
    for target, source in pairs:
        if source is not None:
            if target is None:
                raise CheckpointError(f"{source} has no counterpart in {ours.path}")
            tensor = tensors[source]
            filled[target] = tensor.float() if tensor.dim() else tensor.long()
    return filled
