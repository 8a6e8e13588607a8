"""The history of generated images that the discriminators learn from (Shrivastava et al. 2017)."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor


class ImagePool:
    """Keeps up to `size` images. Once full, each query returns with probability 1/2 the image it
    was given, and otherwise an older one, which the given one replaces. Size 0 keeps none."""

    def __init__(self, size: int, seed: int) -> None:
        self.size = size
        self.images: list[Tensor] = []
        self.rng = torch.Generator().manual_seed(seed)

    def query(self, images: Tensor) -> Tensor:
        """NCHW -> NCHW, detached."""
        images = images.detach()
        if self.size == 0:
            return images
        return torch.stack([self._exchange(image) for image in images])

    def _exchange(self, image: Tensor) -> Tensor:
        if len(self.images) < self.size:
            self.images.append(image.clone())
            return image
        if torch.rand((), generator=self.rng) < 0.5:
            return image
        slot = int(torch.randint(self.size, (), generator=self.rng))
        older, self.images[slot] = self.images[slot], image.clone()
        return older

    def state_dict(self) -> dict[str, Any]:
        return {"images": list(self.images), "random": self.rng.get_state()}

    def load_state_dict(self, state: dict[str, Any], device: torch.device) -> None:
        self.images = [image.to(device) for image in state["images"]]
        self.rng.set_state(state["random"].cpu())
