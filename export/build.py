"""From a network and a recipe to a graph: the conversions, in sequence."""

from __future__ import annotations

import copy

import onnx
import torch
from onnx import version_converter
from torch import nn

from cgt.runtime.preprocess import pack
from cgt.trainer.generator import TrainedGenerator

from .calibrate import calibrate
from .frames import Frames
from .graph import Interface, trace
from .halve import Narrow
from .magnitudes import measure_magnitudes
from .pixels import Pixels
from .quantize import quantize
from .recipe import Recipe
from .shapes import Shapes


def build(
    source: TrainedGenerator,
    recipe: Recipe,
    shapes: Shapes,
    calibration: Frames | None,
    tests: Frames,
) -> onnx.ModelProto:
    """calibration: for a recipe that calibrates. tests: on which FP16's range is proved.

    Raises QualityError where FP16 would overflow.
    """
    network = copy.deepcopy(source.network)
    if recipe.has_fp16:
        measure_magnitudes(network, map(pack, tests.images)).require_fp16(recipe.fp16_norm)
    thresholds: dict[str, float] = {}
    if recipe.quantizes:
        assert calibration is not None
        thresholds = calibrate(network, map(pack, calibration.images), recipe.calib_method)
    interface = Interface(source.in_channels, source.multiple, recipe.io, 0, shapes)
    model = trace(_wrapped(network, recipe), interface, max(18, recipe.opset or 18))
    if recipe.least_opset > 18 and recipe.opset is None:
        model = version_converter.convert_version(model, recipe.least_opset)
    quantize(model, thresholds)
    return model


def _wrapped(network: nn.Module, recipe: Recipe) -> nn.Module:
    if recipe.width != "fp32":
        dtype = torch.float16 if recipe.has_fp16 else torch.bfloat16
        network = Narrow(network, dtype, recipe.fp16_norm)
    return Pixels(network) if recipe.io == "uint8" else network
