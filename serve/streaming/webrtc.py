"""WebRTC endpoint: POST /v1/webrtc takes an SDP offer and returns an SDP answer.

The client offers a data channel for the messages of `feeds.handle_message`, and a video track of
frames with a strip (see `timestamp`). A client that only watches offers no track of its own. It
receives a track of translations with the same timestamps.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator

from aiohttp import web
from aiortc import RTCSessionDescription
from aiortc.codecs import vpx

from ..api.endpoint import STRING_SCHEMA, Endpoint, problem_responses
from ..api.errors import HttpError
from ..api.uploads import read_small_body
from ..scheduling.feeds import open_feed
from .peer import PEERS_KEY, Peer

_MAX_OFFER_BYTES = 64 * 1024

vpx.MAX_BITRATE = 4_000_000  # bits/s; aiortc's own limit is for frames smaller than 1280x720


async def answer_offer(request: web.Request) -> web.Response:
    """Open a connection and return its SDP answer."""
    try:
        params = json.loads(await read_small_body(request, _MAX_OFFER_BYTES))
        offer = RTCSessionDescription(params["sdp"], params["type"])
    except (ValueError, KeyError, TypeError, RecursionError):
        raise HttpError(400, "invalid offer; send JSON with the sdp and type of an offer") from None
    if offer.type != "offer" or not isinstance(offer.sdp, str):
        raise HttpError(400, "invalid offer; send JSON with the sdp and type of an offer")
    peer = Peer(request.app, await open_feed(request.app, params))
    try:
        description = await peer.accept_offer(offer)
    except BaseException:
        await peer.close()
        raise
    return web.json_response({"sdp": description.sdp, "type": description.type})


async def webrtc_context(app: web.Application) -> AsyncIterator[None]:
    """Close all connections when the application shuts down."""
    app[PEERS_KEY] = set()
    yield
    peers = app[PEERS_KEY]
    await asyncio.gather(*(peer.close() for peer in tuple(peers)))


_SESSION_DESCRIPTION_SCHEMA = {
    "type": "object",
    "properties": {"sdp": STRING_SCHEMA, "type": STRING_SCHEMA},
    "required": ["sdp", "type"],
}
_OFFER_SCHEMA = _SESSION_DESCRIPTION_SCHEMA | {
    "properties": {"sdp": STRING_SCHEMA, "type": {"const": "offer"}}
    | {"source": {"enum": ["mine", "server"]}}
    | dict.fromkeys(("model", "size", "precision"), STRING_SCHEMA),
}

ENDPOINTS = (
    Endpoint(
        "POST",
        "/v1/webrtc",
        answer_offer,
        {
            "summary": "Translate live video over WebRTC.",
            "requestBody": {
                "required": True,
                "content": {"application/json": {"schema": _OFFER_SCHEMA}},
            },
            "responses": {
                "200": {
                    "description": "The SDP answer.",
                    "content": {"application/json": {"schema": _SESSION_DESCRIPTION_SCHEMA}},
                },
                **problem_responses(404, 408, 413, 429, 500),
            },
        },
    ),
)
