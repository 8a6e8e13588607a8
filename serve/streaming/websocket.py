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

from ..api.endpoint import Endpoint
from ..api.errors import HttpError
from ..api.image_codec import MAX_IMAGE_BYTES, decode_upload
from ..scheduling.feeds import Feed, error_message, handle_message, open_feed

_FIRST_MESSAGE_TIMEOUT_S = 10.0  # seconds for the first message
_HEARTBEAT_S = 15.0  # seconds between signs of life


async def handle_websocket(request: web.Request) -> web.WebSocketResponse:
    """One client, from its first message to its last."""
    socket = web.WebSocketResponse(
        heartbeat=_HEARTBEAT_S, max_msg_size=MAX_IMAGE_BYTES, compress=False
    )
    await socket.prepare(request)
    try:
        feed = await open_feed(
            request.app, _parse_first_message(await socket.receive(_FIRST_MESSAGE_TIMEOUT_S))
        )
    except asyncio.TimeoutError:
        await _close_socket(socket, WSCloseCode.POLICY_VIOLATION, "nothing was said")
        return socket
    except CgtError as error:
        full = isinstance(error, HttpError) and error.status == 429
        await _close_socket(socket, 4429 if full else WSCloseCode.POLICY_VIOLATION, str(error))
        return socket
    sending = asyncio.create_task(_send_frames(socket, feed))
    try:
        await _receive_messages(request.app, socket, feed)
    except HttpError as refusal:
        await _close_socket(socket, WSCloseCode.POLICY_VIOLATION, str(refusal))
    finally:
        feed.close()
        sending.cancel()
        await asyncio.wait([sending])
    return socket


def _parse_first_message(message: WSMessage) -> Mapping[str, Any]:
    """Of the first message. Raises Refusal."""
    params = None
    if message.type is WSMsgType.TEXT:
        with suppress(ValueError, RecursionError):
            params = json.loads(message.data)
    if not isinstance(params, dict):
        raise HttpError(400, "the first message must be a JSON object")
    return params


async def _receive_messages(
    app: web.Application, socket: web.WebSocketResponse, feed: Feed
) -> None:
    async for message in socket:
        if message.type is WSMsgType.TEXT:
            await socket.send_json(await handle_message(app, feed, message.data))
        elif message.type is WSMsgType.BINARY:
            data: bytes = message.data
            image = await asyncio.to_thread(decode_upload, data[4:])
            feed.submit(image, int.from_bytes(data[:4], "big"))


async def _send_frames(socket: web.WebSocketResponse, feed: Feed) -> None:
    with suppress(ConnectionError):  # who is gone is noticed by _receive
        while True:
            try:
                output = await feed.next_frame()
            except CgtError as error:
                await socket.send_json(error_message(str(error)))
                continue
            if output is None:
                break
            await socket.send_bytes(await asyncio.to_thread(output.websocket_message))
    await _close_socket(socket, WSCloseCode.GOING_AWAY, "the end")


async def _close_socket(socket: web.WebSocketResponse, code: int, reason: str) -> None:
    """A reason has at most 123 bytes."""
    with suppress(ConnectionError):
        await socket.close(code=code, message=reason.encode()[:120])


ENDPOINTS = (Endpoint("GET", "/v1/stream", handle_websocket),)
