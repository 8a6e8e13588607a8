"""What a run looks like: rows of test images, their translations and the way back."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from cgt.runtime.files import whole_file
from cgt.runtime.images import encode_image
from cgt.runtime.montage import montage
from cgt.runtime.preprocess import U8, unpack

from .domain import Domain, read
from .method import Method
from .views import middle, whole

ROWS = 4


class Samples:
    """Pairs of fixed images, 1,C,S,S float32 in [-1, 1] each."""

    def __init__(self, pairs: list[tuple[Tensor, Tensor]]) -> None:
        self.pairs = pairs

    @classmethod
    def of(cls, domains: tuple[Domain, Domain], size: int, square: bool) -> Samples:
        """Spread over the files of both domains. square: images are squeezed into a square, as
        --preprocess resize-and-crop does."""
        a, b = ([load(d, path, size, square) for path in spread(d)] for d in domains)
        return cls(list(zip(a, b, strict=False)))

    def grid(self, method: Method) -> U8:
        """uint8 HWC RGB: a row per pair, with the method's columns."""
        rows = [[_tile(t) for t in method.sample(a, b)] for a, b in self.pairs]
        return montage(rows)

    def save(self, method: Method, path: Path) -> None:
        """As PNG."""
        data = encode_image(self.grid(method), ".png")
        assert data is not None
        with whole_file(path) as temporary:
            temporary.write_bytes(data)


def spread(domain: Domain) -> list[Path]:
    """ROWS of its files."""
    return list(domain.files[:: max(1, len(domain.files) // ROWS)][:ROWS])


def load(domain: Domain, path: Path, size: int, square: bool) -> Tensor:
    """1,C,size,size float32 in [-1, 1]."""
    image = domain.finish(read(path))
    return torch.from_numpy((whole if square else middle)(image, size))


def _tile(tensor: Tensor) -> U8:
    """The first of a batch as uint8 HWC RGB."""
    image = unpack(np.ascontiguousarray(tensor[0].float().cpu().numpy()))
    return np.repeat(image, 3, 2) if image.shape[2] == 1 else image
