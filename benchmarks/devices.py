"""Datasheet peaks of named devices, for projections. Dense rates; none of it was measured by us.

macs: multiply-adds per second by precision; datasheets count two operations for each, and often
"sparse" ones, twice as many again. fp32 is outside of tensor cores (without TF32).
"""

from __future__ import annotations

from dataclasses import dataclass

from cgt.runtime.errors import UsageError


@dataclass(frozen=True)
class Device:
    """macs: per second; bandwidth: bytes per second of the device's memory."""

    name: str
    macs: dict[str, float]
    bandwidth: float
    source: str


def _rates(fp32: float, fp16: float, int8: float) -> dict[str, float]:
    """From dense TFLOPS and TOPS."""
    return {"fp32": fp32 * 5e11, "fp16": fp16 * 5e11, "bf16": fp16 * 5e11, "int8": int8 * 5e11}


DEVICES = {
    "orin-nano": Device(
        "Orin Nano 8GB Super, 25 W",
        _rates(2.09, 17, 33),
        102e9,
        "NVIDIA Jetson Orin Nano Super Developer Kit datasheet: 67 sparse / 33 dense INT8 TOPS, "
        "17 FP16 TFLOPS, 102 GB/s; FP32: 1024 CUDA cores x 2 x 1.02 GHz",
    ),
    "orin-nano-15w": Device(
        "Orin Nano 8GB, 15 W",
        _rates(1.28, 10, 20),
        68e9,
        "NVIDIA Jetson Orin Nano Series datasheet DS-11105-001: 40 sparse / 20 dense INT8 TOPS, "
        "68 GB/s; FP16: half of INT8; FP32: 1024 CUDA cores x 2 x 625 MHz",
    ),
    "orin-nx": Device(
        "Orin NX 16GB, 25 W",
        _rates(1.88, 15, 30),
        102e9,
        "NVIDIA Jetson Orin NX Series datasheet DS-10712-001: GPU 60 sparse / 30 dense INT8 TOPS "
        "(DLA not counted), 102 GB/s; FP16: half of INT8; FP32: 1024 CUDA cores x 2 x 918 MHz",
    ),
    "agx-orin": Device(
        "AGX Orin 64GB, MAXN",
        _rates(5.3, 42.5, 85),
        204.8e9,
        "NVIDIA Jetson AGX Orin Technical Brief v1.2: GPU 170 sparse / 85 dense INT8 TOPS (DLA not "
        "counted), 5.3 FP32 TFLOPS, 204.8 GB/s; FP16: half of INT8",
    ),
    "t4": Device(
        "T4",
        _rates(8.1, 65, 130),
        320e9,
        "NVIDIA T4 Tensor Core GPU datasheet: 8.1 FP32, 65 FP16 TFLOPS, 130 INT8 TOPS, 320 GB/s "
        "(bf16 is not native there)",
    ),
    "l4": Device(
        "L4",
        _rates(30.3, 121, 242.5),
        300e9,
        "NVIDIA L4 Tensor Core GPU datasheet: 30.3 FP32, 242 sparse FP16 TFLOPS, 485 sparse INT8 "
        "TOPS, 300 GB/s",
    ),
    "a100": Device(
        "A100 80GB SXM",
        _rates(19.5, 312, 624),
        2039e9,
        "NVIDIA A100 Tensor Core GPU datasheet: 19.5 FP32, 312 FP16 TFLOPS, 624 INT8 TOPS, "
        "2,039 GB/s",
    ),
    "h100": Device(
        "H100 SXM",
        _rates(67, 989.5, 1979),
        3350e9,
        "NVIDIA H100 Tensor Core GPU datasheet: 67 FP32, 1,979 sparse FP16 TFLOPS, 3,958 sparse "
        "INT8 TOPS, 3.35 TB/s",
    ),
}


def named_device(name: str) -> Device:
    """Raises UsageError for one that is not in the table."""
    if name not in DEVICES:
        raise UsageError(f"--device {name} is unknown; use {', '.join(DEVICES)}")
    return DEVICES[name]
