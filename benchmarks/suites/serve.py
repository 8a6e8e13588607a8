"""Server under load from many WebSocket clients: fairness, errors, memory, threads, open files.

    python -m benchmarks.suites.serve [--sessions 8] [--minutes 10] [--size 256] [--json FILE]

The clients run on the same machine as their `cgt serve`. Together they offer more JPEG images than
the server can translate: 15 to 60 per second, four times as many from the fastest client as from
the slowest. The command fails if

- a client receives anything but images in order,
- the client with the most outputs has 1.5 times as many as the one with the fewest,
- the mean resident memory of a tenth of the time (after the first) deviates by more than 5 %, or
- the number of threads or open files grows.
"""

from __future__ import annotations

import asyncio
import io
import json
import statistics
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path

import aiohttp
import click
import numpy as np
from PIL import Image

from cgt.runtime.inference.translator import DEFAULT_MODEL
from cgt.runtime.utils.progress import progress_bar
from tests.support.server_process import ProcessUsage, ServerProcess, start_server

from ._cli import run_command

_MIN_OFFERED_FPS, _MAX_OFFERED_FPS = 15.0, 60.0  # images offered per second
_NUM_IMAGES = 16


@dataclass
class WebSocketClient:
    """One client. `latencies` are seconds from sending an image to receiving its output."""

    fps: float
    sent: int = 0
    received: int = 0
    latencies: list[float] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)

    async def run(self, url: str, size: int, images: list[bytes], end: float) -> None:
        """Send and receive until the `time.monotonic` time `end`."""
        try:
            async with aiohttp.ClientSession() as http, http.ws_connect(f"{url}/v1/stream") as ws:
                await ws.send_json({"size": str(size)})
                times: dict[int, float] = {}
                sending = asyncio.create_task(self._send(ws, images, end, times))
                try:
                    await self._receive(ws, end, times)
                finally:
                    sending.cancel()
                    await asyncio.wait([sending])
        except (aiohttp.ClientError, OSError) as error:
            self.errors.append(f"{type(error).__name__}: {error}")

    async def _send(
        self,
        ws: aiohttp.ClientWebSocketResponse,
        images: list[bytes],
        end: float,
        times: dict[int, float],
    ) -> None:
        while time.monotonic() < end:
            self.sent += 1
            times[self.sent] = time.perf_counter()
            data = images[self.sent % len(images)]
            await ws.send_bytes(self.sent.to_bytes(4, "big") + data)
            await asyncio.sleep(1 / self.fps)

    async def _receive(
        self, ws: aiohttp.ClientWebSocketResponse, end: float, times: dict[int, float]
    ) -> None:
        last_id = 0
        while time.monotonic() < end:
            message = await ws.receive(30)
            if message.type is not aiohttp.WSMsgType.BINARY:
                self.errors.append(f"{message.type.name}: {message.data}")
                return
            frame_id = int.from_bytes(message.data[:4], "big")
            if frame_id <= last_id or not message.data.startswith(b"\xff\xd8", 4):
                self.errors.append(f"output {frame_id} after {last_id}")
            last_id = frame_id
            self.received += 1
            self.latencies.append(time.perf_counter() - times[frame_id])
            for earlier in [sent for sent in times if sent <= frame_id]:
                del times[earlier]


def make_noise_jpegs(size: int) -> list[bytes]:
    """Return JPEG files of smooth noise, which compress like camera images."""
    random = np.random.default_rng(0)
    images = []
    for _ in range(_NUM_IMAGES):
        coarse = Image.fromarray(random.integers(0, 256, (16, 16, 3), np.uint8))
        data = io.BytesIO()
        coarse.resize((size, size), Image.Resampling.BICUBIC).save(data, "JPEG", quality=85)
        images.append(data.getvalue())
    return images


