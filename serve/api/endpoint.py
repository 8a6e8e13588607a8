"""Endpoint of the HTTP API: route, handler and OpenAPI description in one place."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web

from ..models import PRECISIONS

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


@dataclass(frozen=True)
class Endpoint:
    """Route of the server.

    Attributes:
        method: HTTP method.
        path: Path as aiohttp takes it.
        handler: Coroutine function that returns the response.
        operation: Operation Object of OpenAPI 3.1; None for the files of the page.
        public: Whether it needs no token.
    """

    method: str
    path: str
    handler: Handler
    operation: dict[str, Any] | None = field(default=None, hash=False)
    public: bool = False


def problem_responses(*statuses: int) -> dict[str, Any]:
    """Return the OpenAPI responses of error statuses, each a problem document (RFC 9457)."""
    schema = {"$ref": "#/components/schemas/Problem"}
    content = {"application/problem+json": {"schema": schema}}
    return {
        str(status): {"description": _STATUS_DESCRIPTIONS[status], "content": content}
        | ({"headers": _RETRY_AFTER_HEADER} if status == 429 else {})
        for status in statuses
    }


SELECTION_PARAMETERS: list[dict[str, Any]] = [
    {
        "name": "model",
        "in": "query",
        "description": "Name of a model in GET /v1/models; the first one by default.",
        "schema": {"type": "string"},
    },
    {
        "name": "size",
        "in": "query",
        "description": "Size of the network input: 256 (a square), 512x256 (WIDTHxHEIGHT), or "
        "source for that of the image; by default the short side is that of the model. The output "
        "has the size of the image.",
        "schema": {"type": "string", "pattern": "^([0-9]{1,5}(x[0-9]{1,5})?|source)$"},
    },
    {
        "name": "precision",
        "in": "query",
        "description": "auto is the fastest one; fp32 keeps all floats in FP32 (INT8 layers of the "
        "model stay INT8).",
        "schema": {"type": "string", "enum": list(PRECISIONS)},
    },
]
"""Query parameters that select a model, see `ModelCatalog.parse_selection`."""

STRING_SCHEMA = {"type": "string"}

_RETRY_AFTER_HEADER = {
    "Retry-After": {"description": "Seconds to wait.", "schema": {"type": "integer"}}
}
_STATUS_DESCRIPTIONS = {
    400: "The request is invalid; `detail` has the reason.",
    401: "The token is missing or wrong.",
    403: "The Host or Origin header is not that of this server.",
    404: "Not found.",
    406: "The client accepts none of the available formats.",
    408: "The request took too long to arrive.",
    413: "Too many bytes or pixels.",
    415: "Not a PNG, JPEG or WebP image.",
    422: "The image does not decode.",
    429: "All sessions are in use, or too many images wait; try again later.",
    500: "The engine failed; `detail` has the reason.",
}
