"""Tiled inference for images that are too large for the network: overlapping, blended tiles.

Near the inner edges of a tile, the network sees padding instead of the rest of the image. These
pixels have no weight: the outer quarter of an overlap counts 0 on each side, with a linear ramp
between. A network without normalization over the image (none, or frozen statistics) thus gives the
same pixels with and without tiles, if a quarter of the overlap covers its receptive field; the
influence of more distant pixels is small. Tiles start at multiples of the downsampling factor, so
that the grid of the network is the same in each tile.

InstanceNorm sees different statistics in each tile. A network exported with `--norm stream` gets
the statistics of the whole image, from a downscaled copy; any other shows seams.
"""

from __future__ import annotations

import itertools
import threading
from dataclasses import replace
from functools import lru_cache

import numpy as np

from ..engines import Array, BatchShape, Engine
from ..errors import UsageError
from ..image.opencv import cv2
from ..image.preprocess import F32, round_up_to_multiple

TileSpan = tuple[int, F32]
"""Start of a tile along one axis, and the weight of each of its pixels along that axis."""


def tile_spans(length: int, tile: int, overlap: int, multiple: int) -> list[TileSpan]:
    """Place tiles along one axis; the weights add up to 1 everywhere.

    Args:
        length: pixels along the axis, a multiple of `multiple`.
        tile: pixels of a tile, a multiple of `multiple`.
        overlap: minimum overlap of neighboring tiles in pixels.
        multiple: tiles start at multiples of it.

    Raises:
        UsageError: the overlap is larger than half a tile.
    """
    if length <= tile:
        return [(0, np.ones(length, np.float32))]
    if not 0 <= overlap <= tile // 2:
        raise UsageError(
            f"an overlap of {overlap} is too large for tiles of {tile}; the maximum is half a tile"
        )
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
    """Return (height, width) of the tiles: the side rounded up, at most the size of the image."""
    height, width = round_up_to_multiple((tile_side, tile_side), multiple)
    return min(height, tensor_size[0]), min(width, tensor_size[1])


def reduced_image_size(
    tensor_size: tuple[int, int], tile_side: int, multiple: int
) -> tuple[int, int]:
    """Return (height, width) of a copy of the whole image with about as many pixels as a tile."""
    scale = min(1.0, tile_side / (tensor_size[0] * tensor_size[1]) ** 0.5)
    height, width = (max(multiple, round(n * scale / multiple) * multiple) for n in tensor_size)
    return height, width


@lru_cache(maxsize=16)
def _plan_tiles(
    size: tuple[int, int], tile_size: tuple[int, int], overlap: int, multiple: int
) -> list[tuple[TileSpan, TileSpan]]:
    """Return the spans (rows, columns) of the tiles of an image."""
    rows, columns = (
        tile_spans(length, tile, overlap, multiple)
        for length, tile in zip(size, tile_size, strict=True)
    )
    return [(row, column) for row in rows for column in columns]


