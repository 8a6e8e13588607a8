"""Parser of ResNet generators: downsampling, residual blocks and upsampling."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from cgt.runtime.errors import UsageError
from cgt.runtime.models.checkpoint_options import NO_OPTIONS, CheckpointOptions
from cgt.runtime.models.third_party import parse_ranges

from ..networks.config import VALUE_RANGES, GeneratorConfig
from .conventions import Convention, TrainOptions
from .layer_graph import LayerGraph
from .norm_padding import infer_norm, infer_paddings, unused_statistics
from .parsed_generator import ImportNotes, NotThisArchitecture, ParsedGenerator
from .resnet_stages import Stages, split_stages, stage_widths


def parse_resnet(
    layers: LayerGraph,
    options: TrainOptions,
    convention: Convention,
    choices: CheckpointOptions = NO_OPTIONS,
) -> ParsedGenerator:
    """Parse the layers of a ResNet generator.

    Args:
        layers: the layers of the file.
        options: options of the run that wrote it.
        convention: what its project usually does.
        choices: what the user states, which wins.

    Raises:
        NotThisArchitecture: the layers are not a ResNet generator.
        UsageError: what the user states does not fit the file.
    """
    stages = split_stages(layers.convolutions)
    notes = ImportNotes()
    stages = _repeat_block(stages, convention, choices, notes)
    notes.evidence.append(
        f"{len(stages.blocks)} residual blocks, {len(stages.down)} downsampling layers, "
        f"{stages.first.shape[0]} channels in the first layer: "
        f"resnet{len(stages.blocks)}, ngf {stages.first.shape[0]}"
    )
    stem = choices.stem or _infer_stem(stages, convention, notes)
    if stem not in ("norm", "activation", "bare"):
        raise UsageError(f"--stem {stem} is unknown; use norm, activation or bare")
    no_stem_norm = stem != "norm"
    normalized = stages.normalized_layers()[1 if no_stem_norm else 0 :]
    # Separable convolutions always have biases.
    optional_bias = [
        stages.first,
        *stages.down,
        *([] if stages.separable else [layer for block in stages.blocks for layer in block]),
        *stages.up,
    ]
    norm, bias = infer_norm(normalized, optional_bias, options, notes, choices)
    if "norm" not in notes.settled:
        norm = convention.resolve_norm(norm, bias, notes)
        if norm == "instance_affine":  # a group norm has the same tensors
            norm = convention.settings.get("norm", norm)
    strided_stem = stages.first.shape[2] == 4
    if strided_stem:
        notes.evidence.append("4x4 first and last convolutions: they downsample and upsample, too")
    config = GeneratorConfig(
        kind=f"resnet{len(stages.blocks)}",
        ngf=stages.first.shape[0],
        in_channels=stages.first.shape[1],
        out_channels=stages.last.shape[int(strided_stem)],
        norm=norm,
        bias=bias,
        n_downsampling=len(stages.down),
        block="separable" if stages.separable else "plain",
        sampling_kernel=stages.down[0].shape[2],
        stem_kernel=stages.first.shape[2],
        no_stem_norm=no_stem_norm,
        stem_activation=stem == "activation",
        upsampling=_infer_upsampling(stages, notes),
        downsampling=_infer_downsampling(stages, notes),
        block_order=_infer_block_order(stages, convention, notes),
        learn_residual=(options.get("learn_residual") or "").lower() == "true",
        **{
            name: convention.setting(name)
            for name in ("output_activation", "residual", "activation", "interpolation")
        },
    )
    if config.learn_residual:
        notes.evidence.append(f"{options.path} says learn_residual: the input is added")
    widths = stage_widths(stages)
    if widths != config.stage_widths:
        config = replace(config, widths=widths)
        notes.evidence.append(f"non-standard widths: {', '.join(map(str, widths))}")
    config = infer_paddings(config, stages, convention, notes)
    config = _apply_choices(config, choices, notes)
    ordered = (
        stages.first,
        *stages.down,
        *(layer for block in stages.blocks for layer in block),
        *stages.up,
        stages.last,
    )
    return ParsedGenerator(
        config,
        ordered,
        unused_statistics(ordered, norm),
        tuple(notes.evidence),
        tuple(notes.ambiguities),
        frozenset(notes.settled),
    )


def _repeat_block(
    stages: Stages, convention: Convention, choices: CheckpointOptions, notes: ImportNotes
) -> Stages:
    """Apply the only block of a file as often as the user or the project says."""
    count = choices.blocks or (len(stages.blocks) == 1 and convention.blocks) or len(stages.blocks)
    if choices.blocks is not None or len(stages.blocks) > 1:
        notes.settled.add("blocks")  # else the file does not reveal it, see assumptions.py
    if count == len(stages.blocks):
        return stages
    if len(stages.blocks) > 1:
        raise UsageError(
            f"--blocks {count}: the file has {len(stages.blocks)} residual blocks; the option is "
            "for files with one"
        )
    return replace(stages, blocks=stages.blocks * count)


def _infer_stem(stages: Stages, convention: Convention, notes: ImportNotes) -> str:
    """Return what follows the first convolution: "norm", "activation" or "bare"."""
    norms = [layer.norm for layer in stages.normalized_layers()]
    if norms[0] is not None:
        notes.settled.add("stem")
        return "norm"
    if any(norms):
        notes.evidence.append(f"{stages.first.path} has no norm after it, other layers have")
        return "activation"
    if not convention.setting("no_stem_norm"):
        return "norm"
    return "activation" if convention.setting("stem_activation") else "bare"


def _infer_block_order(stages: Stages, convention: Convention, notes: ImportNotes) -> str:
    """Return the order of layers in blocks: from the numbers of norms, or of the project."""
    order: str = convention.setting("block_order")
    for layer in stages.blocks[0]:
        parent, _, number = layer.path.rpartition(".")
        norm_path = layer.norm.path if layer.norm else ""
        norm_parent, _, norm_number = norm_path.rpartition(".")
        in_one = parent == norm_parent and number.isdigit() and norm_number.isdigit()
        if in_one and int(norm_number) - int(number) == 2:
            notes.evidence.append(f"one layer between {layer.path} and its norm: the activation")
            return "activation_first"
    return order


_CHOICES = {
    "activation": "activation",
    "block_order": "block order",
    "interpolation": "interpolation",
    "output_activation": "output",
}


def _apply_choices(
    config: GeneratorConfig, choices: CheckpointOptions, notes: ImportNotes
) -> GeneratorConfig:
    """Return the configuration with what the user states."""
    changes: dict[str, Any] = {}
    for name, settles in _CHOICES.items():
        if (value := getattr(choices, name)) is not None:
            changes[name] = value
            notes.settled.add(settles)
    if choices.model_range is not None:
        changes["value_range"] = _single_range(choices.model_range)
        notes.settled.add("output")
    if choices.no_residual:
        changes["residual"] = False
        notes.settled.add("block order")
    if choices.stem is not None:
        notes.settled.add("stem")
    if choices.padding is not None:
        notes.settled.add("padding")
        changes |= {f"{place}padding": choices.padding for place in ("", "stem_", "down_")}
        if config.upsampling != "transposed":
            changes["up_padding"] = choices.padding
    changes |= {
        name: value
        for name in ("stem_padding", "down_padding", "up_padding")
        if (value := getattr(choices, name)) is not None
    }
    if config.stem_kernel % 2 == 0:
        changes["stem_padding"] = "zero"
    if changes or choices.given:
        notes.evidence.append(f"as stated: {choices.flags}")
    return replace(config, **changes)


def _single_range(text: str) -> str:
    """Return the range of `--model-range`, which is one for input and output in cgt's networks."""
    first, second = parse_ranges(text)
    if first != second or first not in VALUE_RANGES:
        raise UsageError(
            f"--model-range {text}: cgt reads checkpoints with one of {', '.join(VALUE_RANGES)} "
            "for input and output; build others with --code"
        )
    return first


