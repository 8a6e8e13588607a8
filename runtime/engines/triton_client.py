"""gRPC client of a Triton server: address parsing, and calls that survive a server restart."""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

from ..errors import EngineError, Interrupted, MissingDependency, UsageError
from ..utils.closeable import Closeable
from ..utils.log import warn_user
from ..utils.signals import stop_requested
from ..utils.uri import parse_uri

try:
    from tritonclient.grpc import InferenceServerClient, InferInput, InferRequestedOutput
    from tritonclient.utils import InferenceServerException
except ImportError:
    raise MissingDependency(
        "tritonclient is not installed; install the extra: pip install 'cyclegan-toolkit[triton]'"
    ) from None

__all__ = ["InferInput", "InferRequestedOutput", "TritonAddress", "TritonClient"]

T = TypeVar("T")

_DEFAULT_PORT = 8001
_DEFAULT_DEADLINE_S, _DEFAULT_WAIT_S = 30, 120
_RETRY_INTERVAL_S = 0.25
_MAX_MESSAGE_BYTES = 2**31 - 1
_CHANNEL_ARGS: list[tuple[str, Any]] = [
    ("grpc.max_send_message_length", _MAX_MESSAGE_BYTES),
    ("grpc.max_receive_message_length", _MAX_MESSAGE_BYTES),
    # gRPC's default backoff grows to two minutes.
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.min_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 500),
    ("grpc.enable_retries", 0),
]
# gRPC codes of a server that is down, starting, stopping or stuck. A model that is still loading is
# NOT_FOUND. A model whose process has died is INTERNAL, with the message below.
_TRANSIENT_CODES = ("UNAVAILABLE", "DEADLINE_EXCEEDED", "CANCELLED", "NOT_FOUND")
_RESTARTING_MESSAGE = "is not healthy"  # the Python backend restarts such a process


@dataclass(frozen=True)
class TritonAddress:
    """The address triton://HOST[:8001]/MODEL[/VERSION][?deadline=30&wait=120&requests=4].

    Attributes:
        server: HOST:PORT.
        model: name of the model.
        version: version of the model; "" for the newest.
        deadline_s: limit for one request in seconds.
        wait_s: how long to wait for a server that is down, in seconds.
        max_requests: requests in flight; None for as many as the server can use.
    """

    server: str
    model: str
    version: str = ""
    deadline_s: int = _DEFAULT_DEADLINE_S
    wait_s: int = _DEFAULT_WAIT_S
    max_requests: int | None = None

    @classmethod
    def parse(cls, text: str) -> TritonAddress:
        """Parse an address; raise UsageError if it is invalid."""
        uri = parse_uri(text)
        match = re.fullmatch(r"(\[[^/\]]+\]|[^/:\[\]]+)(:\d+)?/([^/]+)(/[1-9]\d*)?/?", uri.path)
        if uri.scheme != "triton" or not match:
            raise UsageError(
                f"{text} is not triton://HOST:8001/MODEL or triton://HOST/MODEL/VERSION"
            )
        uri.check_parameters(("deadline", "wait", "requests"))
        host, port, model, version = match.groups()
        deadline, wait, requests = map(uri.get_int, ("deadline", "wait", "requests"))
        if deadline == 0 or requests == 0:
            raise UsageError(f"{text}: deadline and requests must be at least 1")
        return cls(
            server=host + (port or f":{_DEFAULT_PORT}"),
            model=model,
            version=(version or "").strip("/"),
            deadline_s=deadline or _DEFAULT_DEADLINE_S,
            wait_s=_DEFAULT_WAIT_S if wait is None else wait,
            max_requests=requests,
        )


class TritonClient(Closeable):
    """A connection that several threads may use at the same time."""

    def __init__(self, address: TritonAddress) -> None:
        self.address = address
        self.grpc_client: Any = InferenceServerClient(address.server, channel_args=_CHANNEL_ARGS)
        self._lock = threading.Lock()
        self._unavailable_since = 0.0  # time.monotonic; 0 while the server answers

    def call_once(self, call: Callable[[], T]) -> T:
        """Call without retries; raise EngineError, in one line, for any failure."""
        try:
            return call()
        except InferenceServerException as error:
            raise EngineError(self._describe_error(error)) from None

    def call_with_retry(self, call: Callable[[], T]) -> T:
        """Call, and retry for `wait_s` seconds while the server is down.

        The first thread to notice logs a warning.

        Args:
            call: a request that may be repeated.

        Raises:
            EngineError: the server stays down, or the error is permanent.
            Interrupted: a signal arrived during the wait.
        """
        failed_at = 0.0
        while True:
            sent_at = time.monotonic()
            try:
                response = call()
            except InferenceServerException as error:
                if not _is_transient(error):
                    raise EngineError(self._describe_error(error)) from None
                failed_at = failed_at or time.monotonic()
                self._wait_before_retry(error, failed_at)
                continue
            self._report_recovery(sent_at)
            return response

    def _wait_before_retry(self, error: InferenceServerException, failed_at: float) -> None:
        address = self.address
        if time.monotonic() - failed_at > address.wait_s:
            raise EngineError(f"{self._describe_error(error)}; gave up after {address.wait_s} s")
        with self._lock:
            if not self._unavailable_since:
                self._unavailable_since = time.monotonic()
                warn_user(f"{self._describe_error(error)}; retrying for up to {address.wait_s} s")
        if stop_requested():
            raise Interrupted(f"stopped while {address.server} was unavailable")
        time.sleep(_RETRY_INTERVAL_S)

    def _report_recovery(self, sent_at: float) -> None:
        """Log that the server is back, after a response to a request sent at `sent_at`.

        A response to a request from before the failure proves nothing.
        """
        if not self._unavailable_since:
            return
        with self._lock:
            if self._unavailable_since and sent_at > self._unavailable_since:
                down_s = time.monotonic() - self._unavailable_since
                warn_user(f"{self.address.server} is back after {down_s:.1f} s")
                self._unavailable_since = 0.0

    def _describe_error(self, error: InferenceServerException) -> str:
        """Return one line: what is wrong and what to do."""
        address, code = self.address, _status_code(error)
        message = " ".join(str(error.message()).split())
        if code == "UNAVAILABLE" and "failed to connect" in message:
            return f"no Triton server answers at {address.server}; check that its gRPC port is open"
        if code == "UNAVAILABLE":
            return f"{address.server} is not available ({message})"
        if code == "DEADLINE_EXCEEDED":
            return (
                f"{address.server} does not answer within {address.deadline_s} s; "
                "?deadline=SECONDS allows more"
            )
        if code == "NOT_FOUND":
            version = f" in version {address.version}" if address.version else ""
            return f"{address.server} has no model {address.model}{version}: {message}"
        return f"{address.server} refused a request: {message}"

    def close(self) -> None:
        self.grpc_client.close()


def _status_code(error: InferenceServerException) -> str:
    return str(error.status()).removeprefix("StatusCode.")


def _is_transient(error: InferenceServerException) -> bool:
    """Return whether the same request may succeed later."""
    return _status_code(error) in _TRANSIENT_CODES or _RESTARTING_MESSAGE in str(error.message())
