"""cgt translate"""

from __future__ import annotations

import click

from cgt.runtime.geometry import parse_size

from .translating import Job, translate_job


@click.command("translate")
@click.argument("source")
@click.option("-o", "--output", "sink", required=True, help="Video, folder, image file or null:.")
@click.option("--model", help="ONNX model; the bundled one by default.")
@click.option("--engine", default="auto", help="auto, openvino or onnxruntime.")
@click.option("--size", help="256 (square), 256x512 (HEIGHTxWIDTH) or source.")
@click.option("--frames", type=click.IntRange(1), help="Stop after this many frames.")
@click.option(
    "--duration", type=click.FloatRange(0, min_open=True), help="Stop after this many seconds."
)
@click.option("--no-audio", is_flag=True, help="Leave the sound out.")
def command(
    source: str,
    sink: str,
    model: str | None,
    engine: str,
    size: str | None,
    frames: int | None,
    duration: float | None,
    no_audio: bool,
) -> None:
    """Translate SOURCE: a video, a folder of images, an image or a camera's number.

    Without --size the picture keeps its shape and its short side gets the model's size.
    """
    translate_job(
        Job(
            source=source,
            sink=sink,
            model=model,
            engine=engine,
            size=parse_size(size) if size else None,
            frames=frames,
            duration=duration,
            audio=not no_audio,
        )
    )
