"""One film of a pile, from its file to its tasks."""

from __future__ import annotations

import importlib.metadata
import itertools
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path

from ..cache import digest, file_digest
from ..errors import SourceError
from ..notes import note
from ..sources.cuts import PIECE
from ..sources.video import Input, VideoSource
from ..translation import Translation
from ..translator import model_file
from .ledger import Ledger
from .tasks import Join, Part, Task, Whole


@dataclass
class Film:
    """source, target: absolute. key: see ledger. frames: to come, as far as one can tell; then how
    many came. parts: files of its pieces, in order; none where it is done in one go. error: why it
    failed, one line. tries: of its task that was tried most often."""

    source: Path
    target: Path
    key: str
    frames: int = 0
    cuts: tuple[Fraction, ...] = ()
    room: Path = Path()
    skipped: bool = False
    done: bool = False
    error: str = ""
    tries: int = 0
    seconds: float = 0.0  # of workers
    notes: list[str] = field(default_factory=list)

    @property
    def parts(self) -> list[Path]:
        return [self.room / f"{i:05d}.part" for i in range(len(self.cuts) + 1)] if self.cuts else []

    def pieces(self, given: Translation) -> list[Task]:
        """What to begin with: its parts, without those that are there, or all in one go."""
        if not self.cuts:
            return [Whole(self.source, self.room / self.target.name, given)]
        ends = itertools.pairwise((None, *self.cuts, None))
        return [
            Part(self.source, path, given, self.target, first, end)
            for path, (first, end) in zip(self.parts, ends, strict=True)
            if not path.exists()
        ]

    def join(self, given: Translation) -> Task:
        """What to do when all parts are there."""
        return Join(self.source, self.room / self.target.name, given, tuple(self.parts))


def plan_film(source: Path, target: Path, given: Translation, ledger: Ledger) -> Film:
    """Look at a file: is it finished, how long is it, where may it be cut? A file that is no video
    is a film with an error."""
    try:
        key = _key(source, target, given)
        film = Film(source, target, key, skipped=ledger.is_finished(target, key))
        if film.skipped:
            return film
        with VideoSource(Input(str(source), str(source)), given.audio, given.stream) as opened:
            film.frames = given.expected(opened) or 0
            if may_cut(given):
                film.cuts = tuple(opened.find_cuts())
    except (SourceError, OSError) as error:
        why = str(error) if isinstance(error, SourceError) else f"{source}: {error.strerror}"
        return Film(source, target, "", error=why)
    film.room = ledger.room(key)
    return film


def may_cut(given: Translation) -> bool:
    """Whether frames can be translated without those before them."""
    return not (given.calm or given.frames or given.duration or given.max_fps or given.start)


def say_what_is_not_cut(given: Translation) -> None:
    """By the name of the flag."""
    if not may_cut(given):
        flags = ("calm", "frames", "duration", "max_fps", "start")
        named = next(flag for flag in flags if getattr(given, flag)).replace("_", "-")
        note(f"--{named} goes from frame to frame: no film is cut, each is one worker's")


def _key(source: Path, target: Path, given: Translation) -> str:
    model = model_file(given.model)
    found = source.stat()
    versions = [importlib.metadata.version(name) for name in ("av", "cyclegan-toolkit")]
    return digest(
        *(source, found.st_size, found.st_mtime_ns, target.name, PIECE),
        *(given, file_digest(model) if model.is_file() else "", *versions),
    )
