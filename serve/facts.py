"""What there is and how it goes: GET /v1/models, /healthz, /metrics, /openapi.json."""

from __future__ import annotations

from typing import Any

from aiohttp import web
from prometheus_client import CONTENT_TYPE_PLAIN_0_0_4

from .catalog import PRECISIONS
from .endpoints import Endpoint
from .service import SERVICE

DOCUMENT = web.AppKey("document", dict[str, Any])


async def models(request: web.Request) -> web.Response:
    """Names, what each does, and what may be asked of it; the first is the default."""
    service = request.app[SERVICE]
    entries = [
        {
            "name": model.name,
            "source": model.artifact.source,
            "target": model.artifact.target,
            "size": list(model.artifact.size),
            "any_size": model.artifact.dynamic,
            "precisions": list(PRECISIONS),
        }
        for model in service.catalog.models.values()
    ]
    return web.json_response({"models": entries, "source": service.source is not None})


async def health(_: web.Request) -> web.Response:
    """200 as long as pictures can be translated."""
    return web.json_response({"status": "ok"})


async def metrics(request: web.Request) -> web.Response:
    """Prometheus' text format."""
    text = request.app[SERVICE].metrics.text()
    return web.Response(body=text, headers={"Content-Type": CONTENT_TYPE_PLAIN_0_0_4})


async def document(request: web.Request) -> web.Response:
    """This server's OpenAPI document."""
    return web.json_response(request.app[DOCUMENT])


ENDPOINTS = (
    Endpoint("GET", "/v1/models", models, {"summary": "x", "responses": {}}),
    Endpoint("GET", "/healthz", health, {"summary": "x", "responses": {}}, public=True),
    Endpoint("GET", "/metrics", metrics, {"summary": "x", "responses": {}}),
    Endpoint("GET", "/openapi.json", document, {"summary": "x", "responses": {}}, public=True),
)
