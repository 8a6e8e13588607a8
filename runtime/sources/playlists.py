"""Files that playlists name: of HLS (RFC 8216), and of FFmpeg's concat format."""

from __future__ import annotations

import re
import shlex
from contextlib import suppress
from pathlib import Path
from urllib.parse import unquote

_PLAYLIST_SUFFIXES = frozenset({".m3u8", ".m3u"})
_URI_ATTRIBUTE = re.compile(r'URI="([^"]+)"')  # of keys, initialization segments, renditions


def playlist_files(path: Path) -> list[Path]:
    """Return an HLS playlist and the local files that it lists: segments, keys, other playlists."""
    files: list[Path] = []
    waiting = [path]
    while waiting:
        file = waiting.pop()
        if file in files:
            continue
        files.append(file)
        if file.suffix.lower() not in _PLAYLIST_SUFFIXES or not file.is_file():
            continue
        text = file.read_text("utf-8", "replace")
        listed = _URI_ATTRIBUTE.findall(text)
        listed += [line.strip() for line in text.splitlines() if not line.startswith("#")]
        waiting += [
            file.parent / unquote(uri.removeprefix("file://"))
            for uri in filter(None, listed)
            if "://" not in uri.removeprefix("file://")
        ]
    return files


def concat_files(path: Path) -> list[Path]:
    """Return a list of FFmpeg's concat format and the files that it names."""
    files = [path]
    for line in path.read_text("utf-8", "replace").splitlines():
        with suppress(ValueError):  # an unclosed quote
            directive, *values = shlex.split(line) or [""]
            if directive == "file" and values:
                files.append(path.parent / values[0].removeprefix("file:"))
    return files
