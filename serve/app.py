"""The application: endpoints, and what stands around all of them."""

from __future__ import annotations

import logging
from http import HTTPStatus

from aiohttp import web

from cgt.runtime.errors import CgtError

from . import entrance, facts, images, webrtc, websocket
from .endpoints import Endpoint
from .feeds import broadcasting
from .guard import HEADERS, Guard, Handler
from .openapi import describe
from .pictures import MAX_BYTES
from .refusals import Refusal
from .service import SERVICE, Service, dismiss

ENDPOINTS: tuple[Endpoint, ...] = (
    *entrance.ENDPOINTS,
    *images.ENDPOINTS,
    *webrtc.ENDPOINTS,
    *websocket.ENDPOINTS,
    *facts.ENDPOINTS,
)

_log = logging.getLogger("cgt")


def make_app(service: Service, guard: Guard) -> web.Application:
    """An application, at the end of which the sessions of the service end."""
    public = {endpoint.path for endpoint in ENDPOINTS if endpoint.public}

    @web.middleware
    async def around(request: web.Request, handler: Handler) -> web.StreamResponse:
        """Checks, and one kind of error document whatever went wrong."""
        try:
            resource = request.match_info.route.resource
            guard.check(request, resource is not None and resource.canonical in public)
            return await handler(request)
        except Refusal as refusal:
            return _problem(refusal.status, str(refusal), refusal.retry_after)
        except web.HTTPException as error:
            if error.status < 400:
                raise
            response = _problem(error.status, error.reason)
            if "Allow" in error.headers:
                response.headers["Allow"] = error.headers["Allow"]
            return response
        except CgtError as error:
            return _problem(500, str(error))
        except Exception:
            _log.exception("a request failed")
            return _problem(500, "an error in cgt, see its output")

    async def sign(_: web.Request, response: web.StreamResponse) -> None:
        for name, value in HEADERS.items():
            response.headers.setdefault(name, value)
        response.headers.popall("Server", None)

    app = web.Application(middlewares=[around], client_max_size=MAX_BYTES)
    app[SERVICE] = service
    app[facts.DOCUMENT] = describe(ENDPOINTS, guard.token is not None)
    app[entrance.GUARD] = guard
    for endpoint in ENDPOINTS:
        app.router.add_route(endpoint.method, endpoint.path, endpoint.handler)
    app.on_startup.append(images.open_desk)
    app.on_response_prepare.append(sign)
    app.on_shutdown.append(dismiss)
    app.cleanup_ctx.extend((broadcasting, webrtc.peering))
    return app


def _problem(status: int, detail: str, retry_after: int | None = None) -> web.Response:
    title = HTTPStatus(status).phrase
    response = web.json_response(
        {"status": status, "title": title, "detail": detail},
        status=status,
        content_type="application/problem+json",
    )
    if retry_after is not None:
        response.headers["Retry-After"] = str(retry_after)
    if status == 401:
        response.headers["WWW-Authenticate"] = "Bearer"
    return response
