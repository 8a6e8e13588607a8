"""Tests with hundreds of malformed requests: each is rejected, none disturbs other clients."""

from __future__ import annotations

import asyncio
import contextlib
import gzip
import itertools
import json
import socket
import threading
from collections.abc import Iterator

import aiohttp
import numpy as np
import pytest

from cgt.serve.api.image_codec import MAX_IMAGE_BYTES
from conftest import make_image, write_inverse_model

from .factories import decode_image, encode_image, make_png_bomb, make_scan_bomb
from .server import RunningServer, start_server


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    with start_server(
        write_inverse_model(tmp_path_factory.mktemp("models") / "inverse.onnx")
    ) as server:
        yield server


def malformed_bodies() -> Iterator[tuple[bytes, dict[str, str]]]:
    """Yield damaged images, decompression bombs, and malformed forms and encodings."""
    random = np.random.default_rng(0)
    for kind in ("PNG", "JPEG", "WEBP"):
        data, headers = encode_image(kind), {"Content-Type": f"image/{kind.lower()}"}
        for length in random.integers(0, len(data) - 20, 12):
            yield data[:length], headers
        for _ in range(20):
            damaged = np.frombuffer(data, np.uint8).copy()
            damaged[random.integers(0, len(data), 20)] = random.integers(0, 256, 20)
            yield damaged.tobytes(), headers
        yield random.bytes(2000), headers
        yield b"", headers
    png = {"Content-Type": "image/png"}
    for bomb in (
        make_png_bomb(10000, 100),
        make_png_bomb(8000, 8000),
        make_scan_bomb(200),
        make_png_bomb(5, 0),
    ):
        yield bomb, png
    yield gzip.compress(bytes(64 * 2**20)), png | {"Content-Encoding": "gzip"}
    yield b"not gzip", png | {"Content-Encoding": "gzip"}
    yield encode_image("PNG"), png | {"Content-Encoding": "nonsense"}
    multipart = b'--xx\r\nContent-Disposition: form-data; name="image"\r\n\r\n'
    broken = [b"", multipart, b"--xx--", b"--xx\r\n" * 500, multipart + b"--xx\r\n" * 100]
    broken += [b"--xx\r\n" + b"a" * 100_000, b"--xx\r\nContent-Length: -5\r\n\r\n\r\n--xx--"]
    broken += [b"--xx\r\nContent-Type: multipart/mixed; boundary=yy\r\n\r\n--yy\r\n\r\n--yy--"]
    broken += [multipart.replace(b"\r\n\r\n", b"\r\nContent-Transfer-Encoding: x\r\n\r\n") + b"a"]
    broken += [random.bytes(500) for _ in range(20)]
    for body, boundary in itertools.product(broken, ("; boundary=xx", "; boundary=", "")):
        yield body, {"Content-Type": f"multipart/form-data{boundary}"}
    for kind in ("", "/", "image", "text/html; charset=nonsense", "image/png; x" * 50, "\xff"):
        yield b"abc", {"Content-Type": kind}


def test_malformed_uploads(server: RunningServer) -> None:
    stop, responses = threading.Event(), [0]

    def send_valid_images() -> None:
        image = make_image(0, 64, 48)
        while not stop.is_set():
            headers = {"Content-Type": "image/png"}
            status, _, body = server.request(
                "POST", "/v1/translate?size=source", encode_image("PNG"), headers
            )
            assert status == 200
            np.testing.assert_array_equal(decode_image(body), 255 - image)
            responses[0] += 1

    thread = threading.Thread(target=send_valid_images)
    thread.start()
    try:
        statuses = [
            server.request("POST", "/v1/translate", *upload)[0] for upload in malformed_bodies()
        ]
    finally:
        stop.set()
        thread.join()
    assert len(statuses) >= 200
    assert responses[0] > 20
    # A changed byte may leave an image that decodes.
    assert set(statuses) <= {200, 400, 413, 415, 422}
    assert statuses.count(200) < 30
    assert server.request("GET", "/healthz")[0] == 200


def test_requests_that_are_not_http(
    server: RunningServer, caplog: pytest.LogCaptureFixture
) -> None:
    random = np.random.default_rng(0)
    head = b"POST /v1/translate HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: image/png\r\n"
    lines = [random.bytes(200) for _ in range(20)]
    lines += [b"GET / HTTP/9.9\r\n\r\n", b"GET " + b"a" * 100_000, b"\r\n" * 1000, b"\x16\x03\x01"]
    lines += [head + b"Content-Length: -1\r\n\r\n", head + b"Content-Length: 99999999999\r\n\r\nx"]
    lines += [head + b"Transfer-Encoding: chunked\r\n\r\nzzz\r\n", head + b"X: " + b"y" * 100_000]
    lines += [head + b"Content-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"]
    for line in lines:
        with socket.create_connection(("127.0.0.1", server.port)) as client:
            client.sendall(line)
            client.shutdown(socket.SHUT_WR)
            client.settimeout(20)
            response = client.recv(100)
            assert not response.startswith(b"HTTP/1.1 5"), line
            assert not response.startswith(b"HTTP/1.1 2"), line
    assert server.request("GET", "/healthz")[0] == 200
    assert not caplog.records


