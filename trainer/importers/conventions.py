"""Conventions of public projects: layers that leave no trace, names of files, train_opt.txt.

Keys and shapes do not reveal everything about a network. `KNOWN_CONVENTIONS` has the remainder for
projects that are recognized by their names; each entry was read in the project's source. Numbered
layers need no entry: pytorch-CycleGAN-and-pix2pix, CUT, gan-compression, PyTorch-GAN
(eriklindernoren), PyTorch-CycleGAN (aitorzip) and their descendants reveal padding, dropout and
resizing by gaps in their numbers.

Names of files, folders and networks reveal directions, the reverse generator and domains.
train_opt.txt has the options of a run of pytorch-CycleGAN-and-pix2pix and its descendants.
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
    """Properties of a project's generators that keys and shapes do not reveal.

    Attributes:
        name: the project.
        key_patterns: regular expressions; a state dict matches if each one occurs in some key.
        padding: padding of the residual blocks.
        stem_padding: padding of the first and last convolution.
        down_padding: padding of the downsampling convolutions.
        up_padding: padding of the convolutions after resizing.
        no_stem_norm: whether the first convolution has neither norm nor activation.
        output: output activation.
        implied_norm: the norm if there are neither biases nor norm weights.
        residual: whether blocks add their input.
        swaps_directions: whether G_ab translates b to a.
    """

    name: str = ""
    key_patterns: tuple[str, ...] = ()
    padding: str = "reflect"
    stem_padding: str = "reflect"
    down_padding: str = "zero"
    up_padding: str = "zero"
    no_stem_norm: bool = False
    output: str = "tanh"
    implied_norm: str = ""
    residual: bool = True
    swaps_directions: bool = False

    @property
    def rationale(self) -> str:
        """End of a sentence: where a property comes from."""
        return f"as {self.name} does" if self.name else "as the paper does"

    def resolve_norm(self, norm: str, bias: bool, notes: ImportNotes) -> str:
        """Return `norm`, or the implied norm of the project if none was found."""
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
    """Return the convention of the project that writes such keys, or DEFAULT_CONVENTION."""
    keys = list(keys)
    for convention in KNOWN_CONVENTIONS:
        patterns = [re.compile(rf"(^|\.){pattern}") for pattern in convention.key_patterns]
        if all(any(pattern.search(key) for key in keys) for pattern in patterns):
            return convention
    return DEFAULT_CONVENTION


# Names of a generator and of its reverse; the first of a pair is A to B.
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
    """Match a token as a whole word of a name, as written or in lower case."""
    return re.compile(
        rf"(?<![A-Za-z0-9])(net|gen_?|g_?|G_?)?({token}|{token.lower()})(?![A-Za-z0-9])"
    )


def direction_from_name(name: str) -> Direction | None:
    """Return the direction in the name of a file or network; None if there is none."""
    for forth, back in _DIRECTION_TOKENS:
        if _token_regex(forth).search(name):
            return "AtoB"
        if _token_regex(back).search(name):
            return "BtoA"
    return None


def reverse_direction_name(name: str) -> str | None:
    """Return the name of the reverse generator; None if the name has no direction."""
    for pair in _DIRECTION_TOKENS:
        for token, other in (pair, pair[::-1]):
            match = _token_regex(token).search(name)
            if match:
                other = other if match[2] == token else other.lower()
                return name[: match.start(2)] + other + name[match.end(2) :]
    return None


def find_sibling_generator(path: Path) -> Path | None:
    """Return the generator next to a discriminator's file, if there is one.

    For latest_net_D_A.pth it is latest_net_G_A.pth.
    """
    name = re.sub(r"(?<![A-Za-z])(net)?D(?=[_.])", lambda m: f"{m[1] or ''}G", path.name, count=1)
    sibling = path.with_name(name)
    return sibling if name != path.name and sibling.is_file() else None


def infer_domains(path: Path, *extra_names: str | None) -> tuple[str, str]:
    """Return the domains of a name such as "horse2zebra": an option, file or folder; or A and B."""
    for text in (*extra_names, path.stem, path.parent.name, path.parent.parent.name):
        for match in _DOMAIN_PAIR_RE.finditer((text or "").lower()):
            if match[0] not in _NOT_DOMAINS:
                return match[1], match[2]
    return "A", "B"


_OPTION_FILE_NAMES = ("train_opt.txt", "test_opt.txt", "opt.txt")
_OPTION_LINE_RE = re.compile(r"\s*(\w+)\s*:\s*(.*?)\s*(?:\[default:.*)?$")


@dataclass(frozen=True)
class TrainOptions:
    """Options of the run that wrote a checkpoint.

    Attributes:
        path: the options file; None if there is none.
        values: values by name.
    """

    path: Path | None = None
    values: dict[str, str] = field(default_factory=dict)

    @classmethod
    def load_next_to(cls, checkpoint: Path) -> TrainOptions:
        """Read the options file in the checkpoint's folder; without one, there are no options."""
        for name in _OPTION_FILE_NAMES:
            path = checkpoint.with_name(name)
            try:
                text = path.read_text(errors="replace")
            except OSError:
                continue
            matches = [_OPTION_LINE_RE.match(line) for line in text.splitlines()[:1000]]
            return cls(path, {match[1]: match[2] for match in matches if match})
        return cls()

    def get(self, name: str) -> str | None:
        """Return an option; None if it is missing or empty."""
        return self.values.get(name) or None

    @property
    def norm(self) -> str | None:
        """The norm; None if not given."""
        return self.get("norm") or self.get("normG")

    def positive_int(self, name: str) -> int | None:
        """Return an option that is a positive integer; None if it is not."""
        text = self.get(name) or ""
        return int(text) if re.fullmatch(r"[1-9]\d{0,4}", text) else None
