"""Training methods (CycleGAN, pix2pix) by name."""

from __future__ import annotations

from .base import Method
from .cyclegan import CycleGAN
from .pix2pix import Pix2Pix

METHODS: dict[str, type[Method]] = {"cyclegan": CycleGAN, "pix2pix": Pix2Pix}
