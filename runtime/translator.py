"""From pictures to their translations."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import numpy as np

from .artifact import Artifact
from .calm import FlowCalm, StatisticsCalm
from .closing import Closing
from .engines import BatchShape, Engine, Goal, is_remote, open_engine, read_model, read_remote
from .errors import EngineError, ModelError, UsageError
from .geometry import Geometry, Size, plan
from .notes import note
from .preprocess import U8
from .tensors import Tensors
from .tiles import TiledEngine, reduced_shape, spans, tile_shape

_BUNDLED = Path(__file__).parent / "models"
BUNDLED_MODEL = _BUNDLED / "monet.onnx"


@dataclass(frozen=True)
class Timing:
    """Seconds spent on what was translated together, and how many pictures that was."""

    preprocess: float
    inference: float
    postprocess: float
    count: int = 1


class Translator(Closing):
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
        size: Size = None,
        output: Size = None,
        frame: tuple[int, int] | None = None,
        aspect: Fraction = Fraction(1),
        goal: Goal = "latency",
        batch: int = 1,
        tile: int | None = None,
        overlap: int | None = None,
        calm: float = 0.0,
    ) -> None:
        self.path, self.artifact = _find(model, engine)
        self._size, self._output, self._tile = size, output, tile
        self._overlap = overlap
        if tile and frame is None and not isinstance(size, tuple):
            raise UsageError("tiles want pictures of one size; give it with --size 1080x1920")
        self.geometry: Geometry | None = None
        if frame is not None:
            self.geometry = self._plan(frame, aspect)
        elif not self.artifact.dynamic or isinstance(size, tuple):
            self.geometry = self._plan(size if isinstance(size, tuple) else self.artifact.size)
        self._memory = self._flow = None
        if calm and self.artifact.statistics:
            self._memory = StatisticsCalm(calm)
            goal, batch = "latency", 1  # each frame waits for what the one before was given
        elif calm:
            self._flow = FlowCalm(calm)
        self.batch = batch
        self.engine = engine if isinstance(engine, Engine) else self._open(engine, goal)
        self.workers = 1 if self._memory else self.engine.workers
        self._local = threading.local()
        self._warm_up()

    def _plan(self, frame: tuple[int, int], aspect: Fraction = Fraction(1)) -> Geometry:
        tiled = self._tile is not None
        return plan(frame, self.artifact, self._size, aspect, output=self._output, tiled=tiled)

    def _open(self, name: str, goal: Goal) -> Engine:
        tensor = self.geometry.tensor if self.geometry else (0, 0)
        shape = BatchShape.of(self.artifact, *tensor, self.batch)
        if self._tile is None:
            return open_engine(self.path, shape, name, goal)
        artifact, one = self.artifact, BatchShape.of(self.artifact)
        if not artifact.dynamic:
            self._tile = min(artifact.size)
        multiple = artifact.multiple
        tile = tile_shape(tensor, self._tile, multiple)
        if not artifact.dynamic and tile != artifact.size:
            fixed = "x".join(map(str, artifact.size))
            raise UsageError(f"the model takes {fixed} only, and the picture is no larger")
        if artifact.norm in ("instance", "unknown") and tile != tensor:
            note(
                f"{artifact.norm} normalisation: each tile is normalised by itself, so seams may "
                "show; export with --norm stream or --norm frozen"
            )
        overlap = self._tile // 4 if self._overlap is None else self._overlap
        grid = tuple(spans(*sides, overlap, multiple) for sides in zip(tensor, tile, strict=True))
        tiles = open_engine(self.path, one.sized(*tile), name, goal)
        whole, reduced = None, (0, 0)
        if artifact.statistics:
            reduced = reduced_shape(tensor, self._tile, multiple)
            whole = open_engine(self.path, one.sized(*reduced), name, goal)
        return TiledEngine(tiles, shape, tile, grid, whole, reduced)

    def _warm_up(self) -> None:
        """One run of noise, so that a network of another kind fails here and not in mid-stream."""
        geometry = self.geometry or plan(self.artifact.size, self.artifact)
        tensors = Tensors(self.artifact, geometry.picture, geometry, self.batch)
        noise = np.random.default_rng(0).integers(0, 256, (*geometry.picture, 3), np.uint8)
        for slot in range(self.batch):
            tensors.put(slot, noise)
        if tensors.out.dtype == np.float32:
            tensors.out[...] = np.nan  # what a smaller output would leave
        try:
            self.engine.infer(tensors.batch, tensors.out, *tensors.statistics)
        except EngineError as error:
            raise ModelError(f"{self.path} does not give an image for an image: {error}") from None
        if not tensors.finite():
            raise ModelError(
                f"{self.path} gives values that are no numbers on {self.engine.name}; "
                "export it with --fp32"
            )

    def __call__(self, image: U8) -> U8:
        """uint8 HWC RGB in, uint8 HWC RGB out. Raises UsageError on another kind of array."""
        return self.calmed(image, self.timed([image])[0][0])

    def timed(self, images: Sequence[U8]) -> tuple[list[U8], Timing]:
        """The translations of up to `batch` pictures of one size, and what they took together."""
        started = time.perf_counter()
        tensors = self._tensors(_checked(images, self.batch))
        for slot, image in enumerate(images):
            tensors.put(slot, image)
        if self._memory is not None and tensors.given is not None:
            self._memory.before(images[0], tensors.given)
        packed = time.perf_counter()
        self.engine.infer(tensors.batch, tensors.out, *tensors.statistics)
        if not tensors.finite():
            raise EngineError(
                f"{self.path.name} gave values that are no numbers on {self.engine.name}; export "
                "it with --fp32, or use another --engine"
            )
        if self._memory is not None and tensors.used is not None:
            self._memory.after(tensors.used)
        inferred = time.perf_counter()
        translated = [tensors.take(slot) for slot in range(len(images))]
        done = time.perf_counter()
        timing = Timing(packed - started, inferred - packed, done - inferred, len(images))
        return translated, timing

    def calmed(self, image: U8, translated: U8) -> U8:
        """A translation, made to agree with the one before. One thread's, frames in order."""
        return self._flow(image, translated) if self._flow is not None else translated

    @property
    def calming(self) -> str:
        """How flicker is held down: "statistics", "flow", or "" for not at all."""
        return "statistics" if self._memory else "flow" if self._flow else ""

    def _tensors(self, frame: tuple[int, int]) -> Tensors:
        """This thread's arrays; made anew only when a size changes."""
        local = self._local
        geometry = self.geometry or self._plan(frame)
        if getattr(local, "sizes", None) != (frame, geometry):
            local.tensors = Tensors(self.artifact, frame, geometry, self.batch)
            local.sizes = (frame, geometry)
        tensors: Tensors = local.tensors
        return tensors

    def close(self) -> None:
        """Free the engine; twice is fine."""
        self.engine.close()


