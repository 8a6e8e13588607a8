"""Errors that a client gets as an HTTP status."""

from __future__ import annotations

from cgt.runtime.errors import CgtError


class HttpError(CgtError):
    """Error of a request.

    Args:
        status: HTTP status, 4xx.
        message: What is wrong, and what to do about it.
        retry_after: Seconds after which the client may try again; None if that is useless.
    """

    def __init__(self, status: int, message: str, retry_after: int | None = None) -> None:
        super().__init__(message)
        self.status, self.retry_after = status, retry_after
