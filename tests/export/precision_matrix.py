"""Export of every combination of network, precision, norm and tensor type.

    python -m tests.export.precision_matrix [--ckpt FILE] [--calib DIR|VIDEO] [-o TABLE.md]

Each combination is loaded, compared between engines and compared with PyTorch. Without a
checkpoint, the networks are small and have random weights. Their PSNR then shows that nothing
breaks, not the quality of a trained network.
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
from cgt.runtime.engines import BatchShape, open_engine
from cgt.runtime.image.files import encode_image
from cgt.runtime.image.metrics import psnr_from_mse
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
    """One combination.

    Attributes:
        psnr_db: PSNR of the worst image against PyTorch fp32.
        agreement_db: PSNR of OpenVINO against ONNX Runtime.
        engine_kb: Size of the TensorRT-RTX engine; 0 if that builder is not installed.
    """

    network: str
    precision: str
    norm: str
    io: str
    psnr_db: float
    agreement_db: float
    engine_kb: int

    def cells(self) -> tuple[str, ...]:
        built = f"{self.engine_kb} kB" if self.engine_kb else "not installed"
        values = f"{self.psnr_db:.1f}", f"{self.agreement_db:.1f}", built
        return self.network, self.precision, self.norm, self.io, *values


INTRODUCTION = """# Every precision, norm and tensor type in every engine

Written by `python -m tests.export.precision_matrix -o TABLE.md`. PSNR is that of the worst image
against PyTorch fp32 with its own normalization. Engine agreement is the PSNR of OpenVINO against
ONNX Runtime on one image (200 for equal images). The RTX engine was built by TensorRT-RTX for
compute capability 8.6, and its layers were verified. {networks} With `--ckpt` the command measures
another network.
"""

HEADER = (
    "network",
    "precision",
    "norm",
    "tensors",
    "PSNR, dB",
    "engine agreement, dB",
    "RTX engine",
)


def random_generator(name: str) -> TrainedGenerator:
    """Return a network of NETWORKS with random weights."""
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
    """Export without a quality floor and run every engine."""
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
        psnr_db=metadata.parity["psnr_worst_db"],
        agreement_db=engine_agreement_db(path, metadata),
        engine_kb=engine_kb,
    )


def engine_agreement_db(path: Path, metadata: ModelMetadata) -> float:
    """Return the PSNR between two engines on one image."""
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
    return psnr_from_mse(float(np.mean(((outs[0] - outs[1]) / scale) ** 2)), data_range=2)


def combinations() -> Iterator[dict[str, Any]]:
    """Yield fields of ExportConfig."""
    for precision, norm, io in itertools.product(PRECISIONS, NORMS, IOS):
        yield {"precision": precision, "norm": norm, "io": io}


def write_dead_leaves(folder: Path, count: int = 12, side: int = 64) -> str:
    """Write synthetic images to calibrate on; return the folder."""
    for index in range(count):
        image = dead_leaves((side, side), np.random.default_rng(1000 + index))
        (folder / f"{index}.png").write_bytes(encode_image(image, ".png") or b"")
    return str(folder)


def main() -> None:
    """Print the table; with -o also write it."""
    parser = argparse.ArgumentParser(prog="python -m tests.export.precision_matrix")
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
        networks = "The networks are small and have random weights."
        introduction = INTRODUCTION.format(networks="" if arguments.ckpt else networks)
        arguments.output.write_text(f"{introduction}\n{text}\n")


if __name__ == "__main__":
    main()
