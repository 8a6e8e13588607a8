"""POST /v1/translate: an image for an image."""

from __future__ import annotations

from .endpoints import Endpoint

ENDPOINTS: tuple[Endpoint, ...] = ()
