"""What a client is shown: its own pictures translated, or the server's."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator, Mapping
from typing import Any, Protocol

from aiohttp import web

from cgt.runtime.errors import CgtError
from cgt.runtime.image.preprocess import U8
from cgt.runtime.utils.closeable import Closeable

from ..api.errors import HttpError
from ..models import ModelSelection
from ..service import SERVICE_KEY
from .broadcast import Broadcast
from .output_frame import OutputFrame
from .sessions import Session

BROADCAST_KEY = web.AppKey("broadcast", Broadcast)

_PARAM_NAMES = ("source", "model", "size", "precision")


class Feed(Protocol):
    """One client's pictures, from its first to its last. Of the event loop's thread."""

    def submit(self, image: U8, timestamp: int) -> None:
        """uint8 HWC RGB to be translated; the newest wins."""

    async def next_frame(self) -> OutputFrame | None:
        """The next picture to show, when there is one; None after the end. Raises CgtError where
        one could not be translated; others may follow."""

    async def select_model(self, selection: ModelSelection) -> None:
        """From the next picture on."""

    def close(self) -> None:
        """Gives back the client's place; twice is fine."""


class ClientFeed(Closeable):
    """A client's own pictures."""

    def __init__(self, session: Session) -> None:
        self._session = session

    def submit(self, image: U8, timestamp: int) -> None:
        self._session.submit(image, timestamp)

    async def next_frame(self) -> OutputFrame | None:
        job = await self._session.next_result()
        if job is None:
            return None
        assert job.translated is not None
        return OutputFrame(job.translated, job.tag)

    async def select_model(self, selection: ModelSelection) -> None:
        await self._session.select_model(selection)

    def close(self) -> None:
        self._session.close()


async def open_feed(app: web.Application, params: Mapping[str, Any]) -> Feed:
    """asked: `source` ("mine" or "server"), and as for `Catalog.choice`; all optional, all text.

    Raises Refusal for what makes no sense, and where all places are taken.
    """
    text_params = _text_params(params)
    source = text_params.get("source") or "mine"
    if source not in ("mine", "server"):
        raise HttpError(400, "source must be mine or server")
    if source == "server" and BROADCAST_KEY not in app:
        raise HttpError(404, "this server has no source of its own; start it with --source")
    service = app[SERVICE_KEY]
    selection = service.catalog.parse_selection(text_params)
    session = service.sessions.open()
    try:
        await session.select_model(selection)
        return (
            app[BROADCAST_KEY].add_viewer(selection, session)
            if source == "server"
            else ClientFeed(session)
        )
    except BaseException:
        session.close()
        raise


async def handle_message(app: web.Application, feed: Feed, text: str) -> dict[str, Any]:
    """What a client says on the side, as JSON, and the answer to it:

    {"kind": "choose", "model": ..., "size": ..., "precision": ...}  -> {"kind": "chosen"}
    {"kind": "clock", "page": P}  -> the same, with "server": milliseconds of the clock of stamps

    What makes no sense or cannot be had is answered with {"kind": "error", "message": ...}.
    """
    try:
        message = json.loads(text)
        if not isinstance(message, dict):
            raise HttpError(400, "an object is expected")
        if message.get("kind") == "clock":
            return {**message, "server": time.perf_counter() * 1000}
        if message.get("kind") != "choose":
            raise HttpError(400, "kind must be choose or clock")
        await feed.select_model(app[SERVICE_KEY].catalog.parse_selection(_text_params(message)))
        return {"kind": "chosen"}
    except (ValueError, RecursionError):
        return error_message("not JSON")
    except CgtError as error:
        return error_message(str(error))


def error_message(message: str) -> dict[str, Any]:
    """An error, as clients are told it."""
    return {"kind": "error", "message": message}


def _text_params(params: Mapping[str, Any]) -> dict[str, str]:
    texts = {key: params[key] for key in _PARAM_NAMES if params.get(key) is not None}
    for key, text in texts.items():
        if not isinstance(text, str):
            raise HttpError(400, f"{key} must be text")
    return texts


async def broadcast_context(app: web.Application) -> AsyncIterator[None]:
    """A cleanup context of the application: the server's own source, where it has one."""
    service = app[SERVICE_KEY]
    if service.source is None:
        yield
        return
    app[BROADCAST_KEY] = await asyncio.to_thread(Broadcast, service.source, service.sessions)
    yield
    app[BROADCAST_KEY].close()
