"""What names of files, folders and networks say: direction, the other generator, the domains."""

from __future__ import annotations

import re
from pathlib import Path

from cgt.runtime.artifact import Direction

# A generator's name, and that of the one for the way back. The first of a pair is A to B.
_DIRECTION_TOKENS = (
    ("A2B", "B2A"),
    ("AtoB", "BtoA"),
    ("XtoY", "YtoX"),
    ("A_to_B", "B_to_A"),
    ("AB", "BA"),
    ("XY", "YX"),
    ("G_A", "G_B"),
    ("GA", "GB"),
)
_DOMAIN_PAIR_RE = re.compile(r"(?<![a-z])([a-z]{2,})2([a-z]{2,})(?![a-z])")
_NOT_DOMAINS = {"pix2pix", "img2img", "image2image"}


def _token_regex(token: str) -> re.Pattern[str]:
    """The token as a word of a name, in the case of all letters the same or as written."""
    return re.compile(
        rf"(?<![A-Za-z0-9])(net|gen_?|g_?|G_?)?({token}|{token.lower()})(?![A-Za-z0-9])"
    )


def direction_from_name(name: str) -> Direction | None:
    """The direction that a file's or network's name tells; None where it tells none."""
    for forth, back in _DIRECTION_TOKENS:
        if _token_regex(forth).search(name):
            return "AtoB"
        if _token_regex(back).search(name):
            return "BtoA"
    return None


def reverse_direction_name(name: str) -> str | None:
    """The name of the generator that leads back; None where the name tells no direction."""
    for pair in _DIRECTION_TOKENS:
        for token, other in (pair, pair[::-1]):
            match = _token_regex(token).search(name)
            if match:
                other = other if match[2] == token else other.lower()
                return name[: match.start(2)] + other + name[match.end(2) :]
    return None


def find_sibling_generator(path: Path) -> Path | None:
    """The generator that belongs to a discriminator's file: latest_net_D_A.pth has
    latest_net_G_A.pth beside it."""
    name = re.sub(r"(?<![A-Za-z])(net)?D(?=[_.])", lambda m: f"{m[1] or ''}G", path.name, count=1)
    sibling = path.with_name(name)
    return sibling if name != path.name and sibling.is_file() else None


def infer_domains(path: Path, *extra_names: str | None) -> tuple[str, str]:
    """From "horse2zebra" in an option, a folder or the file's name; else A and B."""
    for text in (*extra_names, path.stem, path.parent.name, path.parent.parent.name):
        for match in _DOMAIN_PAIR_RE.finditer((text or "").lower()):
            if match[0] not in _NOT_DOMAINS:
                return match[1], match[2]
    return "A", "B"
