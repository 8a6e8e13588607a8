"""From pictures to their translations."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

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
from ..image.geometry import Geometry, SizeSpec, plan_geometry
from ..image.preprocess import U8
from ..models.metadata import ModelMetadata
from ..utils.closeable import Closeable
from ..utils.log import warn_user
from .buffers import IOBuffers
from .deflicker import FlowSmoother, StatisticsSmoother
from .tiling import TiledEngine, choose_tile_size, reduced_image_size, tile_spans

_BUNDLED_DIR = Path(__file__).parents[1] / "models"
DEFAULT_MODEL = _BUNDLED_DIR / "monet.onnx"


@dataclass(frozen=True)
class BatchTiming:
    """Seconds spent on what was translated together, and how many pictures that was."""

    preprocess: float
    inference: float
    postprocess: float
    count: int = 1


class Translator(Closeable):
    """A model, ready to translate images: `Translator("model.onnx")(image)`.

    model: an ONNX file, or one of another engine, see also `model_file`.
    engine: see engines.ENGINES; "auto" is the fastest; triton://HOST:8001/MODEL is a server's, and
    `model` is then left out; or an engine of your own, for `frame`.
    size: of the network's input, see geometry.Size. output: of what comes out, the same by default.
    frame: (height, width) of all images to come, where that is known; the engine then runs with
    fixed shapes, which is faster. aspect: width / height of their pixels.
    goal: see engines.Goal. batch: pictures that go through the network at once.
    tile, overlap: pixels; the picture is cut into tiles, see `tiles`. Needs `frame` or `size`.
    calm: 0 to 1, the weight of the frames before, see `calm`. Pictures must then come in order.

    `timed` may be called by `workers` threads at once. A context manager.
    Raises the errors of `open_engine`, and ModelError for a network that is no image translator.
    """

    def __init__(
        self,
        model: str | Path | None = None,
        *,
        engine: str | Engine = "auto",
        size: SizeSpec = None,
        output_size: SizeSpec = None,
        frame_size: tuple[int, int] | None = None,
        sample_aspect_ratio: Fraction = Fraction(1),
        performance_hint: PerformanceHint = "latency",
        batch: int = 1,
        tile: int | None = None,
        overlap: int | None = None,
        deflicker: float = 0.0,
    ) -> None:
        self.path, self.metadata = _locate_model(model, engine)
        self._size, self._output_size, self._tile = size, output_size, tile
        self._overlap = overlap
        if tile and frame_size is None and not isinstance(size, tuple):
            raise UsageError("tiles want pictures of one size; give it with --size 1080x1920")
        self.geometry: Geometry | None = None
        if frame_size is not None:
            self.geometry = self._plan_geometry(frame_size, sample_aspect_ratio)
        elif not self.metadata.dynamic or isinstance(size, tuple):
            self.geometry = self._plan_geometry(
                size if isinstance(size, tuple) else self.metadata.size
            )
        self._statistics_smoother = self._flow_smoother = None
        if deflicker and self.metadata.statistics:
            self._statistics_smoother = StatisticsSmoother(deflicker)
            performance_hint, batch = (
                "latency",
                1,
            )  # each frame waits for what the one before was given
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

    def _open_engine(self, name: str, performance_hint: PerformanceHint) -> Engine:
        tensor = self.geometry.tensor_size if self.geometry else (0, 0)
        shape = BatchShape.from_metadata(self.metadata, *tensor, self.batch)
        if self._tile is None:
            return open_engine(self.path, shape, name, performance_hint)
        metadata, any_size = self.metadata, BatchShape.from_metadata(self.metadata)
        if not metadata.dynamic:
            self._tile = min(metadata.size)
        multiple = metadata.multiple
        tile = choose_tile_size(tensor, self._tile, multiple)
        if not metadata.dynamic and tile != metadata.size:
            fixed = "x".join(map(str, metadata.size))
            raise UsageError(f"the model takes {fixed} only, and the picture is no larger")
        if metadata.norm in ("instance", "unknown") and tile != tensor:
            warn_user(
                f"{metadata.norm} normalisation: each tile is normalised by itself, so seams may "
                "show; export with --norm stream or --norm frozen"
            )
        overlap = self._tile // 4 if self._overlap is None else self._overlap
        grid = tuple(
            tile_spans(*sides, overlap, multiple) for sides in zip(tensor, tile, strict=True)
        )
        tile_engine = open_engine(self.path, any_size.with_size(*tile), name, performance_hint)
        full_image_engine, reduced_size = None, (0, 0)
        if metadata.statistics:
            reduced_size = reduced_image_size(tensor, self._tile, multiple)
            full_image_engine = open_engine(
                self.path, any_size.with_size(*reduced_size), name, performance_hint
            )
        return TiledEngine(tile_engine, shape, tile, grid, full_image_engine, reduced_size)

    def _warm_up(self) -> None:
        """One run of noise, so that a network of another kind fails here and not in mid-stream."""
        geometry = self.geometry or plan_geometry(self.metadata.size, self.metadata)
        buffers = IOBuffers(self.metadata, geometry.image_size, geometry, self.batch)
        noise = np.random.default_rng(0).integers(0, 256, (*geometry.image_size, 3), np.uint8)
        for slot in range(self.batch):
            buffers.load(slot, noise)
        if buffers.out.dtype == np.float32:
            buffers.out[...] = np.nan  # what a smaller output would leave
        try:
            self.engine.infer(buffers.batch, buffers.out, *buffers.statistics)
        except EngineError as error:
            raise ModelError(f"{self.path} does not give an image for an image: {error}") from None
        if not buffers.is_finite():
            raise ModelError(
                f"{self.path} gives values that are no numbers on {self.engine.name}; "
                "export it with --fp32"
            )

    def __call__(self, image: U8) -> U8:
        """uint8 HWC RGB in, uint8 HWC RGB out. Raises UsageError on another kind of array."""
        return self.apply_deflicker(image, self.translate_batch([image])[0][0])

    def translate_batch(self, images: Sequence[U8]) -> tuple[list[U8], BatchTiming]:
        """The translations of up to `batch` pictures of one size, and what they took together."""
        started = time.perf_counter()
        buffers = self._buffers(_check_same_size(images, self.batch))
        for slot, image in enumerate(images):
            buffers.load(slot, image)
        if self._statistics_smoother is not None and buffers.statistics_in is not None:
            self._statistics_smoother.fill(images[0], buffers.statistics_in)
        packed = time.perf_counter()
        self.engine.infer(buffers.batch, buffers.out, *buffers.statistics)
        if not buffers.is_finite():
            raise EngineError(
                f"{self.path.name} gave values that are no numbers on {self.engine.name}; export "
                "it with --fp32, or use another --engine"
            )
        if self._statistics_smoother is not None and buffers.statistics_out is not None:
            self._statistics_smoother.update(buffers.statistics_out)
        inferred = time.perf_counter()
        translated = [buffers.unload(slot) for slot in range(len(images))]
        done = time.perf_counter()
        timing = BatchTiming(packed - started, inferred - packed, done - inferred, len(images))
        return translated, timing

    def apply_deflicker(self, image: U8, translated: U8) -> U8:
        """A translation, made to agree with the one before. One thread's, frames in order."""
        return (
            self._flow_smoother(image, translated)
            if self._flow_smoother is not None
            else translated
        )

    @property
    def deflicker_mode(self) -> str:
        """How flicker is held down: "statistics", "flow", or "" for not at all."""
        return "statistics" if self._statistics_smoother else "flow" if self._flow_smoother else ""

    def _buffers(self, frame_size: tuple[int, int]) -> IOBuffers:
        """This thread's arrays; made anew only when a size changes."""
        local = self._thread_local
        geometry = self.geometry or self._plan_geometry(frame_size)
        if getattr(local, "sizes", None) != (frame_size, geometry):
            local.tensors = IOBuffers(self.metadata, frame_size, geometry, self.batch)
            local.sizes = (frame_size, geometry)
        buffers: IOBuffers = local.tensors
        return buffers

    def close(self) -> None:
        """Free the engine; twice is fine."""
        self.engine.close()


