"""Image pool: history of generated images for the discriminators (Shrivastava et al. 2017)."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor


class ImagePool:
    """History of up to `size` generated images.

    Once the pool is full, a query returns each image with probability 1/2; otherwise it returns an
    older image, which the new one replaces.

    Args:
        size: Maximum number of images; 0 keeps none.
        seed: Seed of the random choices.
    """

    def __init__(self, size: int, seed: int) -> None:
        self.size = size
        self.images: list[Tensor] = []
        self.rng = torch.Generator().manual_seed(seed)

    def query(self, images: Tensor) -> Tensor:
        """Exchange images with the pool: NCHW -> NCHW, detached."""
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
        """Return images and random state, for the checkpoint."""
        return {"images": list(self.images), "random": self.rng.get_state()}

    def load_state_dict(self, state: dict[str, Any], device: torch.device) -> None:
        """Restore `state_dict`, with the images on a device."""
        self.images = [image.to(device) for image in state["images"]]
        self.rng.set_state(state["random"].cpu())
