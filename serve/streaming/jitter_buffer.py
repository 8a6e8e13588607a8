"""Jitter buffer for aiortc without the latency of one frame.

aiortc's own buffer releases a frame when the first packet of the next frame arrives. This one
releases it with its last packet.
"""

from __future__ import annotations

from aiortc import RTCPeerConnection
from aiortc.jitterbuffer import JitterBuffer, JitterFrame

_CAPACITY_PACKETS = 512  # aiortc's capacity for video
# aiortc has no public attribute for it; tests/serve/test_webrtc.py fails if this name changes.
_BUFFER_ATTRIBUTE = "_RTCRtpReceiver__jitter_buffer"


class LowLatencyJitterBuffer(JitterBuffer):
    """Jitter buffer that releases a frame with its last packet, which has the RTP marker."""

    def _remove_frame(self, sequence_number: int) -> JitterFrame | None:
        frame = super()._remove_frame(sequence_number)
        return self._pop_complete_frame() if frame is None else frame

    def _pop_complete_frame(self) -> JitterFrame | None:
        """Remove and return the oldest frame if all its packets have arrived."""
        assert self._origin is not None
        data = b""
        for count in range(self.capacity):
            packet = self._packets[(self._origin + count) % self.capacity]
            if packet is None:
                break
            data += packet._data  # type: ignore[attr-defined]
            if packet.marker:
                self.remove(count + 1)
                return JitterFrame(data, packet.timestamp)
        return None


def use_low_latency_buffers(connection: RTCPeerConnection) -> None:
    """Replace the jitter buffers of all video that a connection will receive.

    Does nothing if this version of aiortc keeps its buffer in another attribute.
    """
    for transceiver in connection.getTransceivers():
        if transceiver.kind == "video" and hasattr(transceiver.receiver, _BUFFER_ATTRIBUTE):
            setattr(
                transceiver.receiver,
                _BUFFER_ATTRIBUTE,
                LowLatencyJitterBuffer(_CAPACITY_PACKETS, is_video=True),
            )
