"""ResNet generators: down, residual blocks, up, between two wide convolutions."""

from __future__ import annotations

from dataclasses import replace

from ..config import GeneratorConfig
from .dialects import Dialect
from .layers import Layers
from .norms import read_norm
from .options import Options
from .paddings import settle_paddings
from .recognised import Disagreement, Notes, Recognised
from .stages import Stages, cut, widths_of


def recognise(layers: Layers, options: Options, dialect: Dialect) -> Recognised:
    """Raises Disagreement when the layers are not a ResNet generator."""
    stages = cut(layers.convolutions)
    notes = Notes()
    notes.evidence.append(
        f"{len(stages.blocks)} residual blocks, {len(stages.down)} halvings, "
        f"{stages.first.shape[0]} channels in the first layer: "
        f"resnet{len(stages.blocks)}, ngf {stages.first.shape[0]}"
    )
    bare = dialect.bare_first
    normed = stages.normed()[1 if bare else 0 :]
    # The separable convolutions of mobile blocks bring their own biases.
    plain = [
        stages.first,
        *stages.down,
        *([] if stages.mobile else [layer for block in stages.blocks for layer in block]),
        *stages.up,
    ]
    norm, bias = read_norm(normed, plain, options, notes)
    norm = dialect.settle_norm(norm, bias, notes)
    halving_ends = stages.first.shape[2] == 4
    if halving_ends:
        notes.evidence.append("4x4 first and last convolutions: they halve and double, too")
    if not dialect.residual:
        notes.ambiguous.append(
            f"whether blocks add their input leaves no trace; taken as no, {dialect.because}"
        )
    config = GeneratorConfig(
        kind=f"resnet{len(stages.blocks)}",
        ngf=stages.first.shape[0],
        in_channels=stages.first.shape[1],
        out_channels=stages.last.shape[int(halving_ends)],
        norm=norm,
        bias=bias,
        halvings=len(stages.down),
        block="mobile" if stages.mobile else "plain",
        kernel=stages.down[0].shape[2],
        ends_kernel=stages.first.shape[2],
        bare_first=bare,
        upsampling=_upsampling(stages, notes),
        downsampling=_downsampling(stages, notes),
        output=dialect.output,
        residual=dialect.residual,
    )
    widths = widths_of(stages)
    if widths != config.stage_widths:
        config = replace(config, widths=widths)
        notes.evidence.append(f"widths of its own: {', '.join(map(str, widths))}")
    config = settle_paddings(config, stages, dialect, notes)
    ordered = (
        stages.first,
        *stages.down,
        *(layer for block in stages.blocks for layer in block),
        *stages.up,
        stages.last,
    )
    old = [layer.norm for layer in ordered if layer.norm and norm.startswith("instance")]
    dropped = tuple(
        key
        for entry in old
        for leaf, key in entry.keys.items()
        if leaf in ("running_mean", "running_var", "num_batches_tracked")
    )
    return Recognised(config, ordered, dropped, tuple(notes.evidence), tuple(notes.ambiguous))


def _downsampling(stages: Stages, notes: Notes) -> str:
    blurred = [layer.blur_after for layer in stages.down]
    if not any(blurred):
        return "strided"
    if not all(blurred):
        raise Disagreement("some halvings are blurred (.filt), others are not")
    notes.evidence.append("3x3 .filt behind the halvings: anti-aliased")
    return "antialias"


def _upsampling(stages: Stages, notes: Notes) -> str:
    blurred = [layer.blur_before for layer in stages.up]
    if any(blurred):
        if stages.transposed or not all(blurred):
            raise Disagreement("the doublings' blurs (.filt) are not where they belong")
        notes.evidence.append("4x4 .filt before the doublings: anti-aliased")
        return "antialias"
    if stages.transposed:
        notes.evidence.append(f"{stages.up[0].path} is stored [in, out]: transposed convolutions")
        return "transposed"
    notes.evidence.append(f"{stages.up[0].path} is stored [out, in]: resize, then convolve")
    notes.ambiguous.append("how pixels are resized leaves no trace; taken as nearest")
    return "resize"
