"""Tests of the WebRTC transport with a Python client."""

from __future__ import annotations

import asyncio
import gc
import json
import threading
import time
from pathlib import Path

import numpy as np
import pytest
from support.webrtc_client import WebRTCClient

from cgt.runtime.image.preprocess import U8
from conftest import make_image, write_inverse_model

from .server import RunningServer, start_server


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_inverse_model(tmp_path_factory.mktemp("webrtc") / "inverse.onnx")


def gray_frame(number: int) -> U8:
    """Return a frame whose gray level encodes its number."""
    return np.full((128, 128, 3), 16 * (number % 16), np.uint8)


async def receive_frames(
    server: RunningServer, count: int, **settings: str
) -> list[tuple[int, U8]]:
    """Return the first translations with their frame numbers."""
    received: list[tuple[int, U8]] = []
    complete = asyncio.Event()

    def on_frame(number: int, translated: U8, _: float) -> None:
        received.append((number, translated))
        if len(received) >= count:
            complete.set()

    async with WebRTCClient(server.url, gray_frame, on_frame, 20, settings):
        await asyncio.wait_for(complete.wait(), 90)
    return received


def test_translations_match_their_frames(model: Path) -> None:
    with start_server(model) as server:
        received = asyncio.run(receive_frames(server, 20, size="source"))
    numbers = [number for number, _ in received]
    assert numbers == sorted(set(numbers))
    for number, translated in received[3:]:  # the first are blurred: the bitrate still grows
        assert translated.shape == (128, 128, 3)
        assert abs(float(translated.mean()) - (255 - 16 * (number % 16))) < 5


def test_frame_is_translated_before_the_next_arrives(model: Path) -> None:
    async def main() -> None:
        received = asyncio.Event()
        interval_s = 3.0  # from one frame to the next
        client = WebRTCClient(server.url, gray_frame, lambda *_: received.set(), 1 / interval_s)
        async with client:
            await asyncio.wait_for(received.wait(), 2 * interval_s - 0.5)
        assert client.skipped == 0

    with start_server(model) as server:
        asyncio.run(main())


@pytest.mark.slow
@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"[]",
        b'{"sdp": 1, "type": "offer"}',
        b'{"sdp": "x", "type": "answer"}',
        b'{"sdp": "v=0", "type": "offer"}',
        json.dumps({"sdp": "m=video 9 UDP 96\r\n" * 20, "type": "offer"}).encode(),
        b'{"sdp": "", "type": "offer", "model": "x"}',
        b'{"sdp": "' + b"v" * 100_000 + b'", "type": "offer"}',
        b"[" * 50_000,
    ],
)
def test_invalid_offers(model: Path, body: bytes) -> None:
    with start_server(model) as server:
        headers = {"Content-Type": "application/json"}
        assert server.request_error("POST", "/v1/webrtc", body, headers) in (400, 404, 413)
        assert server.service.sessions.client_count == 0


def test_closed_connections_leave_no_threads_or_files(model: Path) -> None:
    def count_resources() -> tuple[int, int]:
        """Count threads and open files, without the thread pool of the server, which grows."""
        gc.collect()
        threads = [t for t in threading.enumerate() if "ThreadPoolExecutor" not in t.name]
        return len(threads), len(list(Path("/proc/self/fd").iterdir()))

    with start_server(model) as server:
        asyncio.run(receive_frames(server, 2))
        asyncio.run(receive_frames(server, 2))
        before = count_resources()
        for _ in range(4):
            asyncio.run(receive_frames(server, 2))
        deadline = time.monotonic() + 60
        while server.service.sessions.client_count or count_resources() > before:
            assert time.monotonic() < deadline, (count_resources(), before)
            time.sleep(0.1)


def test_silent_client_is_disconnected(model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cgt.serve.streaming.peer._MAX_CLIENT_SILENCE_S", 1.0)
    monkeypatch.setattr("cgt.serve.streaming.peer._CONNECT_TIMEOUT_S", 1.0)

    async def main() -> None:
        client = WebRTCClient(
            server.url, lambda _: make_image(0, 64, 64), lambda *_: None, rate=0.01
        )
        async with client:
            deadline = time.monotonic() + 60
            while server.service.sessions.client_count:
                assert time.monotonic() < deadline
                await asyncio.sleep(0.05)

    with start_server(model) as server:
        asyncio.run(main())
