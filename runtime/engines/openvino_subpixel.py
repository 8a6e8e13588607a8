"""Subpixel rewrite of a generator's last convolution for OpenVINO on the CPU.

A convolution to 3 channels leaves most SIMD lanes empty. With stride 2 it computes a square of 2x2
pixels as 12 channels, which DepthToSpace rearranges (Shi et al. 2016, "Is the deconvolution layer
the same as a convolutional layer?"). The sums have the same terms. `cgt export` writes models in
this form; this is for the ONNX files of other programs.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..image.preprocess import F32
from .openvino_import import ov

ops = ov.opset13
_FACTOR = 2
_SIMD_CHANNELS = 16  # output channels that take as long as one


def use_subpixel_output(model: ov.Model) -> bool:
    """Rewrite the last convolution of a float model of fixed size in place.

    Returns:
        Whether the model has such a convolution: FP32, dense, of stride 1, with up to 4 output
        channels and even output sides.
    """
    convolutions = [op for op in model.get_ordered_ops() if op.get_type_name() == "Convolution"]
    if not convolutions:
        return False
    node = convolutions[-1]
    kernels = _read_constant(node.input_value(1))
    if kernels is None or not _can_rewrite(node, kernels):
        return False
    wide = ops.convolution(
        node.input_value(0),
        ops.constant(_expand_kernels(kernels)),
        [_FACTOR, _FACTOR],
        list(node.get_pads_begin()),
        list(node.get_pads_end()),
        [1, 1],
    )
    add = _find_bias_add(node)
    if add is not None:
        add_node, biases = add
        node = add_node
        repeated = np.repeat(biases.reshape(1, -1, 1, 1), _FACTOR**2, axis=1)
        wide = ops.add(wide, ops.constant(repeated))
    shuffled = ops.depth_to_space(wide, "depth_first", _FACTOR)
    for reader in node.output(0).get_target_inputs():
        reader.replace_source_output(shuffled.output(0))
    model.validate_nodes_and_infer_types()
    return True


def _can_rewrite(node: Any, kernels: F32) -> bool:
    shape = node.get_output_partial_shape(0)
    if node.get_output_element_type(0) != ov.Type.f32:  # FP16 files compute in another type
        return False
    if shape.is_dynamic or any(side % _FACTOR for side in shape.to_shape()[2:]):
        return False
    is_dense = set(node.get_strides()) == set(node.get_dilations()) == {1}
    fits = kernels.shape[0] * _FACTOR**2 <= _SIMD_CHANNELS and min(kernels.shape[2:]) > 1
    return is_dense and fits and node.get_auto_pad() == "explicit"


def _read_constant(output: Any) -> F32 | None:
    """Return the values of a float constant, which may be stored as float16."""
    node = output.get_node()
    if node.get_type_name() == "Convert":
        node = node.input_value(0).get_node()
    if node.get_type_name() != "Constant" or not np.issubdtype(node.data.dtype, np.floating):
        return None
    values: F32 = np.asarray(node.data, np.float32)
    return values


def _find_bias_add(node: Any) -> tuple[Any, F32] | None:
    """Return the addition of a bias per channel that follows a convolution, and the biases."""
    readers = list(node.output(0).get_target_inputs())
    if len(readers) != 1 or readers[0].get_node().get_type_name() != "Add":
        return None
    add = readers[0].get_node()
    other = add.input_value(1 - readers[0].get_index())
    biases = _read_constant(other)
    channels = node.get_output_shape(0)[1]
    if biases is None or biases.shape != (1, channels, 1, 1):
        return None
    return add, biases


def _expand_kernels(kernels: F32) -> F32:
    """Convert kernels (O, I, h, w) to (4*O, I, h+1, w+1): one for each pixel of a square."""
    out, channels, height, width = kernels.shape
    wide: NDArray[np.float32] = np.zeros(
        (out, _FACTOR, _FACTOR, channels, height + 1, width + 1), np.float32
    )
    for y in range(_FACTOR):
        for x in range(_FACTOR):
            wide[:, y, x, :, y : y + height, x : x + width] = kernels
    return wide.reshape(-1, channels, height + 1, width + 1)
