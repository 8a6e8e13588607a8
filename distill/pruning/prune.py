"""A narrower, shallower copy of a ResNet that answers nearly as it does before it has learned.

Channels are chosen (channels.py), then the weights of one convolution after the other are solved
(solver.py): each is given what the copy really makes of photos so far, and shall make of it what
the teacher makes, in the channels that are kept, of what it has itself. So a convolution mends, as
far as it can, what those before it got wrong; within a block the second one is also asked for half
of what the copy's trunk lacks. What a ReLU makes zero of does not count: where that is so is known
better each time, and the rest solved anew. An InstanceNorm brings any answer to one deviation, also
one that is only partly right, so scale and shift are fitted after it.

(Layer by layer from the narrow network's own inputs as in He et al. 2017, "Channel Pruning".)
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import torch
from torch import Tensor

from cgt.runtime.errors import UsageError
from cgt.trainer.networks import ResnetGenerator, build_generator
from cgt.trainer.networks.config import GeneratorConfig

from .channel_selection import ResnetLayers, select_blocks, select_network_channels
from .reconstruction import LayerReconstruction

MAX_BLOCK_SELECTION_IMAGES = 2  # photos on which blocks are left out

Advance = Callable[[], None]


def unprunable_reason(config: GeneratorConfig) -> str:
    """Why a teacher cannot be pruned; empty where it can."""
    if config.family != "resnet":
        return f"it is no ResNet but a {config.kind}"
    if config.norm_kind not in ("instance", "none"):
        return f"its norm is {config.norm}, not instance or none"
    if config.block != "plain":
        return "its convolutions are separable"
    if not config.residual:
        return "its blocks do not add their input"
    if config.stem_kernel % 2 == 0:
        return "its first and last convolutions halve and double"
    return ""


def pruned_config(teacher: GeneratorConfig, ngf: int, blocks: int) -> GeneratorConfig:
    """Of the copy that is `ngf` wide. Raises UsageError where the teacher cannot have one."""
    if reason := unprunable_reason(teacher):
        raise UsageError(f"the teacher cannot be pruned: {reason}; leave out `pruned`")
    if not fits_inside(teacher, ngf, blocks):
        raise UsageError(
            f"the teacher has {teacher.blocks} blocks and is {teacher.ngf} wide; a student pruned "
            f"from it cannot have {blocks} and be {ngf} wide"
        )
    return shrink_config(teacher, ngf, blocks)


def fits_inside(teacher: GeneratorConfig, ngf: int, blocks: int) -> bool:
    """Whether a ResNet has these channels and blocks."""
    teacher_widths, student_widths = (
        teacher.stage_widths,
        shrink_config(teacher, ngf, blocks).stage_widths,
    )
    levels = teacher.levels
    ends = zip(
        student_widths[: levels + 1] + student_widths[-levels:],
        teacher_widths[: levels + 1] + teacher_widths[-levels:],
        strict=True,
    )
    inner = min(teacher_widths[levels + 1 : -levels])
    return (
        blocks <= teacher.blocks
        and all(a <= b for a, b in ends)
        and student_widths[levels] <= inner
    )


def shrink_config(teacher: GeneratorConfig, ngf: int, blocks: int) -> GeneratorConfig:
    """A ResNet laid out as another, of this size; its norms, if any, have a scale and a shift."""
    return replace(
        teacher,
        kind=f"resnet{blocks}",
        ngf=ngf,
        widths=(),
        norm="none" if teacher.norm_kind == "none" else "instance_affine",
        bias=True,
        dropout=False,
    )


def count_convolutions(config: GeneratorConfig) -> int:
    """How many are solved."""
    return 2 * (config.levels + config.blocks + 1)


def prune(
    teacher: ResnetGenerator,
    config: GeneratorConfig,
    photos: Sequence[Tensor],
    advance: Advance = lambda: None,
) -> ResnetGenerator:
    """config: of `pruned_config`. photos: 1,C,H,W float32 in [-1, 1] each, all of one size; they,
    the teacher and the copy, which is in eval mode, are on the CPU. `advance` is called after each
    convolution."""
    student = build_generator(config).eval().requires_grad_(False)
    assert isinstance(student, ResnetGenerator)
    teacher_layers, student_layers = (
        ResnetLayers.from_network(teacher),
        ResnetLayers.from_network(student),
    )
    with torch.no_grad():
        kept = select_blocks(teacher_layers, config.blocks, photos[:MAX_BLOCK_SELECTION_IMAGES])
        channels = select_network_channels(teacher_layers.with_blocks(kept), config, photos)
        reconstruction = LayerReconstruction(photos, advance)
        first, last = torch.arange(config.in_channels), torch.arange(config.out_channels)
        reconstruction.reconstruct_layers(
            teacher_layers.encoder,
            student_layers.encoder,
            [first, *channels.encoder, channels.trunk],
        )
        reconstruction.reconstruct_blocks(
            teacher_layers, student_layers, kept, channels.trunk, channels.block_inner
        )
        reconstruction.reconstruct_layers(
            teacher_layers.decoder,
            student_layers.decoder,
            [channels.trunk, *channels.decoder, last],
        )
    return student
