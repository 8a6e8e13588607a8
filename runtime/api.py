"""The runtime in one call."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

from .geometry import SizeSpec
from .pipeline import translate_stream
from .preprocess import U8
from .sinks import TranslatedFrame
from .sources import open_source
from .sources.wrapped import RealtimeSource
from .stats import Stats
from .translation import TranslateOptions


def translate(
    source: str | Path,
    *,
    model: str | Path | None = None,
    engine: str = "auto",
    size: SizeSpec = None,
    output_size: SizeSpec = None,
    deflicker: float = 0.0,
    tile: int | None = None,
    batch: int = 1,
    frames: int | None = None,
    max_fps: float | None = None,
    live: bool | None = None,
    stats: Stats | None = None,
) -> Iterator[U8]:
    """Translate a video, a folder of images or a camera; yields each frame as uint8 HWC RGB.

    model: an ONNX file, or a bundled one: "monet" (the default), "vintage".
    size: (height, width) that the network sees, "source" for the frame's own, or None for the
    model's size with the picture's aspect kept; output: the same for what is yielded. calm, tile,
    batch: see Translator. frames: stop after so
    many. max_fps: leave frames out above that rate. live: drop frames to stay in time; as the
    source is by default. A file then plays at its own pace. stats: is filled while the frames come.
    Raises SourceError, ModelError, EngineError and UsageError; see cgt.runtime.errors.
    """
    stats = stats if stats is not None else Stats()
    options = TranslateOptions(
        model=model,
        engine=engine,
        size=size,
        output_size=output_size,
        tile=tile,
        batch=batch,
        deflicker=deflicker,
        frames=frames,
        max_fps=max_fps,
    )
    with open_source(str(source), audio=False) as opened:
        live = opened.live if live is None else live
        items = options.select_items(
            RealtimeSource(opened) if live and not opened.live else opened, stats
        )
        with options.open_translator(opened, live) as translator:
            for item in translate_stream(items, translator, stats, threading.Event(), live):
                if isinstance(item, TranslatedFrame):
                    stats.add_output_frame(item.source_frame.capture_time)
                    yield item.image
