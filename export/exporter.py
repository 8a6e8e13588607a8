"""Export of a checkpoint's generator to an ONNX file with metadata, compared with PyTorch."""

from __future__ import annotations

import dataclasses
import importlib.util
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import torch
from numpy.typing import NDArray

from cgt.runtime.engines import Array, BatchShape, open_engine
from cgt.runtime.errors import EngineError, ModelError, QualityError, SinkError, UsageError
from cgt.runtime.image.files import encode_image
from cgt.runtime.image.geometry import format_size
from cgt.runtime.image.metrics import psnr_from_mse
from cgt.runtime.models.checkpoint_options import NO_OPTIONS, CheckpointOptions
from cgt.runtime.models.metadata import METADATA_KEY, Direction, ModelMetadata
from cgt.runtime.utils.atomic import atomic_write
from cgt.runtime.utils.log import LogFn as LogFn
from cgt.runtime.utils.overwrite import refuse_overwriting
from cgt.trainer.model_code.comparison import NUM_IMAGES, compare_with_reading
from cgt.trainer.model_code.interface import check_value_range
from cgt.trainer.pretrained import TrainedGenerator, open_generator

from .config import ExportConfig
from .graph.build import build_graph
from .graph.norms import statistics_size
from .graph.trace import UntraceableError
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
    checkpoint: str | Path | TrainedGenerator | None,
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
        checkpoint: Checkpoint file, or a generator that is already open. With `code` it may be
            None, for random weights.
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
        path = None if checkpoint is None else Path(checkpoint)
        generator = open_generator(path, direction, network, checkpoint_options)
        log_generator(generator, log)
    if generator.assumptions:
        assumed = ", ".join(f"{one.name} {one.value}" for one in generator.assumptions)
        log(f"warning: a guess that you accepted: {assumed}")
    for ambiguity in generator.ambiguities:
        log(f"note: {ambiguity}")
    for warning in generator.warnings:
        log(f"warning: on a test image {warning}; untrained or read wrongly, see `cgt inspect`")
    return _export_generator(generator, output, config, log)


def log_generator(generator: TrainedGenerator, log: LogFn) -> None:
    """Log what a generator is, and for other projects' code what was found about it."""
    loaded = "loaded strictly" if generator.sha256 else "random weights"
    log(f"generator: {generator.summary}; {loaded}")
    if generator.code is not None:
        for line in generator.evidence:
            log(f"note: {line}")


def _export_generator(
    generator: TrainedGenerator,
    output: str | Path | None,
    config: ExportConfig,
    log: LogFn,
) -> tuple[Path, ModelMetadata]:
    if generator.fixed_size:
        config = _at_fixed_size(generator, config)
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
    if generator.code is not None:
        _check_their_outputs(generator, eval_images, log)
    try:
        model = build_graph(generator, config, shapes, calibration, eval_images, log)
        if generator.code is not None and metadata.dynamic:
            _check_another_size(model, generator, config, metadata)
    except UntraceableError as error:
        if not metadata.dynamic:
            raise UntraceableError(
                f"their code cannot be exported as one graph ({error}); control flow must not "
                "depend on the values of the image"
            ) from None
        fixed = format_size(metadata.size)
        log(
            f"note: their code exports for one size only ({error}); exporting for {fixed}, --size "
            "chooses another"
        )
        return _export_generator(generator, output, dataclasses.replace(config, size=fixed), log)
    counts = verify_precision(model, config, any_network=generator.code is not None)
    log(f"graph: {format_counts(counts)}")
    try:
        with atomic_write(path) as temporary:
            onnx.save(model, temporary)
            onnx.checker.check_model(temporary, full_check=True)
            parity = measure_parity(temporary, generator.network, eval_images, metadata)
            parity = dataclasses.replace(parity, reference=_REFERENCES[generator.origin])
            log(str(parity))
            if parity.psnr_worst_db < config.required_psnr_db:
                raise _below_floor_error(
                    parity,
                    config,
                    worst_layers(_drift_of_first_image(model, generator, eval_images, metadata)),
                )
            if generator.code is not None and config.quantizes:
                _warn_about_openvino(temporary, generator, eval_images, metadata, parity, log)
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
    return ModelMetadata(
        direction=generator.direction,
        domains=generator.domains,
        size=shapes.usual_size(generator.size),
        dynamic=None in fixed,
        multiple=generator.multiple,
        filter=generator.filter,
        precision=config.precision_label,
        norm=generator.norm if config.norm == "instance" else config.norm,
        io=config.io,
        upsampling=config.upsampling,
        in_channels=generator.in_channels,
        out_channels=generator.out_channels,
        statistics=statistics_size(generator.network) if config.norm == "stream" else 0,
        profiles=tuple(profile.to_json() for profile in shapes.profiles),
        architecture=generator.architecture,
        origin=generator.origin,
        parameters=generator.parameters,
        checkpoint_sha256=generator.sha256,
        distill_report=generator.distill_report,
    )


def _at_fixed_size(generator: TrainedGenerator, config: ExportConfig) -> ExportConfig:
    """Return the config with the only size that the network takes."""
    fixed = format_size(generator.size)
    shapes = parse_shapes(config.size or fixed, None, 1, generator.size)
    if any(shapes.fixed_size(1 + axis) != generator.size[axis] for axis in (0, 1)):
        raise UsageError(f"their code runs at {fixed} only; omit --size")
    return dataclasses.replace(config, size=fixed)


