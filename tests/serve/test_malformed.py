"""Two hundred requests of nonsense: each is refused, none disturbs the others."""

from __future__ import annotations

import gzip
import itertools
import socket
import threading
from collections.abc import Iterator

import numpy as np
import pytest

from conftest import inverse_graph, picture

from .making import decoded, encoded, png_bomb, scan_bomb
from .serving import Running, running


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    with running(inverse_graph(tmp_path_factory.mktemp("models") / "inverse.onnx")) as server:
        yield server


def bodies() -> Iterator[tuple[bytes, dict[str, str]]]:
    """Images with bytes missing, changed and added; bombs; forms and encodings that are broken."""
    random = np.random.default_rng(0)
    for kind in ("PNG", "JPEG", "WEBP"):
        data, headers = encoded(kind), {"Content-Type": f"image/{kind.lower()}"}
        for length in random.integers(0, len(data) - 20, 12):
            yield data[:length], headers
        for _ in range(20):
            damaged = np.frombuffer(data, np.uint8).copy()
            damaged[random.integers(0, len(data), 20)] = random.integers(0, 256, 20)
            yield damaged.tobytes(), headers
        yield random.bytes(2000), headers
        yield b"", headers
    png = {"Content-Type": "image/png"}
    for bomb in (png_bomb(10000, 100), png_bomb(8000, 8000), scan_bomb(200), png_bomb(5, 0)):
        yield bomb, png
    yield gzip.compress(bytes(64 * 2**20)), png | {"Content-Encoding": "gzip"}
    yield b"no gzip", png | {"Content-Encoding": "gzip"}
    yield encoded("PNG"), png | {"Content-Encoding": "nonsense"}
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


def test_uploads(server: Running) -> None:
    stop, answers = threading.Event(), [0]

    def neighbour() -> None:
        image = picture(0, 64, 48)
        while not stop.is_set():
            asked = "/v1/translate?size=source", encoded("PNG"), {"Content-Type": "image/png"}
            status, _, body = server.ask("POST", *asked)
            assert status == 200
            np.testing.assert_array_equal(decoded(body), 255 - image)
            answers[0] += 1

    thread = threading.Thread(target=neighbour)
    thread.start()
    try:
        statuses = [server.ask("POST", "/v1/translate", *asked)[0] for asked in bodies()]
    finally:
        stop.set()
        thread.join()
    assert len(statuses) >= 200
    assert answers[0] > 20
    # A changed byte may leave an image that decodes.
    assert set(statuses) <= {200, 400, 413, 415, 422}
    assert statuses.count(200) < 30
    assert server.ask("GET", "/healthz")[0] == 200


def test_lines_that_are_no_http(server: Running, caplog: pytest.LogCaptureFixture) -> None:
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
            answer = client.recv(100)
            assert not answer.startswith(b"HTTP/1.1 5"), line
            assert not answer.startswith(b"HTTP/1.1 2"), line
    assert server.ask("GET", "/healthz")[0] == 200
    assert not caplog.records
