"""Tests of host, origin and token checks, and of the security headers."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import nullcontext

import pytest

from cgt.serve.api.auth import Guard
from cgt.serve.api.errors import HttpError
from conftest import write_inverse_model

from .factories import encode_image
from .server import RunningServer, start_server


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    with start_server(
        write_inverse_model(tmp_path_factory.mktemp("models") / "inverse.onnx")
    ) as server:
        yield server


@pytest.fixture(scope="module")
def token_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    model = write_inverse_model(tmp_path_factory.mktemp("models") / "inverse.onnx")
    with start_server(model, token="open sesame é") as server:
        yield server


class FakeRequest:
    """The parts of a request that a guard reads."""

    def __init__(self, **headers: str) -> None:
        self.headers, self.cookies = headers, dict[str, str]()


@pytest.mark.parametrize(
    ("host", "listen_host", "known"),
    [
        ("localhost:8080", "127.0.0.1", True),
        ("127.0.0.1", "127.0.0.1", True),
        ("[::1]:8080", "127.0.0.1", True),
        ("LOCALHOST", "127.0.0.1", True),
        ("evil.example", "127.0.0.1", False),
        ("localhost.evil.example", "127.0.0.1", False),
        ("127.0.0.1.evil.example", "127.0.0.1", False),
        ("192.168.1.5:8080", "127.0.0.1", False),
        ("", "127.0.0.1", False),
        ("[", "127.0.0.1", False),
        ("192.168.1.5:8080", "0.0.0.0", True),  # an address: cannot be rebound
        ("evil.example", "0.0.0.0", False),
        ("paint.example:8080", "0.0.0.0", True),
        ("jetson.lan", "jetson.lan", True),
    ],
)
def test_host_names(host: str, listen_host: str, known: bool) -> None:
    guard = Guard(listen_host, token="t" * 8, allowed_hosts=("paint.example",))
    with nullcontext() if known else pytest.raises(HttpError, match="--allow-host"):
        guard.check(FakeRequest(Host=host), public=True)  # type: ignore[arg-type]


def test_requests_of_other_origins(server: RunningServer) -> None:
    own_host = f"127.0.0.1:{server.port}"
    for origin in ("http://evil.example", "null", f"http://localhost:{server.port}", "http://["):
        for method, path in (("GET", "/v1/models"), ("POST", "/v1/translate"), ("GET", "/")):
            assert server.request_error(method, path, headers={"Origin": origin}) == 403
    assert server.request("GET", "/v1/models", headers={"Origin": f"http://{own_host}"})[0] == 200
    status, headers, _ = server.request(
        "OPTIONS", "/v1/translate", headers={"Origin": f"http://{own_host}"}
    )
    assert status == 405
    assert not [name for name in headers if name.startswith("Access-Control")]


def test_token(token_server: RunningServer) -> None:
    def status(path: str = "/v1/models", **headers: str) -> int:
        return token_server.request("GET", path, headers=headers)[0]

    token = "open sesame é".encode().decode("latin-1")  # as http.client writes it
    assert status(Authorization=f"Bearer {token}") == 200
    assert status(Authorization=f"bearer {token}") == 200
    for wrong in ("Bearer open sesame", "Bearer", f"Basic {token}", f"Bearer {token} ", "Bearer ÿ"):
        assert (status(Authorization=wrong) == 200) == (wrong == f"Bearer {token} ")
    for path in ("/v1/models", "/metrics"):
        assert status(path) == 401
    assert token_server.request("GET", "/metrics")[1]["WWW-Authenticate"] == "Bearer"
    assert token_server.request_error("POST", "/v1/translate", encode_image("PNG")) == 401
    assert [status(path) for path in ("/", "/healthz", "/openapi.json", "/x")] == [200] * 3 + [401]


def test_token_address_sets_a_cookie(token_server: RunningServer) -> None:
    status, headers, _ = token_server.request("GET", "/?token=open%20sesame%20%C3%A9")
    assert (status, headers["Location"]) == (303, "/")
    cookie, *attributes = headers["Set-Cookie"].split("; ")
    assert {"HttpOnly", "SameSite=Strict"} <= set(attributes)
    assert token_server.request("GET", "/v1/models", headers={"Cookie": cookie})[0] == 200
    assert token_server.request("GET", "/v1/models", headers={"Cookie": cookie + "x"})[0] == 401
    assert token_server.request("GET", "/?token=wrong")[1]["Set-Cookie"] is None


def test_security_headers(server: RunningServer) -> None:
    for path in ("/", "/v1/models", "/nosuch", "/healthz"):
        headers = server.request("GET", path)[1]
        policy = dict(
            directive.strip().split(" ", 1)
            for directive in headers["Content-Security-Policy"].split(";")
        )
        assert policy["default-src"] == "'self'"
        assert policy["frame-ancestors"] == "'none'"
        assert {value for values in policy.values() for value in values.split()} <= {
            *("'self'", "'none'", "blob:")
        }
        assert headers["X-Content-Type-Options"] == "nosniff"
        assert headers["Cross-Origin-Resource-Policy"] == "same-origin"
        assert headers["Server"] is None
