"""Assumptions of an import: what a file does not reveal, its effect, and the flag that settles it.

A reading whose properties are all settled is a match. Otherwise it is a guess, which needs the
consent of the user (`--assume`). What settles a property: the keys and shapes, a fingerprint of a
known project (conventions.py), evidence in the weights (evidence.py), or a flag.
"""

from __future__ import annotations

import ast
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

from cgt.runtime.errors import GuessError

from ...networks.config import GeneratorConfig

_MAX_CODE_FILES = 50
_MAX_CODE_BYTES = 1 << 20


@dataclass(frozen=True)
class Assumption:
    """A property of a network that its file does not reveal.

    Attributes:
        name: the property; a name in `ImportNotes.settled` removes it.
        value: the value that is assumed.
        effect: what changes in the output if the value is wrong.
        flags: flags that state the value.
    """

    name: str
    value: str
    effect: str
    flags: str

    def __str__(self) -> str:
        return f"{self.name}: {self.value} (affects {self.effect}); {self.flags}"


def list_assumptions(config: GeneratorConfig, settled: Collection[str]) -> tuple[Assumption, ...]:
    """List what a reading assumes.

    Args:
        config: the reading.
        settled: names of properties that are known.
    """
    listed = _unet_assumptions(config) if config.family == "unet" else _resnet_assumptions(config)
    return tuple(one for one in listed if one.name not in settled)


def _unet_assumptions(config: GeneratorConfig) -> list[Assumption]:
    return [
        Assumption(
            "wiring",
            "of pix2pix (LeakyReLU 0.2 first, norms last, skips by concatenation)",
            "everything",
            "--code for another",
        ),
        _norm_assumption(config),
        _output_assumption(config),
    ]


def _resnet_assumptions(config: GeneratorConfig) -> list[Assumption]:
    stem = "norm" if not config.no_stem_norm else "activation" if config.stem_activation else "bare"
    listed = [
        Assumption("padding", _describe_paddings(config), "borders, output size", "--padding MODE"),
        Assumption("activation", config.activation, "all colors", "--activation NAME"),
        _norm_assumption(config),
        Assumption("stem", f"{stem} after the first convolution", "all colors", "--stem NAME"),
        Assumption(
            "block order",
            f"{config.block_order}, {'with' if config.residual else 'without'} addition",
            "structure, colors",
            "--block-order NAME, --no-residual",
        ),
        _output_assumption(config),
    ]
    times = "once" if config.blocks == 1 else f"{config.blocks} times"
    listed.append(Assumption("blocks", f"the only one applied {times}", "everything", "--blocks N"))
    if config.upsampling in ("resize", "convolve_resize"):
        listed.append(
            Assumption("interpolation", config.interpolation, "sharpness", "--interpolation NAME")
        )
    return listed


def _describe_paddings(config: GeneratorConfig) -> str:
    places = {
        "first and last": config.stem_padding,
        "blocks": config.padding,
        "stride 2": config.down_padding,
    }
    if config.upsampling in ("resize", "convolve_resize"):
        places["after resizing" if config.upsampling == "resize" else "before"] = config.up_padding
    if len(set(places.values())) == 1:
        return f"{config.padding} everywhere"
    return ", ".join(f"{padding} ({place})" for place, padding in places.items())


def _norm_assumption(config: GeneratorConfig) -> Assumption:
    name = config.norm.replace("instance_affine", "affine instance")
    return Assumption("norm", name, "contrast, colors", "--norm-layer NAME")


def _output_assumption(config: GeneratorConfig) -> Assumption:
    return Assumption(
        "output",
        f"{config.output_activation}, values {config.value_range}",
        "contrast, colors",
        "--output-activation NAME, --model-range RANGE",
    )


def require_consent(
    path: Path, assumptions: Collection[Assumption], keys: Collection[str], accepted: bool
) -> None:
    """Raise GuessError if there are assumptions that the user has not accepted.

    Args:
        path: the checkpoint.
        assumptions: what is open.
        keys: keys of the network, to find its code beside the file.
        accepted: whether the user gave `--assume`.
    """
    if not assumptions or accepted:
        return
    width = max(len(one.name) for one in assumptions)
    lines = [
        f"  {one.name:<{width}}  {one.value}; affects {one.effect}; {one.flags}"
        for one in assumptions
    ]
    raise GuessError(
        f"{path} is a guess: the file leaves {len(assumptions)} properties open\n"
        + "\n".join(lines),
        code=find_class_beside(path, keys),
    )


def find_class_beside(path: Path, keys: Collection[str]) -> str:
    """Return FILE.py:CLASS of the module whose attributes are the first names of the keys.

    The files beside the checkpoint, and in the folder above, are parsed, not executed. Without
    such a class the text is a placeholder.
    """
    names = {key.partition(".")[0] for key in keys}
    folders = (path.parent, path.parent.parent)
    files = [file for folder in folders for file in sorted(folder.glob("*.py"))]
    for file in files[:_MAX_CODE_FILES]:
        try:
            if file.stat().st_size > _MAX_CODE_BYTES:
                continue
            tree = ast.parse(file.read_bytes())
        except (OSError, SyntaxError, ValueError, RecursionError):
            continue
        for node in ast.walk(tree):
            if isinstance(node, ast.ClassDef) and names <= _attributes(node):
                return f"{file}:{node.name}"
    return "their/models.py:Generator"


def _attributes(node: ast.ClassDef) -> set[str]:
    """Return the names that a class assigns to self."""
    return {
        target.attr
        for child in ast.walk(node)
        if isinstance(child, ast.Attribute) and isinstance(child.ctx, ast.Store)
        for target in [child]
        if isinstance(target.value, ast.Name) and target.value.id == "self"
    }
