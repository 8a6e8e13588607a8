"""Video file sink, whose unfinished files are playable up to the last second."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

import av

from ..errors import SinkError, UsageError
from ..sources.base import ffmpeg_error_text
from ..utils.atomic import create_temp_sibling
from ..utils.log import warn_user
from .base import Encoding, StreamFormat
from .codecs import CONTAINERS, select_codec
from .encoder import even_size
from .matroska import write_display_size
from .mp4 import copy_with_faststart, truncate_to_last_fragment
from .muxer import MuxedSink, Muxer

CONTAINER_SUFFIXES = tuple(CONTAINERS)
# Fragments of a second while writing; at the end FFmpeg turns them into a plain file with an index.
# Not with subtitles: FFmpeg ends their track with a sample as long as the one before, which lasts
# longer than the video. Not with cover art: FFmpeg adds an empty track for it.
_FRAGMENTED_MP4_OPTIONS = {"movflags": "+hybrid_fragmented+delay_moov", "frag_duration": "1000000"}
_MATROSKA_OPTIONS = {"cluster_time_limit": "1000"}  # milliseconds


class VideoSink(MuxedSink):
    """Writer of a video file, which gets its final name when it is finished.

    Until then it is a hidden file with the same suffix in the same folder. After a kill or a power
    failure that file plays up to its last second, except an MP4 with subtitles or cover art. After
    a failed write, the frames before it are kept under the final name.

    Args:
        path: The file, with a suffix of `CONTAINER_SUFFIXES`.
        stream: The format of the frames, and the other streams to copy.
        codec: See `select_codec`.

    Raises:
        SinkError: The file cannot be created.
        UsageError: Frame sizes differ, or the container does not support the codec.
    """

    def __init__(self, path: Path, stream: StreamFormat, codec: Encoding = None) -> None:
        if stream.size is None:
            raise UsageError(f"{path} needs frames of one size; set it with --output-size 256x256")
        self.name = str(path)
        self._path = path
        suffix = path.suffix.lower()
        self._is_mp4 = suffix in (".mp4", ".mov")
        self._stream = stream
        settings = select_codec(codec, CONTAINERS[suffix], str(path), even_size(stream.size))
        try:
            self._temporary: Path | None = create_temp_sibling(path)
        except OSError as error:
            raise SinkError(f"cannot write {path}: {error.strerror}") from None
        try:
            self._file = _SealableFile(self._temporary)
            self._container = av.open(
                self._file,
                "w",
                format=_CONTAINER_FORMATS[suffix],
                options=_muxer_options(suffix, stream),
            )
            self._muxer = Muxer(self._container, stream, settings)
        except (av.FFmpegError, OSError, ValueError) as error:
            self.close()
            raise SinkError(f"cannot write {path}: {ffmpeg_error_text(error)}") from None

    @property
    def _is_open(self) -> bool:
        return self._temporary is not None

    def finish(self) -> None:
        if self._temporary is None:
            return
        if self._muxer.frame_count == 0:
            raise SinkError(f"nothing to write to {self._path}: no frame arrived")
        with self._handle_errors():
            self._muxer.finish()
            self._write_aspect_ratio()
            self._file.sync()
            self._file.seal()
        if self._is_mp4:
            self._apply_faststart()
        self._temporary.replace(self._path)
        self._temporary = None

    def _write_aspect_ratio(self) -> None:
        """Write the aspect ratio of non-square pixels into a Matroska file."""
        assert self._temporary is not None
        assert self._stream.size is not None
        aspect = self._stream.sample_aspect_ratio
        if aspect == 1 or self._temporary.suffix.lower() not in (".mkv", ".webm"):
            return
        if not write_display_size(self._temporary, even_size(self._stream.size), aspect):
            warn_user(f"{self._path} does not store its aspect ratio: players show square pixels")

    def _apply_faststart(self) -> None:
        """Move the index to the front; if the disk is full, the file stays as it is."""
        assert self._temporary is not None
        moved = self._temporary.with_name(f"{self._temporary.stem}.moved")
        try:
            if copy_with_faststart(self._temporary, moved, self._muxer.video_end_s):
                with open(moved, "rb") as written:
                    os.fsync(written.fileno())
                moved.replace(self._temporary)
        except OSError as error:
            warn_user(f"{self._path} is complete, but its index stays at the end: {error.strerror}")
        moved.unlink(missing_ok=True)

    def _handle_failure(self, error: Exception) -> SinkError:
        """Save the frames before the failure under the final name."""
        assert self._temporary is not None
        self._file.seal()
        with suppress(av.FFmpegError, OSError):
            self._container.close()
        frames = 0
        with suppress(av.FFmpegError, OSError):
            if self._is_mp4:
                truncate_to_last_fragment(self._temporary)
            self._write_aspect_ratio()
            frames = _count_frames(self._temporary)
        kept = "no frame could be kept"
        if frames:
            with suppress(OSError):
                self._temporary.replace(self._path)
                kept = f"it holds the {frames} frames before that"
        self._temporary.unlink(missing_ok=True)
        self._temporary = None
        return SinkError(
            f"cannot write {self._path} to its end: {ffmpeg_error_text(error)}; {kept}"
        )

    def close(self) -> None:
        if self._temporary is None:
            return
        if hasattr(self, "_file"):
            self._file.seal()  # the file is deleted below
        if hasattr(self, "_container"):
            with suppress(av.FFmpegError, OSError):
                self._container.close()
        self._temporary.unlink(missing_ok=True)
        self._temporary = None


_CONTAINER_FORMATS = {
    ".mp4": "mp4",
    ".mov": "mov",
    ".mkv": "matroska",
    ".webm": "webm",
    ".ts": "mpegts",
}


def _muxer_options(suffix: str, stream: StreamFormat) -> dict[str, str]:
    if suffix in (".mkv", ".webm"):
        return dict(_MATROSKA_OPTIONS)
    subtitled = any(other.type == "subtitle" for other in stream.other_streams)
    unfragmented = subtitled or (suffix == ".mp4" and stream.cover_art)
    return {} if unfragmented or suffix == ".ts" else dict(_FRAGMENTED_MP4_OPTIONS)


class _SealableFile:
    """File object that ignores writes once it is sealed.

    FFmpeg always writes the end of a file, which would corrupt one on a full disk.
    """

    def __init__(self, path: Path) -> None:
        self.name = str(path)
        self._file = open(path, "r+b", buffering=0)  # noqa: SIM115

    def write(self, data: bytes) -> int:
        view = memoryview(data)
        while view and not self._file.closed:
            view = view[self._file.write(view) :]
        return len(data)

    def seek(self, offset: int, whence: int = 0) -> int:
        return 0 if self._file.closed else self._file.seek(offset, whence)

    def tell(self) -> int:
        return 0 if self._file.closed else self._file.tell()

    def sync(self) -> None:
        os.fsync(self._file.fileno())

    def seal(self) -> None:
        self._file.close()


def _count_frames(path: Path) -> int:
    """Count the frames of a file; 0 if it is not playable."""
    frames = 0
    with suppress(av.FFmpegError, OSError), av.open(str(path.absolute())) as container:
        for packet in container.demux(container.streams.video[0]):
            frames += packet.size > 0
    return frames
