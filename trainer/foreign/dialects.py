"""What keys and shapes cannot say: the habits of public code, known by its names.

Each was read in the project's source. Numbered layers need no entry: pytorch-CycleGAN-and-pix2pix,
CUT, gan-compression, PyTorch-GAN (eriklindernoren), PyTorch-CycleGAN (aitorzip) and their
descendants leave the places of padding, dropout and resizing in their numbers.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

from .recognised import ImportNotes


@dataclass(frozen=True)
class Convention:
    """How a project writes a generator."""

    name: str = ""
    key_patterns: tuple[str, ...] = ()  # patterns, each of which some key has in it
    padding: str = "reflect"
    stem_padding: str = "reflect"
    down_padding: str = "zero"
    up_padding: str = "zero"
    no_stem_norm: bool = False
    output: str = "tanh"
    implied_norm: str = ""  # the norm where neither biases nor norm weights tell
    residual: bool = True  # blocks add their input
    swaps_directions: bool = False  # its G_ab makes a of b

    @property
    def rationale(self) -> str:
        return f"as {self.name} does" if self.name else "as the paper does"

    def resolve_norm(self, norm: str, bias: bool, notes: ImportNotes) -> str:
        """The norm, where the project is known to have one that leaves no trace."""
        if norm == "none" and self.implied_norm:
            notes.evidence.append(f"{self.implied_norm} norm, {self.rationale}")
            return self.implied_norm
        return norm


KNOWN_CONVENTIONS = (
    Convention(
        "LynnHo's port",
        (r"ls\.1\.0\.weight", r"ls\.4\.ls\.1\.0\.weight"),
        implied_norm="instance",
    ),
    Convention(
        "aladdinpersson's Machine-Learning-Collection",
        (r"initial\.0\.", r"down_blocks\.0\.conv\.0\.", r"res_blocks\.0\.block\.0\.conv\.0\."),
        down_padding="reflect",
    ),
    Convention(
        "the GANs specialization (Coursera)",
        (r"upfeature\.conv\.", r"contract1\.conv1\.", r"res0\.conv1\.", r"downfeature\."),
        down_padding="reflect",
        no_stem_norm=True,
    ),
    Convention(
        "arnab39's cycleGAN-PyTorch",
        (r"res_model\.1\.0\.weight", r"res_model\.4\.res_block\.1\.0\.weight"),
        swaps_directions=True,
    ),
    Convention(
        "znxlwm's pytorch-CycleGAN",
        (r"conv1\.conv\.", r"resnet_blocks\.0\.resnet_block\.1\.", r"deconv1\.deconv\."),
        residual=False,
    ),
    Convention(
        "the Deep Learning nanodegree (Udacity)",
        (r"conv1\.0\.weight", r"res_blocks\.0\.conv_layer1\.0\.weight", r"deconv1\.0\.weight"),
        padding="zero",
    ),
)
DEFAULT_CONVENTION = Convention()


def find_convention(keys: Iterable[str]) -> Convention:
    """The project that writes such keys; USUAL where none is known."""
    keys = list(keys)
    for convention in KNOWN_CONVENTIONS:
        patterns = [re.compile(rf"(^|\.){pattern}") for pattern in convention.key_patterns]
        if all(any(pattern.search(key) for key in keys) for pattern in patterns):
            return convention
    return DEFAULT_CONVENTION
