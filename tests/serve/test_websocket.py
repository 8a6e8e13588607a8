"""Pictures over a WebSocket."""

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


def talk(
    server: RunningServer, words: Callable[[ClientWebSocketResponse], Awaitable[None]]
) -> None:
    async def main() -> None:
        async with ClientSession() as http, http.ws_connect(f"{server.url}/v1/stream") as socket:
            await words(socket)

    asyncio.run(asyncio.wait_for(main(), 30))


async def closed(socket: ClientWebSocketResponse) -> int | None:
    """The code it is closed with."""
    while not socket.closed:
        await socket.receive()
    return socket.close_code


def test_each_picture_comes_back_with_its_stamp(model: Path) -> None:
    image = make_image(0, 64, 96)

    async def words(socket: ClientWebSocketResponse) -> None:
        await socket.send_json({"size": "source"})
        for stamp in (7, 2**32 - 1):
            await socket.send_bytes(stamp.to_bytes(4, "big") + encode_image("PNG", image))
            answer = await socket.receive_bytes()
            assert int.from_bytes(answer[:4], "big") == stamp
            assert np.abs(decode_image(answer[4:]).astype(int) - (255 - image)).mean() < 3

    with start_server(model) as server:
        talk(server, words)


def test_choices_clock_and_complaints(model: Path) -> None:
    async def words(socket: ClientWebSocketResponse) -> None:
        await socket.send_json({"size": "source"})
        await socket.send_json({"kind": "clock", "page": 12.5})
        answer = await socket.receive_json()
        assert answer["page"] == 12.5
        assert answer["server"] > 0
        await socket.send_json({"kind": "choose", "size": "32x48"})
        assert await socket.receive_json() == {"kind": "chosen"}
        await socket.send_bytes(bytes(4) + encode_image("PNG", make_image(0, 64, 64)))
        assert decode_image((await socket.receive_bytes())[4:]).shape == (32, 48, 3)
        for wrong in ({"kind": "choose", "model": "x"}, {"kind": "choose", "size": 3}, {}, [], 1):
            await socket.send_json(wrong)
            assert (await socket.receive_json())["kind"] == "error"
        await socket.send_str("[" * 100_000)
        assert (await socket.receive_json())["kind"] == "error"

    with start_server(model) as server:
        talk(server, words)


@pytest.mark.parametrize(
    "first", ["", "{", "[]", '{"source": "disk"}', '{"source": "server"}', '{"model": {}}']
)
def test_a_wrong_beginning_ends_it(model: Path, first: str) -> None:
    async def words(socket: ClientWebSocketResponse) -> None:
        await socket.send_str(first)
        assert await closed(socket) == 1008

    with start_server(model) as server:
        talk(server, words)
        assert server.service.sessions.client_count == 0


def test_what_is_no_picture_ends_it(model: Path) -> None:
    async def words(socket: ClientWebSocketResponse) -> None:
        await socket.send_json({})
        await socket.send_bytes(b"1234 is no picture")
        assert await closed(socket) == 1008

    with start_server(model) as server:
        talk(server, words)


def test_the_next_one_is_told_to_wait(model: Path) -> None:
    async def words(socket: ClientWebSocketResponse) -> None:
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
            assert "taken" in message.extra

    with start_server(model, most=1) as server:
        talk(server, words)


def test_pages_of_other_servers_are_kept_out(model: Path) -> None:
    async def main() -> None:
        async with ClientSession() as http:
            with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
                await http.ws_connect(
                    f"{server.url}/v1/stream", headers={"Origin": "http://evil.test"}
                )
            assert refused.value.status == 403

    with start_server(model) as server:
        asyncio.run(main())


def test_two_viewers_see_the_servers_source(model: Path) -> None:
    async def one(http: ClientSession, size: str) -> tuple[int, ...]:
        async with http.ws_connect(f"{server.url}/v1/stream") as socket:
            await socket.send_str(json.dumps({"source": "server", "size": size}))
            stamps = []
            for _ in range(3):
                answer = await socket.receive_bytes()
                stamps.append(int.from_bytes(answer[:4], "big"))
                pair = decode_image(answer[4:])
            height, width = map(int, size.split("x"))
            assert pair.shape == (2 * height, width, 3)
            above, below = np.split(pair.astype(int), 2)
            assert np.abs(above - (255 - below)).mean() < 4
            assert stamps == sorted(set(stamps))
            return pair.shape

    async def main() -> None:
        async with ClientSession() as http:
            await asyncio.gather(*(one(http, size) for size in ("48x64", "48x64", "96x128")))

    with start_server(model, source="test://?size=128x96&fps=20") as server:
        asyncio.run(asyncio.wait_for(main(), 30))
        assert server.service.sessions.client_count == 0


def test_a_recording_plays_again_and_again(model: Path, clip: Path) -> None:
    async def words(socket: ClientWebSocketResponse) -> None:
        await socket.send_json({"source": "server"})
        for _ in range(CLIP_FRAMES + 5):
            await socket.receive_bytes(timeout=10)

    with start_server(model, source=str(clip)) as server:
        talk(server, words)
    assert not [thread for thread in threading.enumerate() if thread.name == "cgt-source"]


def test_a_source_that_is_not_there(model: Path) -> None:
    with pytest.raises(SourceError, match="nowhere"), start_server(model, source="nowhere.mp4"):
        pass


def test_a_source_that_breaks_is_said_to_have(model: Path, tmp_path: Path) -> None:
    async def words(socket: ClientWebSocketResponse) -> None:
        await socket.send_json({"source": "server"})
        while (message := await socket.receive()).type is WSMsgType.BINARY:
            if film.exists():
                film.unlink()
        assert message.type is WSMsgType.TEXT
        assert "film.mp4" in json.loads(message.data)["message"]

    film = tmp_path / "film.mp4"
    with av.open(str(film), "w") as out:
        video = out.add_stream("libx264", rate=20)
        video.height = video.width = 64
        for index in range(20):
            frame = av.VideoFrame.from_ndarray(make_image(index, 64, 64), format="rgb24")
            out.mux(video.encode(frame))
        out.mux(video.encode(None))
    with start_server(model, source=str(film)) as server:
        talk(server, words)
