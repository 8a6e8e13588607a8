"""Who may ask: the right Host, the right Origin, the right token. And what every answer says.

A page elsewhere must not use a server on this machine through its visitor's browser. Its requests
carry its own Origin; and where it has its name point here (DNS rebinding), its name is the Host.
"""

from __future__ import annotations

import hmac
import ipaddress
import socket
from collections.abc import Awaitable, Callable, Collection
from dataclasses import dataclass
from urllib.parse import urlsplit

from aiohttp import web

from .errors import HttpError

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

SECURITY_HEADERS = {
    "Content-Security-Policy": "default-src 'self'; img-src 'self' blob:; media-src 'self' blob:; "
    "object-src 'none'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(self), microphone=(), geolocation=()",
    "Cache-Control": "no-store",
}


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach an address."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


@dataclass(frozen=True)
class Guard:
    """token: what a client must show, None for none. names: hosts it may be called by, beside
    localhost and, where it listens to more than this machine, addresses and its own name.
    secure: it speaks TLS."""

    host: str = "127.0.0.1"
    port: int = 8080
    token: str | None = None
    allowed_hosts: Collection[str] = ()
    secure: bool = False

    @property
    def cookie_name(self) -> str:
        """Its name. Cookies know no ports, so that two servers need two."""
        return f"cgt-token-{self.port}"

    def check(self, request: web.BaseRequest, public: bool) -> None:
        """Raises Refusal (403, 401). public: it needs no token."""
        if not self._is_known_host(request.headers.get("Host", "")):
            raise HttpError(403, "this server does not go by that name; see --allow-host")
        origin = request.headers.get("Origin")
        if origin is not None and not _is_same_origin(origin, request.headers.get("Host", "")):
            raise HttpError(403, "pages of other servers may not use this one")
        if not public and not self._has_valid_token(request):
            raise HttpError(401, "this server needs a token; open the address that it printed")

    def _is_known_host(self, host: str) -> bool:
        try:
            name = urlsplit(f"//{host}").hostname or ""
        except ValueError:
            return False
        if is_loopback(name) or name in self.allowed_hosts or name == self.host:
            return True
        if is_loopback(self.host):
            return False
        own_name = socket.gethostname().lower()
        return name in (own_name, f"{own_name}.local") or _is_ip_address(name)

    def _has_valid_token(self, request: web.BaseRequest) -> bool:
        if self.token is None:
            return True
        scheme, _, bearer = request.headers.get("Authorization", "").partition(" ")
        if scheme.lower() == "bearer" and self.is_valid_token(bearer.strip()):
            return True
        return self.is_valid_token(request.cookies.get(self.cookie_name, ""))

    def is_valid_token(self, token: str) -> bool:
        """Whether it is the token, in a time that does not depend on how much of it is right."""
        expected = (self.token or "").encode()
        return hmac.compare_digest(token.encode("utf-8", "surrogateescape"), expected)


def _is_same_origin(origin: str, host: str) -> bool:
    try:
        return urlsplit(origin).netloc == host
    except ValueError:
        return False


def _is_ip_address(name: str) -> bool:
    """An address cannot be made to point elsewhere, unlike a name."""
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True
