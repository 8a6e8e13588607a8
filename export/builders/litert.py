"""Builder of LiteRT models (.tflite) with Google's litert-torch, verified by LiteRT's interpreter.

The tensors are those of the ONNX file: uint8 (N, H, W, 3), or float32 (N, 3, H, W). The size is
fixed: the converter's dynamic sizes are not used.
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

from cgt.runtime.engines import Array, BatchShape, available_cpus, open_engine
from cgt.runtime.engines.base import last_error_line
from cgt.runtime.errors import CgtError, EngineError, MissingDependency, QualityError, SinkError
from cgt.runtime.image.geometry import format_size
from cgt.runtime.models.metadata import ModelMetadata

from ..config import MIN_PSNR_DB, UINT8_MIN_PSNR_DB
from ..formats import BuildOptions, Format, check_graph_supported
from ..quantization.sample_images import (
    ImageSet,
    make_resize_fn,
    sample_images,
    sample_images_of_folder,
)
from ..quiet import suppress_output
from ..verify.parity import OutputPair, Parity, compute_parity, select_reference_engine
from .base import BuildResult, LogFn, load_package
from .tensorrt_config import engine_profiles


def build(
    onnx: Path, metadata: ModelMetadata, fmt: Format, options: BuildOptions, log: LogFn
) -> BuildResult:
    """Convert an ONNX model and compare it with the original.

    Raises:
        MissingDependency: A package is missing.
        UsageError: The graph is not fp32.
        ModelError: A node is not supported.
        EngineError: The converter failed.
        SourceError: The folder options.eval_images has no image.
        QualityError: LiteRT's output is below the PSNR floor.
    """
    check_graph_supported(fmt, metadata.precision, metadata.norm)
    converter = load_package(fmt)
    if importlib.util.find_spec("onnx") is None:
        raise MissingDependency(f"onnx is not installed: {fmt.install_hint}")
    count, height, width = engine_profiles(metadata)[0].opt
    if metadata.dynamic:
        log(
            f"{fmt.name}: fixed size {format_size((height, width))}; export with --size for another"
        )
    metadata = dataclasses.replace(metadata, size=(height, width), dynamic=False, profiles=())
    shape = BatchShape.from_metadata(metadata, height, width, count)
    resize_fn = make_resize_fn(metadata)
    if options.eval_images is not None:
        image_set = sample_images_of_folder(options.eval_images, resize_fn, metadata.size)
    else:
        image_set = sample_images(None, resize_fn, metadata.size)
    log(f"{fmt.name} {converter.__version__}: converting, which takes a minute")
    content = _convert(converter, onnx, shape)
    parity = _measure_parity(onnx, content, shape, image_set)
    log(str(parity))
    floor = UINT8_MIN_PSNR_DB if metadata.io == "uint8" else MIN_PSNR_DB["fp32"]
    if parity.psnr_worst_db < floor:
        raise QualityError(
            f"the worst image has a PSNR of {parity.psnr_worst_db:.1f} dB against the ONNX file, "
            f"below the floor of {floor:.1f}; nothing was written"
        )
    return BuildResult(
        version=converter.__version__,
        files={fmt.suffix: content},
        build_info={"parity": parity.to_json()},
        metadata=metadata,
    )


def _convert(converter: ModuleType, onnx: Path, shape: BatchShape) -> bytes:
    from .onnx_to_torch import OnnxModule  # needs onnx

    network = OnnxModule(onnx).eval()
    dtype = torch.uint8 if shape.io == "uint8" else torch.float32
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.tflite"
        try:
            with suppress_output():
                converter.convert(network, (torch.zeros(shape.image_shape, dtype=dtype),)).export(
                    str(path)
                )
            return path.read_bytes()
        except CgtError:
            raise
        except OSError as error:
            raise SinkError(f"cannot write in {folder}: {error.strerror}") from None
        except (ValueError, RuntimeError) as error:  # raised by MLIR passes and torch.export
            raise EngineError(
                f"litert-torch cannot convert {onnx}: {last_error_line(error)}"
            ) from None


def _measure_parity(onnx: Path, content: bytes, shape: BatchShape, image_set: ImageSet) -> Parity:
    """Compare LiteRT with an engine that runs the ONNX file, in fp32."""
    with suppress_output():
        from ai_edge_litert.interpreter import Interpreter

        interpreter = Interpreter(model_content=content, num_threads=available_cpus())
        interpreter.allocate_tensors()
    (input_details,), (output_details,) = (
        interpreter.get_input_details(),
        interpreter.get_output_details(),
    )

    def pairs() -> Iterator[OutputPair]:
        with open_engine(onnx, shape, select_reference_engine("fp32"), precision="fp32") as engine:
            tensors = image_set.to_tensors(shape.channels)
            for image, tensor in zip(image_set.images, tensors, strict=True):
                single: Array = image if shape.io == "uint8" else tensor
                batch: Array = single[None].repeat(shape.batch_size, 0)
                expected = np.empty_like(batch)
                engine.infer(batch, expected)
                interpreter.set_tensor(input_details["index"], batch)
                interpreter.invoke()
                yield (
                    _last_output(interpreter.get_tensor(output_details["index"])),
                    _last_output(expected),
                )

    return compute_parity(pairs(), image_set, "LiteRT", "the ONNX file")


def _last_output(batch: NDArray[Any]) -> NDArray[np.float64]:
    """Return the last image of a batch of equal images, (C, H, W) in [-1, 1]."""
    last: NDArray[np.float64] = batch[-1].astype(np.float64)
    return last.transpose(2, 0, 1) / 127.5 - 1 if batch.dtype == np.uint8 else last
