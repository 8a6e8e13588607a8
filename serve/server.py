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

from cgt.runtime.engines import available_cpus
from cgt.runtime.errors import CgtError, UsageError
from cgt.runtime.heap import malloc_trim

from .app import make_app
from .guard import Guard
from .service import Service

_EXTRA_THREADS = 2  # threads that may wait, for an engine to open
_POLL_INTERVAL_S = 0.1  # seconds between looks at `stop`
_GC_INTERVAL_S = 3.0  # and between collections of what clients left
_SHUTDOWN_TIMEOUT_S = 3.0  # seconds for requests under way at the end


class _HttpParseErrorFilter(logging.Filter):
    """Clients that speak no HTTP are answered with 400; a traceback of it helps nobody."""

    def filter(self, record: logging.LogRecord) -> bool:
        return not (record.exc_info and isinstance(record.exc_info[1], HttpProcessingError))


_HTTP_PARSE_ERROR_FILTER = _HttpParseErrorFilter()


async def serve_until_stopped(
    service: Service,
    guard: Guard,
    tls: ssl.SSLContext | None,
    stop: Event,
    on_ready: Callable[[int], None],
) -> None:
    """Serve until `stop` is set. ready: is told the port once it listens.

    Raises CgtError where it cannot listen there, and what opening the service's source raises.
    """
    logging.getLogger("aiohttp.server").addFilter(_HTTP_PARSE_ERROR_FILTER)
    # What decodes and encodes needs cores; more threads than these would only be in their way.
    asyncio.get_running_loop().set_default_executor(
        ThreadPoolExecutor(available_cpus() + _EXTRA_THREADS)
    )
    runner = web.AppRunner(
        make_app(service, guard), access_log=None, shutdown_timeout=_SHUTDOWN_TIMEOUT_S
    )
    try:
        await runner.setup()
        site = web.TCPSite(runner, guard.host, guard.port, ssl_context=tls)
        try:
            await site.start()
        except OSError as error:
            # asyncio words it at length; errors of names have numbers of their own, below 0.
            number = error.errno or 0
            reason = os.strerror(number) if number > 0 else error.strerror
            raise CgtError(f"cannot listen on {guard.host}:{guard.port}: {reason}") from None
        on_ready(runner.addresses[0][1])
        gc_task = asyncio.create_task(_collect_garbage(service))
        while not stop.is_set():
            await asyncio.sleep(_POLL_INTERVAL_S)
        gc_task.cancel()
    finally:
        await runner.cleanup()


async def _collect_garbage(service: Service) -> None:
    """What a lost connection leaves is tied into cycles, with the pictures that were under way.
    Python's own collector comes so seldom that they add up; what is there from the start is set
    aside, so that to look through the rest takes a millisecond. After the codecs of clients that
    left, several MiB each, the heap is full of gaps."""
    gc.collect()
    gc.freeze()
    count = 0
    try:
        while True:
            await asyncio.sleep(_GC_INTERVAL_S)
            gc.collect()
            previous, count = count, service.sessions.client_count
            if count < previous:
                malloc_trim()
    finally:
        gc.unfreeze()


def load_tls_context(cert: Path, key: Path) -> ssl.SSLContext:
    """From PEM files. Raises UsageError where they are not a certificate and its key."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    try:
        context.load_cert_chain(cert, key)
    except (OSError, ssl.SSLError) as error:
        raise UsageError(f"--cert {cert} and --key {key}: {error}") from None
    return context
