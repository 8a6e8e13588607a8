"""Export of a checkpoint's generator to an ONNX file with metadata, compared with PyTorch."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import onnx

from cgt.runtime.errors import QualityError, SinkError, UsageError
from cgt.runtime.image.files import encode_image
from cgt.runtime.models.checkpoint_options import NO_OPTIONS, CheckpointOptions
from cgt.runtime.models.metadata import METADATA_KEY, Direction, ModelMetadata
from cgt.runtime.utils.atomic import atomic_write
from cgt.runtime.utils.log import LogFn as LogFn
from cgt.runtime.utils.overwrite import refuse_overwriting
from cgt.trainer.pretrained import TrainedGenerator, open_generator

from .config import ExportConfig
from .graph.build import build_graph
from .graph.norms import statistics_size
from .quantization.sample_images import (
    ImageSet,
    load_calibration_images,
    make_resize_fn,
    sample_images,
    sample_images_of_folder,
)
from .shapes import InputShapes, parse_shapes
from .verify.layer_drift import (
    LayerDrift,
    format_table,
    measure_layer_drift,
    render_chart,
    worst_layers,
)
from .verify.parity import Parity, measure_parity, min_batch, select_reference_engine
from .verify.precision import format_counts, verify_precision


def export(
    checkpoint: str | Path | TrainedGenerator,
    output: str | Path | None = None,
    *,
    direction: Direction | None = None,
    network: str | None = None,
    checkpoint_options: CheckpointOptions = NO_OPTIONS,
    log: LogFn = lambda line: None,
    **options: Any,
) -> tuple[Path, ModelMetadata]:
    """Write an ONNX model of one generator.

    Args:
        checkpoint: Checkpoint file, or a generator that is already open.
        output: Path of the model; None is SOURCE2TARGET_PRECISION.onnx next to the checkpoint.
        direction: See `open_generator`.
        network: See `open_generator`.
        checkpoint_options: See `open_generator`.
        log: Receives a line for each result.
        **options: Fields of ExportConfig, for example precision="int8", calib="photos".

    Returns:
        The path of the model and its metadata.

    Raises:
        CheckpointError: The checkpoint cannot be read.
        UsageError: An option is invalid.
        SourceError: There are no images to calibrate on or to compare on.
        SinkError: The model cannot be written.
        QualityError: The PSNR is below the floor, or FP16 would overflow. After any error, no file
            is left.
    """
    config = ExportConfig(**options)
    if isinstance(checkpoint, TrainedGenerator):
        generator = checkpoint
    else:
        generator = open_generator(Path(checkpoint), direction, network, checkpoint_options)
        log(f"generator: {generator.summary}; loaded strictly")
    if generator.assumptions:
        assumed = ", ".join(f"{one.name} {one.value}" for one in generator.assumptions)
        log(f"warning: a guess that you accepted: {assumed}")
    for ambiguity in generator.ambiguities:
        log(f"note: {ambiguity}")
    for warning in generator.warnings:
        log(f"warning: on a test image {warning}; untrained or read wrongly, see `cgt inspect`")
    if config.io == "uint8" and (generator.in_channels, generator.out_channels) != (3, 3):
        raise UsageError("--io uint8 is for networks from RGB to RGB; omit it")
    shapes = parse_shapes(config.size, config.batch, generator.multiple, generator.size)
    metadata = _make_metadata(generator, config, shapes)
    path = _output_path(output, generator, config)
    inputs = [Path(name) for name in (config.eval_images, config.calib) if name]
    outputs = [path, _drift_chart_path(path) if config.drift else None]
    refuse_overwriting(outputs, [generator.path, *inputs])
    calibration, eval_images = _select_images(generator, config, metadata)
    if calibration is not None:
        log(f"calibrating on {len(calibration.images)} {calibration.origin}")
    model = build_graph(generator, config, shapes, calibration, eval_images, log)
    log(f"graph: {format_counts(verify_precision(model, config))}")
    try:
        with atomic_write(path) as temporary:
            onnx.save(model, temporary)
            onnx.checker.check_model(temporary, full_check=True)
            parity = measure_parity(
                temporary, generator.network, eval_images, metadata, generator.in_channels
            )
            log(str(parity))
            if parity.psnr_worst_db < config.required_psnr_db:
                raise _below_floor_error(
                    parity,
                    config,
                    worst_layers(_drift_of_first_image(model, generator, eval_images, metadata)),
                )
            metadata = dataclasses.replace(metadata, parity=parity.to_json())
            _write_metadata(model, metadata)
            onnx.save(model, temporary)
        if config.drift:
            _report_drift(_drift_of_first_image(model, generator, eval_images, metadata), path, log)
    except OSError as error:
        if isinstance(error, SinkError):
            raise
        raise SinkError(f"cannot write {path}: {error.strerror or error}") from None
    return path, metadata


def _make_metadata(
    generator: TrainedGenerator, config: ExportConfig, shapes: InputShapes
) -> ModelMetadata:
    fixed = shapes.fixed_size(1), shapes.fixed_size(2)
    if fixed[0] is not None and fixed[1] is not None:
        size = fixed[0], fixed[1]
    else:
        size = shapes.profiles[0].opt[1:] if shapes.profiles else generator.size
    return ModelMetadata(
        direction=generator.direction,
        domains=generator.domains,
        size=size,
        dynamic=None in fixed,
        multiple=generator.multiple,
        filter=generator.filter,
        precision=config.precision_label,
        norm=generator.norm if config.norm == "instance" else config.norm,
        io=config.io,
        statistics=statistics_size(generator.network) if config.norm == "stream" else 0,
        profiles=tuple(profile.to_json() for profile in shapes.profiles),
        architecture=generator.architecture,
        parameters=generator.parameters,
        checkpoint_sha256=generator.sha256,
        distill_report=generator.distill_report,
    )


def _output_path(
    output: str | Path | None, generator: TrainedGenerator, config: ExportConfig
) -> Path:
    if output is None:
        output = generator.path.with_name(
            f"{generator.source}2{generator.target}_{config.filename_suffix}.onnx"
        )
    path = Path(output)
    if path.suffix != ".onnx":
        raise UsageError(f"the output {path} must end in .onnx")
    if not path.parent.is_dir():
        raise SinkError(f"cannot write {path}: the folder {path.parent} is missing")
    return path


def _select_images(
    generator: TrainedGenerator, config: ExportConfig, metadata: ModelMetadata
) -> tuple[ImageSet | None, ImageSet]:
    """Return the calibration images, if needed, and the images for the comparison."""
    resize_fn = make_resize_fn(metadata)
    calibration = held_out = None
    if config.calib is not None:
        calibration, held_out = load_calibration_images(
            config.calib, config.calib_frames, config.seed, resize_fn
        )
    if config.eval_images is not None:
        eval_images = sample_images_of_folder(Path(config.eval_images), resize_fn, metadata.size)
    else:
        eval_images = held_out or sample_images(generator.test_folder, resize_fn, metadata.size)
    if calibration is not None or not config.needs_calibration:
        return calibration, eval_images
    train = _training_images(generator)
    if train is None:
        raise UsageError(
            f"--{config.precision if config.quantizes else 'norm frozen'} needs calibration "
            "images; give --calib, a folder of images or a video like those to translate"
        )
    calibration, _ = load_calibration_images(
        str(train), config.calib_frames, config.seed, resize_fn
    )
    return calibration, eval_images


def _training_images(generator: TrainedGenerator) -> Path | None:
    """Return the folder of the source domain's training images if it still exists."""
    test_folder = generator.test_folder
    train_folder = (
        test_folder.with_name(test_folder.name.replace("test", "train"))
        if test_folder is not None
        else None
    )
    return train_folder if train_folder is not None and train_folder.is_dir() else None


