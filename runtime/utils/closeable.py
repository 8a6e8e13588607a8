"""Base class of context managers that own resources."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TypeVar

_T = TypeVar("_T", bound="Closeable")


class Closeable(ABC):
    """A context manager that calls `close` at the end of the block."""

    @abstractmethod
    def close(self) -> None:
        """Free all resources; a second call does nothing."""

    def __enter__(self: _T) -> _T:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
