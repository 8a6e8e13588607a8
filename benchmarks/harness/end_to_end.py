"""A source to a sink, as `cgt translate` does it: frames/s, where the time goes, latency, drops."""

from __future__ import annotations

import tempfile
import threading
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from cgt.runtime.image.geometry import SizeSpec
from cgt.runtime.inference.translator import Translator
from cgt.runtime.pipeline import run_pipeline
from cgt.runtime.sinks import StreamFormat, open_sink
from cgt.runtime.sources import Frame, Packet, open_source
from cgt.runtime.utils.stats import STAGES, Stats

from .environment import peak_rss
from .reference_load import CpuUsageMonitor

PERCENTILES = (50, 90, 95, 99, 100)


@dataclass(frozen=True)
class EndToEndResult:
    """One run. stages: by name, "count" and percentiles in milliseconds; "latency" is from a
    frame's arrival to its translation being written."""

    source: str
    sink: str
    model: str
    engine: str
    precision: str
    size: tuple[int, int] | None
    live: bool
    frames: int
    dropped: int
    seconds: float
    fps: float
    start_up: float  # seconds
    rss: int  # bytes
    other_load: float | None
    stages: dict[str, dict[str, float]]
    engine_fps: float | None = None  # frames/s of the engine without a pipeline around it

    @property
    def efficiency(self) -> float | None:
        """Share of the engine's own rate; None where that was not measured."""
        return self.fps / self.engine_fps if self.engine_fps else None

    @property
    def bottleneck(self) -> str:
        """What limits: the engine, the source's own pace, or the slowest of the other stages."""
        if self.live and not self.dropped:
            return "the source's own rate"
        if self.efficiency is not None and self.efficiency >= 0.9:
            return "the engine"
        stage_ms = {name: self.stages[name]["p50"] for name in ("decode", "encode")}
        slowest = max(stage_ms, key=lambda name: stage_ms[name])
        if self.fps * stage_ms[slowest] / 1e3 > 0.8:  # a thread of its own that hardly rests
            return slowest
        return "the cores, which decoding, translating and encoding share"

    def to_json(self) -> dict[str, Any]:
        return {**asdict(self), "efficiency": self.efficiency, "bound": self.bottleneck}


def measure_end_to_end(
    uri: str, model: Path, engine: str = "auto", size: SizeSpec = None, seconds: float = 3.0
) -> EndToEndResult:
    """Translate `uri` into a video (PNGs where the pictures have no rate) that is thrown away, for
    `seconds` after the first frame, or to its end. Raises the errors of sources and engines."""
    began = time.perf_counter()
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
        ) as translator,
    ):
        name = "out.mp4" if source.size and (source.rate or source.live) else "out"
        with open_sink(
            str(Path(folder) / name), StreamFormat.from_source(source, translator.geometry)
        ) as sink:
            cpu_monitor, start_up = CpuUsageMonitor(), time.perf_counter() - began
            items = _take_seconds(iter(source), seconds)
            for _ in run_pipeline(items, translator, sink, stats, stop, source.live):
                pass
        geometry = translator.geometry
        return EndToEndResult(
            source=uri,
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
            rss=peak_rss(),
            other_load=cpu_monitor.other_load_and_steal()[0],
            stages={stage: _stage_percentiles(stats, stage) for stage in STAGES},
        )


def _take_seconds(items: Iterator[Frame | Packet], seconds: float) -> Iterator[Frame | Packet]:
    """What comes until `seconds` after the first frame; never none."""
    end: float | None = None
    for item in items:
        yield item
        now = time.perf_counter()
        end = end if end is not None else now + seconds
        if now >= end:
            return


def _stage_percentiles(stats: Stats, stage: str) -> dict[str, float]:
    histogram = stats.stages[stage]
    facts: dict[str, float] = {"count": int(histogram.counts.sum())}
    return facts | {f"p{q}": histogram.percentile(q) * 1e3 for q in PERCENTILES}
