"""Pruning of a ResNet teacher into a narrower and shallower student with similar outputs.

First, blocks and channels are selected (channel_selection.py). Then the weights of one convolution
after another are fitted by least squares (reconstruction.py). The input is what the student
computes from photos so far. The target is the teacher's own activation in the kept channels. So a
convolution compensates for errors of earlier ones as far as possible. The second convolution of a
block also compensates for half of the error of the student's trunk.

Values that a ReLU sets to zero do not count. Which values those are depends on the fit, so the fit
is repeated. An InstanceNorm scales its input to unit variance even if that is only partly right, so
its scale and shift are fitted too.

Fitting layer by layer, from the narrow network's own inputs, follows He et al. 2017, "Channel
Pruning".
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

MAX_BLOCK_SELECTION_IMAGES = 2  # photos that blocks are selected on

Advance = Callable[[], None]


def unprunable_reason(config: GeneratorConfig) -> str:
    """Return why a teacher cannot be pruned; empty if it can."""
    if config.family != "resnet":
        return f"it is a {config.kind}, not a ResNet"
    if config.norm_kind not in ("instance", "none"):
        return f"its norm is {config.norm}, not instance or none"
    if config.block != "plain":
        return "its convolutions are separable"
    if not config.residual:
        return "its blocks do not add their input"
    plain = (config.activation, config.block_order, config.value_range, config.stem_activation)
    if plain != ("relu", "norm_first", "-1..1", False):
        return "its activations or its range of values are not those of the CycleGAN paper"
    if config.upsampling == "convolve_resize" or config.interpolation != "nearest":
        return "it resizes after convolutions or bilinearly"
    if config.stem_kernel % 2 == 0:
        return "its first and last convolutions downsample and upsample"
    return ""


def pruned_config(teacher: GeneratorConfig, ngf: int, blocks: int) -> GeneratorConfig:
    """Return the configuration of a pruned student.

    Args:
        teacher: configuration of the teacher.
        ngf: width of the student's first layer, in channels.
        blocks: number of residual blocks of the student.

    Raises:
        UsageError: the teacher cannot be pruned to this size.
    """
    if reason := unprunable_reason(teacher):
        raise UsageError(f"the teacher cannot be pruned: {reason}; leave out pruned:")
    if not fits_inside(teacher, ngf, blocks):
        raise UsageError(
            f"the teacher has {teacher.blocks} blocks and is {teacher.ngf} wide; a student pruned "
            f"from it cannot have {blocks} blocks and be {ngf} wide"
        )
    return shrink_config(teacher, ngf, blocks)


def fits_inside(teacher: GeneratorConfig, ngf: int, blocks: int) -> bool:
    """Return whether a ResNet has at least these channels and blocks."""
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
    """Return the configuration of a ResNet of another size; its norms, if any, are affine."""
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
    """Return the number of convolutions that `prune` fits."""
    return 2 * (config.levels + config.blocks + 1)


def prune(
    teacher: ResnetGenerator,
    config: GeneratorConfig,
    photos: Sequence[Tensor],
    advance: Advance = lambda: None,
) -> ResnetGenerator:
    """Build a student with weights fitted to the teacher.

    Everything is on the CPU.

    Args:
        teacher: the teacher.
        config: the student, from `pruned_config`.
        photos: float32 1,C,H,W in [-1, 1] each, all of one size.
        advance: called after each convolution.

    Returns:
        The student in eval mode.
    """
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
