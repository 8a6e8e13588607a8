"""A film long enough to be cut."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import av
import numpy as np

PICTURES = 660


def write_film(path: Path) -> None:
    """660 pictures of 64x64 in 130 seconds, which last 0.213 s and now and then 0.1 s, with B
    frames, a key picture every 6 seconds or so, AAC, a title and a chapter."""
    with av.open(str(path), "w") as out:
        _write(out)


def _write(out: av.container.OutputContainer) -> None:
    from conftest import picture

    out.metadata["title"] = "A long one"
    out.set_chapters(
        [
            {
                **{"id": 1, "start": 0, "end": 60_000, "time_base": Fraction(1, 1000)},
                "metadata": {"title": "First"},
            }
        ]
    )
    options = {"preset": "ultrafast", "bf": "3", "g": "30", "crf": "30"}
    video = out.add_stream("libx264", rate=Fraction(5), options=options)
    video.width, video.height, video.pix_fmt = 64, 64, "yuv420p"
    video.codec_context.time_base = Fraction(1, 1000)
    sound = out.add_stream("aac", rate=8000, layout="mono")
    time = written = 0
    for index in range(PICTURES):
        frame = av.VideoFrame.from_ndarray(picture(index, 64, 64), format="rgb24")
        frame.pts, frame.time_base = time, Fraction(1, 1000)
        out.mux(video.encode(frame))
        time += 100 if index % 7 == 3 else 213
        while written < time * 8:
            wave = np.sin(np.arange(written, written + 1024) / 9).astype(np.float32)[None]
            part = av.AudioFrame.from_ndarray(wave, format="fltp", layout="mono")
            part.sample_rate, part.pts = 8000, written
            out.mux(sound.encode(part))
            written += 1024
    out.mux(video.encode(None))
    out.mux(sound.encode(None))
