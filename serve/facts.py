"""What there is and how it goes: GET /v1/models, /healthz, /metrics, /openapi.json."""

from __future__ import annotations

from typing import Any

from aiohttp import web
from prometheus_client import CONTENT_TYPE_PLAIN_0_0_4

from .catalog import PRECISIONS, Choice
from .endpoints import Endpoint
from .service import SERVICE

DOCUMENT = web.AppKey("document", dict[str, Any])


async def models(request: web.Request) -> web.Response:
    """Names, what each does, and what may be asked of it; the first is the default."""
    service = request.app[SERVICE]
    entries = []
    for name, model in service.catalog.models.items():
        engine = service.translators.open(Choice(name))  # it is, since the start
        entries.append(
            {
                "name": name,
                "source": model.artifact.source,
                "target": model.artifact.target,
                "size": list(model.artifact.size),
                "any_size": model.artifact.dynamic,
                "precision": model.artifact.precision,
                "precisions": list(PRECISIONS),
                "engine": f"{engine.name} on {engine.device}, {engine.precision}",
            }
        )
    return web.json_response({"models": entries, "source": service.source is not None})


async def health(request: web.Request) -> web.Response:
    """200 as long as pictures are translated."""
    if not request.app[SERVICE].scheduler.alive:
        return web.json_response({"status": "the engine's thread has ended"}, status=503)
    return web.json_response({"status": "ok"})


async def metrics(request: web.Request) -> web.Response:
    """Prometheus' text format."""
    text = request.app[SERVICE].metrics.text()
    return web.Response(body=text, headers={"Content-Type": CONTENT_TYPE_PLAIN_0_0_4})


async def document(request: web.Request) -> web.Response:
    """This server's OpenAPI document."""
    return web.json_response(request.app[DOCUMENT])


def _gives(summary: str, kind: str, schema: dict[str, Any]) -> dict[str, Any]:
    """The operation of a plain GET."""
    good = {"description": "As it is now.", "content": {kind: {"schema": schema}}}
    return {"summary": summary, "responses": {"200": good}}


def _object(**properties: dict[str, Any]) -> dict[str, Any]:
    return {"type": "object", "required": list(properties), "properties": properties}


_TEXT, _FLAG = {"type": "string"}, {"type": "boolean"}
_STATUS = _object(status=_TEXT)
_HEALTH = _gives("Whether it works.", "application/json", _STATUS)
_HEALTH["responses"]["503"] = {
    "description": "It does not; `status` says why.",
    "content": {"application/json": {"schema": _STATUS}},
}
_SIZE = {"type": "array", "items": {"type": "integer"}, "minItems": 2, "maxItems": 2}
_MODEL = _object(
    name=_TEXT,
    source=_TEXT,
    target=_TEXT,
    size=_SIZE,
    any_size=_FLAG,
    precision=_TEXT | {"description": "Of the model's file."},
    precisions={"type": "array", "items": _TEXT},
    engine=_TEXT | {"description": "What runs it where, and what precision auto is there."},
)
_MODELS = _object(
    models={"type": "array", "items": _MODEL},
    source=_FLAG | {"description": "Whether the server shows a source of its own."},
)
_JSON = "application/json"

ENDPOINTS = (
    Endpoint("GET", "/v1/models", models, _gives("What is served.", _JSON, _MODELS)),
    Endpoint("GET", "/healthz", health, _HEALTH, public=True),
    Endpoint("GET", "/metrics", metrics, _gives("For Prometheus.", "text/plain", _TEXT)),
    Endpoint(
        "GET",
        "/openapi.json",
        document,
        _gives("This document.", _JSON, {"type": "object"}),
        public=True,
    ),
)
