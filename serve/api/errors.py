"""What a client is told that asks for what it cannot have."""

from __future__ import annotations

from cgt.runtime.errors import CgtError


class HttpError(CgtError):
    """status: of HTTP, 4xx. retry_after: seconds after which it is worth asking again."""

    def __init__(self, status: int, message: str, retry_after: int | None = None) -> None:
        super().__init__(message)
        self.status, self.retry_after = status, retry_after
