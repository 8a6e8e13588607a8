"""A checkpoint's generator as a model file that says what it is and has been compared."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx

from cgt.runtime.artifact import KEY, Artifact, Direction
from cgt.runtime.errors import QualityError, SinkError, UsageError
from cgt.runtime.files import whole_file
from cgt.runtime.images import encode_image
from cgt.trainer.generator import TrainedGenerator, open_generator

from .build import build
from .drift import Drift, measure_drift, most, plot, table
from .frames import Frames, calibration_frames, fit_to, given_frames, sample_frames
from .norms import statistics_of
from .parity import Parity, compare, judge_for, least_batch
from .precision import describe, verify_precision
from .recipe import Recipe
from .shapes import Shapes, parse_shapes

Say = Callable[[str], None]


def export(
    checkpoint: str | Path | TrainedGenerator,
    output: str | Path | None = None,
    *,
    direction: Direction | None = None,
    network: str | None = None,
    say: Say = lambda line: None,
    **wishes: Any,
) -> tuple[Path, Artifact]:
    """Write an ONNX model of one generator of a checkpoint, or of one that is open already.

    output: by default beside the checkpoint, SOURCE2TARGET_PRECISION.onnx. direction, network: see
    open_generator. wishes: the fields of `Recipe`, by name, as in precision="int8", calib="photos".
    say: is given a line for each thing found out.
    Returns the path and what the file says of itself.
    Raises CheckpointError; UsageError for wishes that make no sense; SourceError where there is
    nothing to calibrate or to compare on; SinkError where the file cannot be written; and
    QualityError below the floor and where FP16 would overflow. Then no file is left.
    """
    recipe = Recipe(**wishes)
    if isinstance(checkpoint, TrainedGenerator):
        source = checkpoint
    else:
        source = open_generator(Path(checkpoint), direction, network)
        say(f"generator: {source.summary}; loaded strictly")
    for reading in source.ambiguous:
        say(f"note: {reading}")
    for doubt in source.doubts:
        say(f"warning: on a test picture {doubt}; untrained, or read wrongly: see `cgt inspect`")
    if recipe.io == "uint8" and (source.in_channels, source.out_channels) != (3, 3):
        raise UsageError("--io uint8 is for networks from RGB to RGB; leave it out")
    shapes = parse_shapes(recipe.size, recipe.batch, source.multiple, source.size)
    artifact = _artifact(source, recipe, shapes)
    path = _output(output, source, recipe)
    calibration, tests = _frames(source, recipe, artifact)
    if calibration is not None:
        say(f"calibrating on {len(calibration.images)} {calibration.origin}")
    model = build(source, recipe, shapes, calibration, tests, say)
    say(f"graph: {describe(verify_precision(model, recipe))}")
    try:
        with whole_file(path) as temporary:
            onnx.save(model, temporary)
            onnx.checker.check_model(temporary, full_check=True)
            parity = compare(temporary, source.network, tests, artifact, source.in_channels)
            say(str(parity))
            if parity.psnr_worst_db < recipe.floor:
                raise _below(parity, recipe, most(_drifts(model, source, tests, artifact)))
            artifact = dataclasses.replace(artifact, parity=parity.to_json())
            _sign(model, artifact)
            onnx.save(model, temporary)
        if recipe.drift:
            _show(_drifts(model, source, tests, artifact), path, say)
    except OSError as error:
        if isinstance(error, SinkError):
            raise
        raise SinkError(f"cannot write {path}: {error.strerror or error}") from None
    return path, artifact


def _artifact(source: TrainedGenerator, recipe: Recipe, shapes: Shapes) -> Artifact:
    fixed = shapes.fixed(1), shapes.fixed(2)
    if fixed[0] is not None and fixed[1] is not None:
        size = fixed[0], fixed[1]
    else:
        size = shapes.profiles[0].opt[1:] if shapes.profiles else source.size
    return Artifact(
        direction=source.direction,
        domains=source.domains,
        size=size,
        dynamic=None in fixed,
        multiple=source.multiple,
        filter=source.filter,
        precision=recipe.label,
        norm=source.norm if recipe.norm == "instance" else recipe.norm,
        io=recipe.io,
        statistics=statistics_of(source.network) if recipe.norm == "stream" else 0,
        profiles=tuple(profile.to_json() for profile in shapes.profiles),
        architecture=source.architecture,
        parameters=source.parameters,
        checkpoint_sha256=source.sha256,
        distilled=source.distilled,
    )


def _output(output: str | Path | None, source: TrainedGenerator, recipe: Recipe) -> Path:
    if output is None:
        output = source.path.with_name(f"{source.source}2{source.target}_{recipe.suffix}.onnx")
    path = Path(output)
    if path.suffix != ".onnx":
        raise UsageError(f"the output {path} must end in .onnx")
    if not path.parent.is_dir():
        raise SinkError(f"cannot write {path}: the folder {path.parent} is missing")
    return path


def _frames(
    source: TrainedGenerator, recipe: Recipe, artifact: Artifact
) -> tuple[Frames | None, Frames]:
    """What to calibrate on, if anything, and what to compare on."""
    fit = fit_to(artifact)
    calibration = held_out = None
    if recipe.calib is not None:
        calibration, held_out = calibration_frames(
            recipe.calib, recipe.calib_frames, recipe.seed, fit
        )
    if recipe.pictures is not None:
        tests = given_frames(Path(recipe.pictures), fit, artifact.size)
    else:
        tests = held_out or sample_frames(source.test_images, fit, artifact.size)
    if calibration is not None or not recipe.calibrates:
        return calibration, tests
    train = _training_images(source)
    if train is None:
        raise UsageError(
            f"--{recipe.precision if recipe.quantizes else 'norm frozen'} has to be calibrated; "
            "give --calib, a folder of images or a video like those it shall translate"
        )
    calibration, _ = calibration_frames(str(train), recipe.calib_frames, recipe.seed, fit)
    return calibration, tests


def _training_images(source: TrainedGenerator) -> Path | None:
    """The images of the source domain that the network was trained on, where they still are."""
    tests = source.test_images
    train = tests.with_name(tests.name.replace("test", "train")) if tests is not None else None
    return train if train is not None and train.is_dir() else None


def _show(drifts: list[Drift], path: Path, say: Say) -> None:
    """As a table, and as a picture beside the model."""
    for line in table(drifts):
        say(line)
    picture = path.with_suffix(".drift.png")
    encoded = encode_image(plot(drifts, path.name), ".png")
    assert encoded is not None
    with whole_file(picture) as temporary:
        temporary.write_bytes(encoded)
    say(f"{picture}: the same as a picture")


def _below(parity: Parity, recipe: Recipe, layers: str) -> QualityError:
    return QualityError(
        f"the worst frame is {parity.psnr_worst_db:.1f} dB from PyTorch, below the floor of "
        f"{recipe.floor:.1f}; nothing was written (--min-psnr sets the floor). "
        f"Most drift: {layers}"
    )


def _drifts(
    model: onnx.ModelProto, source: TrainedGenerator, tests: Frames, artifact: Artifact
) -> list[Drift]:
    """On the first test frame."""
    tensor = tests.tensors(source.in_channels)[0]
    count = least_batch(artifact)
    batch = np.stack([tests.images[0] if artifact.io == "uint8" else tensor] * count)
    given = (np.zeros((count, artifact.statistics), np.float32),) if artifact.statistics else ()
    judge = judge_for(artifact.precision)
    return measure_drift(model, source.network, tensor, (batch, *given), judge)


def _sign(model: onnx.ModelProto, artifact: Artifact) -> None:
    model.producer_name, model.producer_version = "cgt", ""
    entry = model.metadata_props.add()
    entry.key, entry.value = KEY, artifact.to_json()
