"""GET /v1/stream: pictures both ways over a WebSocket, for where WebRTC cannot connect.

The first message is JSON, see `feeds.open_feed`; later ones see `feeds.obey`. A binary message is
a picture: four bytes of stamp, big end first, and a PNG, JPEG or WebP file. Each translation comes
back with its picture's stamp, as JPEG; where a client sends faster than it is served, the newest
wins. Close codes: 1008 for what makes no sense, 4429 where all places are taken, 1001 at the end.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

from aiohttp import WSCloseCode, WSMessage, WSMsgType, web

from cgt.runtime.errors import CgtError

from .endpoints import Endpoint
from .feeds import Feed, complaint, obey, open_feed
from .pictures import MAX_BYTES, decode
from .refusals import Refusal

_PATIENCE = 10.0  # seconds for the first message
_HEARTBEAT = 15.0  # seconds between signs of life


async def stream(request: web.Request) -> web.WebSocketResponse:
    """One client, from its first message to its last."""
    socket = web.WebSocketResponse(heartbeat=_HEARTBEAT, max_msg_size=MAX_BYTES, compress=False)
    await socket.prepare(request)
    try:
        feed = await open_feed(request.app, _asked(await socket.receive(_PATIENCE)))
    except asyncio.TimeoutError:
        await _close(socket, WSCloseCode.POLICY_VIOLATION, "nothing was said")
        return socket
    except CgtError as error:
        full = isinstance(error, Refusal) and error.status == 429
        await _close(socket, 4429 if full else WSCloseCode.POLICY_VIOLATION, str(error))
        return socket
    sending = asyncio.create_task(_send(socket, feed))
    try:
        await _receive(request.app, socket, feed)
    except Refusal as refusal:
        await _close(socket, WSCloseCode.POLICY_VIOLATION, str(refusal))
    finally:
        feed.close()
        sending.cancel()
        await asyncio.wait([sending])
    return socket


def _asked(message: WSMessage) -> Mapping[str, Any]:
    """Of the first message. Raises Refusal."""
    asked = None
    if message.type is WSMsgType.TEXT:
        with suppress(ValueError, RecursionError):
            asked = json.loads(message.data)
    if not isinstance(asked, dict):
        raise Refusal(400, "the first message must be a JSON object")
    return asked


async def _receive(app: web.Application, socket: web.WebSocketResponse, feed: Feed) -> None:
    async for message in socket:
        if message.type is WSMsgType.TEXT:
            await socket.send_json(await obey(app, feed, message.data))
        elif message.type is WSMsgType.BINARY:
            data: bytes = message.data
            picture = await asyncio.to_thread(decode, data[4:])
            feed.offer(picture, int.from_bytes(data[:4], "big"))


async def _send(socket: web.WebSocketResponse, feed: Feed) -> None:
    with suppress(ConnectionError):  # who is gone is noticed by _receive
        while True:
            try:
                shown = await feed.shown()
            except CgtError as error:
                await socket.send_json(complaint(str(error)))
                continue
            if shown is None:
                break
            await socket.send_bytes(await asyncio.to_thread(shown.message))
    await _close(socket, WSCloseCode.GOING_AWAY, "the end")


async def _close(socket: web.WebSocketResponse, code: int, reason: str) -> None:
    """A reason has at most 123 bytes."""
    with suppress(ConnectionError):
        await socket.close(code=code, message=reason.encode()[:120])


ENDPOINTS = (Endpoint("GET", "/v1/stream", stream),)
