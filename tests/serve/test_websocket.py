"""Tests of the WebSocket transport."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Awaitable, Callable
from pathlib import Path

import aiohttp
import av
import numpy as np
import pytest
from aiohttp import ClientSession, ClientWebSocketResponse, WSMsgType

from cgt.runtime.errors import SourceError
from conftest import CLIP_FRAMES, make_image, write_inverse_model

from .factories import decode_image, encode_image
from .server import RunningServer, start_server


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_inverse_model(tmp_path_factory.mktemp("socket") / "inverse.onnx")


def run_client(
    server: RunningServer, client: Callable[[ClientWebSocketResponse], Awaitable[None]]
) -> None:
    async def main() -> None:
        async with ClientSession() as http, http.ws_connect(f"{server.url}/v1/stream") as socket:
            await client(socket)

    asyncio.run(asyncio.wait_for(main(), 120))


async def wait_for_close_code(socket: ClientWebSocketResponse) -> int | None:
    while not socket.closed:
        await socket.receive()
    return socket.close_code


def test_translations_keep_their_timestamps(model: Path) -> None:
    image = make_image(0, 64, 96)

    async def client(socket: ClientWebSocketResponse) -> None:
        await socket.send_json({"size": "source"})
        for timestamp in (7, 2**32 - 1):
            await socket.send_bytes(timestamp.to_bytes(4, "big") + encode_image("PNG", image))
            received = await socket.receive_bytes()
            assert int.from_bytes(received[:4], "big") == timestamp
            assert np.abs(decode_image(received[4:]).astype(int) - (255 - image)).mean() < 3

    with start_server(model) as server:
        run_client(server, client)


def test_control_messages(model: Path) -> None:
    async def client(socket: ClientWebSocketResponse) -> None:
        await socket.send_json({"size": "source"})
        await socket.send_json({"kind": "clock", "page": 12.5})
        reply = await socket.receive_json()
        assert reply["page"] == 12.5
        assert reply["server"] > 0
        await socket.send_json({"kind": "choose", "size": "48x32"})
        assert await socket.receive_json() == {"kind": "chosen"}
        await socket.send_bytes(bytes(4) + encode_image("PNG", make_image(0, 64, 64)))
        assert decode_image((await socket.receive_bytes())[4:]).shape == (32, 48, 3)
        for invalid in ({"kind": "choose", "model": "x"}, {"kind": "choose", "size": 3}, {}, [], 1):
            await socket.send_json(invalid)
            assert (await socket.receive_json())["kind"] == "error"
        await socket.send_str("[" * 100_000)
        assert (await socket.receive_json())["kind"] == "error"

    with start_server(model) as server:
        run_client(server, client)


@pytest.mark.slow
@pytest.mark.parametrize(
    "first", ["", "{", "[]", '{"source": "disk"}', '{"source": "server"}', '{"model": {}}']
)
def test_invalid_first_message_closes_the_socket(model: Path, first: str) -> None:
    async def client(socket: ClientWebSocketResponse) -> None:
        await socket.send_str(first)
        assert await wait_for_close_code(socket) == 1008

    with start_server(model) as server:
        run_client(server, client)
        assert server.service.sessions.client_count == 0


def test_invalid_image_closes_the_socket(model: Path) -> None:
    async def client(socket: ClientWebSocketResponse) -> None:
        await socket.send_json({})
        await socket.send_bytes(b"1234 is not an image")
        assert await wait_for_close_code(socket) == 1008

    with start_server(model) as server:
        run_client(server, client)


def test_limit_of_sessions(model: Path) -> None:
    async def client(socket: ClientWebSocketResponse) -> None:
        await socket.send_json({})
        await socket.send_json({"kind": "clock"})
        await socket.receive()
        async with (
            ClientSession() as http,
            http.ws_connect(f"{server.url}/v1/stream") as other,
        ):
            await other.send_json({})
            message = await other.receive()
            assert message.type is WSMsgType.CLOSE
            assert message.data == 4429
            assert "in use" in message.extra

    with start_server(model, max_sessions=1) as server:
        run_client(server, client)


def test_other_origins_are_rejected(model: Path) -> None:
    async def main() -> None:
        async with ClientSession() as http:
            with pytest.raises(aiohttp.WSServerHandshakeError) as error:
                await http.ws_connect(
                    f"{server.url}/v1/stream", headers={"Origin": "http://evil.test"}
                )
            assert error.value.status == 403

    with start_server(model) as server:
        asyncio.run(main())


def test_viewers_of_the_server_source(model: Path) -> None:
    async def watch(http: ClientSession, size: str) -> None:
        async with http.ws_connect(f"{server.url}/v1/stream") as socket:
            await socket.send_str(json.dumps({"source": "server", "size": size}))
            timestamps = []
            for _ in range(3):
                received = await socket.receive_bytes()
                timestamps.append(int.from_bytes(received[:4], "big"))
                pair = decode_image(received[4:])
            width, height = map(int, size.split("x"))
            assert pair.shape == (2 * height, width, 3)
            above, below = np.split(pair.astype(int), 2)
            assert np.abs(above - (255 - below)).mean() < 4
            assert timestamps == sorted(set(timestamps))

    async def main() -> None:
        async with ClientSession() as http:
            await asyncio.gather(*(watch(http, size) for size in ("64x48", "64x48", "128x96")))

    with start_server(model, source="test://?size=128x96&fps=20") as server:
        asyncio.run(asyncio.wait_for(main(), 120))
        assert server.service.sessions.client_count == 0


def test_video_file_plays_in_a_loop(model: Path, clip: Path) -> None:
    async def client(socket: ClientWebSocketResponse) -> None:
        await socket.send_json({"source": "server"})
        for _ in range(CLIP_FRAMES + 5):
            await socket.receive_bytes(timeout=60)

    with start_server(model, source=str(clip)) as server:
        run_client(server, client)
    assert not [thread for thread in threading.enumerate() if thread.name == "cgt-source"]


def test_missing_source(model: Path) -> None:
    with pytest.raises(SourceError, match="nowhere"), start_server(model, source="nowhere.mp4"):
        pass


def test_lost_source_is_reported(model: Path, tmp_path: Path) -> None:
    async def client(socket: ClientWebSocketResponse) -> None:
        await socket.send_json({"source": "server"})
        while (message := await socket.receive()).type is WSMsgType.BINARY:
            if video_path.exists():
                video_path.unlink()
        assert message.type is WSMsgType.TEXT
        assert "video.mp4" in json.loads(message.data)["message"]

    video_path = tmp_path / "video.mp4"
    with av.open(str(video_path), "w") as out:
        video = out.add_stream("libx264", rate=20)
        video.height = video.width = 64
        for index in range(20):
            frame = av.VideoFrame.from_ndarray(make_image(index, 64, 64), format="rgb24")
            out.mux(video.encode(frame))
        out.mux(video.encode(None))
    with start_server(model, source=str(video_path)) as server:
        run_client(server, client)
