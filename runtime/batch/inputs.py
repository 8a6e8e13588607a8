"""Which videos a command line names, and what each is written to."""

from __future__ import annotations

import glob
import re
from collections.abc import Iterator, Sequence
from pathlib import Path

from ..errors import SourceError, UsageError
from ..image.files import IMAGE_SUFFIXES as IMAGE_SUFFIXES
from ..image.files import list_images
from ..sinks.codecs import CONTAINERS

VIDEO_SUFFIXES = frozenset(
    {".3gp", ".avi", ".flv", ".m2ts", ".m4v", ".mkv", ".mov", ".mp4", ".mpeg", ".mpg", ".mts"}
    | {".mxf", ".ogv", ".ts", ".vob", ".webm", ".wmv"}
)


def is_batch_input(sources: Sequence[str]) -> bool:
    """Whether these are several films, where no flag says so: more than one source, or one folder
    or wildcard that has videos and no images."""
    if len(sources) != 1:
        return True
    path = Path(sources[0])
    if path.is_dir():
        return not list_images(path) and any(_find_videos(path))
    if path.exists() or not _is_wildcard(sources[0]):
        return False
    found = [match.suffix.lower() for match in _glob_files(sources[0])]
    return not IMAGE_SUFFIXES.intersection(found) and bool(VIDEO_SUFFIXES.intersection(found))


def plan_outputs(sources: Sequence[str], output: str, codec: str | None) -> list[tuple[Path, Path]]:
    """(video, what it is written to), both absolute, in order.

    Each film keeps its name, below the folder or the wildcard that it was found by, and its suffix
    where we can write that. `out` is a folder; or a video, where the only source is one too.
    Raises SourceError for what is missing, UsageError for what makes no sense.
    """
    target = Path(output)
    suffix = target.suffix.lower()
    if suffix in CONTAINERS and not target.is_dir():
        if len(sources) > 1 or not Path(sources[0]).is_file():
            raise UsageError(f"several videos do not go into {output}; name a folder")
        return [(Path(sources[0]).resolve(), target.resolve())]
    if output in ("window", "-", "null:") or "://" in output or (suffix and not target.is_dir()):
        raise UsageError(f"-o {output} is no folder; several videos, --jobs and --ray want one")
    pairs = []
    for text in sources:
        for video, name in _expand_source(text, target):
            pairs.append((video.resolve(), (target / _with_output_suffix(name, codec)).resolve()))
    pairs = list(dict.fromkeys(pairs))
    _check_collisions(pairs)
    return pairs


def _expand_source(text: str, output: Path) -> list[tuple[Path, Path]]:
    """(video, its name below what was named)."""
    path = Path(text)
    if path.is_dir():
        found = list(_find_videos(path))
        if path.resolve() in output.resolve().parents:  # an earlier run's are not its sources
            found = [video for video in found if output.resolve() not in video.resolve().parents]
        if not found:
            raise UsageError(f"{text} has no videos")
        return [(video, video.relative_to(path)) for video in found]
    if path.is_file():
        return [(path, Path(path.name))]
    if "://" in text or not _is_wildcard(text):
        raise SourceError(f"{text} is no video file; --jobs, --ray and several sources want files")
    found = [match for match in _glob_files(text) if match.suffix.lower() in VIDEO_SUFFIXES]
    if not found:
        raise UsageError(f"{text} matches no videos")
    root = Path(re.split(r"[^/]*[*?\[]", text, maxsplit=1)[0])
    return [(video, video.relative_to(root)) for video in found]


def _is_wildcard(text: str) -> bool:
    return bool(re.search(r"[*?\[]", text))


def _glob_files(pattern: str) -> list[Path]:
    """Files, sorted; `**` is any number of folders."""
    found = sorted(glob.glob(pattern, recursive=True))  # noqa: PTH207 (takes absolute ones, too)
    return [path for path in map(Path, found) if path.is_file()]


def _find_videos(folder: Path) -> Iterator[Path]:
    """Of it and the folders in it, sorted, without hidden ones."""
    for path in sorted(folder.rglob("*")):
        hidden = any(part.startswith(".") for part in path.relative_to(folder).parts)
        if path.suffix.lower() in VIDEO_SUFFIXES and path.is_file() and not hidden:
            yield path


def _with_output_suffix(name: Path, codec: str | None) -> Path:
    """With the suffix of a container that takes the codec: its own, or the first that does."""
    family = codec.partition("_")[0] if codec else None
    own = name.suffix.lower()
    for suffix in (own, *CONTAINERS):
        if suffix in CONTAINERS and (family is None or family in CONTAINERS[suffix]):
            return name if suffix == own else name.with_suffix(suffix)
    return name.with_suffix(".mp4")  # an unknown codec; the encoder will say so


def _check_collisions(pairs: list[tuple[Path, Path]]) -> None:
    sources = {video for video, _ in pairs}
    taken: dict[Path, Path] = {}
    for video, target in pairs:
        if target in sources:
            raise UsageError(f"{target} would be overwritten by its translation; name another -o")
        if target in taken:
            raise UsageError(
                f"{taken[target]} and {video} would both be written to {target}; "
                "translate them into different folders"
            )
        taken[target] = video
