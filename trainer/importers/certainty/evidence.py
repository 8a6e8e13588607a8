"""Evidence in a file for what keys and shapes do not reveal.

Running statistics: a norm stores the mean and variance of its inputs. A reading with another
activation, order or wiring computes other inputs, so its statistics for real images deviate. Such a
contradiction proposes another reading, which remains a guess: activations of similar shape, and
paddings, deviate by less than a few photos do.

Biases before norms: a norm that subtracts the mean of each channel cancels the bias of the
convolution before it. Such a bias has no gradient: Adam's second moment is rounding noise, and a
bias that starts at zero remains zero. A bias with a gradient has no such norm directly after it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from cgt.runtime.errors import CgtError
from cgt.runtime.image.files import list_images, read_image
from cgt.runtime.image.preprocess import pack

from ...data.synthetic import convert_planes
from ...networks.config import ACTIVATIONS, BLOCK_ORDERS, INTERPOLATIONS, PADDINGS, GeneratorConfig
from ..layer_graph import ParsedLayer
from ..state_dicts import StateDict

# ---- Running statistics --------------------------------------------------------------------------

_IMAGES = 6
_SIDE_PX = 128
_MIN_TRACKED = 10  # batches below which running statistics have not converged
_MAX_MISFIT = 0.4  # mean deviation in standard deviations, above which nothing is concluded
_CLEAR_RATIO = 0.6  # of the misfits of a better reading and of the usual one
_GOOD_MISFIT = 0.08  # of a known project, below which no alternative is tried
_MAX_ROUNDS = 2

_ALTERNATIVES: list[dict[str, Any]] = [
    *({"activation": name} for name in ACTIVATIONS),
    *({"block_order": name} for name in BLOCK_ORDERS if name != "activation_only"),
    {"residual": False},
    *({"interpolation": name} for name in INTERPOLATIONS),
    *({"padding": name, "stem_padding": name} for name in PADDINGS),
    *({"down_padding": name} for name in PADDINGS),
]

Build = Callable[[GeneratorConfig], nn.Module]


@dataclass(frozen=True)
class Finding:
    """What evidence reveals.

    Attributes:
        config: the reading that fits best.
        settled: names of properties that the file settles, see assumptions.py.
        lines: the evidence.
    """

    config: GeneratorConfig
    settled: frozenset[str] = frozenset()
    lines: tuple[str, ...] = ()


def check_statistics(
    config: GeneratorConfig,
    build: Build,
    tensors: StateDict,
    images: Path | None,
    is_known: bool,
) -> Finding:
    """Compare running statistics with those of images, for the reading and for alternatives.

    Args:
        config: the reading; a ResNet with batch norms.
        build: builds another reading with the weights of the file, in eval mode.
        tensors: the state dict.
        images: folder of images of the source domain, if known. Without real images nothing is
            concluded: those of synthetic images deviate more than a wrong activation.
        is_known: whether the keys are those of a known project, whose reading need only agree.
    """
    if config.family != "resnet" or config.norm != "batch" or not _are_trained(tensors):
        return Finding(config)
    batch = _load_images(config, images)
    if batch is None:
        return Finding(config)
    start = best = _measure_misfit(build(config), batch)
    if is_known and best < _GOOD_MISFIT:
        return Finding(config, lines=(f"running statistics agree with photos to {best:.2f}",))
    for _ in range(_MAX_ROUNDS):
        misfits = {
            candidate: _measure_misfit(build(candidate), batch)
            for candidate in _alternatives(config)
        }
        candidate = min(misfits, key=lambda each: misfits[each])
        if misfits[candidate] > min(_CLEAR_RATIO * best, _MAX_MISFIT):
            break
        config, best = candidate, misfits[candidate]
    if best == start:
        return Finding(config, lines=(f"running statistics and images differ by {best:.2f}",))
    line = (
        f"running statistics and images differ by {best:.2f}, by {start:.2f} in the usual reading"
    )
    return Finding(config, lines=(line,))


def _alternatives(config: GeneratorConfig) -> set[GeneratorConfig]:
    """Return the readings that differ from this one in one property."""
    fixed = {"stem_padding"} if config.stem_kernel % 2 == 0 else set()
    return {
        replace(config, **{name: value for name, value in change.items() if name not in fixed})
        for change in _ALTERNATIVES
    } - {config}


def _are_trained(tensors: StateDict) -> bool:
    """Return whether running statistics come from a training."""
    counts = [int(t) for key, t in tensors.items() if key.endswith("num_batches_tracked")]
    means = [t for key, t in tensors.items() if key.endswith("running_mean")]
    return (
        bool(means)
        and all(bool(mean.any()) for mean in means)
        and (not counts or min(counts) >= _MIN_TRACKED)
    )


def _load_images(config: GeneratorConfig, folder: Path | None) -> Tensor | None:
    """Return N,in,H,W images of a folder; None if they cannot be read."""
    side = -(-_SIDE_PX // config.multiple) * config.multiple
    try:
        files = list_images(folder)[:_IMAGES] if folder else []
        images = [pack(np.asarray(read_image(file)), (side, side)) for file in files]
    except CgtError:
        return None
    if not images:
        return None
    return torch.from_numpy(np.stack([convert_planes(x, config.in_channels) for x in images]))


def _measure_misfit(network: nn.Module, images: Tensor) -> float:
    """Return the mean deviation from running statistics, over layers and channels.

    Batches of one image, the usual size, normalize each image by its own statistics during
    training, whose means are stored. Large batches compute about what eval mode does.
    """
    norms = [module for module in network.modules() if isinstance(module, nn.BatchNorm2d)]
    misfits = []
    for per_image in (True, False):
        found: dict[nn.Module, list[tuple[Tensor, Tensor]]] = {norm: [] for norm in norms}

        def record(module: nn.Module, inputs: tuple[Tensor, ...], found: Any = found) -> None:
            variance, mean = torch.var_mean(inputs[0].double(), (0, 2, 3))
            found[module].append((mean, variance))

        for norm in norms:
            norm.train(per_image)
            norm.momentum = 0.0  # leaves the stored statistics as they are
        hooks = [norm.register_forward_pre_hook(record) for norm in norms]
        with torch.no_grad():
            for batch in torch.split(images, 1 if per_image else len(images)):
                network(batch)
        for hook in hooks:
            hook.remove()
        misfits.append(float(np.mean([_deviation(norm, found[norm]) for norm in norms])))
    network.eval()
    return min(misfits)


def _deviation(norm: nn.BatchNorm2d, found: Sequence[tuple[Tensor, Tensor]]) -> float:
    """Return by how many standard deviations statistics differ from the stored ones."""
    assert norm.running_mean is not None
    assert norm.running_var is not None
    mean, variance = (torch.stack(each).mean(0) for each in zip(*found, strict=True))
    stored = norm.running_var.double() + norm.eps
    shift = (mean - norm.running_mean).abs() / stored.sqrt()
    scale = ((variance + norm.eps) / stored).log().abs() / 2
    return float((shift + scale).clamp(max=10).mean())


# ---- Biases before norms -------------------------------------------------------------------------

_NO_GRADIENT_RATIO = 1e-9  # of squared gradients, bias to weight: rounding noise
_GRADIENT_RATIO = 1e-4
_MIN_STEPS = 100  # of an optimizer, below which its state says little
_MAX_DEPTH = 4


def check_biases(
    config: GeneratorConfig, layers: Sequence[ParsedLayer], tensors: StateDict, payload: Any
) -> Finding:
    """Find out which convolutions have a norm directly after them, from their biases.

    Args:
        config: the reading; a ResNet.
        layers: its layers, in order.
        tensors: the state dict.
        payload: the content of the file, which may have the state of an optimizer.
    """
    hidden = [layer for layer in layers[:-1] if layer.bias]
    if config.family != "resnet" or config.block != "plain" or config.norm == "batch" or not hidden:
        return Finding(config)
    learns = _find_gradients(hidden, layers[-1], tensors, payload)
    if None in learns.values():
        return Finding(config)
    levels = config.levels
    stem, blocks = learns[layers[0].path], layers[1 + levels : -1 - levels]
    in_blocks = {learns[layer.path] for layer in blocks}
    others = {learns[layer.path] for layer in (*layers[1 : 1 + levels], *layers[-1 - levels : -1])}
    if not any(learns.values()):
        line = "biases of hidden convolutions never trained: a norm follows each directly"
        return Finding(config, frozenset({"norm", "stem"}), (line,))
    if all(learns.values()) and config.norm == "instance":
        line = "biases of all hidden convolutions trained: no norm follows directly"
        return Finding(replace(config, norm="none"), frozenset(), (line,))
    if others == {False} and (stem or in_blocks == {True}):
        changes: dict[str, Any] = {}
        lines = []
        if stem:
            changes |= {"no_stem_norm": True, "stem_activation": True}
            lines.append("the first bias trained: no norm after the first convolution")
        if in_blocks == {True}:
            changes["block_order"] = "activation_first"
            lines.append("the biases in blocks trained: no norm directly after them")
        return Finding(replace(config, **changes), frozenset({"norm"}), tuple(lines))
    return Finding(config)


def _find_gradients(
    hidden: Sequence[ParsedLayer], last: ParsedLayer, tensors: StateDict, payload: Any
) -> dict[str, bool | None]:
    """Return, by layer, whether the bias had gradients; None if that is unknown."""
    aligned = (_align(moments, tensors) for moments in _optimizer_states(payload, 0))
    moments = next(filter(None, aligned), None)
    learns: dict[str, bool | None] = {}
    for layer in hidden:
        assert layer.bias is not None
        if moments is not None:
            weight, bias = (float(moments[key].mean()) for key in (layer.weight, layer.bias))
            ratio = bias / weight if weight else math.nan
            learns[layer.path] = (
                True if ratio > _GRADIENT_RATIO else False if ratio < _NO_GRADIENT_RATIO else None
            )
        else:
            starts_at_zero = last.bias is not None and bool(tensors[last.bias].any())
            is_zero = not bool(tensors[layer.bias].any())
            learns[layer.path] = False if is_zero and starts_at_zero else None
    return learns


def _optimizer_states(value: Any, depth: int) -> Iterator[list[Tensor]]:
    """Yield Adam's second moments of each optimizer in a payload, in the order of parameters."""
    if isinstance(value, list | tuple):
        value = dict(enumerate(value))
    if not isinstance(value, Mapping) or depth > _MAX_DEPTH:
        return
    state = value.get("state")
    if "param_groups" in value and isinstance(state, Mapping):
        moments: list[Any] = [
            state[number].get("exp_avg_sq") if _has_steps(state[number]) else None
            for number in sorted(state, key=str if any(isinstance(n, str) for n in state) else int)
        ]
        if moments and all(isinstance(moment, Tensor) for moment in moments):
            yield moments
        return
    for item in value.values():
        if isinstance(item, Mapping | list | tuple):
            yield from _optimizer_states(item, depth + 1)


def _has_steps(state: Any) -> bool:
    return isinstance(state, Mapping) and float(state.get("step", 0)) >= _MIN_STEPS


def _align(moments: list[Tensor], tensors: StateDict) -> dict[str, Tensor] | None:
    """Return the moments by key; None if the shapes are not those of the network."""
    buffers = ("running_mean", "running_var", "num_batches_tracked", ".filt")
    keys = [key for key in tensors if not key.endswith(buffers)]
    shapes = [tensors[key].shape for key in keys]
    for start in range(len(moments) - len(keys) + 1):
        part = moments[start : start + len(keys)]
        if [moment.shape for moment in part] == shapes:
            return dict(zip(keys, part, strict=True))
    return None
