"""Report of one translation run: counts, times, engine, machine and versions."""

from __future__ import annotations

import platform
from dataclasses import dataclass
from typing import Any

from .engines import available_cpus
from .image.geometry import format_size
from .image.preprocess import simd_instruction_set
from .inference.translator import Translator
from .sources import Source
from .utils.stats import Stats
from .utils.system import cpu_name, package_versions, peak_memory_bytes

_REPORTED_PACKAGES = (
    *("cyclegan-toolkit", "numpy", "av", "openvino", "onnxruntime", "tensorrt", "torch"),
)


@dataclass(frozen=True)
class RunReport:
    """One translation and everything that took part in it.

    Args:
        sinks: the outputs, as written by the user, with masked passwords.
        source: where the frames came from.
        translator: the model, its engine and sizes.
        stats: counts and times per stage; final after the run.
        startup_s: seconds before the first frame.
        expected_frames: frames to translate, or None where the source did not tell.
    """

    sinks: tuple[str, ...]
    source: Source
    translator: Translator
    stats: Stats
    startup_s: float
    expected_frames: int | None = None

    def to_json(self) -> dict[str, Any]:
        """Return JSON types; sizes are "WIDTHxHEIGHT", times milliseconds or seconds as named."""
        translator, source = self.translator, self.source
        engine, geometry = translator.engine, translator.geometry
        sizes = ("image_size", "tensor_size", "output_size")
        return self.stats.to_json() | {
            "precision": engine.precision,
            "startup_seconds": round(self.startup_s, 3),
            "source": {
                "name": source.name,
                "size": format_size(source.size) if source.size else None,
                "live": source.live,
            },
            "sinks": list(self.sinks),
            "model": {
                "name": translator.path.name,
                "norm": translator.metadata.norm,
                "architecture": translator.metadata.architecture,
            },
            "sizes": {
                name.removesuffix("_size"): format_size(getattr(geometry, name))
                if geometry
                else None
                for name in sizes
            },
            "engine": {
                "name": engine.name,
                "device": engine.device,
                "precision": engine.precision,
                "workers": translator.workers,
                "batch": translator.batch,
            },
            "upsampling": {"method": translator.upsampling, "detail": translator.detail},
            "deflicker": translator.deflicker_mode,
            "memory": {"peak_mib": peak_memory_bytes() // 2**20},
            "machine": {
                "cpu": cpu_name(),
                "cores": available_cpus(),
                "system": platform.system(),
                "simd": simd_instruction_set(),
            },
            "versions": {"python": platform.python_version()}
            | package_versions(_REPORTED_PACKAGES),
        }
