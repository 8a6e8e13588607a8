"""Image translation over HTTP: POST /v1/translate."""

from __future__ import annotations

import asyncio
from typing import Any

from aiohttp import web

from ..models import ModelSelection
from ..service import SERVICE_KEY, Service
from . import content_negotiation
from .endpoint import SELECTION_PARAMETERS, Endpoint, problem_responses
from .errors import HttpError
from .image_codec import IMAGE_FORMATS, decode_upload, detect_media_type, encode_as
from .uploads import FORM_FIELD, read_image

_MAX_WAITING = 16  # uploaded images that wait in memory
_MAX_BYTES_HELD = 256 * 2**20  # including uploads in progress
_MAX_CONCURRENT = 2  # one image is decoded or encoded while the engine translates another
_RETRY_AFTER_S = 2


class UploadLimiter:
    """Limits the memory and the share of the engine that uploads take.

    All uploads together have as many turns of the scheduler as two live clients.
    """

    def __init__(self, service: Service) -> None:
        self._service = service
        self._waiting_count = self._bytes_held = 0
        self._slots = asyncio.Semaphore(_MAX_CONCURRENT)

    async def handle(self, request: web.Request) -> web.Response:
        """Translate the image of a request.

        Raises:
            HttpError: The request is invalid, or too many uploads wait (429).
            CgtError: The engine failed.
        """
        selection = self._service.catalog.parse_selection(request.query)
        accept = ",".join(request.headers.getall("Accept", []))
        if content_negotiation.choose_media_type(accept, list(IMAGE_FORMATS)) is None:
            raise HttpError(406, f"the formats are {', '.join(IMAGE_FORMATS)}; accept one of them")
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
        takes_alpha = self._service.catalog.models[selection.model].metadata.in_channels == 4
        image = await asyncio.to_thread(decode_upload, data, takes_alpha)
        input_type = detect_media_type(data)
        output_type = content_negotiation.choose_media_type(
            accept, sorted(IMAGE_FORMATS, key=lambda media_type: media_type != input_type)
        )
        assert output_type is not None
        with self._service.sessions.open(counted=False) as session:
            await session.select_model(selection)
            session.submit(image)
            result = await session.next_result()
        if result is None or result.translated is None:
            raise HttpError(429, "the server is shutting down", _RETRY_AFTER_S)
        body = await asyncio.to_thread(encode_as, result.translated, output_type)
        return web.Response(body=body, content_type=output_type, headers={"Vary": "Accept"})


def _too_many_requests() -> HttpError:
    return HttpError(429, "too many uploads at once; try again later", _RETRY_AFTER_S)


UPLOAD_LIMITER_KEY = web.AppKey("upload_limiter", UploadLimiter)


async def translate_image(request: web.Request) -> web.Response:
    """Translate the image in the body or form of a request."""
    return await request.app[UPLOAD_LIMITER_KEY].handle(request)


async def init_upload_limiter(app: web.Application) -> None:
    """Create the upload limiter. To be called when the application starts."""
    app[UPLOAD_LIMITER_KEY] = UploadLimiter(app[SERVICE_KEY])


def _image_content(schema: dict[str, Any]) -> dict[str, Any]:
    return {media_type: {"schema": schema} for media_type in IMAGE_FORMATS}


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
            "description": "The response has the format that Accept selects, by default that of "
            "the uploaded image. Its size is that of the network input.",
            "parameters": SELECTION_PARAMETERS,
            "requestBody": {
                "required": True,
                "content": _image_content(_BINARY_SCHEMA)
                | {"multipart/form-data": {"schema": _FORM_SCHEMA}},
            },
            "responses": {
                "200": {
                    "description": "The translated image.",
                    "content": _image_content(_BINARY_SCHEMA),
                }
            }
            | problem_responses(404, 406, 408, 413, 415, 422, 429, 500),
        },
    ),
)
