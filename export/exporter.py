"""A checkpoint's generator as a model file that says what it is and has been compared."""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Literal

import onnx

from cgt.runtime.artifact import KEY, Artifact, Direction
from cgt.runtime.errors import QualityError, SinkError, UsageError
from cgt.runtime.files import whole_file
from cgt.trainer.generator import open_generator
from cgt.trainer.pictures import as_channels

from .frames import sample_frames
from .graph import HalfPrecision, trace
from .parity import FLOORS, Parity, compare
from .precision import verify_precision

Precision = Literal["fp32", "fp16"]


def export(
    checkpoint: str | Path,
    output: str | Path | None = None,
    *,
    direction: Direction | None = None,
    network: str | None = None,
    precision: Precision = "fp32",
    min_psnr: float | None = None,
    say: Callable[[str], None] = lambda line: None,
) -> tuple[Path, Artifact]:
    """Write an ONNX model of one generator of a checkpoint.

    output: by default beside the checkpoint, SOURCE2TARGET_PRECISION.onnx. direction, network:
    see open_generator. precision: "fp16" has
    FP16 convolutions, FP32 norms, float32 tensors in and out. min_psnr: dB against PyTorch, by
    default parity.FLOORS. say: is given a line for each thing found out.
    Returns the path and what the file says of itself.
    Raises CheckpointError, UsageError for an unusable output name, SinkError where it cannot be
    written, and QualityError below the floor; then no file is left.
    """
    source = open_generator(Path(checkpoint), direction, network)
    for reading in source.ambiguous:
        say(f"note: {reading}")
    for doubt in source.doubts:
        say(f"warning: on a test picture {doubt}; is it trained, and `cgt inspect` right?")
    artifact = Artifact(
        direction=source.direction,
        domains=source.domains,
        size=source.size,
        dynamic=True,
        multiple=source.multiple,
        filter=source.filter,
        precision=precision,
        norm=source.norm,
        architecture=source.architecture,
        parameters=source.parameters,
        checkpoint_sha256=source.sha256,
    )
    if output is None:
        output = source.path.with_name(f"{artifact.source}2{artifact.target}_{precision}.onnx")
    path = Path(output)
    if path.suffix != ".onnx":
        raise UsageError(f"the output {path} must end in .onnx")
    if not path.parent.is_dir():
        raise SinkError(f"cannot write {path}: the folder {path.parent} is missing")

    graph = HalfPrecision(copy.deepcopy(source.network)) if precision == "fp16" else source.network
    model = trace(graph, source.in_channels, source.multiple)
    counts = verify_precision(model, precision)
    say(
        f"graph: {sum(counts['convolutions'].values())} convolutions in {precision}, "
        f"{sum(counts['norms'].values())} norms in fp32"
    )
    frames, frames_from = sample_frames(source.test_images, artifact.size, artifact.filter)
    frames = [as_channels(frame, source.in_channels) for frame in frames]
    try:
        with whole_file(path) as temporary:
            onnx.save(model, temporary)
            onnx.checker.check_model(temporary, full_check=True)
            parity = compare(temporary, source.network, frames, frames_from)
            say(describe(parity))
            _enforce(parity, FLOORS[precision] if min_psnr is None else min_psnr)
            artifact = dataclasses.replace(artifact, parity=parity.to_json())
            _sign(model, artifact)
            onnx.save(model, temporary)
    except OSError as error:
        raise SinkError(f"cannot write {path}: {error.strerror}") from None
    return path, artifact


def describe(parity: Parity) -> str:
    """The comparison in one line."""
    return (
        f"against PyTorch fp32 on {parity.frames} {parity.frames_from}, by {parity.engine}: "
        f"PSNR {parity.psnr_db:.1f} dB (worst {parity.psnr_worst_db:.1f}), "
        f"max error {parity.max_error:.1e} of [-1, 1]"
    )


def _enforce(parity: Parity, floor: float) -> None:
    if parity.psnr_worst_db < floor:
        raise QualityError(
            f"the worst frame is {parity.psnr_worst_db:.1f} dB from PyTorch, below the floor of "
            f"{floor:.1f}; nothing was written (--min-psnr sets the floor)"
        )


def _sign(model: onnx.ModelProto, artifact: Artifact) -> None:
    model.producer_name, model.producer_version = "cgt", ""
    entry = model.metadata_props.add()
    entry.key, entry.value = KEY, artifact.to_json()
