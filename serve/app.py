"""aiohttp application of the server: routes, access checks and error responses."""

from __future__ import annotations

import logging
from http import HTTPStatus

from aiohttp import web

from cgt.runtime.errors import CgtError

from .api import static, status, translate
from .api.auth import SECURITY_HEADERS, Guard
from .api.endpoint import Endpoint, Handler
from .api.errors import HttpError
from .api.image_codec import MAX_IMAGE_BYTES
from .api.openapi import build_openapi
from .scheduling.feeds import broadcast_context
from .service import SERVICE_KEY, Service, shutdown_sessions
from .streaming import webrtc, websocket

ENDPOINTS: tuple[Endpoint, ...] = (
    *static.ENDPOINTS,
    *translate.ENDPOINTS,
    *webrtc.ENDPOINTS,
    *websocket.ENDPOINTS,
    *status.ENDPOINTS,
)

_log = logging.getLogger("cgt")


def make_app(service: Service, guard: Guard) -> web.Application:
    """Return the application that serves all endpoints.

    Args:
        service: What the endpoints share. Its sessions close when the application shuts down; the
            caller closes the service.
        guard: Checks every request.
    """
    public_paths = {endpoint.path for endpoint in ENDPOINTS if endpoint.public}

    @web.middleware
    async def error_middleware(request: web.Request, handler: Handler) -> web.StreamResponse:
        """Check the request, and turn every error into a problem document."""
        try:
            resource = request.match_info.route.resource
            guard.check(request, resource is not None and resource.canonical in public_paths)
            return await handler(request)
        except HttpError as error:
            return _problem_response(error.status, str(error), error.retry_after)
        except web.HTTPException as error:
            if error.status < 400:
                raise
            response = _problem_response(error.status, error.reason)
            if "Allow" in error.headers:
                response.headers["Allow"] = error.headers["Allow"]
            return response
        except CgtError as error:
            return _problem_response(500, str(error))
        except Exception:
            _log.exception("a request failed")
            return _problem_response(500, "internal error; see the log of the server")

    async def add_security_headers(_: web.Request, response: web.StreamResponse) -> None:
        for name, value in SECURITY_HEADERS.items():
            response.headers.setdefault(name, value)
        response.headers.popall("Server", None)

    app = web.Application(middlewares=[error_middleware], client_max_size=MAX_IMAGE_BYTES)
    app[SERVICE_KEY] = service
    app[status.OPENAPI_KEY] = build_openapi(ENDPOINTS, guard.token is not None)
    app[static.GUARD_KEY] = guard
    for endpoint in ENDPOINTS:
        app.router.add_route(endpoint.method, endpoint.path, endpoint.handler)
    app.on_startup.append(translate.init_upload_limiter)
    app.on_response_prepare.append(add_security_headers)
    app.on_shutdown.append(shutdown_sessions)
    app.cleanup_ctx.extend((broadcast_context, webrtc.webrtc_context))
    return app


def _problem_response(code: int, detail: str, retry_after: int | None = None) -> web.Response:
    title = HTTPStatus(code).phrase
    response = web.json_response(
        {"status": code, "title": title, "detail": detail},
        status=code,
        content_type="application/problem+json",
    )
    if retry_after is not None:
        response.headers["Retry-After"] = str(retry_after)
    if code == 401:
        response.headers["WWW-Authenticate"] = "Bearer"
    return response
