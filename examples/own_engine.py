"""Custom engine that inverts the colors of a video: own_engine.py IN OUT.mp4."""

import sys
import threading

import numpy as np

from cgt.runtime import Translator
from cgt.runtime.engines import Engine
from cgt.runtime.pipeline import run_pipeline
from cgt.runtime.sinks import StreamFormat, open_sink
from cgt.runtime.sources import open_source
from cgt.runtime.utils.stats import Stats


class Inverse(Engine):
    """Engine that negates its input: float32 N,3,H,W RGB in [-1, 1]."""

    name, device, precision, workers = "inverse", "CPU", "fp32", 2

    def infer(self, batch, out, statistics_in=None, statistics_out=None):
        np.negative(batch, out=out)

    def close(self):
        pass


with (
    open_source(sys.argv[1]) as source,
    Translator(
        engine=Inverse(),
        upsampling="guided",
        frame_size=source.size,
        sample_aspect_ratio=source.sample_aspect_ratio,
    ) as translator,
    open_sink(sys.argv[2], StreamFormat.from_source(source, translator.geometry)) as sink,
):
    for _ in run_pipeline(source, translator, sink, stats := Stats(), threading.Event()):
        pass
print(f"{stats.frames} frames")