def model_file(model: str | Path | None) -> Path:
    """A model's file: `model` itself, or the bundled one of that name ("monet", "vintage") where
    there is no such file; None for the first of these."""
    if model is None:
        return BUNDLED_MODEL
    path, bundled = Path(model), _BUNDLED / f"{model}.onnx"
    named = bundled.parent == _BUNDLED and bundled.is_file()
    return bundled if named and not path.is_file() else path


def _find(model: str | Path | None, engine: str | Engine) -> tuple[Path, Artifact]:
    """Where the model is, and what it says of itself."""
    if isinstance(engine, str) and is_remote(engine):
        if model is not None:
            raise UsageError(f"the model of {engine} is on that server; leave --model out")
        artifact = read_remote(engine)
        return Path(engine.split("/")[3].partition("?")[0]), artifact
    path = model_file(model)
    return path, read_model(path)


def _checked(images: Sequence[U8], most: int) -> tuple[int, int]:
    """(height, width) of all of them."""
    if not 0 < len(images) <= most:
        raise UsageError(f"give 1 to {most} images at once, not {len(images)}")
    for image in images:
        if not isinstance(image, np.ndarray) or image.ndim != 3 or image.shape[2] != 3:
            raise UsageError("the image must be a uint8 array of shape (height, width, 3)")
        if image.shape != images[0].shape:
            raise UsageError("images that are translated at once must have one size")
    height, width, _ = images[0].shape
    return height, width
