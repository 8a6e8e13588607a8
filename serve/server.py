"""Listening, until a signal says that it is enough."""

from __future__ import annotations

import asyncio
import gc
import logging
import os
import ssl
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Event

from aiohttp import web
from aiohttp.http_exceptions import HttpProcessingError

from cgt.runtime.engines import cores
from cgt.runtime.errors import CgtError, UsageError
from cgt.runtime.heap import give_back

from .app import make_app
from .guard import Guard
from .service import Service

_SPARE = 2  # threads that may wait, for an engine to open
_POLL = 0.1  # seconds between looks at `stop`
_TIDY = 3.0  # and between collections of what clients left
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
    # What decodes and encodes needs cores; more threads than these would only be in their way.
    asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor(cores() + _SPARE))
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
        tidying = asyncio.create_task(_tidy(service))
        while not stop.is_set():
            await asyncio.sleep(_POLL)
        tidying.cancel()
    finally:
        await runner.cleanup()


async def _tidy(service: Service) -> None:
    """What a lost connection leaves is tied into cycles, with the pictures that were under way.
    Python's own collector comes so seldom that they add up; what is there from the start is set
    aside, so that to look through the rest takes a millisecond. After the codecs of clients that
    left, several MiB each, the heap is full of gaps."""
    gc.collect()
    gc.freeze()
    count = 0
    try:
        while True:
            await asyncio.sleep(_TIDY)
            gc.collect()
            before, count = count, service.sessions.count
            if count < before:
                give_back()
    finally:
        gc.unfreeze()


def tls_context(cert: Path, key: Path) -> ssl.SSLContext:
    """From PEM files. Raises UsageError where they are not a certificate and its key."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    try:
        context.load_cert_chain(cert, key)
    except (OSError, ssl.SSLError) as error:
        raise UsageError(f"--cert {cert} and --key {key}: {error}") from None
    return context
