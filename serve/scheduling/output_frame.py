"""A picture on its way to clients."""

from __future__ import annotations

import threading

from cgt.runtime.image.files import encode_image
from cgt.runtime.image.preprocess import U8


class OutputFrame:
    """picture: uint8 HWC RGB. stamp: see `stamp`. May be shared between clients; any thread."""

    def __init__(self, image: U8, timestamp: int) -> None:
        self.image, self.timestamp = image, timestamp
        self._lock = threading.Lock()
        self._message: bytes | None = None

    def websocket_message(self) -> bytes:
        """As the WebSocket carries it: four bytes of stamp, big end first, and a JPEG. Made once,
        however many clients are shown it."""
        with self._lock:
            if self._message is None:
                jpeg = encode_image(self.image, ".jpg")
                assert jpeg is not None
                self._message = self.timestamp.to_bytes(4, "big") + jpeg
            return self._message