def _drift_chart_path(path: Path) -> Path:
    return path.with_suffix(".drift.png")


def _report_drift(drifts: list[LayerDrift], path: Path, log: LogFn) -> None:
    """Log the drift as a table and write the chart next to the model."""
    for line in format_table(drifts):
        log(line)
    chart_path = _drift_chart_path(path)
    encoded = encode_image(render_chart(drifts, path.name), ".png")
    assert encoded is not None
    with atomic_write(chart_path) as temporary:
        temporary.write_bytes(encoded)
    log(f"{chart_path}: chart of the drift")


def _below_floor_error(parity: Parity, config: ExportConfig, layers: str) -> QualityError:
    return QualityError(
        f"the worst image has a PSNR of {parity.psnr_worst_db:.1f} dB against PyTorch, below the "
        f"floor of {config.required_psnr_db:.1f}; nothing was written (--min-psnr sets the floor). "
        f"Largest drift: {layers}"
    )


def _drift_of_first_image(
    model: onnx.ModelProto,
    generator: TrainedGenerator,
    eval_images: ImageSet,
    metadata: ModelMetadata,
) -> list[LayerDrift]:
    tensor = eval_images.to_tensors(generator.in_channels)[0]
    count = min_batch(metadata)
    batch = np.stack([eval_images.images[0] if metadata.io == "uint8" else tensor] * count)
    statistics_in = (
        (np.zeros((count, metadata.statistics), np.float32),) if metadata.statistics else ()
    )
    reference_engine = select_reference_engine(metadata.precision)
    return measure_layer_drift(
        model, generator.network, tensor, (batch, *statistics_in), reference_engine
    )


def _write_metadata(model: onnx.ModelProto, metadata: ModelMetadata) -> None:
    model.producer_name, model.producer_version = "cgt", ""
    entry = model.metadata_props.add()
    entry.key, entry.value = METADATA_KEY, metadata.to_json()
