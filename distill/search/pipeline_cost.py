"""What reading, decoding, resizing, encoding and writing take beside the network."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass, replace
from pathlib import Path

from cgt.benchmarks.harness.end_to_end import EndToEndResult, measure_end_to_end
from cgt.runtime.errors import MissingDependency
from cgt.runtime.models.sample_clip import sample_clip
from cgt.runtime.sinks import StreamFormat, TranslatedFrame, open_sink
from cgt.runtime.sources import Frame, open_source

Size = tuple[int, int]

MEASURE_S = 4.0
_SYNTHETIC_URI = "test://?size=854x480&fps=24&frames=240"


@dataclass(frozen=True)
class PipelineOverhead:
    """seconds: that each frame takes longer from source to sink than in the engine alone. Where
    both share a CPU that is what the rest of the pipeline computes; where the network has a device
    of its own it is nearly nothing, as long as the network is the slower of the two."""

    seconds_per_frame: float
    video: str
    other_load: float  # share of the cores that other programs used meanwhile

    def end_to_end_fps(self, fps: float) -> float:
        """Frames per second from source to sink, of an engine with `fps` alone."""
        return 1 / (1 / fps + self.seconds_per_frame)

    def required_engine_fps(self, target: float) -> float:
        """Frames per second that an engine needs alone for `target` from source to sink; infinite
        where the pipeline alone takes longer than that."""
        left = 1 / target - self.seconds_per_frame
        return 1 / left if left > 0 else float("inf")


def measure_pipeline_overhead(
    model: Path, engine: str, size: Size, video: str | None, engine_fps: float
) -> PipelineOverhead:
    """alone: frames per second of the model in the engine alone. Raises what `measure_run` does."""
    run = measure_run(model, engine, size, video)
    return PipelineOverhead(
        max(0.0, 1 / run.fps - 1 / engine_fps), Path(run.source).name, run.other_load or 0.0
    )


def measure_run(model: Path, engine: str, size: Size, video: str | None = None) -> EndToEndResult:
    """A video translated at height, width `size` into an H.264 one, as `cgt translate` does it.

    video: by default a real clip where one is installed, else a made one that is decoded as well.
    Raises the errors of sources and engines.
    """
    if video is not None:
        return measure_end_to_end(video, model, engine, size, MEASURE_S)
    try:
        return measure_end_to_end(str(sample_clip()), model, engine, size, MEASURE_S)
    except MissingDependency:
        with tempfile.TemporaryDirectory(prefix="cgt-clip-") as folder:
            return measure_end_to_end(
                str(write_synthetic_clip(Path(folder))), model, engine, size, MEASURE_S
            )


def write_synthetic_clip(folder: Path) -> Path:
    """240 frames of 854x480 in H.264."""
    path = folder / "made.mp4"
    with open_source(_SYNTHETIC_URI) as source:
        stream = replace(StreamFormat.from_source(source, None), size=source.size)
        with open_sink(str(path), stream) as sink:
            for item in source:
                if isinstance(item, Frame):
                    sink.write(TranslatedFrame(item, item.image))
            sink.finish()
    return path
