"""Inference of norms, biases, padding and dropout from state-dict keys.

Layers without weights, such as padding, resizing and dropout, leave gaps in numbered keys.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace

from cgt.runtime.errors import UsageError
from cgt.runtime.models.checkpoint_options import CheckpointOptions

from ..networks.config import GeneratorConfig
from .conventions import Convention, TrainOptions
from .layer_graph import ParsedLayer
from .parsed_generator import ImportNotes, NotThisArchitecture
from .resnet_stages import Stages

_OPTION_NORMS = {"instance": "instance", "batch": "batch", "none": "none"}


def infer_norm(
    layers: Sequence[ParsedLayer],
    convolutions: Sequence[ParsedLayer],
    options: TrainOptions,
    notes: ImportNotes,
    choices: CheckpointOptions,
) -> tuple[str, bool]:
    """Infer the norm, and whether convolutions have biases.

    Args:
        layers: layers that have a norm in this family of networks.
        convolutions: convolutions with an optional bias; the last one always has a bias.
        options: options of the run, which decide between norms that look the same.
        notes: collects evidence and ambiguities.
        choices: what the user states, which wins.

    Returns:
        GeneratorConfig.norm, and whether there are biases.

    Raises:
        NotThisArchitecture: only some of the layers have norm weights.
        UsageError: the file cannot have the norm that the user states.
    """
    biased = sum(1 for layer in convolutions if layer.bias)
    norms = [layer.norm for layer in layers]
    affine = sum(1 for norm in norms if norm and norm.affine)
    tracked = sum(1 for norm in norms if norm and norm.tracks_running_stats)
    counted = any("num_batches_tracked" in norm.keys for norm in norms if norm)
    if affine not in (0, len(layers)) or (affine and tracked not in (0, len(layers))):
        odd = next(layer for layer in layers if not (layer.norm and layer.norm.affine))
        raise NotThisArchitecture(f"{odd.path} has no norm after it, but other layers do")
    if 0 < biased < len(convolutions):
        notes.evidence.append(
            f"{biased} of {len(convolutions)} convolutions have a bias; the others get zeros"
        )
    if tracked and choices.norm_statistics == "batch":
        kind = "instance_affine" if affine else "instance"
        notes.evidence.append("norms use the statistics of each image, as --norm-statistics says")
        notes.settled.add("norm")
    elif affine and tracked:
        kind = "batch"
        notes.evidence.append("norm weights with running statistics: used as eval mode does")
        notes.settled.add("norm")
    elif affine:
        kind = "instance_affine"
        notes.evidence.append("norm weights without running statistics: affine instance norm")
    elif tracked and (counted or choices.norm_statistics == "running"):
        kind = "batch"
        notes.evidence.append(
            "running statistics without norm weights, of PyTorch 0.4 or newer "
            "(num_batches_tracked): used as eval mode does"
        )
        notes.settled.add("norm")
    elif tracked:
        kind = "instance"
        notes.evidence.append(
            "running statistics without norm weights: instance norm as saved by PyTorch < 0.4; "
            "the statistics are dropped, as its own trainer does"
        )
        notes.settled.add("norm")
    elif biased:
        kind = "instance"
        notes.evidence.append("biases and no norm weights: instance norm")
    else:
        kind = "none"
        notes.evidence.append("neither biases nor norm weights: no norm")
        if options.norm is None and choices.norm_layer is None:
            notes.ambiguities.append(
                "without biases and norm weights, no norm and an instance norm look the same; "
                "no norm is assumed"
            )
    if choices.norm_layer is not None:
        notes.settled.add("norm")
        return _stated_norm(choices.norm_layer, kind), biased > 0
    return _apply_options(kind, options, notes), biased > 0


def _stated_norm(stated: str, found: str) -> str:
    """Return the norm that the user states; raise UsageError if the file cannot have it."""
    if found == "instance_affine" and (stated.startswith("group") or stated == "instance"):
        return found if stated == "instance" else stated
    if found in ("instance", "none") and stated in ("instance", "none"):
        return stated
    if stated == found:
        return found
    raise UsageError(f"--norm-layer {stated} does not fit the file, which has {found} norms")


def _apply_options(kind: str, options: TrainOptions, notes: ImportNotes) -> str:
    """Return the norm of train_opt.txt if the keys allow it, otherwise `kind`."""
    stated = _OPTION_NORMS.get(options.norm or "")
    if stated is not None:
        notes.settled.add("norm")
    if stated is None or stated == kind or (stated == "instance" and kind == "instance_affine"):
        if stated == kind:
            notes.evidence.append(f"{options.path} says norm {options.norm}")
        return kind
    if {stated, kind} == {"instance", "none"}:
        notes.evidence.append(f"{options.path} says norm {options.norm}: {stated}")
        return stated
    notes.evidence.append(f"{options.path} says norm {options.norm}, but the weights have {kind}")
    return kind


def unused_statistics(layers: Sequence[ParsedLayer], norm: str) -> tuple[str, ...]:
    """Return the keys of running statistics that an instance norm does not use."""
    if not norm.startswith("instance"):
        return ()
    return tuple(
        key
        for layer in layers
        if layer.norm
        for leaf, key in layer.norm.keys.items()
        if leaf in ("running_mean", "running_var", "num_batches_tracked")
    )


def infer_paddings(
    config: GeneratorConfig, stages: Stages, convention: Convention, notes: ImportNotes
) -> GeneratorConfig:
    """Infer padding and dropout from gaps in numbered keys, otherwise from the convention.

    Args:
        config: configuration without padding.
        stages: layers of the network.
        convention: convention of the project.
        notes: collects evidence and ambiguities.

    Returns:
        The configuration with padding and dropout.

    Raises:
        NotThisArchitecture: the distance between a block's convolutions is unknown.
    """
    padding, down_padding, up_padding, stem_padding = (
        convention.setting(f"{name}padding") for name in ("", "down_", "up_", "stem_")
    )
    dropout = False
    numbers = _block_indices(stages)
    if numbers is not None:
        start, gap, units = numbers
        if start == 0 and not units:
            padding = "zero"
            notes.evidence.append("blocks start with a convolution, which pads its borders itself")
        slots = gap - _min_index_gap(start, units)
        if slots > 1:
            raise NotThisArchitecture(
                f"{stages.blocks[0][0].path}: {gap} layers to the next convolution"
            )
        dropout = bool(slots)
        notes.evidence.append(
            f"block convolutions at {start} and {start + gap}: "
            f"{'with' if dropout else 'without'} a dropout slot"
        )
    if config.stem_kernel % 2 == 0:
        stem_padding = "zero"  # the last convolution is transposed, which implies zero padding
    elif not convention.name and _is_first_module(stages.first.path):
        stem_padding = "zero"
        notes.evidence.append(f"{stages.first.path} has no layer before it and pads itself")
    config = replace(
        config,
        padding=padding,
        stem_padding=stem_padding,
        down_padding=down_padding,
        dropout=dropout,
    )
    if config.upsampling == "transposed":
        return config
    if config.upsampling == "resize":
        has_padding = _has_upsampling_padding(stages)
        if has_padding is not None:
            up_padding = "reflect" if has_padding else "zero"
            notes.evidence.append(
                f"{up_padding} padding of the resize convolutions, from their numbers"
            )
    return replace(config, up_padding=up_padding)


def _has_upsampling_padding(stages: Stages) -> bool | None:
    """Return whether there is a padding layer after resizing; None if unknown."""
    parent, _, number = stages.up[0].path.rpartition(".")
    block = re.match(re.escape(f"{parent}.") + r"(\d+)\.", stages.blocks[-1][-1].path)
    if not number.isdigit():
        return None
    if block:  # all in one Sequential: resize, (padding,) convolution
        return int(number) - int(block[1]) > 2
    return int(number) == 2  # a separate Sequential


def _is_first_module(path: str) -> bool:
    """Return whether the numbers of a layer leave no room for a layer before it."""
    parts = path.split(".")
    return parts[-1] == "0" and {part for part in parts if part.isdigit()} == {"0"}


def _block_indices(stages: Stages) -> tuple[int, int, bool] | None:
    """Return the numbers of a block's convolutions; None if they have no meaningful numbers.

    Returns:
        Number of the first convolution, distance to the second, and whether the first is nested
        in a unit with its norm and ReLU.
    """
    block = stages.blocks[0]
    paths = [block[i].path for i in (0, len(block) // 2)]
    if stages.separable:
        paths = [re.sub(r"\.conv\.\d+$", "", path) for path in paths]
    one, two = (path.split(".") for path in paths)
    level = next(i for i, (a, b) in enumerate(zip(one, two, strict=False)) if a != b)
    if not (one[level].isdigit() and two[level].isdigit()):
        return None
    start, gap, units = int(one[level]), int(two[level]) - int(one[level]), len(one) > level + 1
    slots = gap - _min_index_gap(start, units)
    return None if slots < 0 or (units and slots > 1) else (start, gap, units)


def _min_index_gap(start: int, units: bool) -> int:
    """Return the distance between a block's convolutions without dropout.

    Norm and ReLU are between them unless they are in a unit with the first convolution. A padding
    layer is between them unless convolutions pad their input themselves.
    """
    return (1 if units else 3) + (start > 0)
