"""cgt translate"""

from __future__ import annotations

from pathlib import Path

import click

from cgt.runtime.api import TranslateOptions, TranslationRequest, run_translation
from cgt.runtime.batch.inputs import is_batch_input
from cgt.runtime.errors import UsageError
from cgt.runtime.image.geometry import parse_size


@click.command("translate")
@click.argument("sources", nargs=-1, required=True, metavar="SOURCE...")
@click.option(
    "-o",
    "--output",
    "sinks",
    required=True,
    multiple=True,
    help="Video, folder, image, window, URL, - or null:; may be given several times.",
)
@click.option("--model", help="ONNX model, or monet (the default) or vintage, which are bundled.")
@click.option(
    "--engine",
    default="auto",
    help="auto (the fastest), openvino, onnxruntime, tensorrt or torch; with a device as in "
    "onnxruntime:cuda; or a server's model, triton://HOST:8001/MODEL.",
)
@click.option("--size", help="What the network sees: 256, 256x512 (HEIGHTxWIDTH) or source.")
@click.option("--output-size", help="What is written, the same; the network's by default.")
@click.option("--tile", type=click.IntRange(32), help="Cut the picture into tiles of that side.")
@click.option("--overlap", type=click.IntRange(0), help="Of tiles; a quarter by default.")
@click.option("--batch", type=click.IntRange(1, 64), default=1, help="Frames at once, of files.")
@click.option(
    "--deflicker",
    type=click.FloatRange(0, 1),
    default=0.0,
    help="Less flicker: weight of the past.",
)
@click.option("--frames", type=click.IntRange(1), help="Stop after this many frames of the source.")
@click.option(
    "--duration", type=click.FloatRange(0, min_open=True), help="Stop after this many seconds."
)
@click.option("--max-fps", type=click.FloatRange(0, min_open=True), help="Leave out frames above.")
@click.option(
    "--live/--no-live",
    default=None,
    help="Drop frames to stay in time; by default for cameras and streams.",
)
@click.option("--no-audio", is_flag=True, help="Leave the sound out.")
@click.option("--start", type=click.FloatRange(0), default=0.0, help="Leave out these seconds.")
@click.option("--stream", type=click.IntRange(0), help="Which of several video streams, from 0.")
@click.option("--reconnect", is_flag=True, help="Open a lost camera or stream again.")
@click.option("--codec", help="h264, hevc, av1, vp9, prores, or an encoder such as h264_nvenc.")
@click.option("--side-by-side", is_flag=True, help="The original beside its translation.")
@click.option("--split", is_flag=True, help="Half the original, half its translation.")
@click.option(
    "--json",
    "json_path",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Write figures as JSON.",
)
@click.option("--jobs", type=click.IntRange(1), help="Videos, and parts of long ones, at once.")
@click.option(
    "--ray",
    is_flag=False,
    flag_value="",
    metavar="[ADDRESS]",
    help="The same by the workers of a Ray cluster; started here without an address.",
)
@click.option("--resume", is_flag=True, help="Of several videos, do only what is not done yet.")
@click.option("--verbose", is_flag=True, help="Say what was found out on the way.")
def command(
    sources: tuple[str, ...],
    sinks: tuple[str, ...],
    model: str | None,
    engine: str,
    size: str | None,
    output_size: str | None,
    tile: int | None,
    overlap: int | None,
    batch: int,
    deflicker: float,
    frames: int | None,
    duration: float | None,
    max_fps: float | None,
    live: bool | None,
    no_audio: bool,
    start: float,
    stream: int | None,
    reconnect: bool,
    codec: str | None,
    side_by_side: bool,
    split: bool,
    json_path: Path | None,
    jobs: int | None,
    ray: str | None,
    resume: bool,
    verbose: bool,
) -> None:
    """Translate SOURCE: a video, a folder of images, an image, a camera, a stream, - or test://.

    Without --size the picture keeps its shape and its short side gets the model's size.

    Several sources, a folder or a (quoted) wildcard with videos and no images, and whatever is
    given --jobs or --ray, are videos, each translated into the folder -o under its own name. What
    comes out does not depend on how many work on it.
    """
    if overlap is not None and tile is None:
        raise UsageError("--overlap is of tiles; give --tile too")
    if side_by_side and split:
        raise UsageError("--side-by-side and --split exclude each other")
    options = TranslateOptions(
        model=model,
        engine=engine,
        size=parse_size(size) if size else None,
        output_size=parse_size(output_size, "--output-size") if output_size else None,
        tile=tile,
        overlap=overlap,
        batch=batch,
        deflicker=deflicker,
        frames=frames,
        duration=duration,
        max_fps=max_fps,
        audio=not no_audio,
        start=start,
        stream=stream,
        codec=codec,
        view="side-by-side" if side_by_side else "split" if split else "translated",
    )
    if jobs is None and ray is None and not is_batch_input(sources):
        if resume:
            raise UsageError("--resume is for several videos, --jobs and --ray")
        run_translation(
            TranslationRequest(sources[0], sinks, options, live, reconnect, json_path, verbose)
        )
        return
    for flag, value in (("--live", live), ("--reconnect", reconnect), ("--verbose", verbose)):
        if value:
            raise UsageError(f"{flag} is not for several videos, --jobs or --ray")
    if len(sinks) > 1:
        raise UsageError("several videos, --jobs and --ray want one -o")
    from cgt.runtime.batch.run import BatchOptions, run_batch

    run_batch(BatchOptions(sources, sinks[0], jobs, ray, resume, json_path), options)
