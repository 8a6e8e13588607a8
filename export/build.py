"""From a network and a recipe to a graph: the conversions, in sequence."""

from __future__ import annotations

import copy
from collections.abc import Callable

import onnx
import torch
from onnx import version_converter
from torch import nn

from cgt.trainer.generator import TrainedGenerator

from .calibrate import calibrate
from .frames import Frames
from .graph import OPSET, Interface, trace
from .halve import Narrow
from .magnitudes import measure_magnitudes
from .mixed import choose
from .norms import Streamed, fold, freeze
from .pixels import Pixels
from .quantize import quantize
from .recipe import Recipe
from .shapes import Shapes
from .subpixel import subpixel


def build(
    source: TrainedGenerator,
    recipe: Recipe,
    shapes: Shapes,
    calibration: Frames | None,
    tests: Frames,
    say: Callable[[str], None],
) -> onnx.ModelProto:
    """calibration: for a recipe that calibrates. tests: on which FP16's range is proved, and for
    which a mixture is chosen. say: is given the lines of that choice.

    Raises QualityError where FP16 would overflow, and where no mixture will do.
    """
    network, channels = copy.deepcopy(source.network), source.in_channels
    if recipe.norm == "frozen":
        assert calibration is not None
        freeze(network, calibration.tensors(channels))
    fold(network)
    if recipe.has_fp16:
        measure_magnitudes(network, tests.tensors(channels)).require_fp16(recipe.fp16_norm)
    thresholds: dict[str, float] = {}
    if recipe.quantizes:
        assert calibration is not None
        thresholds = calibrate(network, calibration.tensors(channels), recipe.calib_method)
    if recipe.precision == "mixed":
        assert calibration is not None
        some, all_ = calibration.tensors(channels), tests.tensors(channels)
        thresholds = choose(network, thresholds, some, all_, recipe.floor, say)
    model = _traced(network, source, recipe, shapes)
    quantize(model, thresholds)
    return model


def _traced(
    network: nn.Module, source: TrainedGenerator, recipe: Recipe, shapes: Shapes
) -> onnx.ModelProto:
    statistics = 0
    if recipe.width != "fp32":
        dtype = torch.float16 if recipe.has_fp16 else torch.bfloat16
        network = Narrow(network, dtype, recipe.fp16_norm)
    if recipe.norm == "stream":
        network = Streamed(network)
        statistics = network.statistics
    if recipe.io == "uint8":
        network = Pixels(network)
    interface = Interface(source.in_channels, source.multiple, recipe.io, statistics, shapes)
    model = trace(network, interface, recipe.opset or OPSET)
    if source.multiple % 2 == 0:
        subpixel(model)
    if recipe.opset is None and recipe.least_opset > OPSET:
        model = version_converter.convert_version(model, recipe.least_opset)
    return model