def resolve_model(model: str | Path | None) -> Path:
    """A model's file: `model` itself, or the bundled one of that name ("monet", "vintage") where
    there is no such file; None for the first of these."""
    if model is None:
        return DEFAULT_MODEL
    path, bundled = Path(model), _BUNDLED_DIR / f"{model}.onnx"
    is_bundled = bundled.parent == _BUNDLED_DIR and bundled.is_file()
    return bundled if is_bundled and not path.is_file() else path


def _locate_model(model: str | Path | None, engine: str | Engine) -> tuple[Path, ModelMetadata]:
    """Where the model is, and what it says of itself."""
    if isinstance(engine, str) and is_triton_uri(engine):
        if model is not None:
            raise UsageError(f"the model of {engine} is on that server; leave --model out")
        metadata = read_triton_metadata(engine)
        return Path(engine.split("/")[3].partition("?")[0]), metadata
    path = resolve_model(model)
    return path, read_model_metadata(path)


def _check_same_size(images: Sequence[U8], max_count: int) -> tuple[int, int]:
    """(height, width) of all of them."""
    if not 0 < len(images) <= max_count:
        raise UsageError(f"give 1 to {max_count} images at once, not {len(images)}")
    for image in images:
        if not isinstance(image, np.ndarray) or image.ndim != 3 or image.shape[2] != 3:
            raise UsageError("the image must be a uint8 array of shape (height, width, 3)")
        if image.shape != images[0].shape:
            raise UsageError("images that are translated at once must have one size")
    height, width, _ = images[0].shape
    return height, width
