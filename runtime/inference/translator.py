"""Image translator: preprocessing, inference and postprocessing with one model."""

from __future__ import annotations

import math
import random
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Literal, overload

import numpy as np

from ..engines import (
    BatchShape,
    Engine,
    PerformanceHint,
    is_triton_uri,
    open_engine,
    read_model_metadata,
    read_triton_metadata,
)
from ..errors import EngineError, ModelError, UsageError
from ..image.channels import convert_channels
from ..image.geometry import Geometry, SizeSpec, plan_geometry
from ..image.preprocess import U8, YUV, resize, round_up_to_multiple
from ..image.validation import Pixels, YUVFormat, pack_pixels
from ..models.checkpoint_options import NO_OPTIONS, CheckpointOptions
from ..models.metadata import UPSAMPLING_METHODS, ModelMetadata, Upsampling
from ..models.third_party import ModelFormat
from ..utils.closeable import Closeable
from ..utils.log import warn_user
from .buffers import IOBuffers, OutputResizer
from .deflicker import FlowSmoother, StatisticsSmoother
from .tiling import TiledEngine, choose_tile_size, reduced_image_size

_BUNDLED_DIR = Path(__file__).parents[1] / "models"
DEFAULT_MODEL = _BUNDLED_DIR / "monet.onnx"


@dataclass(frozen=True)
class BatchTiming:
    """Durations of one batch in seconds, and the number of its images.

    Outputs are either converted (postprocess) or converted and resized in one pass (upsample).
    """

    preprocess: float
    inference: float
    postprocess: float | None
    count: int = 1
    upsample: float | None = None


