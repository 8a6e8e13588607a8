"""Status endpoints: GET /v1/models, /healthz, /metrics and /openapi.json."""

from __future__ import annotations

from typing import Any

from aiohttp import web
from prometheus_client import CONTENT_TYPE_PLAIN_0_0_4

from cgt.runtime.image.geometry import format_size

from ..models import PRECISIONS, ModelSelection
from ..service import SERVICE_KEY
from .endpoint import STRING_SCHEMA, Endpoint

OPENAPI_KEY = web.AppKey("openapi", dict[str, Any])


async def get_models(request: web.Request) -> web.Response:
    """List the models with their domains, sizes and precisions. The first one is the default."""
    service = request.app[SERVICE_KEY]
    entries = []
    for name, model in service.catalog.models.items():
        engine = service.translators.get_engine(ModelSelection(name))  # open since the start
        entries.append(
            {
                "name": name,
                "source": model.metadata.source_domain,
                "target": model.metadata.target_domain,
                "size": format_size(model.metadata.size),
                "any_size": model.metadata.dynamic,
                "precision": model.metadata.precision,
                "precisions": list(PRECISIONS),
                "engine": f"{engine.name} on {engine.device}, {engine.precision}",
            }
        )
    return web.json_response({"models": entries, "source": service.source is not None})


async def get_health(request: web.Request) -> web.Response:
    """Report status 200 while the scheduler runs, else 503."""
    if not request.app[SERVICE_KEY].scheduler.alive:
        return web.json_response({"status": "the thread of the scheduler has ended"}, status=503)
    return web.json_response({"status": "ok"})


async def get_metrics(request: web.Request) -> web.Response:
    """Return the metrics in the Prometheus text format."""
    text = request.app[SERVICE_KEY].metrics.render()
    return web.Response(body=text, headers={"Content-Type": CONTENT_TYPE_PLAIN_0_0_4})


async def get_openapi(request: web.Request) -> web.Response:
    """Return the OpenAPI document of this server."""
    return web.json_response(request.app[OPENAPI_KEY])


def _get_operation(summary: str, media_type: str, schema: dict[str, Any]) -> dict[str, Any]:
    """Return the OpenAPI operation of a GET without parameters."""
    response = {"description": "The current state.", "content": {media_type: {"schema": schema}}}
    return {"summary": summary, "responses": {"200": response}}


def _object_schema(**properties: dict[str, Any]) -> dict[str, Any]:
    return {"type": "object", "required": list(properties), "properties": properties}


_BOOLEAN_SCHEMA = {"type": "boolean"}
_STATUS_SCHEMA = _object_schema(status=STRING_SCHEMA)
_HEALTH_OPERATION = _get_operation(
    "Check the health of the server.", "application/json", _STATUS_SCHEMA
)
_HEALTH_OPERATION["responses"]["503"] = {
    "description": "The server cannot translate; `status` has the reason.",
    "content": {"application/json": {"schema": _STATUS_SCHEMA}},
}
_SIZE_SCHEMA = STRING_SCHEMA | {
    "pattern": "^[0-9]+x[0-9]+$",
    "description": "WIDTHxHEIGHT of the network input, in pixels.",
    "examples": ["256x256"],
}
_MODEL_SCHEMA = _object_schema(
    name=STRING_SCHEMA,
    source=STRING_SCHEMA,
    target=STRING_SCHEMA,
    size=_SIZE_SCHEMA,
    any_size=_BOOLEAN_SCHEMA | {"description": "Whether the model also takes other sizes."},
    precision=STRING_SCHEMA | {"description": "Precision of the model file."},
    precisions={"type": "array", "items": STRING_SCHEMA},
    engine=STRING_SCHEMA
    | {"description": "Engine, device, and the precision that auto stands for."},
)
_MODELS_SCHEMA = _object_schema(
    models={"type": "array", "items": _MODEL_SCHEMA},
    source=_BOOLEAN_SCHEMA | {"description": "Whether the server has its own video source."},
)
_JSON_TYPE = "application/json"

ENDPOINTS = (
    Endpoint(
        "GET",
        "/v1/models",
        get_models,
        _get_operation("List the models.", _JSON_TYPE, _MODELS_SCHEMA),
    ),
    Endpoint("GET", "/healthz", get_health, _HEALTH_OPERATION, public=True),
    Endpoint(
        "GET",
        "/metrics",
        get_metrics,
        _get_operation("Return metrics for Prometheus.", "text/plain", STRING_SCHEMA),
    ),
    Endpoint(
        "GET",
        "/openapi.json",
        get_openapi,
        _get_operation("Return this document.", _JSON_TYPE, {"type": "object"}),
        public=True,
    ),
)
