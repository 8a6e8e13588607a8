"""WebRTC end to end on one machine: frames per second and latency from capture to display.

    python -m benchmarks.suites.webrtc [--client browser|python] [--seconds 20] [--json FILE]

One client uses a `cgt serve` with the bundled model at 256x256. Its camera gives 30 frames per
second. The browser client is Chromium: the page measures the time from a camera frame to its
translation on the canvas. It shares the cores with the server, codecs included. The Python client
has no browser. The command fails below 15 frames/s or above 250 ms (p95) in the browser, and below
25 frames/s in Python.
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
from cgt.runtime.image.geometry import format_size
from cgt.runtime.inference.translator import DEFAULT_MODEL
from tests.support.chromium import CAMERA_FPS, launch_chromium, numbered_frame, write_camera_clip
from tests.support.server_process import start_server

from ._cli import run_command

_SIDE_PX = 256
_WARM_UP_S = 4.0  # the codecs adapt their bit rate
_MIN_FPS = {"browser": 15.0, "python": 25.0}
_MAX_P95_LATENCY_MS = 250.0  # in the browser


def summarize_latencies(latencies: list[float], dropped: int, seconds: float) -> dict[str, Any]:
    """Summarize the latencies in milliseconds of the frames that were shown."""
    return {
        "frames_per_second": round(len(latencies) / seconds, 2),
        "latency_ms": {
            f"p{q}": round(float(np.percentile(latencies or [0], q)), 1) for q in (50, 95, 99)
        },
        "shown": len(latencies),
        "dropped": dropped,
    }


def measure_browser(url: str, seconds: float) -> dict[str, Any]:
    """Return what the page measures itself."""
    with tempfile.TemporaryDirectory() as folder:
        clip = write_camera_clip(Path(folder) / "camera.y4m", 90, (_SIDE_PX, _SIDE_PX))
        with launch_chromium(clip) as browser:
            page = browser.new_page()
            page.goto(url)
            page.get_by_role("button", name="Use the camera").click()
            page.locator("#frame").wait_for()
            page.wait_for_timeout(1000 * _WARM_UP_S)
            app = "const { app } = await import('./js/main.js');"
            page.evaluate(f"async () => {{ {app} app.stats.reset(); app.inFlight.dropped = 0; }}")
            started = time.perf_counter()
            page.wait_for_timeout(1000 * seconds)
            latencies, dropped = page.evaluate(
                f"async () => {{ {app} return [app.stats.latencies, app.dropped]; }}"
            )
            return summarize_latencies(latencies, dropped, time.perf_counter() - started) | {
                "over": page.locator("#transport").inner_text(),
                "browser": browser.version,
            }


async def measure_python_client(url: str, seconds: float) -> dict[str, Any]:
    """Return the same values for a Python client that shows nothing."""
    from tests.support.webrtc_client import WebRTCClient

    images = [numbered_frame(number, (_SIDE_PX, _SIDE_PX)) for number in range(90)]
    latencies: list[float] = []

    def on_frame(_: int, __: object, latency_s: float) -> None:
        latencies.append(1000 * latency_s)

    async with WebRTCClient(url, lambda i: images[i % 90], on_frame, CAMERA_FPS) as client:
        await asyncio.sleep(_WARM_UP_S)
        latencies.clear()
        client.skipped = 0
        await asyncio.sleep(seconds)
        return summarize_latencies(latencies, client.skipped, seconds) | {"over": "WebRTC"}


@click.command()
@click.option("--client", type=click.Choice(tuple(_MIN_FPS)), default="browser", show_default=True)
@click.option("--seconds", default=20.0, show_default=True)
@click.option("--model", type=click.Path(path_type=Path), default=DEFAULT_MODEL)
@click.option("--json", "json_path", type=click.Path(path_type=Path))
def webrtc_main(
    client: Literal["browser", "python"], seconds: float, model: Path, json_path: Path | None
) -> None:
    """Run one client; raise QualityError if a bound does not hold."""
    with start_server("--model", model) as server:
        if client == "browser":
            results = measure_browser(server.url, seconds)
        else:
            results = asyncio.run(measure_python_client(server.url, seconds))
    size = format_size((_SIDE_PX, _SIDE_PX))
    results |= {"client": client, "size": size, "seconds": seconds}
    print(json.dumps(results, indent=1))
    if json_path:
        json_path.write_text(json.dumps(results, indent=1))
    if results["frames_per_second"] < _MIN_FPS[client]:
        raise QualityError(f"fewer than {_MIN_FPS[client]:.0f} frames/s")
    if client == "browser" and results["latency_ms"]["p95"] >= _MAX_P95_LATENCY_MS:
        raise QualityError(f"a latency (p95) of {_MAX_P95_LATENCY_MS:.0f} ms or more")


if __name__ == "__main__":
    run_command(webrtc_main)