class TiledEngine(Engine):
    """An engine for whole images that runs another engine on tiles; it owns and closes both.

    Args:
        tile_engine: engine for batches of one tile.
        shape: shape of the whole images; sides of 0 if it varies.
        tile_size: (height, width) of a tile, in multiples of `multiple`. A side of an image that
            is smaller is not divided.
        overlap: minimum overlap of neighboring tiles in pixels.
        multiple: tiles start at multiples of it.
        full_image_engine: the network for a downscaled copy of the whole image, if it has
            statistics.
        reduced_side: side of a square with as many pixels as that copy.

    Raises:
        UsageError: the overlap is larger than half a tile.
    """

    def __init__(
        self,
        tile_engine: Engine,
        shape: BatchShape,
        tile_size: tuple[int, int],
        overlap: int,
        multiple: int,
        full_image_engine: Engine | None = None,
        reduced_side: int = 0,
    ) -> None:
        self.name, self.device = tile_engine.name, tile_engine.device
        self.precision, self.workers = tile_engine.precision, tile_engine.workers
        self._tile_engine, self._tile_size, self._shape = tile_engine, tile_size, shape
        self._overlap, self._multiple = overlap, multiple
        self._full_image_engine, self._reduced_side = full_image_engine, reduced_side
        # Where sizes vary, four tiles show whether the overlap is too large.
        static_size, four_tiles = (shape.height, shape.width), (2 * tile_size[0], 2 * tile_size[1])
        self.tile_count = len(self._tiles(static_size if shape.is_static else four_tiles))
        self._thread_local = threading.local()

    def _tiles(self, size: tuple[int, int]) -> list[tuple[TileSpan, TileSpan]]:
        return _plan_tiles(size, self._tile_of(size), self._overlap, self._multiple)

    def _tile_of(self, size: tuple[int, int]) -> tuple[int, int]:
        return min(size[0], self._tile_size[0]), min(size[1], self._tile_size[1])

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
        """Return statistics for the tiles and write those of the whole image."""
        assert self._full_image_engine is not None
        is_uint8 = self._shape.io == "uint8"
        size = image_size_of(batch[slot], is_uint8)
        if self._shape.is_static:  # the warm-up's image is only a tile
            size = self._shape.height, self._shape.width
        reduced_size = reduced_image_size(size, self._reduced_side, self._multiple)
        small = area_downscale(batch[slot], reduced_size, is_uint8)[None]
        _, unused = self._shape.with_size(*reduced_size).allocate()
        self._full_image_engine.infer(
            small, unused[:1], statistics_in[slot, None], statistics_out[slot, None]
        )
        fixed = statistics_out[slot, None].copy()
        fixed[0, 0] = 1.0  # ignore the statistics of the tile
        return fixed, np.empty_like(fixed)

    def _infer_image(
        self, image: Array, out: Array, statistics: tuple[F32, F32] | tuple[()]
    ) -> None:
        is_uint8 = self._shape.io == "uint8"
        canvas = np.zeros(out.shape, np.float32) if is_uint8 else out
        canvas[...] = 0
        size = image_size_of(image, is_uint8)
        height, width = self._tile_of(size)
        tile, tile_output = self._tile_buffers(height, width)
        for (top, row_weights), (left, column_weights) in self._tiles(size):
            window = np.s_[top : top + height, left : left + width]
            weight = row_weights[:, None] * column_weights
            if is_uint8:
                tile[0] = image[window]
                self._tile_engine.infer(tile, tile_output, *statistics)
                canvas[window] += tile_output[0] * weight[..., None]
            else:
                tile[0] = image[:, window[0], window[1]]
                self._tile_engine.infer(tile, tile_output, *statistics)
                canvas[:, window[0], window[1]] += tile_output[0] * weight
        if is_uint8:
            np.rint(canvas, out=canvas)
            out[...] = canvas

    def _tile_buffers(self, height: int, width: int) -> tuple[Array, Array]:
        """Return the input and output tile of this thread."""
        if getattr(self._thread_local, "size", None) != (height, width):
            shape = replace(self._shape, batch_size=1, height=height, width=width)
            self._thread_local.arrays = shape.allocate()
            self._thread_local.size = height, width
        arrays: tuple[Array, Array] = self._thread_local.arrays
        return arrays

    def close(self) -> None:
        self._tile_engine.close()
        if self._full_image_engine is not None:
            self._full_image_engine.close()


def image_size_of(image: Array, channels_last: bool) -> tuple[int, int]:
    """Return (height, width) of an HWC or CHW image."""
    height, width = image.shape[:2] if channels_last else image.shape[1:]
    return height, width


def area_downscale(image: Array, size: tuple[int, int], channels_last: bool) -> Array:
    """Downscale an HWC or CHW image; each pixel is the mean of the pixels that it covers."""
    height, width = size
    if channels_last:
        small = cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA)
        return small.astype(np.uint8, copy=False).reshape(height, width, -1)
    planes = [cv2.resize(plane, (width, height), interpolation=cv2.INTER_AREA) for plane in image]
    return np.stack(planes).astype(np.float32, copy=False)
