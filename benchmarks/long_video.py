"""A video of any length, and how long its translation takes, in a fresh process."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from cgt.runtime.errors import EngineError

WIDTH, HEIGHT, RATE = 160, 90, 25


@contextmanager
def long_video(frames: int) -> Iterator[Path]:
    """A moving pattern of so many frames, 160x90; gone after the block."""
    import av

    y, x = np.mgrid[:HEIGHT, :WIDTH]
    with tempfile.TemporaryDirectory(prefix="cgt-long-") as folder:
        path = Path(folder) / "long.mp4"
        with av.open(str(path), "w") as out:
            stream = out.add_stream("libx264", rate=RATE, options={"preset": "ultrafast"})
            stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, "yuv420p"
            for index in range(frames):
                image = np.stack([x + index, y + 2 * index, x + y], -1).astype(np.uint8)
                out.mux(stream.encode(av.VideoFrame.from_ndarray(image, format="rgb24")))
            out.mux(stream.encode(None))
        yield path


def translate_frames(video: Path, model: Path, engine: str, frames: int) -> tuple[float, float]:
    """Seconds and peak bytes of translating the first frames to `null:`. Raises EngineError."""
    command = [sys.executable, "-m", __name__, str(video), str(model), engine, str(frames)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise EngineError(f"translating failed: {done.stderr.strip().splitlines()[-1]}")
    seconds, rss = json.loads(done.stdout.splitlines()[-1])
    return seconds, rss


def _translate(video: str, model: str, engine: str, frames: int) -> tuple[float, int]:
    from cgt.runtime.pipeline import limited, run
    from cgt.runtime.sinks import StreamFormat, open_sink
    from cgt.runtime.sources import open_source
    from cgt.runtime.stats import Stats
    from cgt.runtime.stopping import stop_on_signal
    from cgt.runtime.translator import Translator

    from .memory import peak_rss

    with (
        open_source(video, audio=False) as source,
        Translator(
            model, engine=engine, size=(64, 112), frame=source.size, goal="throughput"
        ) as translator,
        open_sink("null:", StreamFormat.of(source, translator.geometry)) as sink,
        stop_on_signal() as stop,
    ):
        started = time.perf_counter()
        written = sum(1 for _ in run(limited(source, frames), translator, sink, Stats(), stop))
        seconds = time.perf_counter() - started
    if written != frames:
        raise EngineError(f"{written} frames instead of {frames}")
    return seconds, peak_rss()


if __name__ == "__main__":
    video, model, engine, frames = sys.argv[1:]
    print(json.dumps(_translate(video, model, engine, int(frames))))
