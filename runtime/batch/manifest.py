"""Manifest of a batch: the folder `.cgt-jobs` beside the outputs.

    .cgt-jobs/
        lock                allows one run at a time
        finished.json       finished outputs with the key of their inputs
        KEY/                work folder of an unfinished video: finished and unfinished segments

KEY hashes everything that an output depends on: the video, the model, the flags. No file outside
of this folder is ever incomplete. What a killed worker leaves lies in KEY/, which is deleted with
the job.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import shutil
from pathlib import Path
from typing import Any

from ..errors import SinkError
from ..utils.atomic import atomic_write
from ..utils.closeable import Closeable

MANIFEST_FOLDER = ".cgt-jobs"

SEGMENT_VERSION = 2
"""Segments of older versions have other color tags and are translated again."""


class JobManifest(Closeable):
    """The finished and unfinished videos of one output folder; a context manager.

    Args:
        output_dir: folder of the outputs, created on demand.
        resume: keep what an earlier run finished.

    Raises:
        SinkError: the folder cannot be written, or another run uses it.
    """

    def __init__(self, output_dir: Path, resume: bool) -> None:
        self._folder, self._resume = output_dir / MANIFEST_FOLDER, resume
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            self._lock = open(self._folder / "lock", "w")  # noqa: SIM115
        except OSError as error:
            raise SinkError(f"cannot write {output_dir}: {error.strerror}") from None
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            self._lock.close()
            raise SinkError(
                f"another cgt translate is writing to {output_dir}; wait for its end"
            ) from None
        self._finished: dict[str, Any] = {}
        with contextlib.suppress(OSError, ValueError):
            self._finished = json.loads((self._folder / "finished.json").read_text())
        if not resume:
            self.prune(set())

    def prune(self, keys: set[str]) -> None:
        """Delete the work folders whose keys are not in `keys`."""
        for path in self._folder.iterdir():
            if path.is_dir() and path.name not in {self._work_path(key).name for key in keys}:
                shutil.rmtree(path, ignore_errors=True)

    def is_finished(self, target: Path, key: str) -> bool:
        """Return whether --resume may keep the file: a run with this key wrote it unchanged."""
        if not self._resume:
            return False
        recorded = self._finished.get(self._relative_name(target))
        return bool(recorded) and recorded == self._entry(target, key)

    def work_dir(self, key: str) -> Path:
        """Return the work folder of an unfinished video, without incomplete files in it."""
        folder = self._work_path(key)
        try:
            folder.mkdir(exist_ok=True)
            _remove_unfinished(folder)
        except OSError as error:
            raise SinkError(f"cannot write {folder}: {error.strerror}") from None
        return folder

    def commit(self, output: Path, target: Path, key: str) -> None:
        """Move a finished video to its final path, record it and delete its work folder.

        Raises:
            SinkError: the file or the manifest cannot be written.
        """
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            output.replace(target)
            self._finished[self._relative_name(target)] = self._entry(target, key)
            with atomic_write(self._folder / "finished.json") as temporary:
                temporary.write_text(json.dumps(self._finished, indent=1))
        except OSError as error:
            raise SinkError(f"cannot write {target}: {error.strerror}") from None
        self.remove(key)

    def remove(self, key: str) -> None:
        """Delete the work folder of a video."""
        shutil.rmtree(self._work_path(key), ignore_errors=True)

    def _work_path(self, key: str) -> Path:
        return self._folder / f"{key}-{SEGMENT_VERSION}"

    def _relative_name(self, target: Path) -> str:
        return str(target.relative_to(self._folder.parent.resolve()))

    def _entry(self, target: Path, key: str) -> dict[str, Any]:
        try:
            stat = target.stat()
        except OSError:
            return {}
        return {"key": key, "bytes": stat.st_size, "changed": stat.st_mtime_ns}

    def close(self) -> None:
        """Delete incomplete files and release the lock. No worker may be running any more."""
        if self._lock.closed:
            return
        for path in self._folder.iterdir():
            if path.is_dir():
                with contextlib.suppress(OSError):
                    _remove_unfinished(path)
        self._lock.close()


def _remove_unfinished(work_dir: Path) -> None:
    """Delete everything but finished segments."""
    for path in work_dir.iterdir():
        if path.suffix != ".part" or path.name.startswith("."):
            path.unlink()