class Translator(Closeable):
    """A loaded model that translates images: `Translator("model.onnx")(image)`.

    It is a context manager. Up to `workers` threads may call `translate_batch` at the same time.

    Args:
        model: model file, or the name of a bundled model ("monet", "vintage"); None for "monet".
        engine: a key of `engines.ENGINES`, "auto" for the fastest, "triton://HOST:8001/MODEL" for
            a model on a server (without `model`), or an open engine that fits `frame_size`.
        size: (height, width) of the image that the network translates, "source" for the size of
            each frame, or None for the size of the model with the aspect ratio of the frame (or the
            size of the frame, if that is smaller).
        output_size: (height, width) of the result; "source" or None for the size of the frame.
        upsampling: how the output of the network gets the output size. "guided" and "detail" use
            the frame, see `cgt.runtime.upsample_guided`; "bicubic" does not. "none" keeps the size
            of the network. None for the method of the model.
        detail: strength of "guided" and "detail", 0 to 1; None for that of the model.
        frame_size: (height, width) of all images, if known. Fixed shapes make the engine faster.
        sample_aspect_ratio: width / height of the pixels of the images.
        performance_hint: "latency" or "throughput"; see `engines.PerformanceHint`.
        batch: images per run of the network.
        tile: side of tiles in pixels, or None for whole images; see `tiling`.
        overlap: overlap of tiles in pixels; a quarter of `tile` by default.
        deflicker: weight of the previous frames, 0 to 1; see `deflicker`. Images must then come
            in order.
        model_format: range, layout and further inputs of a model of another tool; None to detect
            them.
        checkpoint_options: what the user states about a checkpoint of another trainer.
        frame: old name of `frame_size`.
        goal: old name of `performance_hint`.

    Attributes:
        path: model file.
        metadata: what the model file says about itself.
        geometry: sizes, if they are the same for all images.
        upsampling: method of upsampling.
        detail: its strength.
        engine: the open engine.
        workers: number of threads that keep the engine busy.
        batch: images per run of the network.

    Raises:
        UsageError: the arguments contradict each other or the model.
        ModelError: the file is not a model that translates images.
        MissingDependency: the library of the engine is not installed.
        EngineError: the engine cannot run the model.
    """

    def __init__(
        self,
        model: str | Path | None = None,
        *,
        engine: str | Engine = "auto",
        size: SizeSpec = None,
        output_size: SizeSpec = None,
        upsampling: Upsampling | None = None,
        detail: float | None = None,
        frame_size: tuple[int, int] | None = None,
        sample_aspect_ratio: Fraction = Fraction(1),
        performance_hint: PerformanceHint = "latency",
        batch: int = 1,
        tile: int | None = None,
        overlap: int | None = None,
        deflicker: float = 0.0,
        model_format: ModelFormat | None = None,
        checkpoint_options: CheckpointOptions = NO_OPTIONS,
        # model.py of Triton repositories exported before version 0.1.0 uses these names.
        frame: tuple[int, int] | None = None,
        goal: PerformanceHint | None = None,
    ) -> None:
        frame_size, performance_hint = frame or frame_size, goal or performance_hint
        if checkpoint_options.code is not None and model is None:
            raise UsageError("--code goes with the checkpoint of its network; give --model FILE")
        self.path, self.metadata = _locate_model(model, engine, model_format, checkpoint_options)
        self._checkpoint_options = checkpoint_options
        self._size, self._tile = size, tile
        self.upsampling, self.detail = _choose_upsampling(self.metadata, upsampling, detail)
        self._output_size: SizeSpec | Literal["network"] = output_size
        if self.upsampling == "none":
            if output_size is not None:
                raise UsageError(
                    "upsampling `none` keeps the size of the network; leave out the output size"
                )
            self._output_size = "network"
        self._overlap = overlap
        self._tile_size: tuple[int, int] | None = None
        self.geometry: Geometry | None = None
        self._tensor_size = (0, 0)  # any
        if frame_size is not None:
            self.geometry = self._plan_geometry(frame_size, sample_aspect_ratio)
            self._tensor_size = self.geometry.tensor_size
        elif isinstance(size, tuple) or (not self.metadata.dynamic and tile is None):
            geometry = self._plan_geometry(size if isinstance(size, tuple) else self.metadata.size)
            self._tensor_size = geometry.tensor_size
            if isinstance(size, tuple) and self._output_size not in (None, "source"):
                self.geometry = geometry  # whatever the sizes of the images are
        self._statistics_smoother = self._flow_smoother = None
        if deflicker and self.metadata.statistics:
            self._statistics_smoother = StatisticsSmoother(deflicker)
            performance_hint, batch = "latency", 1  # a frame needs the statistics of the last one
        elif deflicker:
            self._flow_smoother = FlowSmoother(deflicker)
        self.batch = batch
        self.engine = (
            engine if isinstance(engine, Engine) else self._open_engine(engine, performance_hint)
        )
        self.workers = 1 if self._statistics_smoother else self.engine.workers
        self._thread_local = threading.local()
        self._warm_up()

    def _plan_geometry(
        self, frame_size: tuple[int, int], sample_aspect_ratio: Fraction = Fraction(1)
    ) -> Geometry:
        tiled = self._tile is not None
        return plan_geometry(
            frame_size,
            self.metadata,
            self._size,
            sample_aspect_ratio,
            output_size=self._output_size,
            tiled=tiled,
        )

    def _open_file(self, name: str, shape: BatchShape, performance_hint: PerformanceHint) -> Engine:
        return open_engine(
            self.path,
            shape,
            name,
            performance_hint,
            checkpoint_options=self._checkpoint_options,
        )

    def _open_engine(self, name: str, performance_hint: PerformanceHint) -> Engine:
        tensor = self._tensor_size
        shape = BatchShape.from_metadata(self.metadata, *tensor, self.batch)
        if self._tile is None:
            return self._open_file(name, shape, performance_hint)
        metadata, any_size = self.metadata, BatchShape.from_metadata(self.metadata)
        multiple = metadata.multiple
        if not metadata.dynamic:
            tile, self._tile = metadata.size, min(metadata.size)
        elif shape.is_static:
            tile = choose_tile_size(tensor, self._tile, multiple)
        else:
            tile = round_up_to_multiple((self._tile, self._tile), multiple)
        self._tile_size = tile
        if metadata.norm in ("instance", "unknown") and tile != tensor:
            warn_user(
                f"{metadata.norm} normalization: each tile is normalized separately, so seams may "
                "be visible; export with --norm stream or --norm frozen"
            )
        overlap = self._tile // 4 if self._overlap is None else self._overlap
        # A tile is smaller where one side of an image is.
        tile_varies = metadata.dynamic and not shape.is_static
        tile_shape = any_size if tile_varies else any_size.with_size(*tile)
        tile_engine = self._open_file(name, tile_shape, performance_hint)
        full_image_engine = None
        if metadata.statistics and shape.is_static:
            reduced = any_size.with_size(*reduced_image_size(tensor, self._tile, multiple))
            full_image_engine = self._open_file(name, reduced, performance_hint)
        elif metadata.statistics:
            full_image_engine = tile_engine
        return TiledEngine(
            tile_engine, shape, tile, overlap, multiple, full_image_engine, self._tile
        )

    def _warm_up(self) -> None:
        """Run the network on noise, so that an unsuitable network fails before the first frame."""
        if self._tile_size is not None:
            geometry = Geometry(self._tile_size, self._tile_size)
        else:
            size = self._size if isinstance(self._size, tuple) else self.metadata.size
            geometry = self.geometry or self._plan_geometry(size)
        buffers = IOBuffers(self.metadata, geometry.image_size, geometry, self.batch)
        shape = (*geometry.image_size, self.metadata.in_channels)
        # Without NumPy's generators, which take longer to load than the noise to run.
        noise = np.frombuffer(random.Random(0).randbytes(math.prod(shape)), np.uint8)
        noise = noise.reshape(shape)
        for slot in range(self.batch):
            buffers.load(slot, noise)
        if buffers.out.dtype == np.float32:
            buffers.out[...] = np.nan  # remains where the output is too small
        try:
            self.engine.infer(buffers.batch, buffers.out, *buffers.statistics)
        except EngineError as error:
            raise ModelError(f"{self.path} does not translate images: {error}") from None
        if not buffers.is_finite():
            raise ModelError(
                f"{self.path} outputs NaN or infinity on {self.engine.name}; export it with --fp32"
            )

    def __call__(self, image: U8) -> U8:
        """Translate one image.

        Args:
            image: uint8 array (height, width, 3), RGB, or with the channels of the model. Any
                strides are allowed: an array that is flipped, or whose pixels are not packed, is
                copied first. For a model that takes gray, RGB is converted as in training. For one
                that takes alpha, RGB is opaque.

        Returns:
            A new uint8 array (height, width, channels) of the size of `image`, unless `output_size`
            or `upsampling` ask for another. It has the channels of the model: 1 for gray, 3 for
            RGB, 4 with alpha.

        Raises:
            UsageError: the array has another type or shape.
            EngineError: the engine failed.
        """
        (translated,), _ = self.translate_batch([image])
        result = self.upsample(image, self.apply_deflicker(image, translated))
        assert isinstance(result, np.ndarray)
        return result

    @overload
    def translate_batch(self, images: Sequence[Pixels]) -> tuple[list[U8], BatchTiming]: ...

    @overload
    def translate_batch(
        self, images: Sequence[Pixels], yuv_format: YUVFormat | None
    ) -> tuple[list[Pixels], BatchTiming]: ...

    def translate_batch(
        self, images: Sequence[Pixels], yuv_format: YUVFormat | None = None
    ) -> tuple[list[U8], BatchTiming] | tuple[list[Pixels], BatchTiming]:
        """Translate up to `batch` images of one size, without `apply_deflicker`.

        Args:
            images: uint8 arrays, as for a call; or YUV.
            yuv_format: the matrix and range of the translations in YUV; None for arrays. For a
                model that does not output RGB it is ignored.

        Returns:
            The translations, in order, and the time they took together. With `deflicker` by flow
            they have the size of the network until `upsample`.

        Raises:
            UsageError: the number, type or shape of the arrays is wrong.
            EngineError: the engine failed.
        """
        started_at = time.perf_counter()
        images = _check_images(images, self.batch, self.metadata.in_channels)
        buffers = self._buffers((images[0].shape[0], images[0].shape[1]))
        for slot, image in enumerate(images):
            buffers.load(slot, image)
        if self._statistics_smoother is not None and buffers.statistics_in is not None:
            self._statistics_smoother.fill(images[0], buffers.statistics_in)
        packed_at = time.perf_counter()
        self.engine.infer(buffers.batch, buffers.out, *buffers.statistics)
        if not buffers.is_finite():
            raise EngineError(
                f"{self.path.name} output NaN or infinity on {self.engine.name}; export it with "
                "--fp32, or use another --engine"
            )
        if self._statistics_smoother is not None and buffers.statistics_out is not None:
            self._statistics_smoother.update(buffers.statistics_out)
        inferred_at = time.perf_counter()
        if self.metadata.out_channels != 3:
            yuv_format = None
        resizer = None if self._flow_smoother else self._output_resizer(images[0].shape[:2])
        if resizer is None:
            translated = [buffers.unload(slot, yuv_format) for slot in range(len(images))]
        else:
            translated = [
                resizer(image, buffers.guide(slot), buffers.result(slot), yuv_format)
                for slot, image in enumerate(images)
            ]
        seconds = time.perf_counter() - inferred_at
        timing = BatchTiming(
            packed_at - started_at,
            inferred_at - packed_at,
            seconds if resizer is None else None,
            len(images),
            seconds if resizer is not None else None,
        )
        return translated, timing

    timed = translate_batch  # the name in model.py from before version 0.1.0, see __init__

    def apply_deflicker(self, image: Pixels, translated: U8) -> U8:
        """Blend a translation with the previous one, if `deflicker` needs that.

        Call it from one thread, with frames in order.

        Args:
            image: the frame, uint8 (height, width, channels).
            translated: its translation, from `translate_batch`.

        Returns:
            `translated` itself, or a new array; pass it to `upsample`.
        """
        if self._flow_smoother is None:
            return translated
        return self._flow_smoother(pack_pixels(image), translated)

    def upsample(
        self, image: Pixels, translated: U8, yuv_format: YUVFormat | None = None
    ) -> Pixels:
        """Change a translation to the output size, if `translate_batch` did not.

        Args:
            image: the frame, as for `translate_batch`.
            translated: its translation, from `apply_deflicker`.
            yuv_format: as for `translate_batch`.

        Returns:
            `translated` itself, or a new image.
        """
        resizer = self._output_resizer(image.shape[:2]) if self._flow_smoother else None
        if resizer is None:
            return translated
        image = _convert_channels(pack_pixels(image), self.metadata.in_channels)
        height, width = translated.shape[:2]
        if self.metadata.out_channels != 3:
            yuv_format = None
        guide = resize(image, (height, width), self.metadata.filter)
        return resizer(image, guide, translated, yuv_format)

    @property
    def deflicker_mode(self) -> str:
        """How flicker is reduced: "statistics", "flow", or "" for not at all."""
        return "statistics" if self._statistics_smoother else "flow" if self._flow_smoother else ""

    def _buffers(self, frame_size: tuple[int, int]) -> IOBuffers:
        """Return the arrays of this thread, allocated again only if a size changes."""
        local = self._thread_local
        geometry = self.geometry or self._plan_geometry(frame_size)
        if getattr(local, "sizes", None) != (frame_size, geometry):
            local.buffers = IOBuffers(self.metadata, frame_size, geometry, self.batch)
            local.sizes = (frame_size, geometry)
        buffers: IOBuffers = local.buffers
        return buffers

    def _output_resizer(self, frame_size: tuple[int, int]) -> OutputResizer | None:
        """Return what changes results to the output size; None if they have it."""
        local = self._thread_local
        geometry = self.geometry or self._plan_geometry(frame_size)
        if getattr(local, "resized", None) != geometry:
            changes = geometry.output_size != geometry.image_size
            local.resizer = None
            if changes:
                local.resizer = OutputResizer(geometry, self.upsampling, self.detail)
            local.resized = geometry
        resizer: OutputResizer | None = local.resizer
        return resizer

    def close(self) -> None:
        """Free the engine; a second call does nothing."""
        self.engine.close()


