"""What the server answers to: handler and description in one place."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web

from ..models import PRECISIONS

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


@dataclass(frozen=True)
class Endpoint:
    """method, path: as aiohttp takes them. operation: its Operation Object of OpenAPI 3.1; None
    where it is for people (pages). public: needs no token."""

    method: str
    path: str
    handler: Handler
    operation: dict[str, Any] | None = field(default=None, hash=False)
    public: bool = False


def problem_responses(*statuses: int) -> dict[str, Any]:
    """Responses of an operation: each status as a problem document (RFC 9457)."""
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
        "description": "A name of GET /v1/models; the first by default.",
        "schema": {"type": "string"},
    },
    {
        "name": "size",
        "in": "query",
        "description": "What the network sees: 256, 256x512 (HEIGHTxWIDTH), or source for the "
        "picture's own; by default the model's size as the short side.",
        "schema": {"type": "string", "pattern": "^([0-9]{1,5}(x[0-9]{1,5})?|source)$"},
    },
    {
        "name": "precision",
        "in": "query",
        "description": "auto is what is fastest; fp32 rounds no floats to fewer bits (what is INT8 "
        "in the model stays so).",
        "schema": {"type": "string", "enum": list(PRECISIONS)},
    },
]
"""Parameters of what takes a model, a size and a precision; see `Catalog.choice`."""

_RETRY_AFTER_HEADER = {"Retry-After": {"description": "Seconds", "schema": {"type": "integer"}}}
_STATUS_DESCRIPTIONS = {
    400: "The request makes no sense; `detail` says why.",
    401: "A token is needed.",
    403: "The Host or Origin header is not this server's.",
    404: "There is no such thing.",
    406: "Nothing of what the client accepts can be made.",
    408: "The request took too long to arrive.",
    413: "Too many bytes or pixels.",
    415: "Not a PNG, JPEG or WebP image.",
    422: "The image does not decode.",
    429: "Everything is taken; wait.",
    500: "The engine failed; `detail` says how.",
}
