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

from ..api.endpoint import Endpoint, problem_responses
from ..api.errors import HttpError
from ..api.uploads import read_small_body
from ..scheduling.feeds import open_feed
from .peer import PEERS_KEY, Peer

_MAX_OFFER_BYTES = 64 * 1024  # bytes


async def answer_offer(request: web.Request) -> web.Response:
    """Open a connection."""
    try:
        params = json.loads(await read_small_body(request, _MAX_OFFER_BYTES))
        offer = RTCSessionDescription(params["sdp"], params["type"])
    except (ValueError, KeyError, TypeError, RecursionError):
        raise HttpError(400, "send JSON with sdp and type of an offer") from None
    if offer.type != "offer" or not isinstance(offer.sdp, str):
        raise HttpError(400, "send JSON with sdp and type of an offer")
    peer = Peer(request.app, await open_feed(request.app, params))
    try:
        description = await peer.accept_offer(offer)
    except BaseException:
        await peer.close()
        raise
    return web.json_response({"sdp": description.sdp, "type": description.type})


async def webrtc_context(app: web.Application) -> AsyncIterator[None]:
    """A cleanup context of the application: no connection outlives it."""
    app[PEERS_KEY] = set()
    yield
    peers = app[PEERS_KEY]
    await asyncio.gather(*(peer.close() for peer in tuple(peers)))


_STRING_SCHEMA = {"type": "string"}
_SESSION_DESCRIPTION_SCHEMA = {
    "type": "object",
    "properties": {"sdp": _STRING_SCHEMA, "type": _STRING_SCHEMA},
    "required": ["sdp", "type"],
}
_OFFER_SCHEMA = _SESSION_DESCRIPTION_SCHEMA | {
    "properties": {"sdp": _STRING_SCHEMA, "type": {"const": "offer"}}
    | {"source": {"enum": ["mine", "server"]}}
    | dict.fromkeys(("model", "size", "precision"), _STRING_SCHEMA),
}

ENDPOINTS = (
    Endpoint(
        "POST",
        "/v1/webrtc",
        answer_offer,
        {
            "summary": "Video both ways over WebRTC.",
            "requestBody": {
                "required": True,
                "content": {"application/json": {"schema": _OFFER_SCHEMA}},
            },
            "responses": {
                "200": {
                    "description": "The answer.",
                    "content": {"application/json": {"schema": _SESSION_DESCRIPTION_SCHEMA}},
                },
                **problem_responses(404, 408, 413, 429, 500),
            },
        },
    ),
)
