"""Files of HLS playlists (RFC 8216)."""

from __future__ import annotations

import re
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
