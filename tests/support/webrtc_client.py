"""Python WebRTC client of `cgt serve`."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from fractions import Fraction
from types import TracebackType
from typing import Any

import aiohttp
from aiortc import (
    MediaStreamTrack,
    RTCConfiguration,
    RTCPeerConnection,
    RTCSessionDescription,
)
from aiortc.mediastreams import MediaStreamError
from av import VideoFrame

from cgt.runtime.image.preprocess import U8
from cgt.serve.streaming.jitter_buffer import use_low_latency_buffers
from cgt.serve.streaming.timestamp import TIMESTAMP_PERIOD_MS, embed_timestamp, extract_timestamp

MAX_IN_FLIGHT = 3  # as in the page's js/media/inflight.js
LATE_AFTER_S = 0.5  # a frame without an output after this time no longer counts as in flight

_VIDEO_CLOCK_RATE = 90000


class WebRTCClient:
    """Sends numbered frames and receives their translations; an asynchronous context manager.

    A frame is skipped while MAX_IN_FLIGHT are without an output.

    Args:
        url: URL of the server, without a slash at the end.
        draw_frame: Returns the frame with a number, uint8 HWC RGB.
        on_frame: Receives the number, the translation and the latency in seconds.
        rate: Frames per second.
        settings: See `cgt.serve.scheduling.feeds.open_feed`.

    Attributes:
        skipped: Frames that were not sent because too many were in flight, or had no output.
    """

    def __init__(
        self,
        url: str,
        draw_frame: Callable[[int], U8],
        on_frame: Callable[[int, U8, float], None],
        rate: float = 30.0,
        settings: dict[str, str] | None = None,
    ) -> None:
        self.url, self.draw_frame, self.on_frame, self.rate = url, draw_frame, on_frame, rate
        self.settings = settings or {}
        self.skipped = 0
        self.in_flight: dict[int, tuple[int, float]] = {}  # timestamp: number, send time
        self.connection = RTCPeerConnection(RTCConfiguration(iceServers=[]))
        self._receive_task: asyncio.Task[None] | None = None

    async def __aenter__(self) -> WebRTCClient:
        self.connection.createDataChannel("control")
        self.connection.addTrack(_NumberedVideoTrack(self))
        use_low_latency_buffers(self.connection)
        self.connection.on("track", self._on_track)
        await self.connection.setLocalDescription(await self.connection.createOffer())
        offer = self.connection.localDescription
        body = {"sdp": offer.sdp, "type": offer.type, **self.settings}
        async with (
            aiohttp.ClientSession(raise_for_status=True) as http,
            http.post(f"{self.url}/v1/webrtc", json=body) as response,
        ):
            answer = await response.json()
        await self.connection.setRemoteDescription(RTCSessionDescription(**answer))
        return self

    def _on_track(self, track: MediaStreamTrack) -> None:
        self._receive_task = asyncio.create_task(self._receive(track))

    async def _receive(self, track: MediaStreamTrack) -> None:
        while True:
            try:
                frame = await track.recv()
            except MediaStreamError:
                return
            assert isinstance(frame, VideoFrame)
            pixels: Any = frame.to_ndarray(format="rgb24")
            embedded = extract_timestamp(pixels)
            if embedded is None or embedded[1] not in self.in_flight:
                continue
            number, sent = self.in_flight[embedded[1]]
            for timestamp, (earlier, _) in tuple(self.in_flight.items()):
                if earlier <= number:
                    del self.in_flight[timestamp]
                    self.skipped += earlier < number
            self.on_frame(number, embedded[0], time.perf_counter() - sent)

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None
    ) -> None:
        await self.connection.close()
        if self._receive_task is not None:
            await self._receive_task


class _NumberedVideoTrack(MediaStreamTrack):
    kind = "video"

    def __init__(self, client: WebRTCClient) -> None:
        super().__init__()
        self._client = client
        self._number = 0
        self._start_time = 0.0

    async def recv(self) -> VideoFrame:
        client = self._client
        self._start_time = self._start_time or time.perf_counter()
        while True:
            self._number += 1
            wait = self._start_time + self._number / client.rate - time.perf_counter()
            await asyncio.sleep(max(0.0, wait))
            late = time.perf_counter() - LATE_AFTER_S
            if sum(sent > late for _, sent in client.in_flight.values()) < MAX_IN_FLIGHT:
                break
            client.skipped += 1
        image = await asyncio.to_thread(client.draw_frame, self._number)
        sent = time.perf_counter()
        timestamp = self._number % TIMESTAMP_PERIOD_MS
        client.in_flight[timestamp] = self._number, sent
        frame = VideoFrame.from_ndarray(embed_timestamp(image, timestamp), "rgb24")
        frame.pts, frame.time_base = (
            round((sent - self._start_time) * _VIDEO_CLOCK_RATE),
            Fraction(1, _VIDEO_CLOCK_RATE),
        )
        return frame
