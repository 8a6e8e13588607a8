"""The way in: the token by GET /?token=T, and the page's files, read once when the server starts.

A client's path is never joined to a folder: there is a route for each file, and no other.
"""

from __future__ import annotations

import mimetypes
from pathlib import Path

from aiohttp import web

from .endpoints import Endpoint, Handler
from .guard import Guard

PAGE = Path(__file__).parent / "page"

GUARD = web.AppKey("guard", Guard)


async def index(request: web.Request) -> web.StreamResponse:
    """The page. `/?token=T`, as the server prints it, keeps the token in a cookie first, so that
    it is gone from the address bar."""
    guard = request.app[GUARD]
    token = request.query.get("token")
    if token is None:
        return await _INDEX(request)
    response = web.HTTPSeeOther("/")
    if guard.token is not None and guard.fits(token):
        response.set_cookie(
            guard.cookie, token, httponly=True, samesite="Strict", secure=guard.secure
        )
    raise response


def _file(path: Path) -> Handler:
    body = path.read_bytes()
    kind = mimetypes.guess_type(path.name)[0] or "application/octet-stream"
    charset = "utf-8" if kind.startswith("text/") or kind.endswith("javascript") else None

    async def send(_: web.Request) -> web.StreamResponse:
        return web.Response(body=body, content_type=kind, charset=charset)

    return send


_INDEX = _file(PAGE / "index.html")

ENDPOINTS = (
    Endpoint("GET", "/", index, public=True),
    *(
        Endpoint("GET", f"/{path.relative_to(PAGE).as_posix()}", _file(path), public=True)
        for path in sorted(PAGE.rglob("*"))
        if path.is_file() and path.name != "index.html"
    ),
)
