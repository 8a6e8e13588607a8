"""From capture to display, by one who is served: frames per second and latency.

    python -m cgt.benchmarks.webrtc [--client browser|python] [--seconds 20] [--json FILE]

A `cgt serve` of its own with the bundled model, at 256x256, and one client on the same machine,
whose camera gives 30 frames a second. browser: Chromium shows the page, which measures itself, from
the camera's frame to the translation on its canvas; it computes on the same cores, codecs and all.
python: a client without a browser. Fails below 15 frames/s or above 250 ms (p95) in the browser,
below 25 frames/s in Python.
"""

from __future__ import annotations

import asyncio
import json
import tempfile
import time
from pathlib import Path
from typing import Any, Literal

import click
import numpy as np

from cgt.runtime.errors import QualityError
from cgt.runtime.translator import BUNDLED_MODEL

from .chromium import RATE, chromium, numbered_frame, write_clip
from .command import run_command
from .served import served

_SIDE = 256
_WARM_UP = 4.0  # seconds, in which the codecs find their rate
_LEAST = {"browser": 15.0, "python": 25.0}  # frames a second
_LONGEST = 250.0  # milliseconds, p95, in the browser


def figures(latencies: list[float], dropped: int, seconds: float) -> dict[str, Any]:
    """latencies: milliseconds of each frame shown."""
    return {
        "frames_per_second": round(len(latencies) / seconds, 2),
        "latency_ms": {
            f"p{q}": round(float(np.percentile(latencies or [0], q)), 1) for q in (50, 95, 99)
        },
        "shown": len(latencies),
        "dropped": dropped,
    }


def in_browser(url: str, seconds: float) -> dict[str, Any]:
    """What the page says of itself."""
    with tempfile.TemporaryDirectory() as folder:
        clip = write_clip(Path(folder) / "camera.y4m", 90, (_SIDE, _SIDE))
        with chromium(clip) as browser:
            page = browser.new_page()
            page.goto(url)
            page.get_by_role("button", name="Use the camera").click()
            page.locator("#frame").wait_for()
            page.wait_for_timeout(1000 * _WARM_UP)
            app = "const { app } = await import('./main.js');"
            page.evaluate(f"async () => {{ {app} app.meter.reset(); app.outbox.lost = 0; }}")
            began = time.perf_counter()
            page.wait_for_timeout(1000 * seconds)
            latencies, dropped = page.evaluate(
                f"async () => {{ {app} return [app.meter.latencies, app.dropped]; }}"
            )
            took = time.perf_counter() - began
            return figures(latencies, dropped, took) | {
                "over": page.locator("#transport").inner_text(),
                "browser": browser.version,
            }


async def in_python(url: str, seconds: float) -> dict[str, Any]:
    """The same by a client that shows nothing."""
    from .webrtc_client import WebRTCClient

    pictures = [numbered_frame(number, (_SIDE, _SIDE)) for number in range(90)]
    latencies: list[float] = []

    def answered(_: int, __: object, took: float) -> None:
        latencies.append(1000 * took)

    async with WebRTCClient(url, lambda i: pictures[i % 90], answered, RATE) as client:
        await asyncio.sleep(_WARM_UP)
        latencies.clear()
        client.skipped = 0
        await asyncio.sleep(seconds)
        return figures(latencies, client.skipped, seconds) | {"over": "WebRTC"}


@click.command()
@click.option("--client", type=click.Choice(tuple(_LEAST)), default="browser", show_default=True)
@click.option("--seconds", default=20.0, show_default=True)
@click.option("--model", type=click.Path(path_type=Path), default=BUNDLED_MODEL)
@click.option("--json", "json_path", type=click.Path(path_type=Path))
def main(
    client: Literal["browser", "python"], seconds: float, model: Path, json_path: Path | None
) -> None:
    """Raises QualityError where a bound does not hold."""
    with served("--model", model) as server:
        if client == "browser":
            facts = in_browser(server.url, seconds)
        else:
            facts = asyncio.run(in_python(server.url, seconds))
    facts = {"client": client, "size": [_SIDE, _SIDE], "seconds": seconds} | facts
    print(json.dumps(facts, indent=1))
    if json_path:
        json_path.write_text(json.dumps(facts, indent=1))
    if facts["frames_per_second"] < _LEAST[client]:
        raise QualityError(f"fewer than {_LEAST[client]:.0f} frames/s")
    if client == "browser" and facts["latency_ms"]["p95"] >= _LONGEST:
        raise QualityError(f"a latency (p95) of {_LONGEST:.0f} ms or more")


if __name__ == "__main__":
    run_command(main)