def _check_their_outputs(generator: TrainedGenerator, eval_images: ImageSet, log: LogFn) -> None:
    """Check the value range on the images, and compare with cgt's own reading of the file."""
    assert generator.code is not None
    tensors = [torch.from_numpy(x[None]) for x in eval_images.to_tensors(generator.in_channels)]
    tensors = tensors[:NUM_IMAGES]
    check_value_range(generator.network, generator.code, tensors)
    if generator.sha256:
        log(compare_with_reading(generator, tensors))


def _check_another_size(
    model: onnx.ModelProto,
    generator: TrainedGenerator,
    config: ExportConfig,
    metadata: ModelMetadata,
) -> None:
    """Raise UntraceableError if the graph is right only for sizes like that of the images."""
    height, width = (
        generator.multiple * max(1, round(side * scale / generator.multiple))
        for side, scale in zip(metadata.size, _OTHER_SIZE_SCALES, strict=True)
    )
    image = sample_images(None, lambda image: image, (height, width)).images[:1]
    with tempfile.TemporaryDirectory(prefix="cgt-") as folder:
        path = Path(folder, "model.onnx")
        onnx.save(model, path)
        try:
            image_set = ImageSet(image, "a synthetic image")
            parity = measure_parity(path, generator.network, image_set, metadata)
        except (EngineError, ModelError) as error:
            raise UntraceableError(f"it fails at {width}x{height}: {error}") from None
        if not metadata.statistics and importlib.util.find_spec("openvino") is not None:
            _check_variable_shapes(path, image_set, metadata, generator)
    if parity.psnr_worst_db < config.required_psnr_db:
        raise UntraceableError(f"it differs at {width}x{height}: {parity.psnr_worst_db:.1f} dB")


def _check_variable_shapes(
    path: Path, image_set: ImageSet, metadata: ModelMetadata, generator: TrainedGenerator
) -> None:
    """Raise UntraceableError if OpenVINO depends on whether it knows the size in advance.

    OpenVINO 2026.4 returns zeros for an INT8 network with U-GAT-IT's norms and variable shapes.
    """
    for_any, for_one = (
        _openvino_output(path, image_set, metadata, generator, is_static=is_static)
        for is_static in (False, True)
    )
    error = float(np.mean((for_any - for_one) ** 2))
    if psnr_from_mse(error, data_range=2) < _MIN_SHAPES_PSNR_DB:
        raise UntraceableError("OpenVINO computes it differently for variable sizes")


def _openvino_output(
    path: Path,
    image_set: ImageSet,
    metadata: ModelMetadata,
    generator: TrainedGenerator,
    *,
    is_static: bool,
) -> NDArray[np.float64]:
    """Return OpenVINO's output for the first image: 1,C,H,W (uint8: 1,H,W,C) in [-1, 1]."""
    channels, size = generator.in_channels, image_set.images[0].shape[:2]
    image: Array = image_set.to_tensors(channels)[0]
    if metadata.io == "uint8":
        image = image_set.images[0]
    any_shape = dataclasses.replace(BatchShape.from_metadata(metadata), channels=channels)
    shape = any_shape.with_size(*size) if is_static else any_shape
    batch: Array = image[None].repeat(1, 0)
    out: Array = np.zeros((1, generator.out_channels, *size), np.float32)
    if metadata.io == "uint8":
        out = np.zeros_like(batch)
    with open_engine(path, shape, "openvino", precision="fp32") as engine:
        engine.infer(batch, out)
    values = out.astype(np.float64)
    return values / 127.5 - 1 if metadata.io == "uint8" else values


def _warn_about_openvino(
    path: Path,
    generator: TrainedGenerator,
    image_set: ImageSet,
    metadata: ModelMetadata,
    parity: Parity,
    log: LogFn,
) -> None:
    """Print a warning if OpenVINO computes the INT8 graph of another project's network wrongly."""
    if importlib.util.find_spec("openvino") is None or parity.engine == "openvino":
        return
    if metadata.statistics or metadata.io == "uint8" or min_batch(metadata) > 1:
        return
    out = _openvino_output(path, image_set, metadata, generator, is_static=True)
    tensor = torch.from_numpy(image_set.to_tensors(generator.in_channels)[0][None])
    with torch.no_grad():
        expected = generator.network(tensor).numpy()
    psnr = psnr_from_mse(float(np.mean((out - expected) ** 2)), data_range=2)
    if psnr < parity.psnr_worst_db - _MAX_ENGINE_LOSS_DB:
        log(
            f"warning: OpenVINO computes this model differently: PSNR {psnr:.1f} dB on an image, "
            f"{parity.engine} at least {parity.psnr_worst_db:.1f} dB; use another engine"
        )


_MIN_SHAPES_PSNR_DB = 30.0
_MAX_ENGINE_LOSS_DB = 6.0
_OTHER_SIZE_SCALES = (0.75, 1.25)
_REFERENCES = {
    "cgt": "PyTorch fp32",
    "imported": "cgt's reading of the file in PyTorch fp32",
    "code": "their code in PyTorch fp32",
}


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