def _infer_downsampling(stages: Stages, notes: ImportNotes) -> str:
    blurred = [layer.blur_after for layer in stages.down]
    if not any(blurred):
        return "strided"
    if not all(blurred):
        raise NotThisArchitecture("some downsampling layers are blurred (.filt), others are not")
    notes.evidence.append("3x3 .filt after downsampling: anti-aliased")
    return "antialias"


def _infer_upsampling(stages: Stages, notes: ImportNotes) -> str:
    blurred = [layer.blur_before for layer in stages.up]
    if any(blurred):
        if stages.transposed or not all(blurred):
            raise NotThisArchitecture(
                "the blur filters (.filt) of the upsampling layers are misplaced"
            )
        notes.evidence.append("4x4 .filt before upsampling: anti-aliased")
        return "antialias"
    if stages.transposed:
        notes.evidence.append(f"{stages.up[0].path} is stored [in, out]: transposed convolutions")
        return "transposed"
    if _convolves_first(stages):
        notes.evidence.append(f"{stages.up[0].path} is the first layer: convolve, then resize")
        return "convolve_resize"
    notes.evidence.append(f"{stages.up[0].path} is stored [out, in]: resize, then convolve")
    return "resize"


def _convolves_first(stages: Stages) -> bool:
    """Return whether the numbers of upsampling leave no room for a resize layer before it."""
    parts = stages.up[0].path.split(".")
    block_parts = stages.blocks[-1][-1].path.split(".")
    level = next((i for i, (a, b) in enumerate(zip(parts, block_parts, strict=False)) if a != b), 0)
    numbers = [part for part in parts[level:] if part.isdigit()]
    others = [layer.path for layer in (*stages.up[1:], stages.last)]
    top = ".".join(parts[: level + 1])
    in_one = all(path.startswith(f"{top}.") for path in others)
    return bool(numbers) and numbers[0] == "0" and not parts[level].isdigit() and in_one
