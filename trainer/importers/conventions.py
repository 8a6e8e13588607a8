"""train_opt.txt: the options of a run of pytorch-CycleGAN-and-pix2pix and its descendants.

What keys and shapes cannot say: the habits of public code, known by its names.

Each was read in the project's source. Numbered layers need no entry: pytorch-CycleGAN-and-pix2pix,
CUT, gan-compression, PyTorch-GAN (eriklindernoren), PyTorch-CycleGAN (aitorzip) and their
descendants leave the places of padding, dropout and resizing in their numbers.

What names of files, folders and networks say: direction, the other generator, the domains.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from cgt.runtime.models.metadata import Direction

if TYPE_CHECKING:
    from .parsed_generator import ImportNotes


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


_OPTION_FILE_NAMES = ("train_opt.txt", "test_opt.txt", "opt.txt")
_OPTION_LINE_RE = re.compile(r"\s*(\w+)\s*:\s*(.*?)\s*(?:\[default:.*)?$")


@dataclass(frozen=True)
class TrainOptions:
    """What was said; None or "" for what was not."""

    path: Path | None = None
    values: dict[str, str] = field(default_factory=dict)

    @classmethod
    def load_next_to(cls, checkpoint: Path) -> TrainOptions:
        """The options in the checkpoint's folder; none where there is no such file."""
        for name in _OPTION_FILE_NAMES:
            path = checkpoint.with_name(name)
            try:
                text = path.read_text(errors="replace")
            except OSError:
                continue
            found = [_OPTION_LINE_RE.match(line) for line in text.splitlines()[:1000]]
            return cls(path, {match[1]: match[2] for match in found if match})
        return cls()

    def get(self, name: str) -> str | None:
        return self.values.get(name) or None

    @property
    def norm(self) -> str | None:
        return self.get("norm") or self.get("normG")

    def positive_int(self, name: str) -> int | None:
        """A whole number above zero."""
        text = self.get(name) or ""
        return int(text) if re.fullmatch(r"[1-9]\d{0,4}", text) else None
