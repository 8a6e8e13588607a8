"""What there is and how it goes: GET /v1/models, /healthz, /metrics, /openapi.json."""

from __future__ import annotations

from typing import Any

from aiohttp import web
from prometheus_client import CONTENT_TYPE_PLAIN_0_0_4

from ..models import PRECISIONS, ModelSelection
from ..service import SERVICE_KEY
from .endpoint import Endpoint

OPENAPI_KEY = web.AppKey("document", dict[str, Any])


async def get_models(request: web.Request) -> web.Response:
    """Names, what each does, and what may be asked of it; the first is the default."""
    service = request.app[SERVICE_KEY]
    entries = []
    for name, model in service.catalog.models.items():
        engine = service.translators.get_engine(ModelSelection(name))  # it is, since the start
        entries.append(
            {
                "name": name,
                "source": model.metadata.source_domain,
                "target": model.metadata.target_domain,
                "size": list(model.metadata.size),
                "any_size": model.metadata.dynamic,
                "precision": model.metadata.precision,
                "precisions": list(PRECISIONS),
                "engine": f"{engine.name} on {engine.device}, {engine.precision}",
            }
        )
    return web.json_response({"models": entries, "source": service.source is not None})


async def get_health(request: web.Request) -> web.Response:
    """200 as long as pictures are translated."""
    if not request.app[SERVICE_KEY].scheduler.alive:
        return web.json_response({"status": "the engine's thread has ended"}, status=503)
    return web.json_response({"status": "ok"})


async def get_metrics(request: web.Request) -> web.Response:
    """Prometheus' text format."""
    text = request.app[SERVICE_KEY].metrics.render()
    return web.Response(body=text, headers={"Content-Type": CONTENT_TYPE_PLAIN_0_0_4})


async def get_openapi(request: web.Request) -> web.Response:
    """This server's OpenAPI document."""
    return web.json_response(request.app[OPENAPI_KEY])


def _get_operation(summary: str, media_type: str, schema: dict[str, Any]) -> dict[str, Any]:
    """The operation of a plain GET."""
    response = {"description": "As it is now.", "content": {media_type: {"schema": schema}}}
    return {"summary": summary, "responses": {"200": response}}


def _object_schema(**properties: dict[str, Any]) -> dict[str, Any]:
    return {"type": "object", "required": list(properties), "properties": properties}


_STRING_SCHEMA, _BOOLEAN_SCHEMA = {"type": "string"}, {"type": "boolean"}
_STATUS_SCHEMA = _object_schema(status=_STRING_SCHEMA)
_HEALTH_OPERATION = _get_operation("Whether it works.", "application/json", _STATUS_SCHEMA)
_HEALTH_OPERATION["responses"]["503"] = {
    "description": "It does not; `status` says why.",
    "content": {"application/json": {"schema": _STATUS_SCHEMA}},
}
_SIZE_SCHEMA = {"type": "array", "items": {"type": "integer"}, "minItems": 2, "maxItems": 2}
_MODEL_SCHEMA = _object_schema(
    name=_STRING_SCHEMA,
    source=_STRING_SCHEMA,
    target=_STRING_SCHEMA,
    size=_SIZE_SCHEMA,
    any_size=_BOOLEAN_SCHEMA,
    precision=_STRING_SCHEMA | {"description": "Of the model's file."},
    precisions={"type": "array", "items": _STRING_SCHEMA},
    engine=_STRING_SCHEMA
    | {"description": "What runs it where, and what precision auto is there."},
)
_MODELS_SCHEMA = _object_schema(
    models={"type": "array", "items": _MODEL_SCHEMA},
    source=_BOOLEAN_SCHEMA | {"description": "Whether the server shows a source of its own."},
)
_JSON_TYPE = "application/json"

ENDPOINTS = (
    Endpoint(
        "GET",
        "/v1/models",
        get_models,
        _get_operation("What is served.", _JSON_TYPE, _MODELS_SCHEMA),
    ),
    Endpoint("GET", "/healthz", get_health, _HEALTH_OPERATION, public=True),
    Endpoint(
        "GET",
        "/metrics",
        get_metrics,
        _get_operation("For Prometheus.", "text/plain", _STRING_SCHEMA),
    ),
    Endpoint(
        "GET",
        "/openapi.json",
        get_openapi,
        _get_operation("This document.", _JSON_TYPE, {"type": "object"}),
        public=True,
    ),
)
