"""Validated options of an export, named like the flags of `cgt export`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

from cgt.runtime.errors import UsageError
from cgt.runtime.models.metadata import IO_TYPES, UPSAMPLING_METHODS, IOType, Upsampling

Precision = Literal["fp32", "fp16", "bf16", "int8", "mixed"]
PRECISIONS: tuple[Precision, ...] = get_args(Precision)
Remainder = Literal["fp32", "fp16"]
NormMode = Literal["instance", "frozen", "stream"]
NORM_MODES: tuple[NormMode, ...] = get_args(NormMode)
NormPrecision = Literal["fp32", "mixed", "fp16"]
CalibrationMethod = Literal["percentile", "minmax", "entropy"]
CALIBRATION_METHODS: tuple[CalibrationMethod, ...] = get_args(CalibrationMethod)

SUPPORTED_OPSETS = range(11, 24)
"""Opsets that the exporter writes and the engines read. TensorRT 10.3 (JetPack 6) ends at 20."""

# PSNR of the worst image against PyTorch fp32. fp32 differs by the order of summation alone. The
# floor of fp16 allows for its 11 bits, that of bf16 for 8. Frozen statistics change the image.
MIN_PSNR_DB: dict[str, float] = {
    "fp32": 80.0,
    "fp16": 50.0,
    "bf16": 40.0,
    "int8": 28.0,
    "mixed": 40.0,
    "frozen": 28.0,
}
# uint8 pixels cannot reach more: 80 dB in floats is an error e of 2e-4, which moves 0.8 * 127.5 * e
# of the values across a boundary between two levels, and each is then off by 2/255.
UINT8_MIN_PSNR_DB = 65.0


@dataclass(frozen=True)
class ExportConfig:
    """How to turn a generator into an ONNX graph.

    Attributes:
        precision: Precision of the convolutions. "int8" puts Q/DQ on Conv and keeps everything else
            in `remainder`. "mixed" also keeps the most sensitive convolutions in `remainder` until
            `min_psnr` holds.
        remainder: Precision of what is not quantized.
        fp16_norm: With FP16, compute norms in FP16 alone. By default their sums are FP32, because
            they exceed FP16's range, and the rest is FP16.
        fp32_norm: With FP16, compute norms in FP32 alone.
        norm: "instance" as trained; "frozen" for calibrated statistics that are folded into the
            convolutions; "stream" for statistics that are inputs and outputs of the graph (see
            `cgt.runtime.models.metadata`).
        io: Type of the image tensors, see `cgt.runtime.models.metadata`.
        upsampling: Method of upsampling that the metadata recommends; None for none.
        size: Sizes that the graph takes, see `shapes.parse_shapes`.
        batch: Batch sizes that the graph takes, see `shapes.parse_shapes`.
        opset: One of SUPPORTED_OPSETS; None is 18, or the lowest that has the precision.
        calib: Folder of images or video that calibrates int8, mixed and frozen; None is the
            checkpoint's own training images.
        calib_frames: Number of calibration images.
        calib_method: How the end of INT8's range is chosen.
        seed: Seed of the random choice of images.
        eval_images: Folder of images for the comparison with PyTorch and the check of FP16's range;
            None is what was held out of calib, else the checkpoint's test images.
        min_psnr: PSNR in dB that the worst image must reach; None is MIN_PSNR_DB.
        drift: Report the drift of each layer as a table and as the chart NAME.drift.png.

    Raises:
        UsageError: A value is unknown, or two options exclude each other.
    """

    precision: Precision = "fp32"
    remainder: Remainder = "fp32"
    fp16_norm: bool = False
    fp32_norm: bool = False
    norm: NormMode = "instance"
    io: IOType = "float"
    upsampling: Upsampling | None = None
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
        if self.upsampling is not None:
            _check_choice("upsampling", self.upsampling, UPSAMPLING_METHODS)
        _check_choice("calib-method", self.calib_method, CALIBRATION_METHODS)
        if self.calib_frames < 1:
            raise UsageError("--calib-frames must be at least 1")
        if self.fp16_norm and not self.has_fp16:
            raise UsageError("--fp16-norm goes with --fp16")
        if self.fp32_norm and not self.has_fp16:
            raise UsageError("--fp32-norm goes with --fp16")
        if self.fp32_norm and self.fp16_norm:
            raise UsageError("--fp32-norm and --fp16-norm exclude each other")
        if self.fp16_norm and self.norm != "instance":
            raise UsageError(f"--fp16-norm and --norm {self.norm} exclude each other")
        if self.calib is not None and not self.needs_calibration:
            raise UsageError("--calib goes with --int8, --mixed or --norm frozen")
        if self.opset is not None:
            if self.opset not in SUPPORTED_OPSETS:
                raise UsageError(
                    f"--opset {self.opset} is not in {SUPPORTED_OPSETS[0]} to "
                    f"{SUPPORTED_OPSETS[-1]}; omit it"
                )
            if self.opset < self.min_opset:
                raise UsageError(
                    f"--opset {self.opset} has no {self.precision_label}; "
                    f"use {self.min_opset} or higher"
                )

    @property
    def quantizes(self) -> bool:
        return self.precision in ("int8", "mixed")

    @property
    def needs_calibration(self) -> bool:
        return self.quantizes or self.norm == "frozen"

    @property
    def float_precision(self) -> Literal["fp32", "fp16", "bf16"]:
        """Return the precision of what is not quantized."""
        if self.precision == "int8" or self.precision == "mixed":
            return self.remainder
        return self.precision

    @property
    def has_fp16(self) -> bool:
        return self.float_precision == "fp16"

    @property
    def norm_precision(self) -> NormPrecision:
        """Return how norms compute, see `graph.reduced_precision.ReducedPrecision`."""
        if self.fp16_norm:
            return "fp16"
        return "mixed" if self.has_fp16 and not self.fp32_norm else "fp32"

    @property
    def precision_label(self) -> str:
        """Return the precision as in metadata and file names: "fp16", "int8", "int8-fp16"."""
        if self.quantizes and self.remainder != "fp32":
            return f"{self.precision}-{self.remainder}"
        return self.precision

    @property
    def filename_suffix(self) -> str:
        """Return the suffix of file names: the precision and each option that is not a default."""
        words = [self.precision_label, self.norm if self.norm != "instance" else ""]
        words += [self.io if self.io != "float" else "", self.size or ""]
        return "_".join(filter(None, words)).replace(",", "_")

    @property
    def min_opset(self) -> int:
        """Return the lowest opset that has the precision.

        ONNX gained scales per channel in opset 13, FP16 scales in 19 and BF16 convolutions in 22.
        """
        if self.precision == "bf16":
            return 22
        if self.quantizes:
            return 19 if self.has_fp16 else 13
        return SUPPORTED_OPSETS[0]

    @property
    def required_psnr_db(self) -> float:
        """Return the PSNR in dB that the worst image must reach."""
        if self.min_psnr is not None:
            return self.min_psnr
        io_floor = UINT8_MIN_PSNR_DB if self.io == "uint8" else MIN_PSNR_DB["fp32"]
        return min(MIN_PSNR_DB[self.precision], MIN_PSNR_DB.get(self.norm, io_floor), io_floor)


def _check_choice(flag: str, value: str, allowed: tuple[str, ...]) -> None:
    if value not in allowed:
        raise UsageError(f"--{flag} {value} is unknown; use one of {', '.join(allowed)}")
