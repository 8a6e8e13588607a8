"""What names of files, folders and networks say: direction, the other generator, the domains."""

from __future__ import annotations

import re
from pathlib import Path

from cgt.runtime.artifact import Direction

# A generator's name, and that of the one for the way back. The first of a pair is A to B.
_PAIRS = (
    ("A2B", "B2A"),
    ("AtoB", "BtoA"),
    ("XtoY", "YtoX"),
    ("A_to_B", "B_to_A"),
    ("AB", "BA"),
    ("XY", "YX"),
    ("G_A", "G_B"),
    ("GA", "GB"),
)
_DOMAINS = re.compile(r"(?<![a-z])([a-z]{2,})2([a-z]{2,})(?![a-z])")
_NONE = {"pix2pix", "img2img", "image2image"}


def _pattern(token: str) -> re.Pattern[str]:
    """The token as a word of a name, in the case of all letters the same or as written."""
    return re.compile(
        rf"(?<![A-Za-z0-9])(net|gen_?|g_?|G_?)?({token}|{token.lower()})(?![A-Za-z0-9])"
    )


def direction_of(name: str) -> Direction | None:
    """The direction that a file's or network's name tells; None where it tells none."""
    for forth, back in _PAIRS:
        if _pattern(forth).search(name):
            return "AtoB"
        if _pattern(back).search(name):
            return "BtoA"
    return None


def other_way(name: str) -> str | None:
    """The name of the generator that leads back; None where the name tells no direction."""
    for pair in _PAIRS:
        for token, other in (pair, pair[::-1]):
            match = _pattern(token).search(name)
            if match:
                other = other if match[2] == token else other.lower()
                return name[: match.start(2)] + other + name[match.end(2) :]
    return None


def generator_beside(path: Path) -> Path | None:
    """The generator that belongs to a discriminator's file: latest_net_D_A.pth has
    latest_net_G_A.pth beside it."""
    name = re.sub(r"(?<![A-Za-z])(net)?D(?=[_.])", lambda m: f"{m[1] or ''}G", path.name, count=1)
    beside = path.with_name(name)
    return beside if name != path.name and beside.is_file() else None


def domains_of(path: Path, *more: str | None) -> tuple[str, str]:
    """From "horse2zebra" in an option, a folder or the file's name; else A and B."""
    for text in (*more, path.stem, path.parent.name, path.parent.parent.name):
        for match in _DOMAINS.finditer((text or "").lower()):
            if match[0] not in _NONE:
                return match[1], match[2]
    return "A", "B"