def malformed_conversations() -> Iterator[list[str | bytes]]:
    """Yield the messages of one WebSocket each."""
    random = np.random.default_rng(0)
    jpeg, first = encode_image("JPEG"), '{"size": "32"}'
    for text in ("", "{", "[]", "null", "1", '"x"', "[" * 100_000, '{"a":' * 5000, "\0", "\ud7ff"):
        yield [text]
        yield [first, text]
    for selection in ('{"model": 5}', '{"size": []}', '{"size": "0"}', '{"size": "9999"}'):
        yield [selection]
        yield [first, f'{{"kind": "choose", {selection[1:]}']
    for selection in ('{"source": "/etc/passwd"}', '{"model": "../x"}', '{"precision": "x"}'):
        yield [selection]
    for message in (
        '{"kind": 1}',
        '{"kind": "clock"}',
        '{"kind": "nosuch"}',
        '{"kind": null}',
        "{}",
    ):
        yield [first, message, jpeg]
    yield [jpeg]
    for data in (
        b"",
        b"1",
        b"1234",
        make_png_bomb(10000, 100),
        make_scan_bomb(200),
        bytes(MAX_IMAGE_BYTES - 2**20),
    ):
        yield [first, b"\0\0\0\1" + data]
        yield [first, data]
    yield [first, bytes(MAX_IMAGE_BYTES + 1)]
    for length in (1, 5, 100, 1000):
        for _ in range(10):
            yield [first, b"\0\0\0\1" + jpeg, random.bytes(length)]
            yield [first, b"\0\0\0\1" + jpeg[:length], b"\0\0\0\2" + jpeg]
    for _ in range(80):
        damaged = np.frombuffer(jpeg, np.uint8).copy()
        damaged[random.integers(0, len(jpeg), 20)] = random.integers(0, 256, 20)
        yield [first, b"\0\0\0\1" + damaged.tobytes()]


async def send_messages(http: aiohttp.ClientSession, url: str, messages: list[str | bytes]) -> None:
    """Check that the reply is JSON, a JPEG, a close code, or nothing."""
    async with http.ws_connect(url, max_msg_size=0) as ws:
        with contextlib.suppress(ConnectionError):  # the server may close it at any time
            for sent in messages:
                await (ws.send_str(sent) if isinstance(sent, str) else ws.send_bytes(sent))
        with contextlib.suppress(asyncio.TimeoutError):
            message = await ws.receive(0.2)
            if message.type is aiohttp.WSMsgType.TEXT:
                assert json.loads(message.data)["kind"] in ("error", "clock", "chosen")
            elif message.type is aiohttp.WSMsgType.BINARY:
                assert message.data[4:6] == b"\xff\xd8"
            else:
                assert ws.close_code in (1002, 1006, 1007, 1008, 1009)


def test_malformed_messages(server: RunningServer, caplog: pytest.LogCaptureFixture) -> None:
    async def send_valid_frames(http: aiohttp.ClientSession, url: str) -> int:
        """Check every translation until cancelled, and return their number."""
        image, count = make_image(0, 64, 48), 0
        async with http.ws_connect(url) as ws:
            await ws.send_str('{"size": "source"}')
            with contextlib.suppress(asyncio.CancelledError):
                while True:
                    await ws.send_bytes(count.to_bytes(4, "big") + encode_image("PNG"))
                    received = await ws.receive_bytes()
                    assert received[:4] == count.to_bytes(4, "big")
                    assert np.abs(decode_image(received[4:]).astype(int) - (255 - image)).mean() < 4
                    count += 1
        return count

    async def main() -> tuple[int, int]:
        url = f"{server.url}/v1/stream"
        conversations = list(malformed_conversations())
        async with aiohttp.ClientSession() as http:
            valid_client = asyncio.create_task(send_valid_frames(http, url))
            for start in range(0, len(conversations), 4):
                group = conversations[start : start + 4]
                await asyncio.gather(*(send_messages(http, url, sent) for sent in group))
            valid_client.cancel()
            return len(conversations), await valid_client

    count, translated = asyncio.run(main())
    assert count >= 200
    assert translated > 20
    assert server.request("GET", "/healthz")[0] == 200
    assert not [record for record in caplog.records if record.levelname == "ERROR"]
