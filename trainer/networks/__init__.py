"""Generator and discriminator networks.

State-dict keys match pytorch-CycleGAN-and-pix2pix (anti-aliased sampling:
contrastive-unpaired-translation; separable blocks: gan-compression), so weights can be exchanged
with these projects in both directions.

Notation: N batch size, C channels, H and W height and width, ngf and ndf width of the first layer.
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
    """Build a generator in train mode with PyTorch's default initial weights."""
    return _GENERATOR_CLASSES[config.family](config)
