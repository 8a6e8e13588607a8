"""Which normalisation a network has, and whether its convolutions have biases."""

from __future__ import annotations

from collections.abc import Sequence

from .layers import ParsedLayer
from .options import TrainOptions
from .recognised import ImportNotes, NotThisArchitecture

_OPTION_NORMS = {"instance": "instance", "batch": "batch", "none": "none"}


def infer_norm(
    layers: Sequence[ParsedLayer],
    convolutions: Sequence[ParsedLayer],
    options: TrainOptions,
    notes: ImportNotes,
) -> tuple[str, bool]:
    """(one of config.NORMS, whether there are biases).

    layers: those behind which the family has a norm. convolutions: those whose bias the
    description says (the last one always has one).
    """
    biased = sum(1 for layer in convolutions if layer.bias)
    norms = [layer.norm for layer in layers]
    affine = sum(1 for norm in norms if norm and norm.affine)
    tracked = sum(1 for norm in norms if norm and norm.tracks_running_stats)
    if affine not in (0, len(layers)) or (affine and tracked not in (0, len(layers))):
        odd = next(layer for layer in layers if not (layer.norm and layer.norm.affine))
        raise NotThisArchitecture(f"{odd.path} has no norm behind it, other layers have one")
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
            notes.ambiguities.append(
                "without biases and norm weights, no norm and an instance norm look the same; "
                "taken as no norm"
            )
    return _apply_options(kind, options, notes), biased > 0


def _apply_options(kind: str, options: TrainOptions, notes: ImportNotes) -> str:
    """By train_opt.txt, where the keys allow it."""
    stated = _OPTION_NORMS.get(options.norm or "")
    if stated is None or stated == kind or (stated == "instance" and kind == "instance_affine"):
        if stated == kind:
            notes.evidence.append(f"{options.path} says norm {options.norm}")
        return kind
    if {stated, kind} == {"instance", "none"}:
        notes.evidence.append(f"{options.path} says norm {options.norm}: {stated}")
        return stated
    notes.evidence.append(f"{options.path} says norm {options.norm}, but the weights say {kind}")
    return kind
