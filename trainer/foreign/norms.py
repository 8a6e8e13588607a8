"""Which normalisation a network has, and whether its convolutions have biases."""

from __future__ import annotations

from collections.abc import Sequence

from .layers import Layer
from .options import Options
from .recognised import Disagreement, Notes

_SAID = {"instance": "instance", "batch": "batch", "none": "none"}


def read_norm(
    layers: Sequence[Layer], convolutions: Sequence[Layer], options: Options, notes: Notes
) -> tuple[str, bool]:
    """(one of config.NORMS, whether there are biases).

    layers: those behind which the family has a norm. convolutions: those whose bias the
    description says (the last one always has one).
    """
    biased = sum(1 for layer in convolutions if layer.bias)
    norms = [layer.norm for layer in layers]
    affine = sum(1 for norm in norms if norm and norm.affine)
    tracked = sum(1 for norm in norms if norm and norm.tracked)
    if affine not in (0, len(layers)) or (affine and tracked not in (0, len(layers))):
        odd = next(layer for layer in layers if not (layer.norm and layer.norm.affine))
        raise Disagreement(f"{odd.path} has no norm behind it, other layers have one")
    if 0 < biased < len(convolutions):
        notes.evidence.append(
            f"{biased} of {len(convolutions)} convolutions have a bias; that of the others is zero"
        )
    if affine and tracked:
        kind = "batch"
        notes.evidence.append("norm weights with running statistics: batch norm, as in eval mode")
    elif affine:
        kind = "instance_affine"
        notes.evidence.append("norm weights without running statistics: affine instance norm")
    elif tracked:
        kind = "instance"
        notes.evidence.append(
            "running statistics without norm weights: instance norm as PyTorch < 0.4 saved it; "
            "the statistics are dropped, as its own trainer does"
        )
    elif biased:
        kind = "instance"
        notes.evidence.append("biases and no norm weights: instance norm")
    else:
        kind = "none"
        notes.evidence.append("neither biases nor norm weights: no norm")
        if options.norm is None:
            notes.ambiguous.append(
                "without biases and norm weights, no norm and an instance norm look the same; "
                "taken as no norm"
            )
    return _settled(kind, options, notes), biased > 0


def _settled(kind: str, options: Options, notes: Notes) -> str:
    """By train_opt.txt, where the keys allow it."""
    said = _SAID.get(options.norm or "")
    if said is None or said == kind or (said == "instance" and kind == "instance_affine"):
        if said == kind:
            notes.evidence.append(f"{options.path} says norm {options.norm}")
        return kind
    if {said, kind} == {"instance", "none"}:
        notes.evidence.append(f"{options.path} says norm {options.norm}: {said}")
        return said
    notes.evidence.append(f"{options.path} says norm {options.norm}, but the weights say {kind}")
    return kind
