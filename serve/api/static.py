"""Static files of the page, and the login by GET /?token=T.

The files are read once, when the server starts. Each file has its own route: a path from a client
is never joined to a folder.
"""

from __future__ import annotations

import mimetypes
from pathlib import Path

from aiohttp import web

from .auth import Guard
from .endpoint import Endpoint, Handler

PAGE_DIR = Path(__file__).parents[1] / "page"

GUARD_KEY = web.AppKey("guard", Guard)


async def serve_index(request: web.Request) -> web.StreamResponse:
    """Serve the page.

    `/?token=T`, the address that the server prints, stores the token in a cookie and redirects to
    `/`. So the token does not stay in the address bar.
    """
    guard = request.app[GUARD_KEY]
    token = request.query.get("token")
    if token is None:
        return await _INDEX_HANDLER(request)
    response = web.HTTPSeeOther("/")
    if guard.token is not None and guard.is_valid_token(token):
        response.set_cookie(
            guard.cookie_name, token, httponly=True, samesite="Strict", secure=guard.secure
        )
    raise response


def _make_file_handler(path: Path) -> Handler:
    body = path.read_bytes()
    content_type = mimetypes.guess_type(path.name)[0] or "application/octet-stream"
    charset = (
        "utf-8" if content_type.startswith("text/") or content_type.endswith("javascript") else None
    )

    async def send_file(_: web.Request) -> web.StreamResponse:
        return web.Response(body=body, content_type=content_type, charset=charset)

    return send_file


_INDEX_HANDLER = _make_file_handler(PAGE_DIR / "index.html")

ENDPOINTS = (
    Endpoint("GET", "/", serve_index, public=True),
    *(
        Endpoint(
            "GET",
            f"/{path.relative_to(PAGE_DIR).as_posix()}",
            _make_file_handler(path),
            public=True,
        )
        for path in sorted(PAGE_DIR.rglob("*"))
        if path.is_file() and path.name != "index.html"
    ),
)
