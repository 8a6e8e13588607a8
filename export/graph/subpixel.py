"""Subpixel rewrite of a generator's last convolution, which then computes 2x2 pixels at once."""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper, numpy_helper

UPSCALE_FACTOR = 2
# Marks rewritten convolutions in exported files; changing it would hide those in existing files.
OUTPUT_SUFFIX = "_squares"
SIMD_CHANNELS = 16  # output channels that engines compute together; fewer take as long


def use_subpixel_conv(model: onnx.ModelProto) -> None:
    """Rewrite, in place, a last convolution that leaves most SIMD lanes of an engine empty.

    A convolution to 3 channels does. With stride 2 it computes a square of 2x2 pixels as 12
    channels, which DepthToSpace rearranges (Shi et al. 2016, "Is the deconvolution layer the same
    as a convolutional layer?"). The function is the same up to rounding; images must have even
    sides. A 7x7 convolution takes a third of the time.
    """
    graph = model.graph
    weights = {weight.name: weight for weight in graph.initializer}
    conv_positions = [i for i, node in enumerate(graph.node) if node.op_type.startswith("Conv")]
    if not conv_positions or not _can_rewrite(node := graph.node[conv_positions[-1]], weights):
        return
    readers = Counter(name for other in graph.node for name in other.input)
    if any(readers[name] > 1 for name in node.input[1:]):  # a layer that runs several times
        return
    for name, widen in zip(node.input[1:], (_expand_kernels, _expand_biases), strict=False):
        wide = widen(numpy_helper.to_array(weights[name]))
        weights[name].CopyFrom(numpy_helper.from_array(wide, name))
    for attribute in list(node.attribute):
        if attribute.name in ("strides", "kernel_shape"):
            node.attribute.remove(attribute)
    node.attribute.append(helper.make_attribute("strides", [UPSCALE_FACTOR, UPSCALE_FACTOR]))
    out, shuffled_input = node.output[0], node.output[0] + OUTPUT_SUFFIX
    node.output[0] = shuffled_input
    graph.node.insert(
        conv_positions[-1] + 1,
        helper.make_node(
            "DepthToSpace",
            [shuffled_input],
            [out],
            f"{node.name}.squares",
            blocksize=UPSCALE_FACTOR,
            mode="CRD",
        ),
    )


def is_subpixel_conv(node: onnx.NodeProto) -> bool:
    """Return True if `use_subpixel_conv` rewrote the node."""
    return node.op_type == "Conv" and node.output[0].endswith(OUTPUT_SUFFIX)


def undo_subpixel(values: NDArray[Any]) -> NDArray[Any]:
    """Return the original kernels or biases of a rewritten convolution.

    `values` are kernels (4*O, I, h+1, w+1) or biases (4*O).
    """
    first = values[:: UPSCALE_FACTOR**2]
    return first if first.ndim == 1 else first[:, :, : 1 - UPSCALE_FACTOR, : 1 - UPSCALE_FACTOR]


def _can_rewrite(node: onnx.NodeProto, weights: dict[str, onnx.TensorProto]) -> bool:
    """Check for a plain convolution of more than one pixel with room for a square's channels."""
    attributes: dict[str, Any] = {a.name: helper.get_attribute_value(a) for a in node.attribute}
    if node.op_type != "Conv":
        return False
    ones = [
        *attributes.get("strides", []),
        *attributes.get("dilations", []),
        attributes.get("group", 1),
    ]
    if any(name not in weights for name in node.input[1:]):  # computed in the graph
        return False
    out, _, *kernel = weights[node.input[1]].dims
    if len(kernel) != 2:
        return False
    return {*ones} == {1} and min(kernel) > 1 and out * UPSCALE_FACTOR**2 <= SIMD_CHANNELS


def _expand_kernels(kernels: NDArray[Any]) -> NDArray[Any]:
    """Convert kernels (O, I, h, w) to (4*O, I, h+1, w+1): one for each pixel of a square."""
    out, channels, height, width = kernels.shape
    wide = np.zeros(
        (
            out,
            UPSCALE_FACTOR,
            UPSCALE_FACTOR,
            channels,
            height + UPSCALE_FACTOR - 1,
            width + UPSCALE_FACTOR - 1,
        ),
        kernels.dtype,
    )
    for y in range(UPSCALE_FACTOR):
        for x in range(UPSCALE_FACTOR):
            wide[:, y, x, :, y : y + height, x : x + width] = kernels
    return wide.reshape(-1, *wide.shape[3:])


def _expand_biases(biases: NDArray[Any]) -> NDArray[Any]:
    return np.repeat(biases, UPSCALE_FACTOR**2)
