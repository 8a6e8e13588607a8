"""What is done of a pile: `.cgt-jobs` in the folder of the outputs.

    .cgt-jobs/
        lock                one run at a time
        finished.json       the outputs that are finished, and what of
        KEY/                a film that is not: finished parts, and what workers are writing

KEY names all that an output depends on: the video, the model, the flags. Nothing outside of this
folder is ever half written, and what a killed worker leaves lies in KEY/, which goes with the film.
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


class JobManifest(Closeable):
    """Of one folder, which is made if need be. A context manager. Raises SinkError where the folder
    cannot be written, or another run is at it."""

    def __init__(self, output_dir: Path, resume: bool) -> None:
        """resume: keep what an earlier run has finished."""
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
                f"another cgt translate is writing to {output_dir}; wait for it"
            ) from None
        self._finished: dict[str, Any] = {}
        with contextlib.suppress(OSError, ValueError):
            self._finished = json.loads((self._folder / "finished.json").read_text())
        if not resume:
            self.prune(set())

    def prune(self, keys: set[str]) -> None:
        """Of what is not finished."""
        for path in self._folder.iterdir():
            if path.is_dir() and path.name not in keys:
                shutil.rmtree(path, ignore_errors=True)

    def is_finished(self, target: Path, key: str) -> bool:
        """Whether the file is there, is what a run with that key has made, and may stay."""
        if not self._resume:
            return False
        known = self._finished.get(self._relative_name(target))
        return bool(known) and known == self._entry(target, key)

    def work_dir(self, key: str) -> Path:
        """The folder of a film that is not finished; without what killed workers left in it."""
        folder = self._folder / key
        try:
            folder.mkdir(exist_ok=True)
            _remove_unfinished(folder)
        except OSError as error:
            raise SinkError(f"cannot write {folder}: {error.strerror}") from None
        return folder

    def commit(self, output: Path, target: Path, key: str) -> None:
        """A finished film takes its name. Raises SinkError."""
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
        """What lies in a film's room."""
        shutil.rmtree(self._folder / key, ignore_errors=True)

    def _relative_name(self, target: Path) -> str:
        return str(target.relative_to(self._folder.parent.resolve()))

    def _entry(self, target: Path, key: str) -> dict[str, Any]:
        try:
            found = target.stat()
        except OSError:
            return {}
        return {"key": key, "bytes": found.st_size, "changed": found.st_mtime_ns}

    def close(self) -> None:
        """To be called when no worker is at it any more."""
        if self._lock.closed:
            return
        for path in self._folder.iterdir():
            if path.is_dir():
                with contextlib.suppress(OSError):
                    _remove_unfinished(path)
        self._lock.close()


def _remove_unfinished(work_dir: Path) -> None:
    """Without what workers have begun and not finished."""
    for path in work_dir.iterdir():
        if path.suffix != ".part" or path.name.startswith("."):
            path.unlink()
