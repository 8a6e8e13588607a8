"""Tests of the HTTP API: POST /v1/translate and the status endpoints."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

import numpy as np
import pytest

from cgt.serve.api import content_negotiation
from cgt.serve.api import translate as translate_api
from cgt.serve.api.image_codec import IMAGE_FORMATS, MAX_IMAGE_BYTES, decode_upload
from conftest import make_image, write_inverse_model

from .factories import decode_image, encode_image
from .server import RunningServer, start_server

IMAGE = make_image(0, 64, 48)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    folder = tmp_path_factory.mktemp("models")
    models = [write_inverse_model(folder / name) for name in ("first.onnx", "second.onnx")]
    models.append(write_inverse_model(folder / "fixed.onnx", 32, 32))
    with start_server(*models) as server:
        yield server


def post(server: RunningServer, query: str = "?size=source", **headers: str) -> np.ndarray:
    sent = {"Content-Type": "image/png"} | headers
    status, got, body = server.request("POST", f"/v1/translate{query}", encode_image("PNG"), sent)
    assert status == 200, body
    assert got["Content-Type"] == headers.get("Accept", "image/png")
    return decode_image(body)


def test_image_translation(server: RunningServer) -> None:
    np.testing.assert_array_equal(post(server), 255 - IMAGE)
    np.testing.assert_array_equal(post(server, "?model=second&size=48x64"), 255 - IMAGE)
    assert post(server, "").shape == (340, 256, 3)
    assert post(server, "?size=64x32").shape == (32, 64, 3)
    assert post(server, "?model=fixed").shape == (42, 32, 3)  # the aspect of the image
    assert post(server, "?model=fixed&size=32").shape == (32, 32, 3)


@pytest.mark.parametrize("media_type", IMAGE_FORMATS)
def test_every_format_in_and_out(server: RunningServer, media_type: str) -> None:
    headers = {"Content-Type": media_type}
    data = encode_image(IMAGE_FORMATS[media_type])
    status, got, body = server.request("POST", "/v1/translate?size=source", data, headers)
    assert (status, got["Content-Type"]) == (200, media_type)
    assert np.abs(decode_upload(body).astype(int) - (255 - decode_upload(data))).mean() < 4
    assert np.abs(post(server, Accept=media_type).astype(int) - (255 - IMAGE)).mean() < 4


def encode_form(*fields: tuple[str, bytes]) -> tuple[bytes, dict[str, str]]:
    parts = [
        b'--xx\r\nContent-Disposition: form-data; name="%s"; filename="../../x"\r\n\r\n%s\r\n'
        % (name.encode(), data)
        for name, data in fields
    ]
    return b"".join(parts) + b"--xx--\r\n", {"Content-Type": "multipart/form-data; boundary=xx"}


def test_form_field(server: RunningServer) -> None:
    form = encode_form(("other", b"1"), ("image", encode_image("PNG")))
    status, _, body = server.request("POST", "/v1/translate?size=source", *form)
    assert status == 200
    np.testing.assert_array_equal(decode_image(body), 255 - IMAGE)
    assert (
        server.request_error("POST", "/v1/translate", *encode_form(("photo", encode_image("PNG"))))
        == 400
    )
    for big in ("image", "other"):
        form = encode_form((big, bytes(MAX_IMAGE_BYTES + 1)), ("image", encode_image("PNG")))
        assert server.request_error("POST", "/v1/translate", *form) == 413


@pytest.mark.parametrize(
    ("query", "status"),
    [
        ("?model=nosuch", 404),
        ("?model=../first.onnx", 404),
        ("?model=", 404),
        ("?size=0", 400),
        ("?size=", 400),
        ("?size=8", 400),
        ("?size=99999", 400),
        ("?size=2048", 400),
        ("?size=-1x4", 400),
        ("?size=%D9%A2%D9%A5%D9%A6", 400),  # Arabic digits
        ("?model=fixed&size=64", 400),
        ("?precision=int3", 400),
    ],
)
def test_invalid_parameters(server: RunningServer, query: str, status: int) -> None:
    headers = {"Content-Type": "image/png"}
    assert (
        server.request_error("POST", f"/v1/translate{query}", encode_image("PNG"), headers)
        == status
    )


def test_invalid_requests(server: RunningServer) -> None:
    def status(body: bytes, media_type: str = "image/png", **headers: str) -> int:
        return server.request_error(
            "POST", "/v1/translate", body, {"Content-Type": media_type} | headers
        )

    assert status(encode_image("PNG"), "application/x-www-form-urlencoded") == 415
    assert status(encode_image("GIF"), "image/gif") == 415
    assert status(encode_image("PNG"), Accept="text/html") == 406
    assert status(bytes(MAX_IMAGE_BYTES + 1)) == 413
    assert status(encode_image("PNG")[:60]) == 422
    assert (
        status(encode_image("PNG", np.zeros((16, 2000, 3), np.uint8))) == 400
    )  # too wide once it is 256 high
    assert server.request_error("GET", "/v1/translate") == 405
    assert server.request_error("GET", "/v1/../../etc/passwd") == 404
    np.testing.assert_array_equal(post(server), 255 - IMAGE)


def test_concurrent_uploads_and_their_limit(
    server: RunningServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    with ThreadPoolExecutor(8) as pool:
        for translated in pool.map(lambda _: post(server), range(24)):
            np.testing.assert_array_equal(translated, 255 - IMAGE)
    monkeypatch.setattr(translate_api, "_MAX_WAITING", 1)
    resume = threading.Event()
    translate = server.service.translators.translate
    monkeypatch.setattr(
        server.service.translators, "translate", lambda *args: (resume.wait(), translate(*args))[1]
    )
    with ThreadPoolExecutor(1) as pool:
        first = pool.submit(post, server)
        while server.service.sessions._open == {}:
            pass
        request = "POST", "/v1/translate", encode_image("PNG"), {"Content-Type": "image/png"}
        status, headers, _ = server.request(*request)
        resume.set()
        assert (status, headers["Retry-After"]) == (429, "2")
        first.result()
    assert server.service.sessions.client_count == 0


def test_slow_uploads_do_not_block_others(server: RunningServer) -> None:
    head = "POST /v1/translate HTTP/1.1\r\nHost: localhost\r\nContent-Type: image/png\r\n"
    with ExitStack() as stack:
        for _ in range(40):
            slow = stack.enter_context(socket.create_connection(("127.0.0.1", server.port)))
            slow.sendall(f"{head}Content-Length: 1000\r\n\r\nPNG".encode())
        for _ in range(3):
            np.testing.assert_array_equal(post(server), 255 - IMAGE)


def test_limit_of_bytes_in_memory(server: RunningServer, monkeypatch: pytest.MonkeyPatch) -> None:
    data = encode_image("PNG")
    monkeypatch.setattr(translate_api, "_MAX_BYTES_HELD", len(data) - 1)
    headers = {"Content-Type": "image/png"}
    assert server.request_error("POST", "/v1/translate", data, headers) == 429
    monkeypatch.setattr(translate_api, "_MAX_BYTES_HELD", len(data))
    np.testing.assert_array_equal(post(server), 255 - IMAGE)  # a rejected upload holds no bytes


def test_status_endpoints(server: RunningServer) -> None:
    models = json.loads(server.request("GET", "/v1/models")[2])["models"]
    assert [model["name"] for model in models] == ["first", "second", "fixed"]
    assert [model["size"] for model in models] == ["256x256", "256x256", "32x32"]
    assert [model["any_size"] for model in models] == [True, True, False]
    assert {model["engine"] for model in models} == {"onnxruntime on CPU, fp32"}
    assert {model["precision"] for model in models} == {"fp32"}
    assert json.loads(server.request("GET", "/healthz")[2]) == {"status": "ok"}
    before = server.service.metrics.frames_translated
    post(server)
    text = server.request("GET", "/metrics")[2].decode()
    assert f"cgt_frames_total {before + 1}.0" in text
    assert f'cgt_latency_seconds_bucket{{le="+Inf"}} {before + 1}.0' in text
    for name in ("cgt_dropped_total", "cgt_sessions 0.0", "cgt_frames_per_second"):
        assert name in text
    assert "process_resident_memory_bytes" in text


def test_health_after_the_scheduler_has_ended(tmp_path: Path) -> None:
    with start_server(write_inverse_model(tmp_path / "inverse.onnx")) as server:
        server.service.scheduler.close()
        status, headers, body = server.request("GET", "/healthz")
        assert (status, headers.get_content_type()) == (503, "application/json")
        assert "ended" in json.loads(body)["status"]
        operation = json.loads(server.request("GET", "/openapi.json")[2])["paths"]["/healthz"][
            "get"
        ]
        assert {"200", "503"} <= set(operation["responses"])


def test_accept_header() -> None:
    media_types = ["image/png", "image/jpeg", "image/webp"]
    for accept, expected in {
        "": "image/png",
        "*/*": "image/png",
        "image/*;q=0.5, image/webp": "image/webp",
        "image/jpeg;q=0.9,image/webp;q=0.8,*/*;q=0.1": "image/jpeg",
        "IMAGE/JPEG": "image/jpeg",
        "image/png;q=0, image/*": "image/jpeg",
        "text/html": None,
        "*/*;q=0": None,
        ";;q=1/,image/webp": "image/webp",
    }.items():
        assert content_negotiation.choose_media_type(accept, media_types) == expected, accept
