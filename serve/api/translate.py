"""POST /v1/translate: an image for an image."""

from __future__ import annotations

import asyncio
from typing import Any

from aiohttp import web

from ..models import ModelSelection
from ..service import SERVICE_KEY, Service
from . import content_negotiation
from .endpoint import SELECTION_PARAMETERS, Endpoint, problem_responses
from .errors import HttpError
from .image_codec import IMAGE_FORMATS, MAX_IMAGE_BYTES, decode_upload, detect_media_type, encode_as
from .uploads import FORM_FIELD, read_image

_MAX_WAITING = 16  # images that may have arrived and wait, each with its bytes in memory
_MAX_BYTES_HELD = (
    _MAX_WAITING * MAX_IMAGE_BYTES
)  # of these and of those that arrive, however slowly
_MAX_CONCURRENT = 2  # of them decoded, translated, encoded: one while another is at the engine
_RETRY_AFTER_S = 2


class UploadLimiter:
    """Where images are handed in: all of them together take the turns of two sessions."""

    def __init__(self, service: Service) -> None:
        self._service = service
        self._waiting_count = self._bytes_held = 0
        self._slots = asyncio.Semaphore(_MAX_CONCURRENT)

    async def handle(self, request: web.Request) -> web.Response:
        """Raises Refusal; the engine's errors."""
        selection = self._service.catalog.parse_selection(request.query)
        accept = ",".join(request.headers.getall("Accept", []))
        if content_negotiation.choose_media_type(accept, list(IMAGE_FORMATS)) is None:
            raise HttpError(406, f"there are {', '.join(IMAGE_FORMATS)}")
        bytes_held = 0

        def count_bytes(count: int) -> None:
            nonlocal bytes_held
            bytes_held += count
            self._bytes_held += count
            if self._bytes_held > _MAX_BYTES_HELD:
                raise _too_many_requests()

        try:
            data = await read_image(request, count_bytes)
            if self._waiting_count >= _MAX_WAITING:
                raise _too_many_requests()
            self._waiting_count += 1
            try:
                async with self._slots:
                    return await self._translate(data, selection, accept)
            finally:
                self._waiting_count -= 1
        finally:
            self._bytes_held -= bytes_held

    async def _translate(self, data: bytes, selection: ModelSelection, accept: str) -> web.Response:
        image = await asyncio.to_thread(decode_upload, data)
        input_type = detect_media_type(data)
        output_type = content_negotiation.choose_media_type(
            accept, sorted(IMAGE_FORMATS, key=lambda kind: kind != input_type)
        )
        assert output_type is not None
        with self._service.sessions.open(counted=False) as session:
            await session.select_model(selection)
            session.submit(image)
            result = await session.next_result()
        if result is None or result.translated is None:
            raise HttpError(429, "the server is stopping", _RETRY_AFTER_S)
        body = await asyncio.to_thread(encode_as, result.translated, output_type)
        return web.Response(body=body, content_type=output_type, headers={"Vary": "Accept"})


def _too_many_requests() -> HttpError:
    return HttpError(429, "too many images at once; wait", _RETRY_AFTER_S)


UPLOAD_LIMITER_KEY = web.AppKey("desk", UploadLimiter)


async def translate_image(request: web.Request) -> web.Response:
    """See the operation."""
    return await request.app[UPLOAD_LIMITER_KEY].handle(request)


async def init_upload_limiter(app: web.Application) -> None:
    """To be called when the application starts."""
    app[UPLOAD_LIMITER_KEY] = UploadLimiter(app[SERVICE_KEY])


def _image_content(schema: dict[str, Any]) -> dict[str, Any]:
    return {kind: {"schema": schema} for kind in IMAGE_FORMATS}


_BINARY_SCHEMA: dict[str, Any] = {"type": "string", "format": "binary"}
_FORM_SCHEMA = {
    "type": "object",
    "required": [FORM_FIELD],
    "properties": {FORM_FIELD: _BINARY_SCHEMA},
}

ENDPOINTS = (
    Endpoint(
        "POST",
        "/v1/translate",
        translate_image,
        {
            "operationId": "translate",
            "summary": "Translate an image.",
            "description": "The answer has the format that Accept asks for, by default that of the "
            "image; its size is the one that the network worked at.",
            "parameters": SELECTION_PARAMETERS,
            "requestBody": {
                "required": True,
                "content": _image_content(_BINARY_SCHEMA)
                | {"multipart/form-data": {"schema": _FORM_SCHEMA}},
            },
            "responses": {
                "200": {
                    "description": "The translation.",
                    "content": _image_content(_BINARY_SCHEMA),
                }
            }
            | problem_responses(404, 406, 408, 413, 415, 422, 429, 500),
        },
    ),
)
