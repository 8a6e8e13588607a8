"""ONNX -> LiteRT (.tflite) by Google's litert-torch, proved by LiteRT's own interpreter.

The tensors are those of the ONNX file: uint8 N,H,W,3, or float32 N,3,H,W. One size, for the
delegates of phones take no other kind.
"""

from __future__ import annotations

import dataclasses
import tempfile
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cgt.runtime.artifact import Artifact
from cgt.runtime.engines import BatchShape, cores, open_engine
from cgt.runtime.engines.base import one_line
from cgt.runtime.errors import (
    CgtError,
    EngineError,
    MissingDependency,
    QualityError,
    SinkError,
    SourceError,
)

from ..formats import BuildOptions, Format, check_graph
from .base import Built, Say, load_package
from .profiles import profiles_of
from .quiet import quiet


def build(onnx: Path, artifact: Artifact, kind: Format, options: BuildOptions, say: Say) -> Built:
    """Raises MissingDependency without the packages, UsageError for a graph that is not fp32,
    ModelError for a node that is not known, EngineError where the converter fails, SourceError for
    options.pictures without a picture, and QualityError where LiteRT's answer is below the floor.
    """
    check_graph(kind, artifact.precision, artifact.norm)
    api = load_package(kind)
    try:
        from ..frames import fit_to, sample_frames
        from ..recipe import FLOORS
    except ImportError as error:
        raise MissingDependency(f"{error.name} is not installed here: {kind.install}") from None
    count, height, width = profiles_of(artifact)[0].opt
    if artifact.dynamic:
        say(f"{kind.name}: one size, {height}x{width}; --size of an export sets another")
    artifact = dataclasses.replace(artifact, size=(height, width), dynamic=False, profiles=())
    shape = BatchShape.of(artifact, height, width, count)
    frames = sample_frames(options.pictures, fit_to(artifact), artifact.size)
    if options.pictures is not None and str(options.pictures) not in frames.origin:
        raise SourceError(f"--pictures {options.pictures} has no readable image")
    say(f"{kind.name} {api.__version__}: converting, which takes a minute")
    content = _convert(api, onnx, shape)
    parity = _compare(onnx, content, shape, frames)
    say(str(parity))
    if parity.psnr_worst_db < FLOORS["fp32"]:
        raise QualityError(
            f"the worst frame is {parity.psnr_worst_db:.1f} dB from the ONNX file, below the floor "
            f"of {FLOORS['fp32']:.1f}; nothing was written"
        )
    return Built(
        version=api.__version__,
        files={kind.suffix: content},
        facts={"parity": parity.to_json()},
        artifact=artifact,
    )


def _convert(api: ModuleType, onnx: Path, shape: BatchShape) -> bytes:
    import torch

    from .replay import Replay

    network = Replay(onnx).eval()
    kind = torch.uint8 if shape.io == "uint8" else torch.float32
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.tflite"
        try:
            with quiet():
                api.convert(network, (torch.zeros(shape.image, dtype=kind),)).export(str(path))
            return path.read_bytes()
        except CgtError:
            raise
        except OSError as error:
            raise SinkError(f"cannot write in {folder}: {error.strerror}") from None
        except (ValueError, RuntimeError) as error:  # of MLIR passes and torch.export
            raise EngineError(f"litert-torch cannot convert {onnx}: {one_line(error)}") from None


def _compare(onnx: Path, content: bytes, shape: BatchShape, frames: Any) -> Any:
    """LiteRT against what runs the ONNX file, in fp32."""
    from ..parity import Pair, judge_for, parity_of

    with quiet():
        from ai_edge_litert.interpreter import Interpreter

        interpreter = Interpreter(model_content=content, num_threads=cores())
        interpreter.allocate_tensors()
    (given,), (taken,) = interpreter.get_input_details(), interpreter.get_output_details()

    def pairs() -> Iterator[Pair]:
        with open_engine(onnx, shape, judge_for("fp32"), precision="fp32") as engine:
            singles = frames.images if shape.io == "uint8" else frames.tensors(shape.channels)
            for single in singles:
                batch = np.ascontiguousarray(single[None].repeat(shape.count, 0))
                expected = np.empty_like(batch)
                engine.infer(batch, expected)
                interpreter.set_tensor(given["index"], batch)
                interpreter.invoke()
                yield _answer(interpreter.get_tensor(taken["index"])), _answer(expected)

    return parity_of(pairs(), frames, "LiteRT", "the ONNX file")


def _answer(batch: NDArray[Any]) -> NDArray[np.float64]:
    """The last of a batch, all of which are one picture: C,H,W in [-1, 1]."""
    last = batch[-1]
    if last.dtype == np.uint8:
        return np.asarray(last.transpose(2, 0, 1) / 127.5 - 1, np.float64)
    return last.astype(np.float64)
