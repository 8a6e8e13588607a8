"""Students with random weights as model files: as quick as trained ones."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch

from cgt.export import export
from cgt.runtime.errors import UsageError
from cgt.runtime.images import encode_image
from cgt.trainer.distill.family import Candidate
from cgt.trainer.generator import TrainedGenerator
from cgt.trainer.networks import build_generator, init_generator
from cgt.trainer.pictures import dead_leaves

CALIBRATION_SIDE_PX = 64  # of the pictures to calibrate on; a graph takes any size
CALIBRATION_IMAGES = 12
_EXPORT_OPTIONS: dict[str, dict[str, Any]] = {
    **{name: {"precision": name} for name in ("fp32", "fp16", "bf16", "int8")},
    "int8-fp16": {"precision": "int8", "remainder": "fp16"},
}


def export_random_student(candidate: Candidate, precision: str, folder: Path) -> Path:
    """An ONNX file in `folder`. precision: as artifacts have it, "int8" or "int8-fp16".
    Raises UsageError for another one."""
    if precision not in _EXPORT_OPTIONS:
        raise UsageError(f"--precision {precision} is none of {', '.join(_EXPORT_OPTIONS)}")
    config = candidate.config
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        network = build_generator(config)
        init_generator(network)
    source = TrainedGenerator(
        network=network.eval(),
        path=folder / "random.pth",
        domains=("anything", "noise"),
        direction="AtoB",
        size=(CALIBRATION_SIDE_PX, CALIBRATION_SIDE_PX),
        multiple=config.multiple,
        norm=config.norm_kind,
        in_channels=config.in_channels,
        out_channels=config.out_channels,
        architecture=config.to_json(),
        test_folder=None,
        sha256="",
        evidence=(),
        filter="bilinear",
    )
    options = dict(_EXPORT_OPTIONS[precision])
    if options["precision"] == "int8":
        options |= {
            "calib": str(_write_calibration_images(folder / "pictures")),
            "calib_frames": CALIBRATION_IMAGES,
        }
    return export(source, folder / "random.onnx", min_psnr=0.0, **options)[0]


def _write_calibration_images(folder: Path) -> Path:
    """A folder of some to calibrate on."""
    folder.mkdir()
    for seed in range(CALIBRATION_IMAGES):
        png = encode_image(
            dead_leaves((CALIBRATION_SIDE_PX, CALIBRATION_SIDE_PX), np.random.default_rng(seed)),
            ".png",
        )
        assert png is not None
        (folder / f"{seed}.png").write_bytes(png)
    return folder
