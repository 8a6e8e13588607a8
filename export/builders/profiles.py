"""Which shapes an engine is built for."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from cgt.runtime.artifact import Artifact

if TYPE_CHECKING:
    import tensorrt as trt

Shape = tuple[int, int, int]  # batch, height, width


@dataclass(frozen=True)
class Profile:
    """The least, the usual and the largest shape; the engine is fastest at the usual one."""

    min: Shape
    opt: Shape
    max: Shape

    def __str__(self) -> str:
        low, high = (f"{n}x{h}x{w}" for n, h, w in (self.min, self.max))
        return low if low == high else f"{low} to {high}"


def profiles_of(artifact: Artifact) -> list[Profile]:
    """Those that the artifact names; else half to twice the sides of its size, one at a time."""
    if artifact.profiles:
        return [
            Profile(_shape(named["min"]), _shape(named["opt"]), _shape(named["max"]))
            for named in artifact.profiles
        ]
    height, width = artifact.size
    if not artifact.dynamic:
        return [Profile(*(((1, height, width),) * 3))]

    def shape(scale: float) -> Shape:
        of = artifact.multiple
        return 1, _multiple(scale * height, of), _multiple(scale * width, of)

    return [Profile(shape(0.5), shape(1), shape(2))]


def _shape(sides: list[int]) -> Shape:
    count, height, width = sides
    return count, height, width


def _multiple(side: float, of: int) -> int:
    return max(1, -int(-side // of)) * of


def set_shapes(
    profile: Profile, to: trt.IOptimizationProfile, network: trt.INetworkDefinition, io: str
) -> None:
    """Tell TensorRT: for the image, and for the statistics where there are some."""
    for index in range(network.num_inputs):
        tensor = network.get_input(index)
        sides = tuple(tensor.shape)
        axes = {4: (0, 1, 2) if io == "uint8" else (0, 2, 3)}.get(len(sides), (0,))
        shapes = []
        for wanted in (profile.min, profile.opt, profile.max):
            shape = list(sides)
            for axis, side in zip(axes, wanted, strict=False):
                shape[axis] = side if sides[axis] < 0 else sides[axis]
            shapes.append(tuple(shape))
        to.set_shape(tensor.name, *shapes)
