"""Server in a thread of the test process."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from email.message import Message
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

from cgt.serve.api.auth import Guard
from cgt.serve.server import serve_until_stopped
from cgt.serve.service import Service


class RunningServer:
    """Port and service of a running server."""

    port: int
    service: Service

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def request(
        self,
        method: str,
        path: str,
        body: bytes | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> tuple[int, Message, bytes]:
        """Send a request and return status, headers and body of the response."""
        connection = HTTPConnection("127.0.0.1", self.port, timeout=60)
        with closing(connection):
            connection.request(method, path, body, dict(headers or {}))
            response = connection.getresponse()
            return response.status, response.headers, response.read()

    def request_error(self, *args: Any, **kwargs: Any) -> int:
        """Return the status of an error response, which must be a problem document of one line."""
        status, headers, body = self.request(*args, **kwargs)
        assert headers.get_content_type() == "application/problem+json"
        problem = json.loads(body)
        assert problem["status"] == status >= 400
        assert "\n" not in problem["detail"]
        return status


@contextmanager
def start_server(
    *models: Path, token: str | None = None, **settings: Any
) -> Iterator[RunningServer]:
    """Run a server with ONNX Runtime on a free port of the loopback interface."""
    server, stop, ready = RunningServer(), threading.Event(), threading.Event()
    failure: list[BaseException] = []

    def on_ready(port: int) -> None:
        server.port = port
        ready.set()

    def run() -> None:
        try:
            with Service(list(models), **{"engine": "onnxruntime"} | settings) as server.service:
                guard = Guard(port=0, token=token)
                asyncio.run(serve_until_stopped(server.service, guard, None, stop, on_ready))
        except BaseException as error:
            failure.append(error)
        finally:
            ready.set()

    thread = threading.Thread(target=run)
    thread.start()
    try:
        assert ready.wait(60)
        if failure:
            raise failure[0]
        yield server
    finally:
        stop.set()
        thread.join(30)
        assert not thread.is_alive()
        if failure:
            raise failure[0]
