"""Listening, until a signal says that it is enough."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Callable
from pathlib import Path
from threading import Event

from aiohttp import web

from cgt.runtime.errors import CgtError, UsageError

from .app import make_app
from .guard import Guard
from .service import Service

_GRACE = 3.0  # seconds for requests under way at the end


async def listen(
    service: Service,
    guard: Guard,
    tls: ssl.SSLContext | None,
    stop: Event,
    ready: Callable[[int], None],
) -> None:
    """Serve until `stop` is set. ready: is told the port once it listens.

    Raises CgtError where it cannot listen there, and what opening the service's source raises.
    """
    runner = web.AppRunner(make_app(service, guard), access_log=None, shutdown_timeout=_GRACE)
    try:
        await runner.setup()
        site = web.TCPSite(runner, guard.host, guard.port, ssl_context=tls)
        try:
            await site.start()
        except OSError as error:
            where = f"{guard.host}:{guard.port}"
            raise CgtError(f"cannot listen on {where}: {error.strerror or error}") from None
        ready(runner.addresses[0][1])
        while not stop.is_set():
            await asyncio.sleep(0.1)
    finally:
        await runner.cleanup()


def tls_context(cert: Path, key: Path) -> ssl.SSLContext:
    """From PEM files. Raises UsageError where they are not a certificate and its key."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    try:
        context.load_cert_chain(cert, key)
    except (OSError, ssl.SSLError) as error:
        raise UsageError(f"--cert {cert} and --key {key}: {error}") from None
    return context
