"""A camera, or a video as if it were one, with bounded latency: live.py SOURCE [SECONDS]

Frames that come too fast are dropped; the newest one is always next."""

import sys
import time

from cgt.runtime import translate
from cgt.runtime.utils.stats import Stats

source, *rest = sys.argv[1:]
seconds = float(rest[0]) if rest else 10.0
stats = Stats()
end = time.monotonic() + seconds
for frame in translate(source, live=True, max_fps=30, stats=stats):
    size = frame.shape[:2]  # show(frame) would stand here: uint8 HWC RGB
    if time.monotonic() > end:
        break
latency = stats.stages["latency"]
print(
    f"{stats.frames} frames of {size[1]}x{size[0]}, {stats.dropped} dropped, "
    f"capture to output {latency.percentile(50) * 1e3:.0f} ms, "
    f"p99 {latency.percentile(99) * 1e3:.0f}"
)