def resolve_model(model: str | Path | None) -> Path:
    """Return the path of a model.

    Args:
        model: a file, or the name of a bundled model ("monet", "vintage") unless a file of that
            name exists. None for "monet".
    """
    if model is None:
        return DEFAULT_MODEL
    path, bundled = Path(model), _BUNDLED_DIR / f"{model}.onnx"
    is_bundled = bundled.parent == _BUNDLED_DIR and bundled.is_file()
    return bundled if is_bundled and not path.is_file() else path


def _locate_model(
    model: str | Path | None,
    engine: str | Engine,
    model_format: ModelFormat | None,
    options: CheckpointOptions,
) -> tuple[Path, ModelMetadata]:
    """Return the path or server name of the model, and its metadata."""
    if isinstance(engine, str) and is_triton_uri(engine):
        if model is not None:
            raise UsageError(f"the model of {engine} is on that server; leave --model out")
        metadata = read_triton_metadata(engine, model_format)
        return Path(engine.split("/")[3].partition("?")[0]), metadata
    path = resolve_model(model)
    name = engine if isinstance(engine, str) else "auto"
    return path, read_model_metadata(path, model_format, options, name)


def _choose_upsampling(
    metadata: ModelMetadata, method: Upsampling | None, detail: float | None
) -> tuple[Upsampling, float]:
    """Return the method and strength: what was asked for, or what suits the model."""
    if method is not None and method not in UPSAMPLING_METHODS:
        raise UsageError(f"upsampling must be one of {', '.join(UPSAMPLING_METHODS)}")
    if detail is not None and not 0 <= detail <= 1:
        raise UsageError(f"detail must be from 0 to 1, not {detail}")
    method = method or metadata.upsampling or "guided"
    if detail is not None and method in ("bicubic", "none"):
        raise UsageError(f"detail is for guided and detail, not for upsampling {method}")
    return method, 1.0 if detail is None else detail


def _check_images(images: Sequence[Pixels], max_count: int, channels: int) -> list[Pixels]:
    """Return the images with packed pixels and the channels of the model.

    Raises UsageError unless all are uint8 of one size.
    """
    if not 0 < len(images) <= max_count:
        raise UsageError(f"give 1 to {max_count} images at once, not {len(images)}")
    for image in images:
        if not isinstance(image, YUV):  # the C library checks its planes
            is_uint8 = isinstance(image, np.ndarray) and image.dtype == np.uint8
            known = image.ndim == 3 and image.shape[2] in (3, channels) if is_uint8 else False
            if not known or image.size == 0:
                names = "3" if channels == 3 else f"3 or {channels}"
                raise UsageError(
                    f"the image must be a uint8 array of shape (height, width, {names})"
                )
        if image.shape != images[0].shape:
            raise UsageError("images that are translated at once must have the same size")
    return [_convert_channels(pack_pixels(image), channels) for image in images]


def _convert_channels(image: Pixels, channels: int) -> Pixels:
    if isinstance(image, YUV):
        if channels == 3:
            return image
        image = resize(image, image.shape[:2])
    return convert_channels(image, channels)
