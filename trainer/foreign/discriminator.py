"""Discriminators, which are no generators: recognised in order to say so."""

from __future__ import annotations

import re
from itertools import pairwise

from .layers import Layers

_NAMED = re.compile(r"(^|[_/.])(net)?(D|disc|critic)(_?[A-Z0-9]*$|[_/.]|riminator)", re.IGNORECASE)


def describe(layers: Layers) -> str | None:
    """What kind of discriminator it is; None: none.

    A row of convolutions, each fed by the one before, that ends in a single channel and never
    grows back: generators double what they have halved.
    """
    row = [layer.shape for layer in layers.convolutions]
    if len(row) < 3 or row[-1][0] != 1:
        return None
    chained = all(b[1] == a[0] for a, b in pairwise(row))
    narrowing = any(b[0] < a[0] for a, b in pairwise(row[:-1]))
    if not chained or narrowing:
        return None
    widths = " ".join(str(shape[0]) for shape in row)
    kind = "PatchGAN" if all(shape[2] == 4 for shape in row) else "convolutional"
    return f"{kind} discriminator ({row[0][1]} channels in, then {widths})"


def named_so(name: str) -> bool:
    """Whether a network or file is called a discriminator."""
    return bool(_NAMED.search(name))
