"""OpenAPI 3.1 document of the HTTP API, generated from its endpoints."""

from __future__ import annotations

from collections.abc import Iterable
from importlib.metadata import version
from typing import Any

from .endpoint import Endpoint, problem_responses

_PROBLEM_SCHEMA = {
    "type": "object",
    "properties": {
        "status": {"type": "integer"},
        "title": {"type": "string"},
        "detail": {"type": "string"},
    },
    "required": ["status", "title", "detail"],
}


def build_openapi(endpoints: Iterable[Endpoint], token_required: bool) -> dict[str, Any]:
    """Return the OpenAPI document.

    Args:
        endpoints: All endpoints. Those without an operation are left out.
        token_required: Whether endpoints that are not public need a token.
    """
    paths: dict[str, dict[str, Any]] = {}
    for endpoint in endpoints:
        if endpoint.operation is None:
            continue
        operation = {"responses": {}} | endpoint.operation
        common_responses = (
            problem_responses(400, 403)
            if endpoint.public or not token_required
            else problem_responses(400, 401, 403)
        )
        operation["responses"] = common_responses | operation["responses"]
        if endpoint.public:
            operation["security"] = []
        paths.setdefault(endpoint.path, {})[endpoint.method.lower()] = operation
    document: dict[str, Any] = {
        "openapi": "3.1.0",
        "info": {"title": "cgt serve", "version": version("cyclegan-toolkit")},
        "paths": paths,
        "components": {"schemas": {"Problem": _PROBLEM_SCHEMA}},
    }
    if token_required:
        document["components"]["securitySchemes"] = {"token": {"type": "http", "scheme": "bearer"}}
        document["security"] = [{"token": []}]
    return document
