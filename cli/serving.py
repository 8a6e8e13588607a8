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
from cgt.runtime.heap import limit_malloc_arenas
from cgt.runtime.notes import warn_user
from cgt.runtime.stopping import stop_on_signal
from cgt.runtime.translator import resolve_model
from cgt.serve.catalog import ModelSelection
from cgt.serve.guard import Guard, is_loopback
from cgt.serve.server import load_tls_context, serve_until_stopped
from cgt.serve.service import Service

MIN_TOKEN_LENGTH = 8

_PLAIN_TEXT: dict[str, Any] = {"soft_wrap": True, "highlight": False, "markup": False}


@dataclass(frozen=True)
class ServeOptions:
    """One `cgt serve`, as its flags say it."""

    models: tuple[Path, ...]
    engine: str
    source: str | None
    host: str
    port: int
    token: str | None
    allowed_hosts: tuple[str, ...]
    max_sessions: int
    cert: Path | None
    key: Path | None


def run_server(options: ServeOptions) -> None:
    """Until a signal, which is how it is meant to end."""
    if (options.cert is None) != (options.key is None):
        raise UsageError("--cert and --key belong together; give both")
    if options.token is not None and len(options.token) < MIN_TOKEN_LENGTH:
        raise UsageError(
            f"--token wants {MIN_TOKEN_LENGTH} characters or more; beyond this machine one is made "
            "where none is given"
        )
    limit_malloc_arenas()
    tls = load_tls_context(options.cert, options.key) if options.cert and options.key else None
    token = options.token
    if token is None and not is_loopback(options.host):
        token = secrets.token_urlsafe(18)
    allowed_hosts = [name.lower() for name in options.allowed_hosts]
    guard = Guard(options.host.lower(), options.port, token, allowed_hosts, secure=tls is not None)
    console = Console(stderr=True)
    model_paths = [resolve_model(model) for model in options.models or [None]]
    with (
        stop_on_signal() as stop,
        Service(model_paths, options.engine, options.max_sessions, options.source) as service,
    ):

        def on_ready(port: int) -> None:
            _print_startup(console, service, guard, port)

        asyncio.run(serve_until_stopped(service, guard, tls, stop, on_ready))
        console.print(f"stopped; {service.metrics.frames_translated} pictures translated")


def _print_startup(console: Console, service: Service, guard: Guard, port: int) -> None:
    """Where it is to be found, and what one must know of that."""
    for name, model in service.catalog.models.items():
        engine = service.translators.get_engine(ModelSelection(name))
        domains = f"{model.metadata.source_domain} to {model.metadata.target_domain}"
        engine_text = f"{engine.name} on {engine.device}, {engine.precision}"
        console.print(f"{name}: {domains}, {engine_text}", **_PLAIN_TEXT)
    if not guard.secure and not is_loopback(guard.host):
        warn_user(
            "without --cert and --key the token and the pictures cross the network in the clear, "
            "and browsers give no camera to the page"
        )
    all_interfaces = guard.host in ("0.0.0.0", "::")
    host = socket.gethostname() if all_interfaces else guard.host
    address = f"[{host}]" if ":" in host else host
    scheme = "https" if guard.secure else "http"
    query = f"?token={quote(guard.token)}" if guard.token else ""
    console.print(f"open {scheme}://{address}:{port}/{query}", style="bold", **_PLAIN_TEXT)
