"""Video frames without waiting for the next: aiortc's buffer of packets gives a frame out when the
first packet of the one after it has come, which is a frame's time of latency for nothing."""

from __future__ import annotations

from aiortc import RTCPeerConnection
from aiortc.jitterbuffer import JitterBuffer, JitterFrame

_CAPACITY_PACKETS = 512  # packets, as aiortc has it for video
_BUFFER_ATTRIBUTE = (
    "_RTCRtpReceiver__jitter_buffer"  # aiortc has no door to it; tests/serve/test_webrtc.py
)


class LowLatencyJitterBuffer(JitterBuffer):
    """Gives a frame out with its last packet, which bears RTP's marker."""

    def _remove_frame(self, sequence_number: int) -> JitterFrame | None:
        frame = super()._remove_frame(sequence_number)
        return self._pop_complete_frame() if frame is None else frame

    def _pop_complete_frame(self) -> JitterFrame | None:
        """The oldest frame, where all its packets are here and it is the only one."""
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
    """For all video that a connection will receive. Where aiortc keeps its buffer elsewhere, it
    stays as it is."""
    for transceiver in connection.getTransceivers():
        if transceiver.kind == "video" and hasattr(transceiver.receiver, _BUFFER_ATTRIBUTE):
            setattr(
                transceiver.receiver,
                _BUFFER_ATTRIBUTE,
                LowLatencyJitterBuffer(_CAPACITY_PACKETS, is_video=True),
            )
