"""Live translation with bounded latency, of a camera or a video: live.py SOURCE [SECONDS].

The newest frame is always next; older frames that wait are dropped.
"""

import sys
import time

from cgt.runtime import translate
from cgt.runtime.utils.stats import Stats

source, *rest = sys.argv[1:]
seconds = float(rest[0]) if rest else 10.0
stats = Stats()
end = time.monotonic() + seconds
for frame in translate(source, live=True, max_fps=30, stats=stats):
    size = frame.shape[:2]  # show the frame here: uint8 HWC RGB
    if time.monotonic() > end:
        break
latency = stats.stages["latency"]
print(
    f"{stats.frames} frames of {size[1]}x{size[0]}, {stats.dropped} dropped, "
    f"capture to output {latency.percentile(50) * 1e3:.0f} ms, "
    f"p99 {latency.percentile(99) * 1e3:.0f}"
)
