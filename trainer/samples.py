"""What a run looks like: rows of test images, their translations and the way back."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from torch import Tensor

from cgt.runtime.errors import DataError
from cgt.runtime.files import whole_file
from cgt.runtime.images import encode_image
from cgt.runtime.montage import montage
from cgt.runtime.preprocess import U8, unpack

from .cyclegan import CycleGAN
from .data import Domain, load_image

ROWS = 4


class Samples:
    """Fixed images of both domains: from testA/testB, or the training images where those lack."""

    def __init__(self, root: Path, size: int) -> None:
        self.pairs = list(
            zip(self._fixed(root, "A", size), self._fixed(root, "B", size), strict=False)
        )

    @staticmethod
    def _fixed(root: Path, side: str, size: int) -> list[Tensor]:
        try:
            domain = Domain.open(root / f"test{side}")
        except DataError:
            domain = Domain.open(root / f"train{side}")
        stride = max(1, len(domain.files) // ROWS)
        return [load_image(path, size) for path in domain.files[::stride][:ROWS]]

    def grid(self, model: CycleGAN) -> U8:
        """uint8 HWC RGB: columns a, G(a), F(G(a)), b, F(b), G(F(b)); one row per pair."""
        rows = []
        for a, b in self.pairs:
            views = model.best_views(model.to_device(a), model.to_device(b))
            tiles = (a, views.fake_b, views.cycle_a, b, views.fake_a, views.cycle_b)
            rows.append([unpack(np.ascontiguousarray(t[0].float().cpu().numpy())) for t in tiles])
        return montage(rows)

    def save(self, model: CycleGAN, path: Path) -> None:
        data = encode_image(self.grid(model), ".png")
        assert data is not None
        with whole_file(path) as temporary:
            temporary.write_bytes(data)
