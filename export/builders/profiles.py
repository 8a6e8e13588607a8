"""Which shapes an engine is built for."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cgt.runtime.artifact import Artifact

from ..shapes import Profile, Shape

if TYPE_CHECKING:
    import tensorrt as trt


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


def describe(profile: Profile) -> str:
    """Such as 1x128x128 to 8x512x512: batch, height, width."""
    low, high = ("x".join(map(str, shape)) for shape in (profile.min, profile.max))
    return low if low == high else f"{low} to {high}"


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
