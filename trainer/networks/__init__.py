"""Generators and discriminators. State-dict keys are those of pytorch-CycleGAN-and-pix2pix
(anti-aliased sampling: contrastive-unpaired-translation; mobile blocks: gan-compression), so
weights move both ways.

Legend: N batch, C channels, H and W sides, ngf and ndf the width of the first layer.
"""

from __future__ import annotations

from .config import GeneratorConfig
from .discriminators import PatchDiscriminator, PixelDiscriminator
from .init import init_generator, init_weights
from .resnet import ResnetBlock, ResnetGenerator
from .student import StudentGenerator
from .unet import UnetGenerator

Generator = ResnetGenerator | StudentGenerator | UnetGenerator

_GENERATOR_CLASSES: dict[str, type[Generator]] = {
    "resnet": ResnetGenerator,
    "student": StudentGenerator,
    "unet": UnetGenerator,
}

__all__ = [
    "Generator",
    "PatchDiscriminator",
    "PixelDiscriminator",
    "ResnetBlock",
    "ResnetGenerator",
    "StudentGenerator",
    "UnetGenerator",
    "build_generator",
    "init_generator",
    "init_weights",
]


def build_generator(config: GeneratorConfig) -> Generator:
    """The generator of a description, with PyTorch's default weights, in train mode."""
    return _GENERATOR_CLASSES[config.family](config)
