"""Fingerprints of known projects: key names that only their code writes.

The projects that write layers into one nn.Sequential are identified by all of their keys at once.
These must be the keys of the generator that cgt builds from the reading, whose layers have the
numbers of pytorch-CycleGAN-and-pix2pix. So a convolution that pads its input itself, a missing
norm, a norm after the activation or a resize layer each shift a number, and there is no match.
The other projects are recognized by the names of their layers (`KNOWN_CONVENTIONS`).

A fork that keeps all names and numbers but replaces one parameter-free layer by another cannot be
told from the original by its keys. evidence.py may reveal it.
"""

from __future__ import annotations

from collections.abc import Collection

import torch

from ...networks import build_generator
from ...networks.config import GeneratorConfig
from ..conventions import Convention, strip_common_prefixes

_SEQUENTIAL_NAMES = {
    ("model", "conv_block"): ("instance", "batch", "none"),
    ("model", "block"): ("instance_affine",),
    ("main", "res"): ("instance", "batch"),
}
_SEQUENTIAL_PROJECTS = {
    ("model", "block"): "vintagify",
    ("main", "res"): "Lornatang's CycleGAN-PyTorch",
}
_STATISTICS = ("running_mean", "running_var", "num_batches_tracked")


def find_family(keys: Collection[str], config: GeneratorConfig, convention: Convention) -> str:
    """Return the project that wrote a network; empty if its keys are not unique to a project.

    Args:
        keys: keys of its state dict.
        config: the reading.
        convention: the convention by names.
    """
    if convention.name:
        fits = config.norm in convention.norms and all(
            getattr(config, name) == value for name, value in convention.requires.items()
        )
        return convention.name if convention.is_unique and fits else ""
    if config.upsampling not in ("transposed", "antialias") or config.stem_kernel % 2 == 0:
        return ""
    found = set(keys)
    for names, norms in _SEQUENTIAL_NAMES.items():
        if config.norm not in norms or (config.family == "unet" and "conv_block" not in names):
            continue
        expected = _keys_of(config, *names)
        if any(_same_network(set(variant), expected) for variant in strip_common_prefixes(found)):
            return _SEQUENTIAL_PROJECTS.get(names) or _name_of(config)
    return ""


def _keys_of(config: GeneratorConfig, top: str, block: str) -> set[str]:
    with torch.device("meta"):
        keys = build_generator(config).state_dict().keys()
    renamed = (f"{top}.{key.partition('.')[2]}" for key in keys)
    return {key.replace(".conv_block.", f".{block}.") for key in renamed}


def _same_network(found: set[str], expected: set[str]) -> bool:
    """Return whether keys are those expected.

    Obsolete statistics may be added, and statistics may lack a norm's scale: InstanceNorms that
    track their statistics are read as batch norms.
    """
    found_statistics = {key for key in found if key.endswith(_STATISTICS)}
    expected_statistics = {key for key in expected if key.endswith(_STATISTICS)}
    extra, missing = found - found_statistics - expected, expected - expected_statistics - found
    norms = {key.rpartition(".")[0] for key in expected_statistics}
    if extra or any(key.rpartition(".")[0] not in norms for key in missing):
        return False
    # The statistics belong to the places where norms are.
    places = {key.rpartition(".")[0] for key in found_statistics}
    return not norms or places == norms


def _name_of(config: GeneratorConfig) -> str:
    if config.block == "separable":
        return "gan-compression"
    if "antialias" in (config.upsampling, config.downsampling):
        return "contrastive-unpaired-translation"
    return "pytorch-CycleGAN-and-pix2pix"
