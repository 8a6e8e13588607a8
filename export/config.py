"""What is asked of an export. The names are those of `cgt export`'s flags."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

from cgt.runtime.errors import UsageError
from cgt.runtime.models.metadata import IO_TYPES, IOType

from .quantization.calibrate import CALIBRATION_METHODS, CalibrationMethod

Precision = Literal["fp32", "fp16", "bf16", "int8", "mixed"]
PRECISIONS: tuple[Precision, ...] = get_args(Precision)
Remainder = Literal["fp32", "fp16"]
NormMode = Literal["instance", "frozen", "stream"]
NORM_MODES: tuple[NormMode, ...] = get_args(NormMode)

SUPPORTED_OPSETS = range(18, 24)
"""What the exporter writes and the engines read. TensorRT 10.3 (JetPack 6) ends at 20."""

# dB of the worst frame against PyTorch fp32. fp32 differs by the order of summation alone; fp16's
# floor allows for its 11 bits, bf16's for 8. Frozen statistics are another picture, if a close one.
MIN_PSNR_DB: dict[str, float] = {
    "fp32": 80.0,
    "fp16": 50.0,
    "bf16": 40.0,
    "int8": 28.0,
    "mixed": 40.0,
    "frozen": 28.0,
}
# Of uint8 pixels no more can be asked: 80 dB in floats is an error e of 2e-4, which moves
# 0.8 * 127.5 * e of the values over a border between two levels, and each is then 2/255 off.
UINT8_MIN_PSNR_DB = 65.0


@dataclass(frozen=True)
class ExportConfig:
    """How a generator becomes a graph.

    precision: of the convolutions. "int8" is Q/DQ on Conv, with all else in `remainder`; "mixed" is
    the same with the most sensitive convolutions left in `remainder` until `min_psnr` holds.
    fp16_norm: with FP16, norms too; otherwise they stay FP32, for their sums leave FP16's range.
    norm: "instance" as trained; "frozen" statistics, calibrated and folded into the convolutions;
    "stream", statistics from outside (see `cgt.runtime.models.metadata`).
    io: the tensors in and out, see there too.
    size, batch: see `shapes.parse_shapes`. opset: one of OPSETS, by default the lowest that serves.
    calib: a folder of images or a video for int8, mixed and frozen; by default the checkpoint's own
    training images. calib_frames: how many of them. calib_method: where INT8's range ends. seed: of
    the choice of frames.
    pictures: a folder of images to compare on, and to prove FP16's range on; by default what was
    held out of calib, else the checkpoint's own test images.
    min_psnr: dB that the worst frame must reach; by default FLOORS. drift: show where, layer by
    layer, the graph leaves its original, as a table and as NAME.drift.png.
    Raises UsageError where the wishes exclude each other.
    """

    precision: Precision = "fp32"
    remainder: Remainder = "fp32"
    fp16_norm: bool = False
    norm: NormMode = "instance"
    io: IOType = "float"
    size: str | None = None
    batch: str | None = None
    opset: int | None = None
    calib: str | None = None
    calib_frames: int = 32
    calib_method: CalibrationMethod = "percentile"
    seed: int = 0
    eval_images: str | Path | None = None
    min_psnr: float | None = None
    drift: bool = False

    def __post_init__(self) -> None:
        _check_choice("precision", self.precision, PRECISIONS)
        _check_choice("remainder", self.remainder, get_args(Remainder))
        _check_choice("norm", self.norm, NORM_MODES)
        _check_choice("io", self.io, IO_TYPES)
        _check_choice("calib-method", self.calib_method, CALIBRATION_METHODS)
        if self.calib_frames < 1:
            raise UsageError("--calib-frames must be at least 1")
        if self.fp16_norm and not self.has_fp16:
            raise UsageError("--fp16-norm goes with --fp16")
        if self.fp16_norm and self.norm != "instance":
            raise UsageError(f"--fp16-norm leaves nothing to choose with --norm {self.norm}")
        if self.calib is not None and not self.needs_calibration:
            raise UsageError("--calib goes with --int8, --mixed or --norm frozen")
        if self.opset is not None:
            if self.opset not in SUPPORTED_OPSETS:
                raise UsageError(
                    f"--opset {self.opset} is none of {SUPPORTED_OPSETS[0]} to {SUPPORTED_OPSETS[-1]}; leave it out"
                )
            if self.opset < self.min_opset:
                raise UsageError(
                    f"--opset {self.opset} has no {self.precision_label}; {self.min_opset} is the least"
                )

    @property
    def quantizes(self) -> bool:
        return self.precision in ("int8", "mixed")

    @property
    def needs_calibration(self) -> bool:
        return self.quantizes or self.norm == "frozen"

    @property
    def float_precision(self) -> Literal["fp32", "fp16", "bf16"]:
        """The type of what is not quantized."""
        if self.precision == "int8" or self.precision == "mixed":
            return self.remainder
        return self.precision

    @property
    def has_fp16(self) -> bool:
        return self.float_precision == "fp16"

    @property
    def precision_label(self) -> str:
        """The precision as artifacts and file names have it: "fp16", "int8", "int8-fp16"."""
        mixture = self.quantizes and self.remainder != "fp32"
        return f"{self.precision}-{self.remainder}" if mixture else self.precision

    @property
    def filename_suffix(self) -> str:
        """What file names add for it: the precision, and what else is not as usual."""
        parts = [self.precision_label, self.norm if self.norm != "instance" else ""]
        parts += [self.io if self.io != "float" else "", self.size or ""]
        return "_".join(filter(None, parts)).replace(",", "_")

    @property
    def min_opset(self) -> int:
        """ONNX gained FP16 scales in 19, BF16 convolutions in 22."""
        if self.precision == "bf16":
            return 22
        return 19 if self.quantizes and self.has_fp16 else 18

    @property
    def required_psnr_db(self) -> float:
        """dB of the worst frame."""
        if self.min_psnr is not None:
            return self.min_psnr
        io_floor = UINT8_MIN_PSNR_DB if self.io == "uint8" else MIN_PSNR_DB["fp32"]
        return min(MIN_PSNR_DB[self.precision], MIN_PSNR_DB.get(self.norm, io_floor), io_floor)


def _check_choice(flag: str, value: str, allowed: tuple[str, ...]) -> None:
    if value not in allowed:
        raise UsageError(f"--{flag} {value} is none of {', '.join(allowed)}")
