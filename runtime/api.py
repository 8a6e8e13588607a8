"""Translation in one call: `translate` yields frames, `translate_file` writes files.

TranslateOptions defines each option once: as a keyword of these functions and as a flag of
`cgt translate`.
"""

from __future__ import annotations

import dataclasses
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

from .errors import Interrupted, UsageError
from .image.color import parse_color
from .image.compose import ViewMode, compose_view
from .image.geometry import SizeSpec, parse_size
from .image.preprocess import U8
from .inference.translator import Translator
from .models.checkpoint_options import CheckpointOptions
from .models.metadata import UPSAMPLING_METHODS, Upsampling
from .models.third_party import ModelFormat
from .pipeline import run_pipeline, translate_stream
from .run_report import RunReport
from .sinks import (
    EncodingOptions,
    StreamFormat,
    TranslatedFrame,
    needs_frame_size,
    open_sinks,
    output_folders,
    refuse_overwriting_source,
)
from .sources import Frame, Source, open_source
from .sources.wrappers import FittedSource, RealtimeSource, StreamItems, limit_fps, limit_frames
from .utils.log import mask_passwords
from .utils.options import check_options, option, signature_with
from .utils.stats import Stats

_SIZE = "a side such as 256, WIDTHxHEIGHT, or `source` for the size of the source"
ESSENTIALS, OUTPUT, MODEL, INPUT = "Essentials", "Output", "Model", "Input"
LIVE, CODE = "Live sources", "Code of another project"
MAX_FRAMERATE = 1000


def parse_framerate(text: str) -> Fraction:
    """Return the frames per second that a text such as "29.97" or "30000/1001" says.

    Raises:
        UsageError: it is not a number above 0, up to 1000.
    """
    try:
        rate = Fraction(text)
    except (ValueError, ZeroDivisionError):
        rate = Fraction(0)
    if not 0 < rate <= MAX_FRAMERATE:
        raise UsageError(f"--framerate {text} is not a rate, such as 30 or 30000/1001")
    return rate


def parse_upsampling(text: str) -> Upsampling:
    """Return a method of upsampling.

    Raises:
        UsageError: it is none of UPSAMPLING_METHODS.
    """
    for method in UPSAMPLING_METHODS:
        if method == text:
            return method
    raise UsageError(f"--upsampling {text} is not one of {', '.join(UPSAMPLING_METHODS)}")


