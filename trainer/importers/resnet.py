"""ResNet generators: down, residual blocks, up, between two wide convolutions."""

from __future__ import annotations

from dataclasses import replace

from ..networks.config import GeneratorConfig
from .conventions import Convention, TrainOptions
from .layer_graph import LayerGraph
from .norm_padding import infer_norm, infer_paddings
from .parsed_generator import ImportNotes, NotThisArchitecture, ParsedGenerator
from .resnet_stages import Stages, split_stages, stage_widths


def parse_resnet(
    layers: LayerGraph, options: TrainOptions, convention: Convention
) -> ParsedGenerator:
    """Raises Disagreement when the layers are not a ResNet generator."""
    stages = split_stages(layers.convolutions)
    notes = ImportNotes()
    notes.evidence.append(
        f"{len(stages.blocks)} residual blocks, {len(stages.down)} halvings, "
        f"{stages.first.shape[0]} channels in the first layer: "
        f"resnet{len(stages.blocks)}, ngf {stages.first.shape[0]}"
    )
    no_stem_norm = convention.no_stem_norm
    normalized = stages.normalized_layers()[1 if no_stem_norm else 0 :]
    # The separable convolutions of mobile blocks bring their own biases.
    plain = [
        stages.first,
        *stages.down,
        *([] if stages.separable else [layer for block in stages.blocks for layer in block]),
        *stages.up,
    ]
    norm, bias = infer_norm(normalized, plain, options, notes)
    norm = convention.resolve_norm(norm, bias, notes)
    strided_stem = stages.first.shape[2] == 4
    if strided_stem:
        notes.evidence.append("4x4 first and last convolutions: they halve and double, too")
    if not convention.residual:
        notes.ambiguities.append(
            f"whether blocks add their input leaves no trace; taken as no, {convention.rationale}"
        )
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
        upsampling=_infer_upsampling(stages, notes),
        downsampling=_infer_downsampling(stages, notes),
        output_activation=convention.output,
        residual=convention.residual,
    )
    widths = stage_widths(stages)
    if widths != config.stage_widths:
        config = replace(config, widths=widths)
        notes.evidence.append(f"widths of its own: {', '.join(map(str, widths))}")
    config = infer_paddings(config, stages, convention, notes)
    ordered = (
        stages.first,
        *stages.down,
        *(layer for block in stages.blocks for layer in block),
        *stages.up,
        stages.last,
    )
    statistics_norms = [
        layer.norm for layer in ordered if layer.norm and norm.startswith("instance")
    ]
    dropped = tuple(
        key
        for entry in statistics_norms
        for leaf, key in entry.keys.items()
        if leaf in ("running_mean", "running_var", "num_batches_tracked")
    )
    return ParsedGenerator(
        config, ordered, dropped, tuple(notes.evidence), tuple(notes.ambiguities)
    )


def _infer_downsampling(stages: Stages, notes: ImportNotes) -> str:
    blurred = [layer.blur_after for layer in stages.down]
    if not any(blurred):
        return "strided"
    if not all(blurred):
        raise NotThisArchitecture("some halvings are blurred (.filt), others are not")
    notes.evidence.append("3x3 .filt behind the halvings: anti-aliased")
    return "antialias"


def _infer_upsampling(stages: Stages, notes: ImportNotes) -> str:
    blurred = [layer.blur_before for layer in stages.up]
    if any(blurred):
        if stages.transposed or not all(blurred):
            raise NotThisArchitecture("the doublings' blurs (.filt) are not where they belong")
        notes.evidence.append("4x4 .filt before the doublings: anti-aliased")
        return "antialias"
    if stages.transposed:
        notes.evidence.append(f"{stages.up[0].path} is stored [in, out]: transposed convolutions")
        return "transposed"
    notes.evidence.append(f"{stages.up[0].path} is stored [out, in]: resize, then convolve")
    notes.ambiguities.append("how pixels are resized leaves no trace; taken as nearest")
    return "resize"
