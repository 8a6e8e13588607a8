"""Conventions of public projects: layers that leave no trace, names of files, train_opt.txt.

Keys and shapes do not reveal everything about a network. `KNOWN_CONVENTIONS` has the remainder for
projects that are recognized by their names; each entry was read in the project's source. Numbered
layers need no entry: pytorch-CycleGAN-and-pix2pix, CUT, gan-compression, PyTorch-CycleGAN
(aitorzip) and their descendants reveal padding, dropout and resizing by gaps in their numbers, and
`certainty/fingerprints.py` recognizes them by these numbers.

Names of files, folders and networks reveal directions, the reverse generator and domains.
train_opt.txt has the options of a run of pytorch-CycleGAN-and-pix2pix and its descendants.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cgt.runtime.models.metadata import Direction

from ..networks.config import GeneratorConfig

if TYPE_CHECKING:
    from .parsed_generator import ImportNotes


_DEFAULTS = {
    "padding": "reflect",
    "stem_padding": "reflect",
    "down_padding": "zero",
    "up_padding": "zero",
}
_TENSOR = r"\.(weight|bias|running_mean|running_var|num_batches_tracked)"


@dataclass(frozen=True)
class Convention:
    """Properties of a project's generators that keys and shapes do not reveal.

    Attributes:
        name: the project.
        key_pattern: regular expression of the module paths; a state dict matches if all do.
        required_key: a key that it must have; empty for any.
        settings: fields of GeneratorConfig that keys and shapes do not reveal.
        norms: norms that the project has (GeneratorConfig.norm).
        requires: fields of GeneratorConfig that its generators have.
        implied_norm: the norm if there are neither biases nor norm weights.
        blocks: how often the only residual block is applied.
        swaps_directions: whether G_ab translates b to a.
        is_unique: whether only this project has such names. Otherwise the settings are the best
            guess.
    """

    name: str = ""
    key_pattern: str = ""
    required_key: str = field(default="", kw_only=True)
    settings: Mapping[str, Any] = field(default_factory=dict)
    norms: tuple[str, ...] = ("instance",)
    requires: Mapping[str, Any] = field(default_factory=dict)
    implied_norm: str = ""
    blocks: int = 0
    swaps_directions: bool = False
    is_unique: bool = True

    def setting(self, name: str) -> Any:
        """Return a field of GeneratorConfig: of the project, otherwise the usual value."""
        return self.settings.get(name, _DEFAULTS.get(name, getattr(GeneratorConfig, name)))

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
        r"ls\.\d+(\.[01]|\.ls\.\d+(\.[01])?)?",
        required_key="ls.1.0.weight",
        norms=("instance", "batch"),
        implied_norm="instance",
    ),
    Convention(
        "aladdinpersson's Machine-Learning-Collection",
        r"initial\.0|(down|up)_blocks\.\d+\.conv\.0|res_blocks\.\d+\.block\.[01]\.conv\.0|last",
        {"down_padding": "reflect"},
    ),
    Convention(
        "the GANs specialization (Coursera)",
        r"(up|down)feature\.conv|(contract|expand)\d+\.conv1|res\d+\.conv[12]",
        {"down_padding": "reflect", "no_stem_norm": True},
    ),
    Convention(
        "arnab39's cycleGAN-PyTorch",
        r"res_model\.\d+(\.[01]|\.res_block\.\d+(\.[01])?)?",
        required_key="res_model.1.0.weight",
        norms=("instance", "batch"),
        swaps_directions=True,
    ),
    Convention(
        "znxlwm's pytorch-CycleGAN",
        r"conv\d\.conv|resnet_blocks\.\d+\.resnet_block\.\d+|deconv\d\.(de)?conv",
        {"residual": False},
    ),
    Convention(
        "the Deep Learning nanodegree (Udacity)",
        r"(de)?conv[1-3]\.[01]|res_blocks\.\d+\.conv_layer[12]\.[01]",
        {"padding": "zero"},
        norms=("batch",),
    ),
    Convention(
        "mmgeneration (OpenMMLab)",
        r"model\.\d+\.(block\.\d\.)?conv",
    ),
    Convention(
        "PyTorch-GAN (eriklindernoren)",
        r"model\.\d+(\.block\.[15])?",
        {"up_padding": "zero"},
        requires={"upsampling": "resize", "up_padding": "zero", "in_channels": 3, "bias": True},
    ),
    # Names that other projects have, too.
    Convention(
        "dscho15's cycle-gan",
        r"down_blocks\.\d\.(conv|norm)|(middle|residual)_blocks\.\d+\.conv_block\.[01]\.(conv|norm)|"
        r"up_blocks\.\d\.(conv|norm)",
        {
            **dict.fromkeys(_DEFAULTS, "reflect"),
            "norm": "group_of_2",
            "interpolation": "bilinear",
        },
        norms=("group_of_2",),
        is_unique=False,
    ),
    Convention(
        "erenaspire7's cycle-gans-v1",
        r"initial_layer\.0|(down|up)sampling_layers\.\d\.conv\.0|"
        r"residual_layers\.\d+\.block\.[01]\.conv\.0|last_layer",
        {"down_padding": "reflect", "no_stem_norm": True, "stem_activation": True},
        is_unique=False,
    ),
    Convention(
        "KNstntin's cycle_gan_jojo",
        r"(en|de)coder\.[036]|transformer\.\d+\.conv[12]",
        {"block_order": "activation_only"},
        is_unique=False,
    ),
    Convention(
        "mhdadk's cycle-gan",
        r"(in|out)_block\.1|[DU]S[12]\.conv1|res_forward\.conv[12]",
        blocks=9,
        is_unique=False,
    ),
    Convention(
        "rrmina's fast-neural-style",
        r"(ConvBlock|DeconvBlock)\.\d\.(conv_layer|conv_transpose|norm_layer)|"
        r"ResidualBlock\.\d\.conv[12]\.(conv|norm)_layer",
        {"down_padding": "reflect", "output_activation": "none"},
        norms=("instance_affine",),
        is_unique=False,
    ),
)
DEFAULT_CONVENTION = Convention()


def find_convention(keys: Iterable[str]) -> Convention:
    """Return the convention of the project that writes such keys, or DEFAULT_CONVENTION."""
    variants = list(strip_common_prefixes(keys))
    for convention in KNOWN_CONVENTIONS:
        pattern = re.compile(rf"({convention.key_pattern}){_TENSOR}")
        for variant in variants:
            has_required = not convention.required_key or convention.required_key in variant
            if has_required and all(map(pattern.fullmatch, variant)):
                return convention
    return DEFAULT_CONVENTION


def strip_common_prefixes(keys: Iterable[str]) -> Iterator[list[str]]:
    """Yield the keys as they are, then without each prefix that all have, such as "gen.net."."""
    variant = list(keys)
    while variant:
        yield variant
        first = f"{variant[0].partition('.')[0]}."
        if first not in variant[0] or not all(key.startswith(first) for key in variant):
            return
        variant = [key.removeprefix(first) for key in variant]


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

    def source_images(self, checkpoint: Path) -> Path | None:
        """Return the folder of the images that the generator translates, if it is there."""
        root = self.get("dataroot")
        side = "B" if direction_from_name(checkpoint.stem) == "BtoA" else "A"
        folders = [Path(root, f"{part}{side}") for part in ("test", "train")] if root else []
        return next((folder for folder in folders if folder.is_dir()), None)

    def positive_int(self, name: str) -> int | None:
        """Return an option that is a positive integer; None if it is not."""
        text = self.get(name) or ""
        return int(text) if re.fullmatch(r"[1-9]\d{0,4}", text) else None
