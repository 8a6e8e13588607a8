"""What `cgt serve` does with its flags."""

from __future__ import annotations

import asyncio
import secrets
import socket
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

from rich.console import Console

from cgt.runtime.errors import UsageError
from cgt.runtime.heap import share_one_heap
from cgt.runtime.notes import note
from cgt.runtime.stopping import stop_on_signal
from cgt.runtime.translator import model_file
from cgt.serve.catalog import Choice
from cgt.serve.guard import Guard, is_loopback
from cgt.serve.server import listen, tls_context
from cgt.serve.service import Service

SHORTEST_TOKEN = 8

_PLAIN: dict[str, Any] = {"soft_wrap": True, "highlight": False, "markup": False}


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
    if options.token is not None and len(options.token) < SHORTEST_TOKEN:
        raise UsageError(
            f"--token wants {SHORTEST_TOKEN} characters or more; beyond this machine one is made "
            "where none is given"
        )
    share_one_heap()
    tls = tls_context(options.cert, options.key) if options.cert and options.key else None
    token = options.token
    if token is None and not is_loopback(options.host):
        token = secrets.token_urlsafe(18)
    names = [name.lower() for name in options.names]
    guard = Guard(options.host.lower(), options.port, token, names, secure=tls is not None)
    console = Console(stderr=True)
    paths = [model_file(model) for model in options.models or [None]]
    with (
        stop_on_signal() as stop,
        Service(paths, options.engine, options.max_sessions, options.source) as service,
    ):

        def ready(port: int) -> None:
            _greet(console, service, guard, port)

        asyncio.run(listen(service, guard, tls, stop, ready))
        console.print(f"stopped; {service.metrics.translated} pictures translated")


def _greet(console: Console, service: Service, guard: Guard, port: int) -> None:
    """Where it is to be found, and what one must know of that."""
    for name, model in service.catalog.models.items():
        engine = service.translators.open(Choice(name))
        what = f"{model.artifact.source} to {model.artifact.target}"
        how = f"{engine.name} on {engine.device}, {engine.precision}"
        console.print(f"{name}: {what}, {how}", **_PLAIN)
    if not guard.secure and not is_loopback(guard.host):
        note(
            "without --cert and --key the token and the pictures cross the network in the clear, "
            "and browsers give no camera to the page"
        )
    everywhere = guard.host in ("0.0.0.0", "::")
    host = socket.gethostname() if everywhere else guard.host
    address = f"[{host}]" if ":" in host else host
    scheme = "https" if guard.secure else "http"
    query = f"?token={quote(guard.token)}" if guard.token else ""
    console.print(f"open {scheme}://{address}:{port}/{query}", style="bold", **_PLAIN)
