"""Parser of ResNet generators: downsampling, residual blocks and upsampling."""

from __future__ import annotations

from dataclasses import replace

from ..networks.config import GeneratorConfig
from .conventions import Convention, TrainOptions
from .layer_graph import LayerGraph
from .norm_padding import infer_norm, infer_paddings, unused_statistics
from .parsed_generator import ImportNotes, NotThisArchitecture, ParsedGenerator
from .resnet_stages import Stages, split_stages, stage_widths


def parse_resnet(
    layers: LayerGraph, options: TrainOptions, convention: Convention
) -> ParsedGenerator:
    """Parse the layers of a ResNet generator.

    Raises:
        NotThisArchitecture: the layers are not a ResNet generator.
    """
    stages = split_stages(layers.convolutions)
    notes = ImportNotes()
    notes.evidence.append(
        f"{len(stages.blocks)} residual blocks, {len(stages.down)} downsampling layers, "
        f"{stages.first.shape[0]} channels in the first layer: "
        f"resnet{len(stages.blocks)}, ngf {stages.first.shape[0]}"
    )
    no_stem_norm = convention.no_stem_norm
    normalized = stages.normalized_layers()[1 if no_stem_norm else 0 :]
    # Separable convolutions always have biases.
    optional_bias = [
        stages.first,
        *stages.down,
        *([] if stages.separable else [layer for block in stages.blocks for layer in block]),
        *stages.up,
    ]
    norm, bias = infer_norm(normalized, optional_bias, options, notes)
    norm = convention.resolve_norm(norm, bias, notes)
    strided_stem = stages.first.shape[2] == 4
    if strided_stem:
        notes.evidence.append("4x4 first and last convolutions: they downsample and upsample, too")
    if not convention.residual:
        notes.ambiguities.append(
            "the file does not reveal whether blocks add their input; no is assumed, "
            f"{convention.rationale}"
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
        notes.evidence.append(f"non-standard widths: {', '.join(map(str, widths))}")
    config = infer_paddings(config, stages, convention, notes)
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
    )


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
    notes.evidence.append(f"{stages.up[0].path} is stored [out, in]: resize, then convolve")
    notes.ambiguities.append(
        "the file does not reveal the interpolation of resizing; nearest is assumed"
    )
    return "resize"
