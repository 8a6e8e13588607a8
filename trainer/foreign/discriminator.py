"""Discriminators, which are no generators: recognised in order to say so."""

from __future__ import annotations

import re
from itertools import pairwise

from .layers import LayerGraph

_DISCRIMINATOR_NAME_RE = re.compile(
    r"(^|[_/.])(net)?(D|disc|critic)(_?[A-Z0-9]*$|[_/.]|riminator)", re.IGNORECASE
)


def describe_discriminator(layers: LayerGraph) -> str | None:
    """What kind of discriminator it is; None: none.

    A row of convolutions, each fed by the one before, that ends in a single channel and never
    grows back: generators double what they have halved.
    """
    shapes = [layer.shape for layer in layers.convolutions]
    if len(shapes) < 3 or shapes[-1][0] != 1:
        return None
    chained = all(b[1] == a[0] for a, b in pairwise(shapes))
    narrowing = any(b[0] < a[0] for a, b in pairwise(shapes[:-1]))
    if not chained or narrowing:
        return None
    widths = " ".join(str(shape[0]) for shape in shapes)
    kind = "PatchGAN" if all(shape[2] == 4 for shape in shapes) else "convolutional"
    return f"{kind} discriminator ({shapes[0][1]} channels in, then {widths})"


def looks_like_discriminator(name: str) -> bool:
    """Whether a network or file is called a discriminator."""
    return bool(_DISCRIMINATOR_NAME_RE.search(name))
