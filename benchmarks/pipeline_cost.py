"""What reading, decoding, resizing, encoding and writing take beside the network."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass, replace
from pathlib import Path

from cgt.runtime.clip import sample_clip
from cgt.runtime.errors import MissingDependency
from cgt.runtime.sinks import Result, StreamFormat, open_sink
from cgt.runtime.sources import Frame, open_source

from .endtoend import EndToEnd, measure_pipeline

Size = tuple[int, int]

SECONDS = 4.0
_MADE = "test://?size=854x480&fps=24&frames=240"


@dataclass(frozen=True)
class Cost:
    """seconds: that each frame takes longer from source to sink than in the engine alone. Where
    both share a CPU that is what the rest of the pipeline computes; where the network has a device
    of its own it is nearly nothing, as long as the network is the slower of the two."""

    seconds: float
    video: str
    others: float  # share of the cores that other programs used meanwhile

    def end_to_end(self, fps: float) -> float:
        """Frames per second from source to sink, of an engine with `fps` alone."""
        return 1 / (1 / fps + self.seconds)

    def needed(self, target: float) -> float:
        """Frames per second that an engine needs alone for `target` from source to sink; infinite
        where the pipeline alone takes longer than that."""
        left = 1 / target - self.seconds
        return 1 / left if left > 0 else float("inf")


def measure_cost(model: Path, engine: str, size: Size, video: str | None, alone: float) -> Cost:
    """alone: frames per second of the model in the engine alone. Raises what `measure_run` does."""
    run = measure_run(model, engine, size, video)
    return Cost(max(0.0, 1 / run.fps - 1 / alone), Path(run.source).name, run.others or 0.0)


def measure_run(model: Path, engine: str, size: Size, video: str | None = None) -> EndToEnd:
    """A video translated at height, width `size` into an H.264 one, as `cgt translate` does it.

    video: by default a real clip where one is installed, else a made one that is decoded as well.
    Raises the errors of sources and engines.
    """
    if video is not None:
        return measure_pipeline(video, model, engine, size, SECONDS)
    try:
        return measure_pipeline(str(sample_clip()), model, engine, size, SECONDS)
    except MissingDependency:
        with tempfile.TemporaryDirectory(prefix="cgt-clip-") as folder:
            return measure_pipeline(str(made_clip(Path(folder))), model, engine, size, SECONDS)


def made_clip(folder: Path) -> Path:
    """240 frames of 854x480 in H.264."""
    path = folder / "made.mp4"
    with open_source(_MADE) as source:
        stream = replace(StreamFormat.of(source, None), size=source.size)
        with open_sink(str(path), stream) as sink:
            for item in source:
                if isinstance(item, Frame):
                    sink.write(Result(item, item.image))
            sink.finish()
    return path
