"""POST /v1/translate: an image for an image."""

from __future__ import annotations

import asyncio
from typing import Any

from aiohttp import web

from . import negotiation
from .catalog import Choice
from .endpoints import CHOICE, Endpoint, problem
from .pictures import FORMATS, MAX_BYTES, decode, encode, kind_of
from .refusals import Refusal
from .service import SERVICE, Service
from .uploads import FIELD, receive

_WAITING = 16  # images that may have arrived and wait, each with its bytes in memory
_MOST_BYTES = _WAITING * MAX_BYTES  # of these and of those that arrive, however slowly
_WORKING = 2  # of them decoded, translated, encoded: one while another is at the engine
_RETRY_AFTER = 2


class Desk:
    """Where images are handed in: all of them together take the turns of two sessions."""

    def __init__(self, service: Service) -> None:
        self._service = service
        self._waiting = self._bytes = 0
        self._working = asyncio.Semaphore(_WORKING)

    async def handle(self, request: web.Request) -> web.Response:
        """Raises Refusal; the engine's errors."""
        choice = self._service.catalog.choice(request.query)
        accept = ",".join(request.headers.getall("Accept", []))
        if negotiation.best(accept, list(FORMATS)) is None:
            raise Refusal(406, f"there are {', '.join(FORMATS)}")
        held = 0

        def hold(count: int) -> None:
            nonlocal held
            held += count
            self._bytes += count
            if self._bytes > _MOST_BYTES:
                raise _too_many()

        try:
            data = await receive(request, hold)
            if self._waiting >= _WAITING:
                raise _too_many()
            self._waiting += 1
            try:
                async with self._working:
                    return await self._translate(data, choice, accept)
            finally:
                self._waiting -= 1
        finally:
            self._bytes -= held

    async def _translate(self, data: bytes, choice: Choice, accept: str) -> web.Response:
        picture = await asyncio.to_thread(decode, data)
        own = kind_of(data)
        kind = negotiation.best(accept, sorted(FORMATS, key=lambda kind: kind != own))
        assert kind is not None
        with self._service.sessions.open(counted=False) as session:
            await session.choose(choice)
            session.offer(picture)
            answer = await session.answer()
        if answer is None or answer.translated is None:
            raise Refusal(429, "the server is stopping", _RETRY_AFTER)
        body = await asyncio.to_thread(encode, answer.translated, kind)
        return web.Response(body=body, content_type=kind, headers={"Vary": "Accept"})


def _too_many() -> Refusal:
    return Refusal(429, "too many images at once; wait", _RETRY_AFTER)


DESK = web.AppKey("desk", Desk)


async def translate(request: web.Request) -> web.Response:
    """See the operation."""
    return await request.app[DESK].handle(request)


async def open_desk(app: web.Application) -> None:
    """To be called when the application starts."""
    app[DESK] = Desk(app[SERVICE])


def _content(schema: dict[str, Any]) -> dict[str, Any]:
    return {kind: {"schema": schema} for kind in FORMATS}


_BINARY: dict[str, Any] = {"type": "string", "format": "binary"}
_FORM = {"type": "object", "required": [FIELD], "properties": {FIELD: _BINARY}}

ENDPOINTS = (
    Endpoint(
        "POST",
        "/v1/translate",
        translate,
        {
            "operationId": "translate",
            "summary": "Translate an image.",
            "description": "The answer has the format that Accept asks for, by default that of the "
            "image; its size is the one that the network worked at.",
            "parameters": CHOICE,
            "requestBody": {
                "required": True,
                "content": _content(_BINARY) | {"multipart/form-data": {"schema": _FORM}},
            },
            "responses": {"200": {"description": "The translation.", "content": _content(_BINARY)}}
            | problem(404, 406, 408, 413, 415, 422, 429, 500),
        },
    ),
)
