"""Every combination of network, precision, norm and tensors: does it load, do the engines agree,
and how far is it from PyTorch?

    python -m export.precision_matrix [--ckpt FILE] [--calib DIR|VIDEO] [-o TABLE.md]

Without a checkpoint the networks are small ones of random weights: their decibels show that nothing
breaks, not how good a trained network comes out.
"""

from __future__ import annotations

import argparse
import importlib.util
import itertools
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from cgt.export import build_engine, export
from cgt.export.config import ExportConfig
from cgt.export.formats import BuildOptions
from cgt.export.verify.parity import psnr
from cgt.runtime.engines import BatchShape, open_engine
from cgt.runtime.image.files import encode_image
from cgt.runtime.models.metadata import ModelMetadata
from cgt.runtime.utils.progress import progress_bar
from cgt.trainer.data.synthetic import dead_leaves
from cgt.trainer.networks import build_generator, init_generator
from cgt.trainer.networks.config import GeneratorConfig
from cgt.trainer.pretrained import TrainedGenerator, open_generator

NETWORKS = {
    "ResNet-9": GeneratorConfig("resnet9", 4),
    "ResNet-6 affine": GeneratorConfig("resnet6", 4, norm="instance_affine"),
    "U-Net 256": GeneratorConfig("unet256", 4),
    "student": GeneratorConfig("resnet2", 8, learn_residual=True, upsampling="resize"),
}
PRECISIONS = ("fp32", "fp16", "int8")
NORMS = ("instance", "frozen")
IOS = ("float", "uint8")


@dataclass(frozen=True)
class PrecisionRow:
    """One combination. Decibels of the worst frame against PyTorch fp32, and of OpenVINO against
    ONNX Runtime; kilobytes of the TensorRT-RTX engine, 0 where that builder is not installed."""

    network: str
    precision: str
    norm: str
    io: str
    psnr: float
    agreement: float
    engine_kb: int

    def cells(self) -> tuple[str, ...]:
        built = f"{self.engine_kb} kB" if self.engine_kb else "not installed"
        figures = f"{self.psnr:.1f}", f"{self.agreement:.1f}", built
        return self.network, self.precision, self.norm, self.io, *figures


INTRODUCTION = """# Every precision, norm and kind of tensors, in every engine

Written by `python -m export.precision_matrix -o docs/precision.md`. PSNR: the worst frame against
PyTorch fp32 with its own normalisation; engines agree: OpenVINO against ONNX Runtime on one picture
(200 is equality); RTX engine: what TensorRT-RTX built for compute capability 8.6, its layers read
back. {networks} With `--ckpt` the command measures a network of yours.
"""

HEADER = ("network", "precision", "norm", "tensors", "PSNR, dB", "engines agree, dB", "RTX engine")


def random_generator(name: str) -> TrainedGenerator:
    """A network of NETWORKS with random weights."""
    config = NETWORKS[name]
    torch.manual_seed(0)
    network = build_generator(config)
    init_generator(network)
    side = max(64, config.multiple)
    return TrainedGenerator(
        network=network.eval(),
        path=Path(f"{name}.pth"),
        domains=("A", "B"),
        direction="AtoB",
        size=(side, side),
        multiple=config.multiple,
        norm="instance",
        in_channels=3,
        out_channels=3,
        architecture={},
        test_folder=None,
        sha256="",
        evidence=(),
        filter="bilinear",
    )


def measure_combination(
    name: str, generator: TrainedGenerator, export_options: dict[str, Any], calib: str, folder: Path
) -> PrecisionRow:
    """Export it without a floor, and ask every engine."""
    path = folder / "model.onnx"
    if ExportConfig(**export_options, calib=None).needs_calibration:
        export_options = export_options | {"calib": calib}
    _, metadata = export(generator, path, min_psnr=0.0, calib_frames=8, **export_options)
    engine_kb = 0
    if importlib.util.find_spec("tensorrt_rtx"):
        options = BuildOptions(compute_capabilities=(86,))
        built = build_engine(path, "tensorrt-rtx", folder / "model.engine", options)
        engine_kb = built.stat().st_size // 1000
    return PrecisionRow(
        *(name, metadata.precision, export_options["norm"], export_options["io"]),
        psnr=metadata.parity["psnr_worst_db"],
        agreement=engine_agreement_db(path, metadata),
        engine_kb=engine_kb,
    )


def engine_agreement_db(path: Path, metadata: ModelMetadata) -> float:
    """dB between two engines on one picture."""
    image = dead_leaves(metadata.size, np.random.default_rng(99))
    batch = image[None]
    if metadata.io == "float":
        batch = np.ascontiguousarray(batch.transpose(0, 3, 1, 2) / np.float32(127.5) - 1)
    outs = []
    for name in ("onnxruntime", "openvino"):
        out = np.zeros_like(batch)
        shape = BatchShape.from_metadata(metadata, *metadata.size)
        with open_engine(path, shape, name, precision="fp32") as engine:
            engine.infer(batch, out)
        outs.append(out.astype(np.float64))
    scale = 127.5 if metadata.io == "uint8" else 1.0
    return psnr(float(np.mean(((outs[0] - outs[1]) / scale) ** 2)))


def combinations() -> Iterator[dict[str, Any]]:
    """Fields of `Recipe`."""
    for precision, norm, io in itertools.product(PRECISIONS, NORMS, IOS):
        yield {"precision": precision, "norm": norm, "io": io}


def write_dead_leaves(folder: Path, count: int = 12, side: int = 64) -> str:
    """A folder of pictures to calibrate on, where there are no real ones."""
    for index in range(count):
        image = dead_leaves((side, side), np.random.default_rng(1000 + index))
        (folder / f"{index}.png").write_bytes(encode_image(image, ".png") or b"")
    return str(folder)


def main() -> None:
    """Print the table, and write it where -o says."""
    parser = argparse.ArgumentParser(prog="python -m export.precision_matrix")
    parser.add_argument("--ckpt", type=Path)
    parser.add_argument("--calib")
    parser.add_argument("-o", "--output", type=Path)
    arguments = parser.parse_args()
    if arguments.ckpt:
        sources = {arguments.ckpt.parent.name: open_generator(arguments.ckpt)}
    else:
        sources = {name: random_generator(name) for name in NETWORKS}
    rows = []
    with tempfile.TemporaryDirectory() as work, tempfile.TemporaryDirectory() as images:
        calib = arguments.calib or write_dead_leaves(Path(images))
        total = len(sources) * len(list(combinations()))
        with progress_bar("combinations", total, unit="export") as bar:
            for (name, source), export_options in itertools.product(
                sources.items(), combinations()
            ):
                rows.append(measure_combination(name, source, export_options, calib, Path(work)))
                bar.advance()
    lines = [HEADER, ("---",) * len(HEADER), *(row.cells() for row in rows)]
    text = "\n".join("| " + " | ".join(line) + " |" for line in lines)
    print(text)
    if arguments.output:
        networks = (
            "The networks are small and of random weights: what breaks shows, not what is lost."
        )
        introduction = INTRODUCTION.format(networks="" if arguments.ckpt else networks)
        arguments.output.write_text(f"{introduction}\n{text}\n")


if __name__ == "__main__":
    main()
