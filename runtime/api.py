"""The runtime in one call."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

from .geometry import Size
from .pipeline import stream
from .preprocess import U8
from .sinks import Result
from .sources import open_source
from .stats import Stats
from .translator import Translator


def translate(
    source: str | Path, *, model: str | Path | None = None, engine: str = "auto", size: Size = None
) -> Iterator[U8]:
    """Translate a video, a folder of images or a camera; yields each frame as uint8 HWC RGB.

    model: an ONNX file, the bundled one by default. size: (height, width), "source" for the
    frame's own, or None for the model's size with the picture's aspect kept.
    Raises SourceError, ModelError, EngineError and UsageError; see cgt.runtime.errors.
    """
    with (
        open_source(str(source), audio=False) as frames,
        Translator(
            model,
            engine=engine,
            size=size,
            frame=frames.size,
            aspect=frames.aspect,
            goal="latency" if frames.live else "throughput",
        ) as translator,
    ):
        for item in stream(iter(frames), translator, Stats(), threading.Event(), frames.live):
            if isinstance(item, Result):
                yield item.image
