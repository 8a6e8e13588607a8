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

from .engines import Array, BatchShape, Engine
from .errors import UsageError
from .opencv import cv2
from .preprocess import F32, padded

Span = tuple[int, F32]
"""Where a tile starts along one side, and the weight of each of its pixels there."""


def spans(length: int, tile: int, overlap: int, multiple: int) -> list[Span]:
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


def tile_shape(tensor: tuple[int, int], side: int, multiple: int) -> tuple[int, int]:
    """(height, width) of the tiles of a picture: `side`, rounded up, or less where it is small."""
    height, width = padded((side, side), multiple)
    return min(height, tensor[0]), min(width, tensor[1])


def reduced_shape(tensor: tuple[int, int], side: int, multiple: int) -> tuple[int, int]:
    """(height, width) of a copy of the whole picture with about as many pixels as a tile."""
    scale = min(1.0, side / (tensor[0] * tensor[1]) ** 0.5)
    height, width = (max(multiple, round(n * scale / multiple) * multiple) for n in tensor)
    return height, width


class TiledEngine(Engine):
    """An engine for whole pictures around one for tiles; it owns both.

    grid: the spans of rows and of columns. whole: for a network with statistics, the same one at
    `reduced_shape`.
    """

    def __init__(
        self,
        tiles: Engine,
        shape: BatchShape,
        tile: tuple[int, int],
        grid: Sequence[list[Span]],
        whole: Engine | None = None,
        reduced: tuple[int, int] = (0, 0),
    ) -> None:
        self.name, self.device, self.precision = tiles.name, tiles.device, tiles.precision
        self.workers = tiles.workers
        self._tiles, self._whole, self._reduced = tiles, whole, reduced
        self._shape, self._tile = shape, tile
        rows, columns = grid
        self._grid = [(row, column) for row in rows for column in columns]
        self.count = len(self._grid)
        self._local = threading.local()

    def infer(
        self, batch: Array, out: Array, given: F32 | None = None, used: F32 | None = None
    ) -> None:
        for slot in range(batch.shape[0]):
            statistics: tuple[F32, F32] | tuple[()] = ()
            if given is not None and used is not None:
                statistics = self._whole_picture(batch, slot, given, used)
            self._one(batch[slot], out[slot], statistics)

    def _whole_picture(self, batch: Array, slot: int, given: F32, used: F32) -> tuple[F32, F32]:
        """Statistics for the tiles; `used` is written."""
        assert self._whole is not None
        small = reduce(batch[slot], self._reduced, self._shape.io == "uint8")[None]
        self._whole.infer(small, np.empty_like(small), given[slot, None], used[slot, None])
        fixed = used[slot, None].copy()
        fixed[0, 0] = 1.0  # nothing of the tile's own
        return fixed, np.empty_like(fixed)

    def _one(self, picture: Array, out: Array, statistics: tuple[F32, F32] | tuple[()]) -> None:
        bytes_ = self._shape.io == "uint8"
        sheet = np.zeros(picture.shape, np.float32) if bytes_ else out
        sheet[...] = 0
        tile, made = self._arrays()
        for (top, down), (left, across) in self._grid:
            window = np.s_[top : top + self._tile[0], left : left + self._tile[1]]
            weight = down[:, None] * across
            if bytes_:
                tile[0] = picture[window]
                self._tiles.infer(tile, made, *statistics)
                sheet[window] += made[0] * weight[..., None]
            else:
                tile[0] = picture[:, window[0], window[1]]
                self._tiles.infer(tile, made, *statistics)
                sheet[:, window[0], window[1]] += made[0] * weight
        if bytes_:
            np.rint(sheet, out=sheet)
            out[...] = sheet

    def _arrays(self) -> tuple[Array, Array]:
        """This thread's tile in and out."""
        if not hasattr(self._local, "arrays"):
            io = self._shape.io
            shape = BatchShape(1, self._shape.channels, *self._tile, io).image
            kind = np.uint8 if io == "uint8" else np.float32
            self._local.arrays = np.empty(shape, kind), np.empty(shape, kind)
        arrays: tuple[Array, Array] = self._local.arrays
        return arrays

    def close(self) -> None:
        self._tiles.close()
        if self._whole is not None:
            self._whole.close()


def reduce(picture: Array, size: tuple[int, int], channels_last: bool) -> Array:
    """A smaller copy, each pixel the mean of those it covers. picture: HWC or CHW."""
    height, width = size
    if channels_last:
        small = cv2.resize(picture, (width, height), interpolation=cv2.INTER_AREA)
        return small.astype(np.uint8, copy=False)
    planes = [cv2.resize(p, (width, height), interpolation=cv2.INTER_AREA) for p in picture]
    return np.stack(planes).astype(np.float32, copy=False)
