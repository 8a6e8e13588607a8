"""Sample grids of a run: rows of test images, translations and reconstructions."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from cgt.runtime.image.compose import make_grid
from cgt.runtime.image.files import encode_image
from cgt.runtime.image.preprocess import U8, unpack
from cgt.runtime.utils.atomic import atomic_write

from ..data.folders import ImageFolder, read_rgb
from ..data.transforms import center_square, squash_square
from ..methods.base import Method

MAX_SAMPLE_ROWS = 4


class SampleGrid:
    """Grid of sample images, rendered from a fixed set of input images.

    Args:
        pairs: Images of A and B, 1,C,S,S float32 in [-1, 1] each.
    """

    def __init__(self, pairs: list[tuple[Tensor, Tensor]]) -> None:
        self.pairs = pairs

    @classmethod
    def from_folders(
        cls, folders: tuple[ImageFolder, ImageFolder], size: int, squash: bool
    ) -> SampleGrid:
        """Select evenly spaced images of both domains.

        Args:
            folders: Images of A and B.
            size: Side of the samples, in pixels.
            squash: Whether to resize images to squares regardless of their aspect ratio, as
                --preprocess resize-and-crop does; otherwise the central square is used.
        """
        a, b = (
            [load_sample(d, path, size, squash) for path in select_sample_files(d)] for d in folders
        )
        return cls(list(zip(a, b, strict=False)))

    def render(self, method: Method) -> U8:
        """Render a row for each pair, with the method's columns, as uint8 HWC RGB."""
        rows = [[_to_rgb_uint8(t) for t in method.sample(a, b)] for a, b in self.pairs]
        return make_grid(rows)

    def save(self, method: Method, path: Path) -> None:
        """Write the grid as a PNG file."""
        data = encode_image(self.render(method), ".png")
        assert data is not None
        with atomic_write(path) as temporary:
            temporary.write_bytes(data)


def select_sample_files(folder: ImageFolder) -> list[Path]:
    """Return up to MAX_SAMPLE_ROWS evenly spaced files of a folder."""
    return list(folder.files[:: max(1, len(folder.files) // MAX_SAMPLE_ROWS)][:MAX_SAMPLE_ROWS])


def load_sample(folder: ImageFolder, path: Path, size: int, squash: bool) -> Tensor:
    """Load an image as 1,C,size,size float32 in [-1, 1]; see `SampleGrid.from_folders`."""
    image = folder.convert(read_rgb(path))
    return torch.from_numpy((squash_square if squash else center_square)(image, size))


def _to_rgb_uint8(tensor: Tensor) -> U8:
    """Convert the first image of a batch to uint8 HWC RGB."""
    image = unpack(np.ascontiguousarray(tensor[0].float().cpu().numpy()))
    return np.repeat(image, 3, 2) if image.shape[2] == 1 else image
