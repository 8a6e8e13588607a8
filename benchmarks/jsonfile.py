"""Measurements as JSON files, whose first key names their kind and its version."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

from cgt.runtime.errors import UsageError
from cgt.runtime.files import atomic_write

T = TypeVar("T")


def save_json(
    path: Path, kind: str, version: int, values: Mapping[str, Any], indent: int | None = None
) -> None:
    """Whole or not at all. Raises OSError."""
    with atomic_write(path) as temporary:
        text = json.dumps({kind: version, **values}, default=float, indent=indent)
        temporary.write_text(text + "\n", encoding="utf-8")


def load_json(
    path: Path, kind: str, version: int, description: str, build: Callable[[dict[str, Any]], T]
) -> T:
    """What `build` makes of the values that `save_json` wrote. what: such a file, for people.
    Raises UsageError for a file that is none, or of another version."""
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
        if values.pop(kind) != version:
            raise UsageError(f"{path} was written by another version of cgt; measure again")
        return build(values)
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {error.strerror}") from None
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        if isinstance(error, UsageError):
            raise
        raise UsageError(f"{path} is not {description}") from None
