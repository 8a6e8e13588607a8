"""The bytes of an image in a request, as its body or as the field of a form."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import aiohttp
from aiohttp import web
from aiohttp.http_exceptions import HttpProcessingError

from .pictures import MAX_BYTES
from .refusals import Refusal

Hold = Callable[[int], None]

FIELD = "image"
_PATIENCE = 30.0  # seconds for a request to arrive
_CHUNK = 64 * 1024

# What aiohttp raises on bodies and forms whose framing or coding is broken, or that break off.
_BROKEN = (
    *(HttpProcessingError, web.RequestPayloadError, aiohttp.ClientError),
    *(ValueError, LookupError, RuntimeError, AssertionError, OSError),
)


async def receive(request: web.Request, hold: Hold) -> bytes:
    """Held in memory, never on disk. hold: is told the bytes of each piece, and may refuse it.
    Raises Refusal: 400 for a malformed form, 408 for one that takes too long, 413 for more than
    MAX_BYTES, 415 for another kind of body."""
    return await _in_time(_receive(request, hold))


async def receive_small(request: web.Request, most: int) -> bytes:
    """A body of any kind. Raises Refusal: 400, 408, and 413 for more than `most` bytes."""
    try:
        return await _in_time(request.clone(client_max_size=most).read())
    except web.HTTPRequestEntityTooLarge:
        raise Refusal(413, f"the body may have at most {most} bytes") from None


async def _in_time(reading: Coroutine[Any, Any, bytes]) -> bytes:
    try:
        return await asyncio.wait_for(reading, _PATIENCE)
    except asyncio.TimeoutError:
        raise Refusal(408, f"the request took more than {_PATIENCE:.0f} s to arrive") from None
    except _BROKEN as error:
        raise Refusal(400, f"the request is malformed: {type(error).__name__}") from None


async def _receive(request: web.Request, hold: Hold) -> bytes:
    kind = request.content_type
    left = MAX_BYTES

    def count(chunk: bytes) -> None:
        nonlocal left
        left -= len(chunk)
        if left < 0:
            raise Refusal(413, f"an image may have at most {MAX_BYTES // 2**20} MiB")
        hold(len(chunk))

    if kind.startswith("image/"):
        body = bytearray()
        async for piece in request.content.iter_chunked(_CHUNK):
            count(piece)
            body += piece
        return bytes(body)
    if kind != "multipart/form-data":
        raise Refusal(
            415, f"send the image as the body (Content-Type: image/*), or as form field {FIELD!r}"
        )
    found: bytes | None = None
    async for part in await request.multipart():
        if not isinstance(part, aiohttp.BodyPartReader):
            raise Refusal(400, "forms within forms are not taken")
        data = bytearray()
        while chunk := await part.read_chunk(_CHUNK):
            count(chunk)
            if part.name == FIELD:
                data += chunk
        if part.name == FIELD:
            found = bytes(data)
    if found is None:
        raise Refusal(400, f"the form has no field {FIELD!r}")
    return found
