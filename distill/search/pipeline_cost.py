"""Pipeline overhead: time per frame for decoding, resizing, encoding and writing."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from cgt.benchmarks.harness.end_to_end import EndToEndResult, measure_end_to_end
from cgt.runtime.errors import MissingDependency
from cgt.runtime.models.sample_clip import sample_clip
from cgt.runtime.sinks import StreamFormat, TranslatedFrame, open_sink
from cgt.runtime.sources import Frame, open_source

Size = tuple[int, int]  # height, width

# Fields as spelled in tables and caches from before 0.1.0 -> as spelled now.
_OLD_FIELDS = {"seconds": "seconds_per_frame", "others": "other_load"}

MEASURE_S = 4.0
_SYNTHETIC_URI = "test://?size=854x480&fps=24&frames=240"


@dataclass(frozen=True)
class PipelineOverhead:
    """Additional time per frame of the whole pipeline, compared with the engine alone.

    If pipeline and engine share a CPU, this is the computation of the pipeline. If the engine has
    its own device, it is nearly zero as long as the engine is the slower one.

    Attributes:
        seconds_per_frame: additional seconds per frame.
        video: file name of the video it was measured with.
        other_load: share of the cores that other programs used during the measurement.
    """

    seconds_per_frame: float
    video: str
    other_load: float

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> PipelineOverhead:
        """Read a `dataclasses.asdict`, including that from before version 0.1.0.

        Raises:
            TypeError: a field is missing or unknown.
        """
        return cls(**{_OLD_FIELDS.get(name, name): value for name, value in values.items()})

    def end_to_end_fps(self, engine_fps: float) -> float:
        """Return end-to-end frames/s for an engine that reaches `engine_fps` alone."""
        return 1 / (1 / engine_fps + self.seconds_per_frame)

    def required_engine_fps(self, target_fps: float) -> float:
        """Return the frames/s that an engine needs alone to reach `target_fps` end to end.

        It is infinite if the rest of the pipeline takes too long.
        """
        seconds_left = 1 / target_fps - self.seconds_per_frame
        return 1 / seconds_left if seconds_left > 0 else float("inf")


def measure_pipeline_overhead(
    model: Path, engine: str, size: Size, video: str | None, engine_fps: float
) -> PipelineOverhead:
    """Measure the overhead of the pipeline around an engine.

    Args:
        model: the model file.
        engine: name of the engine.
        size: height and width of the network's input.
        video: file to translate; None as in `measure_run`.
        engine_fps: frames/s of the model in the engine alone.

    Raises:
        CgtError: the source or the engine fails.
    """
    run = measure_run(model, engine, size, video)
    return PipelineOverhead(
        max(0.0, 1 / run.fps - 1 / engine_fps), Path(run.source).name, run.other_load or 0.0
    )


def measure_run(model: Path, engine: str, size: Size, video: str | None = None) -> EndToEndResult:
    """Translate a video into an H.264 file as `cgt translate` does, and measure its speed.

    Args:
        model: the model file.
        engine: name of the engine.
        size: height and width of the network's input.
        video: file to translate. By default the installed sample clip, otherwise a synthetic one.

    Raises:
        CgtError: the source or the engine fails.
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
    """Write 240 frames of a test pattern, 854x480, in H.264."""
    path = folder / "synthetic.mp4"
    with open_source(_SYNTHETIC_URI) as source:
        stream = replace(StreamFormat.from_source(source, None), size=source.size)
        with open_sink(str(path), stream) as sink:
            for item in source:
                if isinstance(item, Frame):
                    sink.write(TranslatedFrame(item, item.image))
            sink.finish()
    return path
