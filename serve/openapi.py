"""The OpenAPI 3.1 document, made of the endpoints that are served."""

from __future__ import annotations

from collections.abc import Iterable
from importlib.metadata import version
from typing import Any

from .endpoints import Endpoint, problem

_PROBLEM = {
    "type": "object",
    "properties": {
        "status": {"type": "integer"},
        "title": {"type": "string"},
        "detail": {"type": "string"},
    },
    "required": ["status", "title", "detail"],
}


def describe(endpoints: Iterable[Endpoint], token: bool) -> dict[str, Any]:
    """token: whether one is needed for what is not public."""
    paths: dict[str, dict[str, Any]] = {}
    for endpoint in endpoints:
        if endpoint.operation is None:
            continue
        operation = {"responses": {}} | endpoint.operation
        always = problem(400, 403) if endpoint.public or not token else problem(400, 401, 403)
        operation["responses"] = always | operation["responses"]
        if endpoint.public:
            operation["security"] = []
        paths.setdefault(endpoint.path, {})[endpoint.method.lower()] = operation
    document: dict[str, Any] = {
        "openapi": "3.1.0",
        "info": {"title": "cgt serve", "version": version("cyclegan-toolkit")},
        "paths": paths,
        "components": {"schemas": {"Problem": _PROBLEM}},
    }
    if token:
        document["components"]["securitySchemes"] = {"token": {"type": "http", "scheme": "bearer"}}
        document["security"] = [{"token": []}]
    return document
