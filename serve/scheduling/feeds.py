"""Feeds of clients: translations of their own frames, or of the server's source."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator, Mapping
from typing import Any, Protocol

from aiohttp import web

from cgt.runtime.errors import CgtError
from cgt.runtime.image.channels import to_rgb
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
    """Translated frames for one client. To be used in the thread of the event loop."""

    def submit(self, image: U8, timestamp: int) -> None:
        """Submit a frame (uint8 HWC RGB). It replaces one that still waits."""

    async def next_frame(self) -> OutputFrame | None:
        """Wait for the next translated frame; return None after the end of the feed.

        Raises:
            CgtError: A frame could not be translated. More frames may follow.
        """

    async def select_model(self, selection: ModelSelection) -> None:
        """Change the selection, from the next frame on."""

    def close(self) -> None:
        """Free the session of the client. May be called more than once."""


class ClientFeed(Closeable):
    """Feed of the frames that the client itself sends."""

    def __init__(self, session: Session) -> None:
        self._session = session

    def submit(self, image: U8, timestamp: int) -> None:
        self._session.submit(image, timestamp)

    async def next_frame(self) -> OutputFrame | None:
        job = await self._session.next_result()
        if job is None:
            return None
        assert job.translated is not None
        return OutputFrame(to_rgb(job.translated), job.tag)

    async def select_model(self, selection: ModelSelection) -> None:
        await self._session.select_model(selection)

    def close(self) -> None:
        self._session.close()


async def open_feed(app: web.Application, params: Mapping[str, Any]) -> Feed:
    """Open the feed that a client requests.

    Args:
        app: The application.
        params: `source` ("mine" or "server") and those of `ModelCatalog.parse_selection`. All are
            strings and optional.

    Raises:
        HttpError: 400 or 404 for invalid parameters, 429 if all sessions are in use.
    """
    text_params = _text_params(params)
    source = text_params.get("source") or "mine"
    if source not in ("mine", "server"):
        raise HttpError(400, "source must be mine or server")
    if source == "server" and BROADCAST_KEY not in app:
        raise HttpError(404, "this server has no source; start it with --source")
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
    """Handle a control message of a client and return the reply.

    {"kind": "choose", "model": ..., "size": ..., "precision": ...} -> {"kind": "chosen"}
    {"kind": "clock", "page": P} -> the same with "server": the clock of the timestamps, in ms

    The reply to an invalid message is {"kind": "error", "message": ...}.

    Args:
        app: The application.
        feed: Feed of the client.
        text: The message, JSON.
    """
    try:
        message = json.loads(text)
        if not isinstance(message, dict):
            raise HttpError(400, "the message must be a JSON object")
        if message.get("kind") == "clock":
            return {**message, "server": time.perf_counter() * 1000}
        if message.get("kind") != "choose":
            raise HttpError(400, "kind must be choose or clock")
        await feed.select_model(app[SERVICE_KEY].catalog.parse_selection(_text_params(message)))
        return {"kind": "chosen"}
    except (ValueError, RecursionError):
        return error_message("the message is not JSON")
    except CgtError as error:
        return error_message(str(error))


def error_message(message: str) -> dict[str, Any]:
    """Return the message that reports an error to a client."""
    return {"kind": "error", "message": message}


def _text_params(params: Mapping[str, Any]) -> dict[str, str]:
    texts = {key: params[key] for key in _PARAM_NAMES if params.get(key) is not None}
    for key, text in texts.items():
        if not isinstance(text, str):
            raise HttpError(400, f"{key} must be a string")
    return texts


async def broadcast_context(app: web.Application) -> AsyncIterator[None]:
    """Open and close the source of the server with the application."""
    service = app[SERVICE_KEY]
    if service.source is None:
        yield
        return
    app[BROADCAST_KEY] = await asyncio.to_thread(Broadcast, service.source, service.sessions)
    yield
    app[BROADCAST_KEY].close()
