"""What a client is shown: its own pictures translated, or the server's."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator, Mapping
from typing import Any, Protocol

from aiohttp import web

from cgt.runtime.closing import Closing
from cgt.runtime.errors import CgtError
from cgt.runtime.preprocess import U8

from .broadcast import Broadcast
from .catalog import Choice
from .refusals import Refusal
from .service import SERVICE
from .sessions import Session
from .shown import Shown

BROADCAST = web.AppKey("broadcast", Broadcast)

_KEYS = ("source", "model", "size", "precision")


class Feed(Protocol):
    """One client's pictures, from its first to its last. Of the event loop's thread."""

    def offer(self, picture: U8, stamp: int) -> None:
        """uint8 HWC RGB to be translated; the newest wins."""

    async def shown(self) -> Shown | None:
        """The next picture to show, when there is one; None after the end. Raises CgtError where
        one could not be translated; others may follow."""

    async def choose(self, choice: Choice) -> None:
        """From the next picture on."""

    def close(self) -> None:
        """Gives back the client's place; twice is fine."""


class Own(Closing):
    """A client's own pictures."""

    def __init__(self, session: Session) -> None:
        self._session = session

    def offer(self, picture: U8, stamp: int) -> None:
        self._session.offer(picture, stamp)

    async def shown(self) -> Shown | None:
        job = await self._session.answer()
        if job is None:
            return None
        assert job.translated is not None
        return Shown(job.translated, job.tag)

    async def choose(self, choice: Choice) -> None:
        await self._session.choose(choice)

    def close(self) -> None:
        self._session.close()


async def open_feed(app: web.Application, asked: Mapping[str, Any]) -> Feed:
    """asked: `source` ("mine" or "server"), and as for `Catalog.choice`; all optional, all text.

    Raises Refusal for what makes no sense, and where all places are taken.
    """
    words = _words(asked)
    source = words.get("source") or "mine"
    if source not in ("mine", "server"):
        raise Refusal(400, "source must be mine or server")
    if source == "server" and BROADCAST not in app:
        raise Refusal(404, "this server has no source of its own; start it with --source")
    service = app[SERVICE]
    choice = service.catalog.choice(words)
    place = service.sessions.open()
    try:
        await place.choose(choice)
        return app[BROADCAST].watch(choice, place) if source == "server" else Own(place)
    except BaseException:
        place.close()
        raise


async def obey(app: web.Application, feed: Feed, text: str) -> dict[str, Any]:
    """What a client says on the side, as JSON, and the answer to it:

    {"kind": "choose", "model": ..., "size": ..., "precision": ...}  -> {"kind": "chosen"}
    {"kind": "clock", "page": P}  -> the same, with "server": milliseconds of the clock of stamps

    What makes no sense or cannot be had is answered with {"kind": "error", "message": ...}.
    """
    try:
        said = json.loads(text)
        if not isinstance(said, dict):
            raise Refusal(400, "an object is expected")
        if said.get("kind") == "clock":
            return {**said, "server": time.perf_counter() * 1000}
        if said.get("kind") != "choose":
            raise Refusal(400, "kind must be choose or clock")
        await feed.choose(app[SERVICE].catalog.choice(_words(said)))
        return {"kind": "chosen"}
    except (ValueError, RecursionError):
        return complaint("not JSON")
    except CgtError as error:
        return complaint(str(error))


def complaint(message: str) -> dict[str, Any]:
    """An error, as clients are told it."""
    return {"kind": "error", "message": message}


def _words(asked: Mapping[str, Any]) -> dict[str, str]:
    words = {key: asked[key] for key in _KEYS if asked.get(key) is not None}
    for key, word in words.items():
        if not isinstance(word, str):
            raise Refusal(400, f"{key} must be text")
    return words


async def broadcasting(app: web.Application) -> AsyncIterator[None]:
    """A cleanup context of the application: the server's own source, where it has one."""
    service = app[SERVICE]
    if service.source is None:
        yield
        return
    app[BROADCAST] = await asyncio.to_thread(Broadcast, service.source, service.sessions)
    yield
    app[BROADCAST].close()
