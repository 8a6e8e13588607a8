"""Listening, until a signal says that it is enough."""

from __future__ import annotations

import asyncio
import logging
import os
import ssl
from collections.abc import Callable
from pathlib import Path
from threading import Event

from aiohttp import web
from aiohttp.http_exceptions import HttpProcessingError

from cgt.runtime.errors import CgtError, UsageError

from .app import make_app
from .guard import Guard
from .service import Service

_GRACE = 3.0  # seconds for requests under way at the end


class _Unheard(logging.Filter):
    """Clients that speak no HTTP are answered with 400; a traceback of it helps nobody."""

    def filter(self, record: logging.LogRecord) -> bool:
        return not (record.exc_info and isinstance(record.exc_info[1], HttpProcessingError))


_UNHEARD = _Unheard()


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
    logging.getLogger("aiohttp.server").addFilter(_UNHEARD)
    runner = web.AppRunner(make_app(service, guard), access_log=None, shutdown_timeout=_GRACE)
    try:
        await runner.setup()
        site = web.TCPSite(runner, guard.host, guard.port, ssl_context=tls)
        try:
            await site.start()
        except OSError as error:
            # asyncio words it at length; errors of names have numbers of their own, below 0.
            number = error.errno or 0
            why = os.strerror(number) if number > 0 else error.strerror
            raise CgtError(f"cannot listen on {guard.host}:{guard.port}: {why}") from None
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
