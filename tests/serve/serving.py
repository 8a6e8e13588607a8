"""A server in a thread of its own, for tests that are its clients."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from cgt.serve.guard import Guard
from cgt.serve.server import listen
from cgt.serve.service import Service


class Running:
    """port, and the service behind it."""

    port: int
    service: Service

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"


@contextmanager
def running(*models: Path, token: str | None = None, **settings: Any) -> Iterator[Running]:
    """On a free port of the loopback, with ONNX Runtime, until the end of the block."""
    server, stop, ready = Running(), threading.Event(), threading.Event()
    failure: list[BaseException] = []

    async def main() -> None:
        service = Service(list(models), **{"engine": "onnxruntime"} | settings)
        server.service = service

        def listening(port: int) -> None:
            server.port = port
            ready.set()

        await listen(service, Guard(port=0, token=token), None, stop, listening)

    def run() -> None:
        try:
            asyncio.run(main())
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
