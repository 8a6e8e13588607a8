"""Pictures over WebRTC, by a client in Python."""

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


def smooth(number: int) -> U8:
    """A picture whose gray says its number."""
    return np.full((128, 128, 3), 16 * (number % 16), np.uint8)


async def answers(server: RunningServer, count: int, **asked: str) -> list[tuple[int, U8]]:
    """The first translations."""
    found: list[tuple[int, U8]] = []
    enough = asyncio.Event()

    def answered(number: int, shown: U8, _: float) -> None:
        found.append((number, shown))
        if len(found) >= count:
            enough.set()

    async with WebRTCClient(server.url, smooth, answered, 20, asked):
        await asyncio.wait_for(enough.wait(), 30)
    return found


def test_each_translation_is_that_of_its_picture(model: Path) -> None:
    with start_server(model) as server:
        found = asyncio.run(answers(server, 20, size="source"))
    numbers = [number for number, _ in found]
    assert numbers == sorted(set(numbers))
    for number, shown in found[3:]:  # the first are blurred: the codec's rate is still growing
        assert shown.shape == (128, 128, 3)
        assert abs(float(shown.mean()) - (255 - 16 * (number % 16))) < 5


def test_a_frame_does_not_wait_for_the_next(model: Path) -> None:
    async def main() -> None:
        answered = asyncio.Event()
        once = 3.0  # seconds from one picture to the next
        client = WebRTCClient(server.url, smooth, lambda *_: answered.set(), 1 / once)
        async with client:
            await asyncio.wait_for(answered.wait(), 2 * once - 0.5)
        assert client.skipped == 0

    with start_server(model) as server:
        asyncio.run(main())


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
def test_bad_offers_are_refused_and_leave_nothing(model: Path, body: bytes) -> None:
    with start_server(model) as server:
        headers = {"Content-Type": "application/json"}
        assert server.request_refused("POST", "/v1/webrtc", body, headers) in (400, 404, 413)
        assert server.service.sessions.client_count == 0


def test_connections_that_end_leave_nothing(model: Path) -> None:
    def held() -> tuple[int, int]:
        """Threads besides those of the server's pool, which comes to its full size in time."""
        gc.collect()
        threads = [t for t in threading.enumerate() if "ThreadPoolExecutor" not in t.name]
        return len(threads), len(list(Path("/proc/self/fd").iterdir()))

    with start_server(model) as server:
        asyncio.run(answers(server, 2))
        asyncio.run(answers(server, 2))
        before = held()
        for _ in range(4):
            asyncio.run(answers(server, 2))
        deadline = time.monotonic() + 20
        while server.service.sessions.client_count or held() > before:
            assert time.monotonic() < deadline, (held(), before)
            time.sleep(0.1)


def test_a_client_that_falls_silent_gives_back_its_place(
    model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("cgt.serve.streaming.peer._MAX_CLIENT_SILENCE_S", 1.0)
    monkeypatch.setattr("cgt.serve.streaming.peer._CONNECT_TIMEOUT_S", 1.0)

    async def main() -> None:
        client = WebRTCClient(
            server.url, lambda _: make_image(0, 64, 64), lambda *_: None, rate=0.01
        )
        async with client:
            assert server.service.sessions.client_count == 1
            await asyncio.sleep(2)
            assert server.service.sessions.client_count == 0

    with start_server(model) as server:
        asyncio.run(main())
