"""Layer graph: a state dict as convolutions in order of execution.

Keys tell which tensors form a layer and in which order layers run. Shapes tell which convolution
feeds which. Names are used only where these two are ambiguous.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field

from .state_dicts import StateDict

_NORM_KEYS = ("weight", "bias", "running_mean", "running_var", "num_batches_tracked")
_NORM_NAME_RE = re.compile(r"norm|bn|^in\d", re.IGNORECASE)
# Stages by name, for files whose keys are in alphabetical order, such as safetensors.
_STAGE_PATTERNS = (
    r"^(initial|init|head|first|stem|input|in_?conv|upfeature)",
    r"^(enc|down(?!feature)|contract|conv)",
    r"^(res|trans|bottle|mid|block)",
    r"^(up|dec|expand|deconv)",
    r"^(last|final|out|tail|to_rgb|downfeature)",
)


@dataclass(frozen=True)
class NormTensors:
    """Tensors of a normalization layer.

    Attributes:
        path: module path.
        keys: keys in the state dict by tensor name (one of _NORM_KEYS).
    """

    path: str
    keys: dict[str, str]

    @property
    def affine(self) -> bool:
        """Whether it has a learned scale."""
        return "weight" in self.keys

    @property
    def tracks_running_stats(self) -> bool:
        """Whether it has running statistics."""
        return "running_mean" in self.keys


@dataclass(frozen=True)
class ParsedLayer:
    """A convolution, the norm after it, and the fixed blur filters around it.

    Attributes:
        path: module path of the convolution.
        shape: shape of its weight.
        weight: key of its weight.
        bias: key of its bias, if any.
        norm: norm after it, if any.
        blur_before: key of the blur filter before it ("filt"), if any.
        blur_after: key of the blur filter after it ("filt"), if any.
    """

    path: str
    shape: tuple[int, ...]
    weight: str
    bias: str | None
    norm: NormTensors | None = None
    blur_before: str | None = None
    blur_after: str | None = None

    def keys(self) -> list[str]:
        """Return the keys of all its tensors."""
        keys = [self.weight, self.bias, self.blur_before, self.blur_after]
        return [key for key in keys if key] + list(self.norm.keys.values() if self.norm else ())


@dataclass
class LayerGraph:
    """All convolutions in order of execution, and the keys that belong to none of them."""

    convolutions: list[ParsedLayer] = field(default_factory=list)
    unexpected_keys: list[str] = field(default_factory=list)


def parse_layers(tensors: StateDict) -> LayerGraph:
    """Group the tensors of a state dict into layers."""
    modules: dict[str, dict[str, str]] = {}
    for key in tensors:
        # PyTorch's newer spectral norm (parametrizations) has the keys of the older one here.
        spelled = key.replace(".parametrizations.weight.original", ".weight_orig")
        path, _, leaf = spelled.replace(".parametrizations.weight.0._", ".weight_").rpartition(".")
        modules.setdefault(path, {})[leaf] = key
    graph = LayerGraph()
    last: dict[str, object] | None = None
    drafts: list[dict[str, object]] = []
    pending_blur: str | None = None  # blur filter before the next convolution
    for path in _execution_order(list(modules)):
        leaves = modules[path]
        weight = leaves.get("weight") or leaves.get("weight_orig")
        if weight and tensors[weight].dim() == 4:
            last = {
                "path": path,
                "shape": tuple(tensors[weight].shape),
                "weight": weight,
                "bias": leaves.get("bias"),
                "blur_before": pending_blur,
            }
            pending_blur = None
            drafts.append(last)
            graph.unexpected_keys += [k for n, k in leaves.items() if n not in ("weight", "bias")]
        elif "filt" in leaves:
            # A 3x3 blur follows the convolution it downsamples, a 4x4 one precedes upsampling.
            if tensors[leaves["filt"]].shape[-1] == 3 and last is not None:
                last["blur_after"] = leaves["filt"]
            else:
                pending_blur = leaves["filt"]
        elif last is not None and "norm" not in last and set(leaves) <= set(_NORM_KEYS):
            last["norm"] = NormTensors(path, leaves)
        else:
            graph.unexpected_keys += list(leaves.values())
    graph.convolutions = [ParsedLayer(**draft) for draft in drafts]  # type: ignore[arg-type]
    return graph


def format_shape(shape: Sequence[int]) -> str:
    """Return a tensor shape for messages: "(64, 3, 7, 7)"."""
    return f"({', '.join(map(str, shape))})"


def _execution_order(paths: list[str]) -> list[str]:
    """Sort modules by order of execution.

    Numbered modules are sorted by number. Named ones keep the order of the file, or, if that is
    alphabetical, are sorted by the stage in their name.
    """
    alphabetical = paths == sorted(paths)
    first_seen: dict[str, int] = {}
    for index, path in enumerate(paths):
        parts = path.split(".")
        for depth in range(len(parts)):
            first_seen.setdefault(".".join(parts[: depth + 1]), index)

    parents = [path.split(".")[:-1] for path in paths]
    levels = enumerate(zip(*parents, strict=False))
    shortest = min(map(len, parents), default=0)
    common = next((depth for depth, names in levels if len(set(names)) > 1), shortest)

    def rank(path: str) -> list[tuple[int, int, bool]]:
        parts = path.split(".")
        ranks = []
        for depth, part in enumerate(parts):
            if part.isdigit():
                ranks.append((0, int(part), False))
            elif alphabetical:
                number = int((re.findall(r"\d+", part) or ["0"])[0])
                stage = _stage_index(part) if depth == common else 0
                ranks.append((stage, number, bool(_NORM_NAME_RE.search(part))))
            else:
                ranks.append((0, first_seen[".".join(parts[: depth + 1])], False))
        return ranks

    return sorted(paths, key=rank)


def _stage_index(name: str) -> int:
    for number, pattern in enumerate(_STAGE_PATTERNS):
        if re.match(pattern, name, re.IGNORECASE):
            return number
    return len(_STAGE_PATTERNS) // 2
