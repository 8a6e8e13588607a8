"""Per-user cache folder for compiled models and measurements.

    $XDG_CACHE_HOME/cgt/            or ~/.cache/cgt/; safe to delete at any time
        engines.json                the fastest engine, by machine and model
        floats.json                 whether OpenVINO is faster in fp32 than in bf16
        openvino/KEY/               compiled models

KEY hashes everything that a compiled model depends on: the bytes of the model, the version of the
library, the CPU. If the folder cannot be written, cgt runs without a cache and raises no error.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shutil
from functools import lru_cache
from pathlib import Path
from typing import Any

from .atomic import atomic_write, file_sha256
from .system import cpu_name as cpu_name

MAX_ENTRIES = 12
"""Compiled models of each kind that are kept; the least recently used are deleted."""


def cache_dir(*parts: str) -> Path | None:
    """Return a folder of the cache, created on demand, or None if it cannot be written.

    Only its owner can read the folder.

    Args:
        parts: path below the root of the cache: a kind and a KEY, or nothing.
    """
    home = os.environ.get("XDG_CACHE_HOME")
    try:
        root = (Path(home) if home else Path.home() / ".cache") / "cgt"
        folder = root.joinpath(*parts)
        root.mkdir(parents=True, exist_ok=True, mode=0o700)
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    except (OSError, RuntimeError):
        return None
    # Another user who can write to the folder could plant a model in it.
    is_own = not hasattr(os, "getuid") or root.stat().st_uid == os.getuid()
    if not is_own or not os.access(folder, os.W_OK):
        return None
    if len(parts) > 1:
        _evict_lru(folder)
    return folder


def _evict_lru(entry: Path) -> None:
    """Mark an entry as used and delete its least recently used siblings."""
    with contextlib.suppress(OSError):  # another process may do the same
        os.utime(entry)
        others = [path for path in entry.parent.iterdir() if path != entry]
        others.sort(key=lambda path: path.stat().st_mtime_ns, reverse=True)
        for path in others[MAX_ENTRIES - 1 :]:
            shutil.rmtree(path, ignore_errors=True)


def short_hash(*parts: object) -> str:
    """Return 24 hexadecimal digits that identify the texts of all parts."""
    return hashlib.sha256("\0".join(map(str, parts)).encode()).hexdigest()[:24]


def cached_sha256(path: Path) -> str:
    """Return the SHA-256 of a file, computed once per process, size and modification time."""
    stat = path.stat()
    return _cached_sha256(path.resolve(), stat.st_size, stat.st_mtime_ns)


@lru_cache(maxsize=16)
def _cached_sha256(path: Path, _size: int, _mtime_ns: int) -> str:
    return file_sha256(path)


class JsonCache:
    """A small JSON object in the cache folder, one file."""

    def __init__(self, name: str) -> None:
        folder = cache_dir()
        self._path = folder / name if folder else None

    def _load(self) -> dict[str, Any]:
        try:
            values = json.loads(self._path.read_text()) if self._path else {}
        except (OSError, ValueError):
            return {}
        return values if isinstance(values, dict) else {}

    def get(self, key: str) -> Any:
        """Return the value of a key, or None."""
        return self._load().get(key)

    def put(self, key: str, value: Any) -> bool:
        """Store a value; return whether that was possible."""
        if self._path is None:
            return False
        try:
            with atomic_write(self._path) as temporary:
                temporary.write_text(json.dumps(self._load() | {key: value}, indent=1))
        except OSError:
            return False
        return True
