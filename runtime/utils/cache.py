"""What is worth remembering from run to run, in the user's cache folder.

    $XDG_CACHE_HOME/cgt/            or ~/.cache/cgt/; safe to delete at any time
        engines.json                which engine was fastest, by machine and model
        floats.json                 whether OpenVINO is faster in fp32 than in bf16
        openvino/KEY/               compiled models
        tensorrt/KEY/               engines that ONNX Runtime's TensorRT provider built

KEY names all that a compiled model depends on: the model's bytes, the library's version, the CPU.
A folder that cannot be written means no cache, never an error.
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

MAX_ENTRIES = 12  # compiled models of each kind; those not used for longest go


def cache_dir(*parts: str) -> Path | None:
    """A folder of ours, made if need be and readable by its owner alone; None where it cannot.

    parts: of its path, a kind and a KEY.
    """
    home = os.environ.get("XDG_CACHE_HOME")
    try:
        root = (Path(home) if home else Path.home() / ".cache") / "cgt"
        folder = root.joinpath(*parts)
        root.mkdir(parents=True, exist_ok=True, mode=0o700)
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    except (OSError, RuntimeError):
        return None
    # What others can write to, others can put a model into.
    mine = not hasattr(os, "getuid") or root.stat().st_uid == os.getuid()
    if not mine or not os.access(folder, os.W_OK):
        return None
    if len(parts) > 1:
        _evict_lru(folder)
    return folder


def _evict_lru(entry: Path) -> None:
    """Keep `used` and the latest of its neighbours."""
    with contextlib.suppress(OSError):  # another process may be at it, too
        os.utime(entry)
        others = [path for path in entry.parent.iterdir() if path != entry]
        others.sort(key=lambda path: path.stat().st_mtime_ns, reverse=True)
        for path in others[MAX_ENTRIES - 1 :]:
            shutil.rmtree(path, ignore_errors=True)


def short_hash(*parts: object) -> str:
    """A short name of all parts: the same for the same."""
    return hashlib.sha256("\0".join(map(str, parts)).encode()).hexdigest()[:24]


def cached_sha256(path: Path) -> str:
    """SHA-256 of a file's bytes."""
    stat = path.stat()
    return _cached_sha256(path.resolve(), stat.st_size, stat.st_mtime_ns)


@lru_cache(maxsize=16)
def _cached_sha256(path: Path, _size: int, _changed: int) -> str:
    return file_sha256(path)


class JsonCache:
    """A small JSON file of name and value."""

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
        """What was put there, or None."""
        return self._load().get(key)

    def put(self, key: str, value: Any) -> bool:
        """Whether it could be kept."""
        if self._path is None:
            return False
        try:
            with atomic_write(self._path) as temporary:
                temporary.write_text(json.dumps(self._load() | {key: value}, indent=1))
        except OSError:
            return False
        return True
