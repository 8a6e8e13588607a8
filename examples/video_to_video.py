"""Steps of `cgt translate IN -o OUT` in Python: video_to_video.py IN OUT.mp4 [MODEL.onnx]."""

import sys
import threading

from cgt.runtime import Translator
from cgt.runtime.pipeline import run_pipeline
from cgt.runtime.sinks import StreamFormat, open_sink
from cgt.runtime.sources import open_source
from cgt.runtime.utils.stats import Stats

source_uri, sink_uri, *model = sys.argv[1:]
stats, stop = Stats(), threading.Event()  # stop.set() from any thread ends the run gracefully
with (
    open_source(source_uri) as source,
    Translator(
        *model,
        frame_size=source.size,
        sample_aspect_ratio=source.sample_aspect_ratio,
        performance_hint="throughput",
    ) as translator,
    open_sink(sink_uri, StreamFormat.from_source(source, translator.geometry)) as sink,
):
    for result in run_pipeline(source, translator, sink, stats, stop):
        del result  # result.image is the translation of result.source_frame.image
print(f"{stats.frames} frames, {stats.fps:.1f} frames/s on {translator.engine.name}")
