"""From one image to its translation."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import numpy as np

from .artifact import Artifact, read_artifact
from .closing import Closing
from .engines import BatchShape, Engine, Goal, open_engine
from .errors import EngineError, ModelError, UsageError
from .geometry import Geometry, Size, plan
from .preprocess import F32, U8, Packer, unpack

BUNDLED_MODEL = Path(__file__).parent / "models" / "monet.onnx"


@dataclass(frozen=True)
class Timing:
    """Seconds spent on one image."""

    preprocess: float
    inference: float
    postprocess: float


class Translator(Closing):
    """A model, ready to translate images: `Translator("model.onnx")(image)`.

    model: an ONNX file; the bundled one by default. engine: "auto", "openvino", "onnxruntime".
    size: see geometry.Size. frame: (height, width) of all images to come, where that is known;
    the engine then runs with fixed shapes, which is faster. goal: see engines.Goal.
    May be called by `workers` threads at once. A context manager.
    Raises the errors of `open_engine`, and ModelError for a network that is no image translator.
    """

    def __init__(
        self,
        model: str | Path | None = None,
        *,
        engine: str = "auto",
        size: Size = None,
        frame: tuple[int, int] | None = None,
        aspect: Fraction = Fraction(1),
        goal: Goal = "latency",
    ) -> None:
        self.path = Path(model) if model is not None else BUNDLED_MODEL
        self.artifact: Artifact = read_artifact(self.path)
        self._size = size
        self.geometry: Geometry | None = None
        if frame is not None:
            self.geometry = plan(frame, self.artifact, size, aspect)
        elif not self.artifact.dynamic or isinstance(size, tuple):
            same = size if isinstance(size, tuple) else self.artifact.size
            self.geometry = plan(same, self.artifact, size)
        tensor = self.geometry.tensor if self.geometry else (0, 0)
        self.engine: Engine = open_engine(self.path, BatchShape(1, 3, *tensor), engine, goal)
        self.workers = self.engine.workers
        self._local = threading.local()
        self._warm_up()

    def _warm_up(self) -> None:
        """One run of noise, so that a network of another kind fails here and not in mid-stream."""
        geometry = self.geometry or plan(self.artifact.size, self.artifact)
        tensor = geometry.tensor
        batch = np.random.default_rng(0).uniform(-1, 1, (1, 3, *tensor)).astype(np.float32)
        out = np.full_like(batch, np.nan)
        try:
            self.engine.infer(batch, out)
        except EngineError as error:
            raise ModelError(f"{self.path} does not give an image for an image: {error}") from None
        if not np.isfinite(out).all():
            raise ModelError(
                f"{self.path} gives values that are no numbers on {self.engine.name}; "
                "export it with --fp32"
            )

    def __call__(self, image: U8) -> U8:
        """uint8 HWC RGB in, uint8 HWC RGB out. Raises UsageError on another kind of array."""
        return self.timed(image)[0]

    def timed(self, image: U8) -> tuple[U8, Timing]:
        """The translation, and what it took."""
        started = time.perf_counter()
        if not isinstance(image, np.ndarray) or image.ndim != 3 or image.shape[2] != 3:
            raise UsageError("the image must be a uint8 array of shape (height, width, 3)")
        geometry = self.geometry or plan(image.shape[:2], self.artifact, self._size)
        height, width = geometry.picture
        packer, batch, out = self._workspace(image.shape[:2], geometry)
        packer(image, batch[0])
        packed = time.perf_counter()
        self.engine.infer(batch, out)
        inferred = time.perf_counter()
        translated = unpack(out[0, :, :height, :width])
        done = time.perf_counter()
        return translated, Timing(packed - started, inferred - packed, done - inferred)

    def _workspace(self, frame: tuple[int, int], geometry: Geometry) -> tuple[Packer, F32, F32]:
        """This thread's packer and tensors in and out; made anew only when a size changes."""
        local = self._local
        if getattr(local, "sizes", None) != (frame, geometry):
            local.sizes = (frame, geometry)
            artifact = self.artifact
            local.packer = Packer(
                frame, geometry.picture, artifact.filter, multiple=artifact.multiple
            )
            local.batch = np.empty((1, *local.packer.shape), np.float32)
            local.out = np.empty_like(local.batch)
        return local.packer, local.batch, local.out

    def close(self) -> None:
        """Free the engine; twice is fine."""
        self.engine.close()
