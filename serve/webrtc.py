"""POST /v1/webrtc: an SDP offer for an answer; then pictures both ways as video.

The client offers one video track of pictures with a strip (see `stamp`), or none to only watch, and
a data channel of the words of `feeds.obey`; it gets a track of translations with the same strips.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator

from aiohttp import web
from aiortc import RTCSessionDescription

from .endpoints import Endpoint, problem
from .feeds import open_feed
from .peer import PEERS, Peer
from .refusals import Refusal
from .uploads import receive_small

_MAX_OFFER = 64 * 1024  # bytes


async def answer(request: web.Request) -> web.Response:
    """Open a connection."""
    try:
        asked = json.loads(await receive_small(request, _MAX_OFFER))
        offer = RTCSessionDescription(asked["sdp"], asked["type"])
    except (ValueError, KeyError, TypeError, RecursionError):
        raise Refusal(400, "send JSON with sdp and type of an offer") from None
    if offer.type != "offer" or not isinstance(offer.sdp, str):
        raise Refusal(400, "send JSON with sdp and type of an offer")
    peer = Peer(request.app, await open_feed(request.app, asked))
    try:
        description = await peer.accept(offer)
    except BaseException:
        await peer.close()
        raise
    return web.json_response({"sdp": description.sdp, "type": description.type})


async def peering(app: web.Application) -> AsyncIterator[None]:
    """A cleanup context of the application: no connection outlives it."""
    app[PEERS] = set()
    yield
    peers = app[PEERS]
    await asyncio.gather(*(peer.close() for peer in tuple(peers)))


_TEXT = {"type": "string"}
_DESCRIPTION = {
    "type": "object",
    "properties": {"sdp": _TEXT, "type": _TEXT},
    "required": ["sdp", "type"],
}
_OFFER = _DESCRIPTION | {
    "properties": {"sdp": _TEXT, "type": {"const": "offer"}}
    | {"source": {"enum": ["mine", "server"]}}
    | dict.fromkeys(("model", "size", "precision"), _TEXT),
}

ENDPOINTS = (
    Endpoint(
        "POST",
        "/v1/webrtc",
        answer,
        {
            "summary": "Video both ways over WebRTC.",
            "requestBody": {
                "required": True,
                "content": {"application/json": {"schema": _OFFER}},
            },
            "responses": {
                "200": {
                    "description": "The answer.",
                    "content": {"application/json": {"schema": _DESCRIPTION}},
                },
                **problem(404, 408, 413, 429, 500),
            },
        },
    ),
)
