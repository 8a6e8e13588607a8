"""The way to a Triton server: its address, and calls that outlive its restart."""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

from ..closing import Closing
from ..errors import EngineError, Interrupted, MissingDependency, UsageError
from ..notes import note
from ..stopping import asked_to_stop
from ..uri import parse_uri

try:
    from tritonclient.grpc import InferenceServerClient, InferInput, InferRequestedOutput
    from tritonclient.utils import InferenceServerException
except ImportError:
    raise MissingDependency(
        "tritonclient is not installed; install the extra: pip install 'cyclegan-toolkit[triton]'"
    ) from None

__all__ = ["Address", "InferInput", "InferRequestedOutput", "Link"]

T = TypeVar("T")

_PORT = 8001
_DEADLINE, _PATIENCE = 30, 120  # seconds
_PAUSE = 0.25  # seconds between attempts
_LARGEST = 2**31 - 1  # bytes of a message
_CHANNEL: list[tuple[str, Any]] = [
    ("grpc.max_send_message_length", _LARGEST),
    ("grpc.max_receive_message_length", _LARGEST),
    # By default gRPC waits longer with each attempt, for up to two minutes.
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.min_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 500),
    ("grpc.enable_retries", 0),
]
# gRPC's codes for a server that is away, starting, stopping or stuck. A model that is still being
# loaded again is NOT_FOUND, and one whose process has died INTERNAL.
_PASSING = ("UNAVAILABLE", "DEADLINE_EXCEEDED", "CANCELLED", "NOT_FOUND")
_RESTARTING = "is not healthy"  # the Python backend starts such a process again


@dataclass(frozen=True)
class Address:
    """triton://HOST[:8001]/MODEL[/VERSION][?deadline=30&wait=120&requests=4]

    version: "" for the newest. deadline: seconds for one request. wait: seconds for a server that
    went away to come back. requests: in flight at once; None for what the server can use.
    """

    server: str
    model: str
    version: str = ""
    deadline: int = _DEADLINE
    wait: int = _PATIENCE
    requests: int | None = None

    @classmethod
    def parse(cls, text: str) -> Address:
        """Raises UsageError."""
        uri = parse_uri(text)
        match = re.fullmatch(r"(\[[^/\]]+\]|[^/:\[\]]+)(:\d+)?/([^/]+)(/[1-9]\d*)?/?", uri.rest)
        if uri.scheme != "triton" or not match:
            raise UsageError(
                f"{text} is not triton://HOST:8001/MODEL or triton://HOST/MODEL/VERSION"
            )
        uri.only(("deadline", "wait", "requests"))
        host, port, model, version = match.groups()
        deadline, wait, requests = map(uri.number, ("deadline", "wait", "requests"))
        if deadline == 0 or requests == 0:
            raise UsageError(f"{text}: deadline and requests are 1 at least")
        return cls(
            server=host + (port or f":{_PORT}"),
            model=model,
            version=(version or "").strip("/"),
            deadline=deadline or _DEADLINE,
            wait=_PATIENCE if wait is None else wait,
            requests=requests,
        )


class Link(Closing):
    """A connection that several threads use at once."""

    def __init__(self, address: Address) -> None:
        self.address = address
        self.client: Any = InferenceServerClient(address.server, channel_args=_CHANNEL)
        self._lock = threading.Lock()
        self._away = 0.0  # since when the server is; 0 while it answers

    def ask(self, call: Callable[[], T]) -> T:
        """Once. Raises EngineError, in one line, for whatever goes wrong."""
        try:
            return call()
        except InferenceServerException as error:
            raise EngineError(self._said(error)) from None

    def insist(self, call: Callable[[], T]) -> T:
        """Again and again while the server is away, for `wait` seconds; the first thread to notice
        says so. `call` must be one that may be repeated.

        Raises EngineError where it stays away and for what no waiting mends, Interrupted where a
        signal asks to stop meanwhile.
        """
        failed = 0.0
        while True:
            asked = time.monotonic()
            try:
                answer = call()
            except InferenceServerException as error:
                if not _passes(error):
                    raise EngineError(self._said(error)) from None
                failed = failed or time.monotonic()
                self._wait(error, failed)
                continue
            self._back(asked)
            return answer

    def _wait(self, error: InferenceServerException, failed: float) -> None:
        """Before another attempt."""
        address = self.address
        if time.monotonic() - failed > address.wait:
            raise EngineError(f"{self._said(error)}; waited {address.wait} s for it")
        with self._lock:
            if not self._away:
                self._away = time.monotonic()
                note(f"{self._said(error)}; waiting up to {address.wait} s for it")
        if asked_to_stop():
            raise Interrupted(f"stopped while {address.server} was away")
        time.sleep(_PAUSE)

    def _back(self, asked: float) -> None:
        """After an answer to what was asked then: what another thread asked before the server went
        away may still be answered, and says nothing of it."""
        if not self._away:
            return
        with self._lock:
            if self._away and asked > self._away:
                note(f"{self.address.server} is back after {time.monotonic() - self._away:.1f} s")
                self._away = 0.0

    def _said(self, error: InferenceServerException) -> str:
        """One line, of what is wrong and what to do."""
        address, code = self.address, _code(error)
        said = " ".join(str(error.message()).split())
        if code == "UNAVAILABLE" and "failed to connect" in said:
            return f"no Triton server answers at {address.server}; is it running, with gRPC there?"
        if code == "UNAVAILABLE":
            return f"{address.server} is not available ({said})"
        if code == "DEADLINE_EXCEEDED":
            return (
                f"{address.server} does not answer within {address.deadline} s; "
                "?deadline=SECONDS gives it longer"
            )
        if code == "NOT_FOUND":
            version = f" in version {address.version}" if address.version else ""
            return f"{address.server} has no model {address.model}{version}: {said}"
        return f"{address.server} refused a request: {said}"

    def close(self) -> None:
        self.client.close()


def _code(error: InferenceServerException) -> str:
    return str(error.status()).removeprefix("StatusCode.")


def _passes(error: InferenceServerException) -> bool:
    """Whether the same request may succeed later."""
    return _code(error) in _PASSING or _RESTARTING in str(error.message())
