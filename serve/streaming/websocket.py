"""WebSocket endpoint: GET /v1/stream, live video for networks where WebRTC cannot connect.

The first message is JSON with the parameters of `feeds.open_feed`; later text messages are those of
`feeds.handle_message`. A binary message is a frame: a 4-byte timestamp (big endian) and a PNG, JPEG
or WebP file. Each translation has the timestamp of its frame and is a JPEG. Of the frames that
arrive while the server is busy, it translates the newest. Close codes: 1008 for an invalid message,
4429 if all sessions are in use, 1001 when the server shuts down.
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

_FIRST_MESSAGE_TIMEOUT_S = 10.0
_HEARTBEAT_S = 15.0


async def handle_websocket(request: web.Request) -> web.WebSocketResponse:
    """Serve one client, from its first message to its last."""
    socket = web.WebSocketResponse(
        heartbeat=_HEARTBEAT_S, max_msg_size=MAX_IMAGE_BYTES, compress=False
    )
    await socket.prepare(request)
    try:
        feed = await open_feed(
            request.app, _parse_first_message(await socket.receive(_FIRST_MESSAGE_TIMEOUT_S))
        )
    except asyncio.TimeoutError:
        await _close_socket(socket, WSCloseCode.POLICY_VIOLATION, "no first message")
        return socket
    except CgtError as error:
        full = isinstance(error, HttpError) and error.status == 429
        await _close_socket(socket, 4429 if full else WSCloseCode.POLICY_VIOLATION, str(error))
        return socket
    sending = asyncio.create_task(_send_frames(socket, feed))
    try:
        await _receive_messages(request.app, socket, feed)
    except HttpError as error:
        await _close_socket(socket, WSCloseCode.POLICY_VIOLATION, str(error))
    finally:
        feed.close()
        sending.cancel()
        await asyncio.wait([sending])
    return socket


def _parse_first_message(message: WSMessage) -> Mapping[str, Any]:
    """Return the parameters in the first message. Raises HttpError."""
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
    with suppress(ConnectionError):  # _receive_messages then ends, too
        while True:
            try:
                output = await feed.next_frame()
            except CgtError as error:
                await socket.send_json(error_message(str(error)))
                continue
            if output is None:
                break
            await socket.send_bytes(await asyncio.to_thread(output.websocket_message))
    await _close_socket(socket, WSCloseCode.GOING_AWAY, "the feed ended")


async def _close_socket(socket: web.WebSocketResponse, code: int, reason: str) -> None:
    """Close a socket. WebSockets limit the reason to 123 bytes."""
    with suppress(ConnectionError):
        await socket.close(code=code, message=reason.encode()[:120])


ENDPOINTS = (Endpoint("GET", "/v1/stream", handle_websocket),)
