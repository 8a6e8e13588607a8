"""Access control by Host, Origin and token, and the security headers of all responses.

A page of another server must not use this server through the browser of its visitor. The requests
of such a page carry its own Origin. If its name resolves to this server (DNS rebinding), they carry
its name as the Host.
"""

from __future__ import annotations

import hmac
import ipaddress
import socket
from collections.abc import Collection
from dataclasses import dataclass
from urllib.parse import urlsplit

from aiohttp import web

from .errors import HttpError

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
    """Return whether only this machine can reach a host."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


@dataclass(frozen=True)
class Guard:
    """Access rules of one server.

    Attributes:
        host: Address that the server listens on.
        port: Port that it listens on.
        token: Token that a client must send; None if the server needs none.
        allowed_hosts: Further names of the server, lower case. It always accepts localhost and
            `host`, and unless `host` is a loopback address, all IP addresses and the name of the
            machine.
        secure: Whether the server uses TLS.
    """

    host: str = "127.0.0.1"
    port: int = 8080
    token: str | None = None
    allowed_hosts: Collection[str] = ()
    secure: bool = False

    @property
    def cookie_name(self) -> str:
        """Name of the token's cookie: one per port, because cookies ignore ports."""
        return f"cgt-token-{self.port}"

    def check(self, request: web.BaseRequest, public: bool) -> None:
        """Check a request.

        Args:
            request: The request.
            public: Whether its endpoint needs no token.

        Raises:
            HttpError: 403 for a foreign Host or Origin, 401 for a missing or wrong token.
        """
        if not self._is_known_host(request.headers.get("Host", "")):
            raise HttpError(403, "unknown host name; start the server with --allow-host to add it")
        origin = request.headers.get("Origin")
        if origin is not None and not _is_same_origin(origin, request.headers.get("Host", "")):
            raise HttpError(403, "pages of other servers may not use this server")
        if not public and not self._has_valid_token(request):
            raise HttpError(401, "this server requires a token; open the address that it printed")

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
        """Return whether a token is the right one, in constant time."""
        expected = (self.token or "").encode()
        return hmac.compare_digest(token.encode("utf-8", "surrogateescape"), expected)


def _is_same_origin(origin: str, host: str) -> bool:
    try:
        return urlsplit(origin).netloc == host
    except ValueError:
        return False


def _is_ip_address(name: str) -> bool:
    """Return whether a host is an IP address, which unlike a name cannot be rebound."""
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True
