"""Which shapes an engine is built for."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cgt.runtime.artifact import ModelMetadata

from ..shapes import Shape, ShapeProfile

if TYPE_CHECKING:
    import tensorrt as trt


def engine_profiles(metadata: ModelMetadata) -> list[ShapeProfile]:
    """Those that the artifact names; else half to twice the sides of its size, one at a time."""
    if metadata.profiles:
        return [
            ShapeProfile(_as_shape(entry["min"]), _as_shape(entry["opt"]), _as_shape(entry["max"]))
            for entry in metadata.profiles
        ]
    height, width = metadata.size
    if not metadata.dynamic:
        return [ShapeProfile(*(((1, height, width),) * 3))]

    def shape(scale: float) -> Shape:
        multiple = metadata.multiple
        return 1, _round_up(scale * height, multiple), _round_up(scale * width, multiple)

    return [ShapeProfile(shape(0.5), shape(1), shape(2))]


def format_profile(profile: ShapeProfile) -> str:
    """Such as 1x128x128 to 8x512x512: batch, height, width."""
    low, high = ("x".join(map(str, shape)) for shape in (profile.min, profile.max))
    return low if low == high else f"{low} to {high}"


def _as_shape(sides: list[int]) -> Shape:
    count, height, width = sides
    return count, height, width


def _round_up(side: float, multiple: int) -> int:
    return max(1, -int(-side // multiple)) * multiple


def set_profile_shapes(
    profile: ShapeProfile,
    trt_profile: trt.IOptimizationProfile,
    network: trt.INetworkDefinition,
    io: str,
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
        trt_profile.set_shape(tensor.name, *shapes)
