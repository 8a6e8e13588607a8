"""What `cgt serve` does with its flags."""

from __future__ import annotations

import asyncio
import secrets
import ssl
from dataclasses import dataclass
from pathlib import Path
from threading import Event

from rich.console import Console

from cgt.runtime.errors import UsageError
from cgt.runtime.heap import share_one_heap
from cgt.runtime.stopping import stop_on_signal
from cgt.runtime.translator import BUNDLED_MODEL
from cgt.serve.guard import Guard, is_loopback
from cgt.serve.server import listen, tls_context
from cgt.serve.service import Service


@dataclass(frozen=True)
class Options:
    """One `cgt serve`, as its flags say it."""

    models: tuple[Path, ...]
    engine: str
    source: str | None
    host: str
    port: int
    token: str | None
    names: tuple[str, ...]
    max_sessions: int
    cert: Path | None
    key: Path | None


def serve(options: Options) -> None:
    """Until a signal, which is how it is meant to end."""
    if (options.cert is None) != (options.key is None):
        raise UsageError("--cert and --key belong together; give both")
    share_one_heap()
    tls = tls_context(options.cert, options.key) if options.cert and options.key else None
    token = options.token
    if token is None and not is_loopback(options.host):
        token = secrets.token_urlsafe(18)
    guard = Guard(options.host, options.port, token, options.names, secure=tls is not None)
    console = Console(stderr=True)
    with stop_on_signal() as stop:
        asyncio.run(_run(options, guard, tls, stop, console))


async def _run(
    options: Options, guard: Guard, tls: ssl.SSLContext | None, stop: Event, console: Console
) -> None:
    paths = list(options.models) or [BUNDLED_MODEL]
    service = Service(paths, options.engine, options.max_sessions, options.source)

    def ready(port: int) -> None:
        scheme = "https" if tls else "http"
        query = f"?token={guard.token}" if guard.token else ""
        console.print(f"{scheme}://{guard.host}:{port}/{query}", soft_wrap=True, highlight=False)

    await listen(service, guard, tls, stop, ready)
