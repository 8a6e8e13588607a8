"""Server process of `cgt serve`: options, TLS, startup messages and shutdown by a signal."""

from __future__ import annotations

import asyncio
import gc
import logging
import os
import secrets
import socket
import ssl
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from threading import Event
from urllib.parse import quote

from aiohttp import web
from aiohttp.http_exceptions import HttpProcessingError
from rich.console import Console

from cgt.runtime.engines import available_cpus
from cgt.runtime.errors import CgtError, UsageError
from cgt.runtime.inference.translator import resolve_model
from cgt.runtime.models.third_party import ModelFormat
from cgt.runtime.utils.log import warn_user
from cgt.runtime.utils.malloc import limit_malloc_arenas, malloc_trim
from cgt.runtime.utils.progress import open_console
from cgt.runtime.utils.signals import stop_on_signal

from .api.auth import Guard, is_loopback
from .app import make_app
from .models import ModelSelection
from .service import Service

_EXTRA_THREADS = 2  # for threads that wait, such as for an engine to open
_POLL_INTERVAL_S = 0.1  # between checks of `stop`
_GC_INTERVAL_S = 3.0
_SHUTDOWN_TIMEOUT_S = 3.0  # for requests in progress


class _HttpParseErrorFilter(logging.Filter):
    """Drops log records of requests that are not HTTP; they get status 400 without a traceback."""

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
    """Serve until `stop` is set.

    Args:
        service: What the endpoints share.
        guard: Access checks. It also has the host and port to listen on.
        tls: TLS context, or None for plain HTTP.
        stop: Ends the server.
        on_ready: Called with the port once the server listens.

    Raises:
        CgtError: The server cannot listen on the address, or the source of the service cannot be
            opened.
    """
    logging.getLogger("aiohttp.server").addFilter(_HTTP_PARSE_ERROR_FILTER)
    # Decoding and encoding use a core each: more threads would only slow each other down.
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
            # asyncio's own message is long. Errors of name resolution have numbers below 0.
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
    """Collect garbage periodically, and return memory to the system after clients leave.

    A lost connection leaves reference cycles that hold its frames. Python's automatic collection
    runs so rarely that they add up. The objects that exist at startup are frozen, so that a
    collection takes a millisecond. The codecs of clients, several MiB each, leave the heap
    fragmented.
    """
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
    """Return a TLS context with a certificate and its private key, both PEM files.

    Raises:
        UsageError: The files are not a certificate and its key.
    """
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    try:
        context.load_cert_chain(cert, key)
    except (OSError, ssl.SSLError) as error:
        raise UsageError(f"--cert {cert} and --key {key}: {error}") from None
    return context


MIN_TOKEN_LENGTH = 8


@dataclass(frozen=True)
class ServeOptions:
    """Options of one `cgt serve`, one for each flag."""

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
    model_format: ModelFormat | None = None


def run_server(options: ServeOptions) -> None:
    """Serve until SIGINT or SIGTERM, and print the address and a final summary to stderr.

    Raises:
        UsageError: The options contradict each other.
        CgtError: A model, an engine, the source or the address cannot be opened.
    """
    if (options.cert is None) != (options.key is None):
        raise UsageError("--cert and --key belong together; give both")
    if options.token is not None and len(options.token) < MIN_TOKEN_LENGTH:
        raise UsageError(
            f"--token is shorter than {MIN_TOKEN_LENGTH} characters; give a longer one, or none to "
            "have one generated"
        )
    limit_malloc_arenas()
    tls = load_tls_context(options.cert, options.key) if options.cert and options.key else None
    token = options.token
    if token is None and not is_loopback(options.host):
        token = secrets.token_urlsafe(18)
    allowed_hosts = [name.lower() for name in options.allowed_hosts]
    guard = Guard(options.host.lower(), options.port, token, allowed_hosts, secure=tls is not None)
    console = open_console(stderr=True)
    model_paths = [resolve_model(model) for model in options.models or [None]]
    with (
        stop_on_signal() as stop,
        Service(
            model_paths,
            options.engine,
            options.max_sessions,
            options.source,
            options.model_format,
        ) as service,
    ):

        def on_ready(port: int) -> None:
            _print_startup(console, service, guard, port)

        asyncio.run(serve_until_stopped(service, guard, tls, stop, on_ready))
        console.print(f"stopped; {service.metrics.frames_translated} frames translated")


def _print_startup(console: Console, service: Service, guard: Guard, port: int) -> None:
    """Print the models, a warning about plain HTTP, and the address to open."""
    for name, model in service.catalog.models.items():
        engine = service.translators.get_engine(ModelSelection(name))
        domains = f"{model.metadata.source_domain} to {model.metadata.target_domain}"
        engine_text = f"{engine.name} on {engine.device}, {engine.precision}"
        console.print(f"{name}: {domains}, {engine_text}", soft_wrap=True)
    if not guard.secure and not is_loopback(guard.host):
        warn_user(
            "without --cert and --key the token and the images cross the network unencrypted, "
            "and browsers do not allow the camera on the page"
        )
    all_interfaces = guard.host in ("0.0.0.0", "::")
    host = socket.gethostname() if all_interfaces else guard.host
    address = f"[{host}]" if ":" in host else host
    scheme = "https" if guard.secure else "http"
    query = f"?token={quote(guard.token)}" if guard.token else ""
    console.print(f"open {scheme}://{address}:{port}/{query}", style="bold", soft_wrap=True)
