"""End-to-end benchmark: frames/s, stage times, latency and drops from a source to a sink.

The frames take the same path as in `cgt translate`.
"""

from __future__ import annotations

import tempfile
import threading
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from cgt.runtime.image.geometry import SizeSpec, format_size
from cgt.runtime.inference.translator import Translator
from cgt.runtime.models.third_party import ModelFormat
from cgt.runtime.pipeline import run_pipeline
from cgt.runtime.sinks import StreamFormat, open_sink
from cgt.runtime.sources import Frame, Packet, open_source
from cgt.runtime.utils.log import mask_passwords
from cgt.runtime.utils.stats import STAGES, Stats
from cgt.runtime.utils.system import peak_memory_bytes

from .reference_load import CpuUsageMonitor

PERCENTILES = (50, 90, 95, 99, 100)


@dataclass(frozen=True)
class EndToEndResult:
    """One end-to-end run.

    Attributes:
        stages: "count" and percentiles in milliseconds by stage. The stage "latency" lasts from the
            arrival of a frame until its translation is written.
    """

    source: str
    sink: str
    model: str
    engine: str
    precision: str
    size: tuple[int, int] | None  # (height, width); None if images differ
    live: bool
    frames: int
    dropped: int
    seconds: float
    fps: float
    start_up: float  # seconds
    rss: int  # peak, bytes
    other_load: float | None  # share of the cores that other programs used
    stages: dict[str, dict[str, float]]
    engine_fps: float | None = None  # of the engine alone; None if not measured

    @property
    def efficiency(self) -> float | None:
        """Return the frame rate divided by the engine's own; None if that was not measured."""
        return self.fps / self.engine_fps if self.engine_fps else None

    @property
    def bottleneck(self) -> str:
        """Name what limits the frame rate: the engine, a live source, or the slowest stage."""
        if self.live and not self.dropped:
            return "the source's own rate"
        if self.efficiency is not None and self.efficiency >= 0.9:
            return "the engine"
        stage_ms = {name: self.stages[name]["p50"] for name in ("decode", "encode")}
        slowest = max(stage_ms, key=lambda name: stage_ms[name])
        if self.fps * stage_ms[slowest] / 1e3 > 0.8:  # its thread is nearly always busy
            return slowest
        return "the CPU cores, which decoding, translation and encoding share"

    def to_json(self) -> dict[str, Any]:
        """Return JSON types, with the efficiency and the bottleneck; sizes are "WIDTHxHEIGHT"."""
        size = format_size(self.size) if self.size else None
        derived = {"size": size, "efficiency": self.efficiency, "bound": self.bottleneck}
        return asdict(self) | derived


def measure_end_to_end(
    uri: str,
    model: Path,
    engine: str = "auto",
    size: SizeSpec = None,
    seconds: float = 3.0,
    model_format: ModelFormat | None = None,
) -> EndToEndResult:
    """Translate a source into a temporary video and measure the pipeline.

    Args:
        uri: Source. Images without a frame rate become PNG files instead of a video.
        model: Model file.
        engine: Engine name.
        size: (height, width), "source", or None for the model's own size.
        seconds: Duration after the first frame; a shorter source ends earlier.
        model_format: What the user says about a model of another tool.

    Raises:
        CgtError: The source, the model or the engine cannot be opened.
    """
    started = time.perf_counter()
    stats = Stats()
    stop = threading.Event()
    with (
        tempfile.TemporaryDirectory(prefix="cgt-bench-") as folder,
        open_source(uri, audio=False) as source,
        Translator(
            model,
            engine=engine,
            size=size,
            frame_size=source.size,
            sample_aspect_ratio=source.sample_aspect_ratio,
            performance_hint="latency" if source.live else "throughput",
            model_format=model_format,
        ) as translator,
    ):
        name = "out.mp4" if source.size and (source.rate or source.live) else "out"
        with open_sink(
            str(Path(folder) / name), StreamFormat.from_source(source, translator.geometry)
        ) as sink:
            cpu_monitor, start_up = CpuUsageMonitor(), time.perf_counter() - started
            items = _take_seconds(iter(source), seconds)
            for _ in run_pipeline(items, translator, sink, stats, stop, source.live):
                pass
        geometry = translator.geometry
        return EndToEndResult(
            source=mask_passwords(uri),
            sink="H.264 in .mp4" if name.endswith(".mp4") else "a folder of PNGs",
            model=translator.path.name,
            engine=translator.engine.name,
            precision=translator.engine.precision,
            size=geometry.image_size if geometry else None,
            live=source.live,
            frames=stats.frames,
            dropped=stats.dropped,
            seconds=stats.seconds,
            fps=stats.fps,
            start_up=start_up,
            rss=peak_memory_bytes(),
            other_load=cpu_monitor.other_load_and_steal()[0],
            stages={stage: _stage_percentiles(stats, stage) for stage in STAGES},
        )


def _take_seconds(items: Iterator[Frame | Packet], seconds: float) -> Iterator[Frame | Packet]:
    """Yield items until `seconds` after the first one."""
    end: float | None = None
    for item in items:
        yield item
        now = time.perf_counter()
        end = end if end is not None else now + seconds
        if now >= end:
            return


def _stage_percentiles(stats: Stats, stage: str) -> dict[str, float]:
    histogram = stats.stages[stage]
    count: dict[str, float] = {"count": int(histogram.counts.sum())}
    return count | {f"p{q}": histogram.percentile(q) * 1e3 for q in PERCENTILES}
