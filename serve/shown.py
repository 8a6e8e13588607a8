"""A picture on its way to clients."""

from __future__ import annotations

import threading

from cgt.runtime.images import encode_image
from cgt.runtime.preprocess import U8


class Shown:
    """picture: uint8 HWC RGB. stamp: see `stamp`. May be shared between clients; any thread."""

    def __init__(self, picture: U8, stamp: int) -> None:
        self.picture, self.stamp = picture, stamp
        self._lock = threading.Lock()
        self._message: bytes | None = None

    def message(self) -> bytes:
        """As the WebSocket carries it: four bytes of stamp, big end first, and a JPEG. Made once,
        however many clients are shown it."""
        with self._lock:
            if self._message is None:
                image = encode_image(self.picture, ".jpg")
                assert image is not None
                self._message = self.stamp.to_bytes(4, "big") + image
            return self._message