@dataclass(frozen=True, kw_only=True)
class TranslateOptions(ModelFormat, CheckpointOptions):
    """Options of `translate`, `translate_file` and `cgt translate`.

    The options of the base classes are for models of other projects. Those of CheckpointOptions are
    for checkpoints, which the engine "torch" runs.

    Sizes are (height, width), the side of a square, "WIDTHxHEIGHT" or "source".

    Raises:
        UsageError: for a number out of its range, or options that exclude each other.
    """

    model: str | Path | None = option(
        None,
        "ONNX model, engine or checkpoint, or a bundled model: monet, vintage",
        ESSENTIALS,
        default_text="monet",
    )
    size: SizeSpec = option(
        None,
        f"size of the image that the network sees: {_SIZE}",
        ESSENTIALS,
        parse=parse_size,
        metavar="SIZE",
        default_text="the model's size as the short side, or a smaller source's own",
    )
    engine: str = option(
        "auto",
        "inference engine: auto (the fastest on this machine), openvino, onnxruntime, tensorrt or "
        "torch, optionally with a device (onnxruntime:cuda); or a model on a Triton server, "
        "triton://HOST:8001/MODEL",
        MODEL,
    )
    output_size: SizeSpec = option(
        None,
        f"size of the output: {_SIZE}",
        OUTPUT,
        parse=lambda text: parse_size(text, "--output-size"),
        metavar="SIZE",
        default_text="source",
    )
    upsampling: Upsampling | None = option(
        None,
        "how the output of the network gets the output size: guided (by the details of the "
        "source), detail (adds the source's fine detail), bicubic, or none (keeps the network's "
        "size)",
        OUTPUT,
        parse=parse_upsampling,
        metavar="METHOD",
        default_text="what suits the model",
    )
    detail: float | None = option(
        None,
        "how much of the source's detail guided and detail add, 0 to 1",
        OUTPUT,
        metavar="STRENGTH",
        kind=float,
        minimum=0,
        maximum=1,
        default_text="what suits the model",
    )
    codec: str | None = option(
        None,
        "video codec: h264, hevc, av1, vp9, prores, or an FFmpeg encoder such as h264_nvenc",
        OUTPUT,
        default_text="the container's",
    )
    crf: float | None = option(
        None,
        "constant rate factor of the video encoder, lower is better: h264 and hevc 0 to 51, av1 1 "
        "to 63, vp9 0 to 63",
        OUTPUT,
        kind=float,
        minimum=0,
        maximum=63,
        metavar="CRF",
        default_text="h264 20, hevc 23, av1 and vp9 30",
    )
    preset: str | None = option(
        None,
        "speed of the video encoder: h264 and hevc placebo to ultrafast, av1 0 to 9, vp9 0 to 8, "
        "nvenc p7 to p1",
        OUTPUT,
        metavar="NAME",
        default_text="h264 veryfast, hevc superfast, av1 9, vp9 7",
    )
    view: ViewMode = option(
        "translated",
        "what is written",
        OUTPUT,
        values={
            "--side-by-side": ("side-by-side", "write the original beside its translation"),
            "--split": ("split", "write the original in one half and its translation in the other"),
        },
    )
    audio: bool = option(True, "copy the audio", OUTPUT, kind=bool, flags=("--audio/--no-audio",))
    start: float = option(
        0.0, "skip this many seconds at the start", INPUT, kind=float, minimum=0, metavar="SECONDS"
    )
    duration: float | None = option(
        None,
        "stop after this many seconds of the source",
        INPUT,
        metavar="SECONDS",
        kind=float,
        minimum=0,
        above=True,
        default_text="all",
    )
    frames: int | None = option(
        None,
        "stop after this many frames of the source",
        INPUT,
        metavar="N",
        kind=int,
        minimum=1,
        default_text="all",
    )
    max_fps: float | None = option(
        None,
        "skip frames above this rate, in frames per second",
        INPUT,
        metavar="FPS",
        kind=float,
        minimum=0,
        above=True,
        default_text="no limit",
    )
    background: str = option(
        "white",
        "color behind transparent pixels: a name or #RRGGBB",
        INPUT,
        metavar="COLOR",
    )
    keep_alpha: bool = option(
        False,
        "write the transparency of the source to PNG, WebP and TIFF",
        OUTPUT,
        kind=bool,
        flags=("--keep-alpha",),
    )
    framerate: float | str | Fraction | None = option(
        None,
        "images per second of a sequence, such as 30 or 30000/1001",
        INPUT,
        parse=parse_framerate,
        metavar="FPS",
        default_text="25",
    )
    stream: int | None = option(
        None,
        "index of the video stream, from 0, if a file has several",
        INPUT,
        metavar="N",
        kind=int,
        minimum=0,
        default_text="FFmpeg's choice",
    )
    deflicker: float = option(
        0.0,
        "weight of earlier frames, 0 to 1, to reduce flicker",
        MODEL,
        metavar="WEIGHT",
        kind=float,
        minimum=0,
        maximum=1,
    )
    batch: int = option(
        1,
        "frames per run of the network; not for live sources",
        MODEL,
        metavar="N",
        kind=int,
        minimum=1,
        maximum=64,
    )
    tile: int | None = option(
        None,
        "translate in overlapping tiles with this side in pixels",
        MODEL,
        metavar="PIXELS",
        kind=int,
        minimum=32,
        default_text="no tiles",
    )
    overlap: int | None = option(
        None,
        "overlap of tiles in pixels",
        MODEL,
        metavar="PIXELS",
        kind=int,
        minimum=0,
        default_text="a quarter of --tile",
    )
    live: bool | None = option(
        None,
        "drop frames to keep up with real time",
        LIVE,
        kind=bool,
        flags=("--live/--no-live",),
        default_text="live for cameras and network streams",
    )
    reconnect: bool = option(
        False,
        "reopen a camera or stream after it was lost",
        LIVE,
        kind=bool,
        flags=("--reconnect",),
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("size", "output_size"):
            value = getattr(self, name)
            if isinstance(value, int | str):
                parsed = parse_size(str(value), f"--{name.replace('_', '-')}")
                object.__setattr__(self, name, parsed)
        if self.framerate is not None:
            object.__setattr__(self, "framerate", parse_framerate(str(self.framerate)))
        if self.upsampling is not None:
            parse_upsampling(self.upsampling)
        check_options(self)
        if self.upsampling == "none" and self.output_size is not None:
            raise UsageError(
                "--upsampling none keeps the size of the network; leave out --output-size"
            )
        if self.detail is not None and self.upsampling in ("bicubic", "none"):
            raise UsageError(
                f"--detail is for guided and detail, not --upsampling {self.upsampling}"
            )
        if self.overlap is not None and self.tile is None:
            raise UsageError("--overlap is the overlap of tiles; give --tile too")
        if self.keep_alpha and self.view == "side-by-side":
            raise UsageError("--keep-alpha writes one image; leave out --side-by-side")
        parse_color(self.background)

    @property
    def job_key(self) -> str:
        """Text by which a batch recognizes videos that it has finished.

        It has the field names of the first batches, so that those are recognized, too.
        """
        renamed = {"deflicker": "calm"}
        names: tuple[str, ...] = (
            *("model", "engine", "size", "output_size", "tile", "overlap", "batch", "deflicker"),
            *("frames", "duration", "max_fps", "audio", "start", "stream", "codec", "view"),
        )
        if self.upsampling != "none":  # the first batches had the size of the network
            names = (*names, "upsampling", "detail")
        if self.background != "white":
            names = (*names, "background")
        if self.model_format != ModelFormat():
            names = (*names, "model_format")
        names = (*names, *(name for name in self.given if name != "model_range"))
        names += tuple(name for name in ("crf", "preset") if getattr(self, name) is not None)
        fields = ", ".join(f"{renamed.get(n, n)}={getattr(self, n)!r}" for n in names)
        return f"Translation({fields})"

    @property
    def _has_one_output_size(self) -> bool:
        """Whether the output has one size even if the frames have several."""
        return isinstance(self.size if self.upsampling == "none" else self.output_size, tuple)

    @property
    def encoding(self) -> EncodingOptions:
        """The options of video encoders."""
        return EncodingOptions(self.codec, self.crf, self.preset)

    def is_live(self, source: Source) -> bool:
        """Return whether frames of this source are dropped to keep up with real time."""
        return source.live if self.live is None else self.live

    def open_source(self, uri: str | Sequence[str], sinks: Sequence[str] = ()) -> Source:
        """Open a source; see `cgt.runtime.sources.open_source`.

        Args:
            uri: what to open.
            sinks: where it goes. Images that lie in an output folder are left out. For videos,
                images get one size.

        Raises:
            UsageError: an output is, or would be, read by the source.
        """
        source = open_source(
            uri,
            self.audio,
            stream=self.stream,
            start=self.start,
            reconnect=self.reconnect,
            exclude=output_folders(sinks),
            framerate=None if self.framerate is None else Fraction(self.framerate),
        )
        try:
            refuse_overwriting_source(sinks, source)
            if (
                source.size is None
                and not self._has_one_output_size
                and any(map(needs_frame_size, sinks))
            ):
                return FittedSource(source, parse_color(self.background), self.keep_alpha)
            return source
        except BaseException:
            source.close()
            raise

    def open_translator(self, source: Source) -> Translator:
        """Open the model for the frames of a source; raises what Translator raises."""
        live = self.is_live(source)
        if live and self.batch > 1:
            raise UsageError("--batch waits for several frames; leave it out, or add --no-live")
        return Translator(
            self.model,
            engine=self.engine,
            size=self.size,
            output_size=self.output_size,
            upsampling=self.upsampling,
            detail=self.detail,
            frame_size=source.size,
            sample_aspect_ratio=source.sample_aspect_ratio,
            performance_hint="latency" if live else "throughput",
            batch=self.batch,
            tile=self.tile,
            overlap=self.overlap,
            deflicker=self.deflicker,
            model_format=self.model_format,
            checkpoint_options=self.checkpoint_options,
        )

    def stream_format(self, source: Source, translator: Translator) -> StreamFormat:
        """Return the size, rate and tags of the output."""
        stream = StreamFormat.from_source(source, translator.geometry)
        if stream.size is None and isinstance(self.output_size, tuple):
            stream = dataclasses.replace(stream, size=self.output_size)
        if self.max_fps is None:
            return stream
        max_rate = Fraction(self.max_fps).limit_denominator(1000)
        return dataclasses.replace(
            stream, rate=min(stream.rate, max_rate) if stream.rate else max_rate
        )

    def select_items(self, source: Source, stats: Stats) -> StreamItems:
        """Yield the frames and packets that `frames`, `duration` and `max_fps` leave.

        How frames treat transparency is set, too.
        """
        if self.is_live(source) and not source.live:
            source = RealtimeSource(source)
        items: StreamItems = limit_frames(source, self.frames, self.duration)
        if self.max_fps is not None:
            items = limit_fps(items, self.max_fps, stats)
        return self.set_transparency(items)

    def set_transparency(self, items: StreamItems) -> StreamItems:
        """Set `background` and `keep_alpha` of frames."""
        background = parse_color(self.background)
        for item in items:
            if isinstance(item, Frame):
                item.background, item.keep_alpha = background, self.keep_alpha
            yield item

    def expected_frames(self, source: Source) -> int | None:
        """Return the number of frames to translate, or None where the source does not tell."""
        counts = [count for count in (source.frame_count, self.frames) if count is not None]
        if self.duration is not None and source.rate is not None:
            counts.append(round(self.duration * source.rate))
        return min(counts) if counts else None


def translate(
    source: str | Path | Sequence[str | Path], *, stats: Stats | None = None, **options: Any
) -> Iterator[U8]:
    """Translate a video, a folder of images, a camera or a stream, frame by frame.

    Args:
        source: a file, folder, wildcard, camera number or URL; docs/streams.md lists them. Or a
            list of image files.
        stats: is filled with counts and times while the frames come.
        **options: the fields of TranslateOptions, such as `model`, `size`, `start`, `view`.
            A source that is not live plays at its own pace with `live=True`.

    Yields:
        Each translated frame as a uint8 array (height, width, 3), RGB.

    Raises:
        SourceError, ModelError, EngineError, UsageError: see cgt.runtime.errors. An image that
            fails does not end the iteration; the error comes after the last frame.
    """
    chosen = TranslateOptions(**options)
    if flags := chosen.encoding.flags:
        names = " and ".join(flag.lstrip("-") for flag in flags)
        raise UsageError(f"{names}: for files; use translate_file")
    stats = stats if stats is not None else Stats()
    chosen = dataclasses.replace(chosen, audio=False)
    with (
        chosen.open_source(_source_names(source)) as opened,
        chosen.open_translator(opened) as translator,
    ):
        items = chosen.select_items(opened, stats)
        live = chosen.is_live(opened)
        for item in translate_stream(items, translator, stats, threading.Event(), live):
            if isinstance(item, TranslatedFrame):
                stats.add_output_frame(item.source_frame.capture_time)
                yield compose_view(item.source_frame.image, item.image, chosen.view)
        stats.raise_failures()


def translate_file(
    source: str | Path | Sequence[str | Path],
    output: str | Path | Sequence[str | Path],
    *,
    stop: threading.Event | None = None,
    on_start: Callable[[RunReport], None] = lambda report: None,
    on_frame: Callable[[TranslatedFrame], None] = lambda frame: None,
    **options: Any,
) -> RunReport:
    """Translate a source into a video, an image, a folder of images, a stream or a window.

    Args:
        source: as for `translate`.
        output: a file, folder, URL, "window", "-" or "null:", or several of them.
        stop: ends the run early when set; what was translated until then is saved.
        on_start: is called with the report before the first frame.
        on_frame: is called with each frame after it was written.
        **options: the fields of TranslateOptions.

    Returns:
        Counts, times per stage, and what took part in the run.

    Raises:
        Interrupted: when `stop` was set.
        SourceError: some images failed; all others are written. Otherwise SourceError, SinkError,
            ModelError, EngineError and UsageError as in cgt.runtime.errors.
    """
    chosen = TranslateOptions(**options)
    sinks = [output] if isinstance(output, str | Path) else output
    uris = tuple(map(str, sinks))
    stats, stop = Stats(), stop or threading.Event()
    started_at = time.perf_counter()
    with ExitStack() as stack:
        opened = stack.enter_context(chosen.open_source(_source_names(source), uris))
        translator = stack.enter_context(chosen.open_translator(opened))
        stream = chosen.stream_format(opened, translator)
        sink = stack.enter_context(open_sinks(uris, stream, chosen.encoding, chosen.view))
        startup_s = time.perf_counter() - started_at
        report = RunReport(
            tuple(map(mask_passwords, uris)),
            opened,
            translator,
            stats,
            startup_s,
            chosen.expected_frames(opened),
        )
        on_start(report)
        items = chosen.select_items(opened, stats)
        live = chosen.is_live(opened)
        for frame in run_pipeline(items, translator, sink, stats, stop, live):
            on_frame(frame)
    if stop.is_set():
        saved = f"the first {stats.frames} frames are in {sink.name}"
        raise Interrupted(f"stopped; {saved if stats.frames else 'no frame was finished yet'}")
    return report


def _source_names(source: str | Path | Sequence[str | Path]) -> str | list[str]:
    return str(source) if isinstance(source, str | Path) else [str(name) for name in source]


translate.__signature__ = signature_with(translate, TranslateOptions)  # type: ignore[attr-defined]
translate_file.__signature__ = signature_with(  # type: ignore[attr-defined]
    translate_file, TranslateOptions
)
