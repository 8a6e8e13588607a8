"""cgt translate"""

from __future__ import annotations

import click

from cgt.runtime.errors import UsageError
from cgt.runtime.geometry import parse_size

from .translating import Job, translate_job


@click.command("translate")
@click.argument("source")
@click.option(
    "-o",
    "--output",
    "sinks",
    required=True,
    multiple=True,
    help="Video, folder, image, window, URL, - or null:; may be given several times.",
)
@click.option("--model", help="ONNX model; the bundled one by default.")
@click.option("--engine", default="auto", help="auto, openvino or onnxruntime.")
@click.option("--size", help="256 (square), 256x512 (HEIGHTxWIDTH) or source.")
@click.option("--frames", type=click.IntRange(1), help="Stop after this many frames.")
@click.option(
    "--duration", type=click.FloatRange(0, min_open=True), help="Stop after this many seconds."
)
@click.option("--no-audio", is_flag=True, help="Leave the sound out.")
@click.option("--start", type=click.FloatRange(0), default=0.0, help="Leave out these seconds.")
@click.option("--stream", type=click.IntRange(0), help="Which of several video streams, from 0.")
@click.option("--reconnect", is_flag=True, help="Open a lost camera or stream again.")
@click.option("--codec", help="h264, hevc, av1, vp9, prores, or an encoder such as h264_nvenc.")
@click.option("--side-by-side", is_flag=True, help="The original beside its translation.")
@click.option("--split", is_flag=True, help="Half the original, half its translation.")
def command(
    source: str,
    sinks: tuple[str, ...],
    model: str | None,
    engine: str,
    size: str | None,
    frames: int | None,
    duration: float | None,
    no_audio: bool,
    start: float,
    stream: int | None,
    reconnect: bool,
    codec: str | None,
    side_by_side: bool,
    split: bool,
) -> None:
    """Translate SOURCE: a video, a folder of images, an image, a camera, a stream, - or test://.

    Without --size the picture keeps its shape and its short side gets the model's size.
    """
    if side_by_side and split:
        raise UsageError("--side-by-side and --split exclude each other")
    translate_job(
        Job(
            source=source,
            sinks=sinks,
            model=model,
            engine=engine,
            size=parse_size(size) if size else None,
            frames=frames,
            duration=duration,
            audio=not no_audio,
            start=start,
            stream=stream,
            reconnect=reconnect,
            codec=codec,
            view="side-by-side" if side_by_side else "split" if split else "translated",
        )
    )
