"""Tests that clients which disconnect in the middle of a message leave no resources behind."""

from __future__ import annotations

import itertools
import json
import math
import os
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
UPLOAD_DIVISORS = itertools.cycle((1, 2))  # all of an upload is sent, then half of the next
MEMORY_TOLERANCE_BYTES = 8 * 2**20
TESTS_DIR = Path(__file__).parents[1]


def disconnect_uploads(port: int, count: int) -> None:
    reset_connections([start_upload(port) for _ in range(count)])


def disconnect_websockets(port: int, count: int) -> None:
    reset_connections([start_websocket(port) for _ in range(count)])


def disconnect_webrtc(port: int, count: int) -> None:
    """Kill a process of WebRTC clients while frames go both ways."""
    script = Path(__file__).with_name("webrtc_clients.py")
    command = [sys.executable, script, f"http://127.0.0.1:{port}", str(count)]
    python_path = os.pathsep.join(filter(None, (str(TESTS_DIR), os.environ.get("PYTHONPATH"))))
    environment = os.environ | {"PYTHONPATH": python_path}  # of the package `support`
    with subprocess.Popen(command, stdout=subprocess.PIPE, env=environment) as process:
        assert process.stdout is not None
        try:
            assert process.stdout.readline() == b"translated\n"
        finally:
            process.kill()


def reset_connections(clients: list[socket.socket]) -> None:
    """Close connections with a TCP reset, as a program that crashes."""
    for client in clients:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        client.close()


def connect(port: int) -> socket.socket:
    return socket.create_connection(("127.0.0.1", port), timeout=60)


def start_upload(port: int) -> socket.socket:
    """Send all or half of an image, and do not read the response."""
    data = encode_image("PNG", np.random.default_rng(0).integers(0, 256, (256, 256, 3), np.uint8))
    head = "POST /v1/translate HTTP/1.1\r\nHost: localhost\r\nContent-Type: image/png\r\n"
    client = connect(port)
    sent = len(data) // next(UPLOAD_DIVISORS)
    client.sendall(f"{head}Content-Length: {len(data)}\r\n\r\n".encode() + data[:sent])
    return client


def websocket_message(opcode: int, data: bytes) -> bytes:
    """Return a WebSocket frame, masked with zeros."""
    length = (
        struct.pack(">BH", 126 | 0x80, len(data)) if len(data) > 125 else bytes([len(data) | 0x80])
    )
    return bytes([0x80 | opcode]) + length + bytes(4) + data


def start_websocket(port: int) -> socket.socket:
    """Receive a translation, then send half of the third frame."""
    client = connect(port)
    client.sendall(
        b"GET /v1/stream HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\n"
        b"Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
        b"Sec-WebSocket-Key: MDEyMzQ1Njc4OWFiY2RlZg==\r\n\r\n"
    )
    frame = websocket_message(2, bytes(4) + encode_image("JPEG"))
    client.sendall(websocket_message(1, json.dumps({"size": "source"}).encode()) + frame * 2)
    received = b""
    while b"\xff\xd8" not in received:
        data = client.recv(4096)
        assert data, received
        received += data
    client.sendall(frame[: len(frame) // 2])
    return client


def wait_for_usage(
    server: ServerProcess, max_files: int, max_rss_bytes: float = math.inf
) -> ProcessUsage:
    """Wait until the server uses no more than this, or for 90 s, and return its usage."""
    deadline = time.monotonic() + 90  # silent WebRTC clients are closed after 15 seconds
    while True:
        usage = server.read_usage()
        done = usage.open_files <= max_files and usage.rss_bytes <= max_rss_bytes
        if done or time.monotonic() > deadline:
            return usage
        time.sleep(0.1)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("disconnect", "at_once", "warm_up_rounds"),
    [(disconnect_uploads, 20, 3), (disconnect_websockets, 20, 3), (disconnect_webrtc, 50, 3)],
)
def test_disconnected_clients_leave_no_resources(
    tmp_path: Path, disconnect: Callable[[int, int], None], at_once: int, warm_up_rounds: int
) -> None:
    """Compare the usage after a warm-up, in which all threads do all kinds of work, and later."""
    model = write_inverse_model(tmp_path / "inverse.onnx")
    with start_server(
        "--model", model, "--engine", "onnxruntime", "--max-sessions", at_once
    ) as server:
        port = int(server.url.rpartition(":")[2])
        empty = server.read_usage()
        for _ in range(warm_up_rounds):
            disconnect(port, at_once)
            wait_for_usage(server, empty.open_files)
        time.sleep(4)  # the server collects garbage every three seconds
        start = wait_for_usage(server, empty.open_files)
        for _ in range(CLIENTS // at_once):
            disconnect(port, at_once)
            wait_for_usage(server, empty.open_files)
        after = wait_for_usage(server, empty.open_files, start.rss_bytes + MEMORY_TOLERANCE_BYTES)
        with urllib.request.urlopen(f"{server.url}/metrics", timeout=60) as response:
            assert "cgt_sessions 0.0" in response.read().decode()
    assert after.open_files == empty.open_files
    assert after.rss_bytes <= start.rss_bytes + MEMORY_TOLERANCE_BYTES
    codec_threads = available_cpus() + 2  # shared by all clients
    assert after.threads <= empty.threads + codec_threads
