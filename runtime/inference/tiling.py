"""Pictures that are too large for the network at once: overlapping tiles, feathered together.

A tile's pixels near its inner edges have seen padding where the picture goes on. They weigh
nothing: of an overlap of v pixels the outer quarter on each side counts 0, and between the two
lies a linear ramp. A network without normalisation over the picture (none, or frozen statistics)
thus gives the same pixels with and without tiles as long as a quarter of the overlap reaches as
far as it looks; what it sees beyond fades quickly. Tiles start at multiples of what the network
halves by, so that its grid is the same in each.

InstanceNorm sees other statistics in each tile. A network exported with `--norm stream` is given
those of the whole picture, taken from a reduced copy; any other shows its seams.
"""

from __future__ import annotations

import itertools
import threading
from collections.abc import Sequence

import numpy as np

from ..engines import Array, BatchShape, Engine
from ..errors import UsageError
from ..image.opencv import cv2
from ..image.preprocess import F32, round_up_to_multiple

TileSpan = tuple[int, F32]
"""Where a tile starts along one side, and the weight of each of its pixels there."""


def tile_spans(length: int, tile: int, overlap: int, multiple: int) -> list[TileSpan]:
    """The tiles along one side of `length` pixels; weights add up to 1 everywhere.

    length and tile must be multiples of `multiple`. Raises UsageError for an overlap that leaves
    a tile nothing of its own.
    """
    if length <= tile:
        return [(0, np.ones(length, np.float32))]
    if not 0 <= overlap <= tile // 2:
        raise UsageError(f"an overlap of {overlap} does not fit tiles of {tile}; half is the most")
    steps = -(-(length - tile) // max(multiple, (tile - overlap) // multiple * multiple))
    starts = [(length - tile) * i // steps // multiple * multiple for i in range(steps + 1)]
    weights = np.zeros((len(starts), length))
    for row, start in zip(weights, starts, strict=True):
        row[start : start + tile] = 1
    for i, (before, after) in enumerate(itertools.pairwise(starts)):
        shared = before + tile - after
        at = (np.arange(shared) + 0.5) / shared
        ramp = np.clip(2 * at - 0.5, 0, 1)
        weights[i, after : before + tile] *= 1 - ramp
        weights[i + 1, after : before + tile] *= ramp
    weights /= weights.sum(0)
    return [
        (start, row[start : start + tile].astype(np.float32))
        for start, row in zip(starts, weights, strict=True)
    ]


def choose_tile_size(
    tensor_size: tuple[int, int], tile_side: int, multiple: int
) -> tuple[int, int]:
    """(height, width) of the tiles of a picture: `side`, rounded up, or less where it is small."""
    height, width = round_up_to_multiple((tile_side, tile_side), multiple)
    return min(height, tensor_size[0]), min(width, tensor_size[1])


def reduced_image_size(
    tensor_size: tuple[int, int], tile_side: int, multiple: int
) -> tuple[int, int]:
    """(height, width) of a copy of the whole picture with about as many pixels as a tile."""
    scale = min(1.0, tile_side / (tensor_size[0] * tensor_size[1]) ** 0.5)
    height, width = (max(multiple, round(n * scale / multiple) * multiple) for n in tensor_size)
    return height, width


class TiledEngine(Engine):
    """An engine for whole pictures around one for tiles; it owns both.

    grid: the spans of rows and of columns. whole: for a network with statistics, the same one at
    `reduced_shape`.
    """

    def __init__(
        self,
        tile_engine: Engine,
        shape: BatchShape,
        tile_size: tuple[int, int],
        grid: Sequence[list[TileSpan]],
        full_image_engine: Engine | None = None,
        reduced_size: tuple[int, int] = (0, 0),
    ) -> None:
        self.name, self.device, self.precision = (
            tile_engine.name,
            tile_engine.device,
            tile_engine.precision,
        )
        self.workers = tile_engine.workers
        self._tile_engine, self._full_image_engine, self._reduced_size = (
            tile_engine,
            full_image_engine,
            reduced_size,
        )
        self._shape, self._tile_size = shape, tile_size
        rows, columns = grid
        self._grid = [(row, column) for row in rows for column in columns]
        self.tile_count = len(self._grid)
        self._thread_local = threading.local()

    def infer(
        self,
        batch: Array,
        out: Array,
        statistics_in: F32 | None = None,
        statistics_out: F32 | None = None,
    ) -> None:
        for slot in range(batch.shape[0]):
            statistics: tuple[F32, F32] | tuple[()] = ()
            if statistics_in is not None and statistics_out is not None:
                statistics = self._full_image_statistics(batch, slot, statistics_in, statistics_out)
            self._infer_image(batch[slot], out[slot], statistics)

    def _full_image_statistics(
        self, batch: Array, slot: int, statistics_in: F32, statistics_out: F32
    ) -> tuple[F32, F32]:
        """Statistics for the tiles; `used` is written."""
        assert self._full_image_engine is not None
        small = area_downscale(batch[slot], self._reduced_size, self._shape.io == "uint8")[None]
        self._full_image_engine.infer(
            small, np.empty_like(small), statistics_in[slot, None], statistics_out[slot, None]
        )
        fixed = statistics_out[slot, None].copy()
        fixed[0, 0] = 1.0  # nothing of the tile's own
        return fixed, np.empty_like(fixed)

    def _infer_image(
        self, image: Array, out: Array, statistics: tuple[F32, F32] | tuple[()]
    ) -> None:
        bytes_ = self._shape.io == "uint8"
        canvas = np.zeros(image.shape, np.float32) if bytes_ else out
        canvas[...] = 0
        tile, tile_output = self._tile_buffers()
        for (top, down), (left, across) in self._grid:
            window = np.s_[top : top + self._tile_size[0], left : left + self._tile_size[1]]
            weight = down[:, None] * across
            if bytes_:
                tile[0] = image[window]
                self._tile_engine.infer(tile, tile_output, *statistics)
                canvas[window] += tile_output[0] * weight[..., None]
            else:
                tile[0] = image[:, window[0], window[1]]
                self._tile_engine.infer(tile, tile_output, *statistics)
                canvas[:, window[0], window[1]] += tile_output[0] * weight
        if bytes_:
            np.rint(canvas, out=canvas)
            out[...] = canvas

    def _tile_buffers(self) -> tuple[Array, Array]:
        """This thread's tile in and out."""
        if not hasattr(self._thread_local, "arrays"):
            io = self._shape.io
            shape = BatchShape(1, self._shape.channels, *self._tile_size, io).image_shape
            kind = np.uint8 if io == "uint8" else np.float32
            self._thread_local.arrays = np.empty(shape, kind), np.empty(shape, kind)
        arrays: tuple[Array, Array] = self._thread_local.arrays
        return arrays

    def close(self) -> None:
        self._tile_engine.close()
        if self._full_image_engine is not None:
            self._full_image_engine.close()


def area_downscale(image: Array, size: tuple[int, int], channels_last: bool) -> Array:
    """A smaller copy, each pixel the mean of those it covers. picture: HWC or CHW."""
    height, width = size
    if channels_last:
        small = cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA)
        return small.astype(np.uint8, copy=False)
    planes = [cv2.resize(p, (width, height), interpolation=cv2.INTER_AREA) for p in image]
    return np.stack(planes).astype(np.float32, copy=False)
