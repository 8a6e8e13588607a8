"""A hundred clients that vanish in the middle of a word: nothing of them stays."""

from __future__ import annotations

import itertools
import json
import math
import socket
import struct
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from support.server_process import ProcessUsage, ServerProcess, start_server

from cgt.runtime.engines import available_cpus
from conftest import write_inverse_model

from .factories import encode_image

CLIENTS = 100
PARTS = itertools.cycle((1, 2))
SLACK = 8 * 2**20  # bytes


def uploads(port: int, count: int) -> None:
    """HTTP."""
    vanish([an_upload(port) for _ in range(count)])


def streams(port: int, count: int) -> None:
    """WebSockets."""
    vanish([a_stream(port) for _ in range(count)])


def calls(port: int, count: int) -> None:
    """WebRTC, of one process that is killed while pictures go both ways."""
    script = Path(__file__).with_name("webrtc_clients.py")
    command = [sys.executable, script, f"http://127.0.0.1:{port}", str(count)]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        try:
            assert process.stdout.readline() == b"translated\n"
        finally:
            process.kill()


def vanish(clients: list[socket.socket]) -> None:
    """With a reset, as a program that crashes."""
    for client in clients:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        client.close()


def connected(port: int) -> socket.socket:
    return socket.create_connection(("127.0.0.1", port), timeout=20)


def an_upload(port: int) -> socket.socket:
    """In the middle of an image or after it, before the answer."""
    data = encode_image("PNG", np.random.default_rng(0).integers(0, 256, (256, 256, 3), np.uint8))
    head = "POST /v1/translate HTTP/1.1\r\nHost: localhost\r\nContent-Type: image/png\r\n"
    client = connected(port)
    sent = len(data) // next(PARTS)
    client.sendall(f"{head}Content-Length: {len(data)}\r\n\r\n".encode() + data[:sent])
    return client


def message(kind: int, data: bytes) -> bytes:
    """A frame of a WebSocket, masked with zeros."""
    length = (
        struct.pack(">BH", 126 | 0x80, len(data)) if len(data) > 125 else bytes([len(data) | 0x80])
    )
    return bytes([0x80 | kind]) + length + bytes(4) + data


def a_stream(port: int) -> socket.socket:
    """After a first translation, in the middle of the third picture."""
    client = connected(port)
    client.sendall(
        b"GET /v1/stream HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\n"
        b"Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
        b"Sec-WebSocket-Key: MDEyMzQ1Njc4OWFiY2RlZg==\r\n\r\n"
    )
    picture = message(2, bytes(4) + encode_image("JPEG"))
    client.sendall(message(1, json.dumps({"size": "source"}).encode()) + picture * 2)
    answer = b""
    while b"\xff\xd8" not in answer:
        more = client.recv(4096)
        assert more, answer
        answer += more
    client.sendall(picture[: len(picture) // 2])
    return client


def settles(server: ServerProcess, files: int, memory: float = math.inf) -> ProcessUsage:
    """What the server holds, as soon as that is no more than so much, or after a while."""
    end = time.monotonic() + 40  # who is silent on WebRTC is given up after 15 seconds
    while True:
        held = server.read_usage()
        if (held.open_files <= files and held.rss_bytes <= memory) or time.monotonic() > end:
            return held
        time.sleep(0.1)


@pytest.mark.parametrize(
    ("come_and_go", "at_once", "before"), [(uploads, 20, 3), (streams, 20, 3), (calls, 50, 3)]
)
def test_nothing_stays(
    tmp_path: Path, come_and_go: Callable[[int, int], None], at_once: int, before: int
) -> None:
    """before: rounds until all threads have done all kinds of work."""
    model = write_inverse_model(tmp_path / "inverse.onnx")
    with start_server(
        "--model", model, "--engine", "onnxruntime", "--max-sessions", at_once
    ) as server:
        port = int(server.url.rpartition(":")[2])
        empty = server.read_usage()
        for _ in range(before):
            come_and_go(port, at_once)
            settles(server, empty.open_files)
        time.sleep(4)  # it tidies up every three seconds
        start = settles(server, empty.open_files)
        for _ in range(CLIENTS // at_once):
            come_and_go(port, at_once)
            settles(server, empty.open_files)
        after = settles(server, empty.open_files, start.rss_bytes + SLACK)
        with urllib.request.urlopen(f"{server.url}/metrics", timeout=20) as answer:
            assert "cgt_sessions 0.0" in answer.read().decode()
    assert after.open_files == empty.open_files
    assert after.rss_bytes <= start.rss_bytes + SLACK
    assert (
        after.threads <= empty.threads + available_cpus() + 2
    )  # those that encode, which all share
