"""A client of `cgt serve` over WebRTC, in Python."""

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

MAX_IN_FLIGHT = 3  # as the page has it (serve/page/js/media/inflight.js)
LATE_AFTER_S = 0.5  # seconds after which a picture no longer counts as on its way

_VIDEO_CLOCK_RATE = 90000


class WebRTCClient:
    """Sends the pictures that `draw(number)` gives (uint8 HWC RGB), `rate` of them a second while
    no more than IN_FLIGHT are unanswered, and takes the translations. An asynchronous context
    manager. asked: see `cgt.serve.scheduling.feeds.open_feed`.

    answered(number, picture, seconds): is told of each translation, and how long it took.
    skipped: pictures that were not sent because too many were on their way, or not answered.
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
        self.in_flight: dict[int, tuple[int, float]] = {}  # stamp: number, when it was sent
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
            found = extract_timestamp(pixels)
            if found is None or found[1] not in self.in_flight:
                continue
            number, sent = self.in_flight[found[1]]
            for stamp, (earlier, _) in tuple(self.in_flight.items()):
                if earlier <= number:
                    del self.in_flight[stamp]
                    self.skipped += earlier < number
            self.on_frame(number, found[0], time.perf_counter() - sent)

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
        self._began = 0.0

    async def recv(self) -> VideoFrame:
        client = self._client
        self._began = self._began or time.perf_counter()
        while True:
            self._number += 1
            wait = self._began + self._number / client.rate - time.perf_counter()
            await asyncio.sleep(max(0.0, wait))
            late = time.perf_counter() - LATE_AFTER_S
            if sum(sent > late for _, sent in client.in_flight.values()) < MAX_IN_FLIGHT:
                break
            client.skipped += 1
        image = await asyncio.to_thread(client.draw_frame, self._number)
        sent = time.perf_counter()
        stamp = self._number % TIMESTAMP_PERIOD_MS
        client.in_flight[stamp] = self._number, sent
        frame = VideoFrame.from_ndarray(embed_timestamp(image, stamp), "rgb24")
        frame.pts, frame.time_base = (
            round((sent - self._began) * _VIDEO_CLOCK_RATE),
            Fraction(1, _VIDEO_CLOCK_RATE),
        )
        return frame
