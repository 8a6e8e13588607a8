"""Graph construction: the conversions from a PyTorch network to an ONNX model, in sequence."""

from __future__ import annotations

import copy
from collections.abc import Callable

import onnx
import torch
from onnx import version_converter
from torch import nn

from cgt.runtime.image.preprocess import F32
from cgt.trainer.pretrained import TrainedGenerator

from ..config import ExportConfig, NormPrecision
from ..quantization.calibrate import calibrate
from ..quantization.mixed_precision import select_int8_layers
from ..quantization.qdq import insert_qdq
from ..quantization.sample_images import ImageSet
from ..shapes import InputShapes
from ..verify.fp16_range import measure_activation_range
from .norms import (
    ExternalStatistics,
    fold_norms,
    freeze_norms,
    require_norms_run_once,
    split_large_sums,
)
from .opset import lower_opset
from .reduced_precision import ReducedConvolutions, ReducedPrecision
from .subpixel import use_subpixel_conv
from .trace import DEFAULT_OPSET, GraphInterface, trace, trace_any
from .uint8_io import Uint8IO


def build_graph(
    generator: TrainedGenerator,
    config: ExportConfig,
    shapes: InputShapes,
    calibration: ImageSet | None,
    eval_images: ImageSet,
    log: Callable[[str], None],
) -> onnx.ModelProto:
    """Convert a generator to an ONNX model.

    Args:
        generator: Generator; its network is copied.
        config: Options of the export.
        shapes: Shapes that the graph takes.
        calibration: Images for a config that needs calibration.
        eval_images: Images that check FP16's range and that mixed precision is chosen on.
        log: Receives the table of mixed precision.

    Raises:
        QualityError: FP16 would overflow, or no convolution can be INT8.
        UntraceableError: The code of another project is no graph for these shapes.
        UsageError: The norms of another project's code cannot be frozen or streamed.
    """
    network, channels = copy.deepcopy(generator.network), generator.in_channels
    if generator.code is not None and config.norm != "instance":
        require_norms_run_once(network, eval_images.to_tensors(channels)[0])
    if config.norm == "frozen":
        assert calibration is not None
        freeze_norms(network, calibration.to_tensors(channels))
    unfolded = copy.deepcopy(network) if generator.code is not None else None
    fold_norms(network)
    if unfolded is not None and not _is_unchanged(
        network, unfolded, eval_images.to_tensors(channels)[0]
    ):
        network = unfolded  # their code does not run its layers in the order of its lists
    norm_precision = config.norm_precision
    if config.has_fp16:
        measured = measure_activation_range(network, eval_images.to_tensors(channels))
        measured.check_fp16_range(config.fp16_norm)
        obstacle = measured.mixed_norm_obstacle()
        if norm_precision == "mixed" and obstacle and generator.code is None:
            log(f"note: norms compute in FP32 alone, because {obstacle}, too much for FP16")
            norm_precision = "fp32"
    thresholds: dict[str, float] = {}
    if config.quantizes:
        assert calibration is not None
        thresholds = calibrate(network, calibration.to_tensors(channels), config.calib_method)
    if config.precision == "mixed":
        assert calibration is not None
        calibration_tensors, eval_tensors = (
            calibration.to_tensors(channels),
            eval_images.to_tensors(channels),
        )
        thresholds = select_int8_layers(
            network, thresholds, calibration_tensors, eval_tensors, config.required_psnr_db, log
        )
    model = _wrap_and_trace(network, generator, config, shapes, norm_precision)
    insert_qdq(model, thresholds)
    if config.opset is not None and config.opset < DEFAULT_OPSET:
        model = lower_opset(model, config.opset)
    # Old runtimes also refuse a file by the version of its format.
    model.ir_version = onnx.helper.find_min_ir_version_for(model.opset_import)
    return model


def _is_unchanged(network: nn.Module, original: nn.Module, image: F32) -> bool:
    x = torch.from_numpy(image[None])
    with torch.no_grad():
        return torch.allclose(network(x), original(x), rtol=1e-3, atol=1e-4)


def _wrap_and_trace(
    network: nn.Module,
    generator: TrainedGenerator,
    config: ExportConfig,
    shapes: InputShapes,
    norm_precision: NormPrecision,
) -> onnx.ModelProto:
    statistics_size, channels = 0, generator.in_channels
    if config.float_precision != "fp32":
        dtype = torch.float16 if config.has_fp16 else torch.bfloat16
        if generator.code is not None:
            network = ReducedConvolutions(network, dtype)
        else:
            network = ReducedPrecision(network, dtype, norm_precision)
            split_large_sums(network, (1, channels, *shapes.usual_size(generator.size)))
    if config.norm == "stream":
        network = ExternalStatistics(network)
        statistics_size = network.statistics
    if config.io == "uint8":
        network = Uint8IO(network)
    interface = GraphInterface(channels, generator.multiple, config.io, statistics_size, shapes)
    trace_network = trace if generator.code is None else trace_any
    model = trace_network(network, interface, max(config.opset or 0, DEFAULT_OPSET))
    # Where the convolutions of other code are, and whether their outputs have even sides, is open.
    if generator.multiple % 2 == 0 and generator.code is None:
        use_subpixel_conv(model)
    if config.opset is None and config.min_opset > DEFAULT_OPSET:
        model = version_converter.convert_version(model, config.min_opset)
    return model
