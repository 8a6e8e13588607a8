"""What keys and shapes cannot say: the habits of public code, known by its names.

Each was read in the project's source. Numbered layers need no entry: pytorch-CycleGAN-and-pix2pix,
CUT, gan-compression, PyTorch-GAN (eriklindernoren), PyTorch-CycleGAN (aitorzip) and their
descendants leave the places of padding, dropout and resizing in their numbers.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

from .recognised import Notes


@dataclass(frozen=True)
class Dialect:
    """How a project writes a generator."""

    name: str = ""
    signature: tuple[str, ...] = ()  # patterns, each of which some key has in it
    padding: str = "reflect"
    ends_padding: str = "reflect"
    down_padding: str = "zero"
    up_padding: str = "zero"
    bare_first: bool = False
    output: str = "tanh"
    unbiased_norm: str = ""  # the norm where neither biases nor norm weights tell
    residual: bool = True  # blocks add their input
    backwards: bool = False  # its G_ab makes a of b

    @property
    def because(self) -> str:
        return f"as {self.name} does" if self.name else "as the paper does"

    def settle_norm(self, norm: str, bias: bool, notes: Notes) -> str:
        """The norm, where the project is known to have one that leaves no trace."""
        if norm == "none" and self.unbiased_norm:
            notes.evidence.append(f"{self.unbiased_norm} norm, {self.because}")
            return self.unbiased_norm
        return norm


KNOWN = (
    Dialect(
        "LynnHo's port",
        (r"ls\.1\.0\.weight", r"ls\.4\.ls\.1\.0\.weight"),
        unbiased_norm="instance",
    ),
    Dialect(
        "aladdinpersson's Machine-Learning-Collection",
        (r"initial\.0\.", r"down_blocks\.0\.conv\.0\.", r"res_blocks\.0\.block\.0\.conv\.0\."),
        down_padding="reflect",
    ),
    Dialect(
        "the GANs specialization (Coursera)",
        (r"upfeature\.conv\.", r"contract1\.conv1\.", r"res0\.conv1\.", r"downfeature\."),
        down_padding="reflect",
        bare_first=True,
    ),
    Dialect(
        "arnab39's cycleGAN-PyTorch",
        (r"res_model\.1\.0\.weight", r"res_model\.4\.res_block\.1\.0\.weight"),
        backwards=True,
    ),
    Dialect(
        "znxlwm's pytorch-CycleGAN",
        (r"conv1\.conv\.", r"resnet_blocks\.0\.resnet_block\.1\.", r"deconv1\.deconv\."),
        residual=False,
    ),
    Dialect(
        "the Deep Learning nanodegree (Udacity)",
        (r"conv1\.0\.weight", r"res_blocks\.0\.conv_layer1\.0\.weight", r"deconv1\.0\.weight"),
        padding="zero",
    ),
)
USUAL = Dialect()


def find_dialect(keys: Iterable[str]) -> Dialect:
    """The project that writes such keys; USUAL where none is known."""
    keys = list(keys)
    for dialect in KNOWN:
        patterns = [re.compile(rf"(^|\.){pattern}") for pattern in dialect.signature]
        if all(any(pattern.search(key) for key in keys) for pattern in patterns):
            return dialect
    return USUAL