async def run_clients(
    server: ServerProcess, count: int, size: int, seconds: float
) -> tuple[list[WebSocketClient], list[ProcessUsage]]:
    """Run all clients to their end and sample the server's usage twice per second."""
    rates = np.linspace(_MIN_OFFERED_FPS, _MAX_OFFERED_FPS, count)
    clients = [WebSocketClient(float(rate)) for rate in rates]
    images, end = make_noise_jpegs(size), time.monotonic() + seconds
    client_tasks = asyncio.gather(
        *(client.run(server.url, size, images, end) for client in clients)
    )
    usage_samples: list[ProcessUsage] = []
    with progress_bar("serving", round(2 * seconds), unit="sample") as bar:
        while not client_tasks.done():
            usage_samples.append(await asyncio.to_thread(server.read_usage))
            bar.advance()
            await asyncio.sleep(0.5)
    await client_tasks
    return clients, usage_samples


def memory_by_tenth_mib(usage_samples: list[ProcessUsage]) -> list[float]:
    """Return the mean resident MiB of each tenth of the time except the first."""
    steady_mib = [usage.rss_bytes / 2**20 for usage in usage_samples[len(usage_samples) // 10 :]]
    length = max(1, len(steady_mib) // 9)
    return [
        statistics.mean(steady_mib[i : i + length])
        for i in range(0, len(steady_mib) - length + 1, length)
    ]


def violated_bounds(clients: list[WebSocketClient], usage_samples: list[ProcessUsage]) -> list[str]:
    """Return the bounds that do not hold."""
    received, memory = [client.received for client in clients], memory_by_tenth_mib(usage_samples)
    mean_memory = statistics.mean(memory)
    halves = (
        usage_samples[len(usage_samples) // 10 : len(usage_samples) // 2],
        usage_samples[len(usage_samples) // 2 :],
    )
    bounds = {
        "errors": any(client.errors for client in clients),
        "unfair": max(received) >= 1.5 * min(received),
        "memory is not within 5 %": (
            max(memory) > 1.05 * mean_memory or min(memory) < 0.95 * mean_memory
        ),
        "more threads": _max_usage(halves[1], "threads") > _max_usage(halves[0], "threads"),
        "more open files": (
            _max_usage(halves[1], "open_files") > _max_usage(halves[0], "open_files")
        ),
    }
    return [text for text, violated in bounds.items() if violated]


def _max_usage(usage_samples: list[ProcessUsage], field: str) -> int:
    return max(int(getattr(usage, field)) for usage in usage_samples)


@click.command()
@click.option("--sessions", default=8, show_default=True)
@click.option("--minutes", default=10.0, show_default=True)
@click.option("--size", default=256, show_default=True, help="Side in pixels.")
@click.option("--model", type=click.Path(path_type=Path), default=DEFAULT_MODEL)
@click.option("--json", "json_path", type=click.Path(path_type=Path))
def websocket_main(
    sessions: int, minutes: float, size: int, model: Path, json_path: Path | None
) -> None:
    """Run the clients; the exit code is 1 if a bound does not hold."""
    with start_server("--model", model, "--max-sessions", sessions) as server:
        clients, usage_samples = asyncio.run(run_clients(server, sessions, size, 60 * minutes))
    total = sum(client.received for client in clients)
    results = {
        "sessions": sessions,
        "minutes": minutes,
        "frames_per_second": round(total / 60 / minutes, 2),
        "cpu_ms_per_frame": round(
            1e3 * (usage_samples[-1].cpu_seconds - usage_samples[0].cpu_seconds) / max(total, 1), 1
        ),
        "frames": [client.received for client in clients],
        "offered": [client.sent for client in clients],
        "latency_ms": {
            f"p{q}": round(
                1e3 * float(np.percentile([t for c in clients for t in c.latencies] or [0], q)), 1
            )
            for q in (50, 95)
        },
        "errors": [error for client in clients for error in client.errors],
        "memory_mib": [round(value, 1) for value in memory_by_tenth_mib(usage_samples)],
        "threads": _max_usage(usage_samples, "threads"),
        "files": _max_usage(usage_samples, "open_files"),
    }
    click.echo(json.dumps(results, indent=1))
    if json_path:
        json_path.write_text(json.dumps(results, indent=1))
    if failed := violated_bounds(clients, usage_samples):
        sys.exit(", ".join(failed))


if __name__ == "__main__":
    run_command(websocket_main)
