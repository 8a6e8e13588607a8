"""ONNX -> LiteRT (.tflite) by Google's litert-torch, proved by LiteRT's own interpreter.

The tensors are those of the ONNX file: uint8 N,H,W,3, or float32 N,3,H,W. One size:
the converter's free ones are not used.
"""

from __future__ import annotations

import dataclasses
import importlib.util
import tempfile
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from cgt.runtime.artifact import Artifact
from cgt.runtime.engines import Array, BatchShape, cores, open_engine
from cgt.runtime.engines.base import one_line
from cgt.runtime.errors import (
    CgtError,
    EngineError,
    MissingDependency,
    QualityError,
    SinkError,
)

from ..formats import BuildOptions, Format, check_graph
from ..frames import Frames, fit_to, given_frames, sample_frames
from ..parity import Pair, Parity, judge_for, parity_of
from ..quiet import quiet
from ..recipe import FLOORS, PIXEL_FLOOR
from .base import Built, Say, load_package
from .profiles import profiles_of


def build(onnx: Path, artifact: Artifact, kind: Format, options: BuildOptions, say: Say) -> Built:
    """Raises MissingDependency without the packages, UsageError for a graph that is not fp32,
    ModelError for a node that is not known, EngineError where the converter fails, SourceError for
    options.pictures without a picture, and QualityError where LiteRT's answer is below the floor.
    """
    check_graph(kind, artifact.precision, artifact.norm)
    converter = load_package(kind)
    if importlib.util.find_spec("onnx") is None:
        raise MissingDependency(f"onnx is not installed here: {kind.install}")
    count, height, width = profiles_of(artifact)[0].opt
    if artifact.dynamic:
        say(f"{kind.name}: one size, {height}x{width}; --size of an export sets another")
    artifact = dataclasses.replace(artifact, size=(height, width), dynamic=False, profiles=())
    shape = BatchShape.of(artifact, height, width, count)
    fit = fit_to(artifact)
    if options.pictures is not None:
        frames = given_frames(options.pictures, fit, artifact.size)
    else:
        frames = sample_frames(None, fit, artifact.size)
    say(f"{kind.name} {converter.__version__}: converting, which takes a minute")
    content = _convert(converter, onnx, shape)
    parity = _compare(onnx, content, shape, frames)
    say(str(parity))
    floor = PIXEL_FLOOR if artifact.io == "uint8" else FLOORS["fp32"]
    if parity.psnr_worst_db < floor:
        raise QualityError(
            f"the worst frame is {parity.psnr_worst_db:.1f} dB from the ONNX file, below the floor "
            f"of {floor:.1f}; nothing was written"
        )
    return Built(
        version=converter.__version__,
        files={kind.suffix: content},
        facts={"parity": parity.to_json()},
        artifact=artifact,
    )


def _convert(converter: ModuleType, onnx: Path, shape: BatchShape) -> bytes:
    from .replay import Replay  # needs onnx

    network = Replay(onnx).eval()
    kind = torch.uint8 if shape.io == "uint8" else torch.float32
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.tflite"
        try:
            with quiet():
                converter.convert(network, (torch.zeros(shape.image, dtype=kind),)).export(
                    str(path)
                )
            return path.read_bytes()
        except CgtError:
            raise
        except OSError as error:
            raise SinkError(f"cannot write in {folder}: {error.strerror}") from None
        except (ValueError, RuntimeError) as error:  # of MLIR passes and torch.export
            raise EngineError(f"litert-torch cannot convert {onnx}: {one_line(error)}") from None


def _compare(onnx: Path, content: bytes, shape: BatchShape, frames: Frames) -> Parity:
    """LiteRT against what runs the ONNX file, in fp32."""
    with quiet():
        from ai_edge_litert.interpreter import Interpreter

        interpreter = Interpreter(model_content=content, num_threads=cores())
        interpreter.allocate_tensors()
    (given,), (taken,) = interpreter.get_input_details(), interpreter.get_output_details()

    def pairs() -> Iterator[Pair]:
        with open_engine(onnx, shape, judge_for("fp32"), precision="fp32") as engine:
            tensors = frames.tensors(shape.channels)
            for image, tensor in zip(frames.images, tensors, strict=True):
                single: Array = image if shape.io == "uint8" else tensor
                batch: Array = single[None].repeat(shape.count, 0)
                expected = np.empty_like(batch)
                engine.infer(batch, expected)
                interpreter.set_tensor(given["index"], batch)
                interpreter.invoke()
                yield _answer(interpreter.get_tensor(taken["index"])), _answer(expected)

    return parity_of(pairs(), frames, "LiteRT", "the ONNX file")


def _answer(batch: NDArray[Any]) -> NDArray[np.float64]:
    """The last of a batch, all of which are one picture: C,H,W in [-1, 1]."""
    last: NDArray[np.float64] = batch[-1].astype(np.float64)
    return last.transpose(2, 0, 1) / 127.5 - 1 if batch.dtype == np.uint8 else last
