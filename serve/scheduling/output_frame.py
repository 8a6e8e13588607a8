"""Output frame that may go to several clients."""

from __future__ import annotations

import threading

from cgt.runtime.image.files import encode_image
from cgt.runtime.image.preprocess import U8


class OutputFrame:
    """Frame for one or more clients; safe to use from any thread.

    Args:
        image: uint8 HWC RGB.
        timestamp: Capture time in milliseconds, see `cgt.serve.streaming.timestamp`.
    """

    def __init__(self, image: U8, timestamp: int) -> None:
        self.image, self.timestamp = image, timestamp
        self._lock = threading.Lock()
        self._message: bytes | None = None

    def websocket_message(self) -> bytes:
        """Return the WebSocket message: a 4-byte timestamp (big endian) and a JPEG file.

        The frame is encoded once, for all clients.
        """
        with self._lock:
            if self._message is None:
                jpeg = encode_image(self.image, ".jpg")
                assert jpeg is not None
                self._message = self.timestamp.to_bytes(4, "big") + jpeg
            return self._message
