"""Input videos of a batch and the output path of each."""

from __future__ import annotations

import glob
import re
from collections.abc import Iterator, Sequence
from pathlib import Path

from ..errors import SourceError, UsageError
from ..image.files import IMAGE_SUFFIXES, list_images
from ..sinks.codecs import CONTAINERS
from ..sources.images import SEQUENCE_SUFFIXES
from ..utils.log import warn_user
from ..utils.overwrite import is_inside, refuse_overwriting

VIDEO_SUFFIXES = frozenset(
    {".3gp", ".avi", ".flv", ".m2ts", ".m4v", ".mkv", ".mov", ".mp4", ".mpeg", ".mpg", ".mts"}
    | {".mxf", ".ogv", ".ts", ".vob", ".webm", ".wmv"}
)


def is_batch_input(sources: Sequence[str]) -> bool:
    """Return whether the sources form a batch even without --jobs or --ray.

    They do if there is more than one source, apart from lists of images, or one folder or wildcard
    with videos and no images.
    """
    if len(sources) != 1:
        suffixes = {Path(source).suffix.lower() for source in sources}
        return not (suffixes & IMAGE_SUFFIXES and suffixes <= SEQUENCE_SUFFIXES)
    path = Path(sources[0])
    if path.is_dir():
        return not list_images(path) and any(_find_videos(path))
    if path.exists() or not _is_wildcard(sources[0]):
        return False
    found = [match.suffix.lower() for match in _glob_files(sources[0])]
    return not IMAGE_SUFFIXES.intersection(found) and bool(VIDEO_SUFFIXES.intersection(found))


def plan_outputs(sources: Sequence[str], output: str, codec: str | None) -> list[tuple[Path, Path]]:
    """Find the videos of a batch and name the output of each.

    A video keeps its path relative to the folder or wildcard that it was found by. It keeps its
    suffix if cgt can write that container with the codec.

    Args:
        sources: video files, folders and wildcards.
        output: a folder; or a video file, if the only source is a video file too.
        codec: value of --codec, or None for the default of the container.

    Returns:
        Pairs of input video and output path, both absolute, in order.

    Raises:
        SourceError: a source is missing or is not a video file.
        UsageError: the output cannot hold the results, or two results have the same path.
    """
    target = Path(output)
    suffix = target.suffix.lower()
    if suffix in CONTAINERS and not target.is_dir():
        if len(sources) > 1 or not Path(sources[0]).is_file():
            raise UsageError(f"{output} cannot hold several videos; give a folder")
        pair = Path(sources[0]).resolve(), target.resolve()
        refuse_overwriting([target], [pair[0]])
        return [pair]
    if output in ("window", "-", "null:") or "://" in output or (suffix and not target.is_dir()):
        raise UsageError(f"-o {output} is not a folder; several videos, --jobs and --ray need one")
    pairs = []
    for text in sources:
        for video, name in _expand_source(text, target):
            pairs.append((video.resolve(), (target / _with_output_suffix(name, codec)).resolve()))
    pairs = list(dict.fromkeys(pairs))
    _check_collisions(pairs)
    return pairs


def _expand_source(text: str, output: Path) -> list[tuple[Path, Path]]:
    """Return pairs of a video and its path relative to the folder or wildcard."""
    path = Path(text)
    if path.is_dir():
        if path.resolve() == output.resolve():
            raise UsageError(f"{output} is the folder of the sources; give another folder with -o")
        found = _without_outputs(list(_find_videos(path)), path, output)
        if not found:
            raise UsageError(f"{text} has no videos")
        return [(video, video.relative_to(path)) for video in found]
    if path.is_file():
        if path.suffix.lower() in IMAGE_SUFFIXES:
            raise UsageError(
                f"{text} is an image; translate images and videos in separate commands, images "
                "without --jobs and --ray"
            )
        return [(path, Path(path.name))]
    if "://" in text or not _is_wildcard(text):
        raise SourceError(
            f"{text} is not a video file; --jobs, --ray and several sources need files"
        )
    found = [match for match in _glob_files(text) if match.suffix.lower() in VIDEO_SUFFIXES]
    root = _split_wildcard(text)[0]
    found = _without_outputs(found, root, output)
    if not found:
        raise UsageError(f"no video matches {text}")
    return [(video, video.relative_to(root)) for video in found]


def _without_outputs(found: list[Path], root: Path, output: Path) -> list[Path]:
    """Leave out the outputs of an earlier run, in a subfolder of the sources."""
    if not is_inside(output, root):
        return found
    sources = [video for video in found if not is_inside(video, output)]
    if len(sources) < len(found):
        left_out = len(found) - len(sources)
        warn_user(f"{left_out} videos in the output folder {output} are left out")
    return sources


def _is_wildcard(text: str) -> bool:
    return bool(re.search(r"[*?\[]", text))


def _split_wildcard(text: str) -> tuple[Path, str]:
    """Return the folder before the first wildcard, and the rest; "a[1]" may be a folder."""
    parts = Path(text).parts
    count = 0
    while count < len(parts) - 1 and (
        not _is_wildcard(parts[count]) or Path(*parts[: count + 1]).is_dir()
    ):
        count += 1
    return Path(*parts[:count]), str(Path(*parts[count:]))


def _glob_files(text: str) -> list[Path]:
    """Return the files that a wildcard matches, sorted; `**` is any number of folders."""
    root, pattern = _split_wildcard(text)
    found = glob.glob(pattern, root_dir=root, recursive=True)  # noqa: PTH207 (hidden files)
    return [path for path in sorted(root / name for name in found) if path.is_file()]


def _find_videos(folder: Path) -> Iterator[Path]:
    """Yield the videos of a folder and its subfolders, sorted, without hidden ones."""
    for path in sorted(folder.rglob("*")):
        hidden = any(part.startswith(".") for part in path.relative_to(folder).parts)
        if path.suffix.lower() in VIDEO_SUFFIXES and path.is_file() and not hidden:
            yield path


def _with_output_suffix(name: Path, codec: str | None) -> Path:
    """Keep the suffix if its container takes the codec, else use that of the first that does."""
    family = codec.partition("_")[0] if codec else None
    own_suffix = name.suffix.lower()
    for suffix in (own_suffix, *CONTAINERS):
        if suffix in CONTAINERS and (family is None or family in CONTAINERS[suffix]):
            return name if suffix == own_suffix else name.with_suffix(suffix)
    return name.with_suffix(".mp4")  # for an unknown codec, which the encoder reports


def _check_collisions(pairs: list[tuple[Path, Path]]) -> None:
    refuse_overwriting([target for _, target in pairs], [video for video, _ in pairs])
    video_by_target: dict[Path, Path] = {}
    for video, target in pairs:
        if target in video_by_target:
            raise UsageError(
                f"{video_by_target[target]} and {video} would both be written to {target}; "
                "translate them into different folders"
            )
        video_by_target[target] = video
