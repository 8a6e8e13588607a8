"""Reader of uploads: an image as the request body or as a form field, with size and time limits."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import aiohttp
from aiohttp import web
from aiohttp.http_exceptions import HttpProcessingError

from .errors import HttpError
from .image_codec import MAX_IMAGE_BYTES

ByteCounter = Callable[[int], None]

FORM_FIELD = "image"
_REQUEST_TIMEOUT_S = 30.0
_CHUNK_BYTES = 64 * 1024

# Exceptions that aiohttp raises for bodies and forms that are malformed or incomplete.
_MALFORMED_BODY_ERRORS = (
    *(HttpProcessingError, web.RequestPayloadError, aiohttp.ClientError),
    *(ValueError, LookupError, RuntimeError, AssertionError, OSError),
)


async def read_image(request: web.Request, count_bytes: ByteCounter) -> bytes:
    """Return the bytes of the image in a request. They stay in memory, never on disk.

    Args:
        request: The request.
        count_bytes: Called with the size of each chunk; it may raise an HttpError.

    Raises:
        HttpError: 400 for a malformed body, 408 for one that takes too long to arrive, 413 for
            more than MAX_IMAGE_BYTES, 415 for a body that is neither an image nor a form.
    """
    return await _with_timeout(_read_image_body(request, count_bytes))


async def read_small_body(request: web.Request, max_bytes: int) -> bytes:
    """Return the body of a request.

    Raises:
        HttpError: 400 for a malformed body, 408 for one that takes too long to arrive, 413 for
            more than `max_bytes`.
    """
    try:
        return await _with_timeout(request.clone(client_max_size=max_bytes).read())
    except web.HTTPRequestEntityTooLarge:
        raise HttpError(413, f"the body may have at most {max_bytes} bytes") from None


async def _with_timeout(reading: Coroutine[Any, Any, bytes]) -> bytes:
    try:
        return await asyncio.wait_for(reading, _REQUEST_TIMEOUT_S)
    except asyncio.TimeoutError:
        raise HttpError(
            408, f"the request took more than {_REQUEST_TIMEOUT_S:.0f} s to arrive"
        ) from None
    except _MALFORMED_BODY_ERRORS as error:
        raise HttpError(400, f"the request is malformed: {type(error).__name__}") from None


async def _read_image_body(request: web.Request, count_bytes: ByteCounter) -> bytes:
    content_type = request.content_type
    remaining = MAX_IMAGE_BYTES

    def check_size(chunk: bytes) -> None:
        nonlocal remaining
        remaining -= len(chunk)
        if remaining < 0:
            raise HttpError(413, f"an image may have at most {MAX_IMAGE_BYTES // 2**20} MiB")
        count_bytes(len(chunk))

    if content_type.startswith("image/"):
        body = bytearray()
        async for block in request.content.iter_chunked(_CHUNK_BYTES):
            check_size(block)
            body += block
        return bytes(body)
    if content_type != "multipart/form-data":
        raise HttpError(
            415,
            f"unsupported body; send the image as the body (Content-Type: image/*) or as the form "
            f"field {FORM_FIELD!r}",
        )
    image: bytes | None = None
    async for part in await request.multipart():
        if not isinstance(part, aiohttp.BodyPartReader):
            raise HttpError(400, "nested forms are not supported; send one form")
        data = bytearray()
        while chunk := await part.read_chunk(_CHUNK_BYTES):
            check_size(chunk)
            if part.name == FORM_FIELD:
                data += chunk
        if part.name == FORM_FIELD:
            image = bytes(data)
    if image is None:
        raise HttpError(400, f"the form has no field {FORM_FIELD!r}")
    return image
