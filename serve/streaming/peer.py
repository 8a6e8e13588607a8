"""WebRTC peer of one client: a video track each way and a data channel for control messages."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Coroutine
from contextlib import suppress
from fractions import Fraction
from typing import Any

from aiohttp import web
from aiortc import (
    MediaStreamTrack,
    RTCConfiguration,
    RTCDataChannel,
    RTCPeerConnection,
    RTCSessionDescription,
)
from aiortc.mediastreams import MediaStreamError
from av import VideoFrame

from cgt.runtime.errors import CgtError

from ..api.errors import HttpError
from ..scheduling.feeds import Feed, error_message, handle_message
from .color_detection import YuvToRgbConverter
from .jitter_buffer import use_low_latency_buffers
from .timestamp import embed_timestamp, extract_timestamp

_MAX_CLIENT_SILENCE_S = 15.0  # without a message or a frame; the page sends one every second
# Shorter than the page waits before it tries the WebSocket, so that its session is free by then.
_CONNECT_TIMEOUT_S = 4.5
_RTP_CLOCK_RATE = 90000  # ticks per second, RTP's clock rate for video


class TranslatedTrack(MediaStreamTrack):
    """Video track of the translated frames of a feed. Errors go over the data channel."""

    kind = "video"

    def __init__(self, peer: Peer) -> None:
        super().__init__()
        self._peer = peer
        self._started_at = time.perf_counter()

    async def recv(self) -> VideoFrame:
        """Return the next frame. Raises MediaStreamError after the last one."""
        while True:
            try:
                output = await self._peer.feed.next_frame()
            except CgtError as error:
                self._peer.send_message(error_message(str(error)))
                continue
            if output is None:
                self.stop()
                raise MediaStreamError
            frame = VideoFrame.from_ndarray(
                embed_timestamp(output.image, output.timestamp), "rgb24"
            )
            frame.pts = round((time.perf_counter() - self._started_at) * _RTP_CLOCK_RATE)
            frame.time_base = Fraction(1, _RTP_CLOCK_RATE)
            return frame


class Peer:
    """Connection of one client, until `close` or until the client is silent for too long.

    Args:
        app: The application.
        feed: Feed of the client. The peer closes it.
    """

    def __init__(self, app: web.Application, feed: Feed) -> None:
        self.app, self.feed = app, feed
        # No ICE servers: a public STUN server would learn of every client.
        self.connection = RTCPeerConnection(RTCConfiguration(iceServers=[]))
        self._channel: RTCDataChannel | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._last_heard = time.monotonic()
        self.connection.on("track", self._on_track)
        self.connection.on("datachannel", self._on_datachannel)
        self.connection.on("connectionstatechange", self._on_state_change)
        app[PEERS_KEY].add(self)

    async def accept_offer(self, offer: RTCSessionDescription) -> RTCSessionDescription:
        """Return the SDP answer to an offer.

        Raises:
            HttpError: 400 for an invalid offer.
        """
        try:
            await self.connection.setRemoteDescription(offer)
            use_low_latency_buffers(self.connection)
            self.connection.addTrack(TranslatedTrack(self))
            await self.connection.setLocalDescription(await self.connection.createAnswer())
        except Exception:  # aiortc raises a dozen exception types for malformed descriptions
            raise HttpError(400, "invalid offer; offer a video track and a data channel") from None
        self._start_task(self._close_when_silent())
        return self.connection.localDescription

    def _start_task(self, coroutine: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(coroutine)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _close_when_silent(self) -> None:
        await asyncio.sleep(_CONNECT_TIMEOUT_S)
        if self.connection.connectionState == "connected":
            while (remaining := self._last_heard + _MAX_CLIENT_SILENCE_S - time.monotonic()) > 0:
                await asyncio.sleep(remaining)
        await self.close()

    async def _on_state_change(self) -> None:
        if self.connection.connectionState in ("failed", "closed"):
            await self.close()

    def _on_track(self, track: MediaStreamTrack) -> None:
        if track.kind == "video":
            self._start_task(self._read_track(track))

    async def _read_track(self, track: MediaStreamTrack) -> None:
        to_rgb = YuvToRgbConverter()
        with suppress(MediaStreamError):
            while True:
                frame = await track.recv()
                assert isinstance(frame, VideoFrame)
                self._last_heard = time.monotonic()
                stamped = extract_timestamp(await asyncio.to_thread(to_rgb, frame))
                if stamped is not None:
                    self.feed.submit(*stamped)

    def _on_datachannel(self, channel: RTCDataChannel) -> None:
        self._channel = channel
        channel.on("message", self._on_message)

    async def _on_message(self, message: str | bytes) -> None:
        self._last_heard = time.monotonic()
        if isinstance(message, str):
            self.send_message(await handle_message(self.app, self.feed, message))

    def send_message(self, message: dict[str, Any]) -> None:
        """Send a message over the data channel, if it is open."""
        if self._channel is not None and self._channel.readyState == "open":
            self._channel.send(json.dumps(message))

    async def close(self) -> None:
        """Close the connection and the feed. May be called more than once."""
        if self not in self.app[PEERS_KEY]:
            return
        self.app[PEERS_KEY].discard(self)
        self.feed.close()
        for task in self._tasks - {asyncio.current_task()}:
            task.cancel()
        await self.connection.close()


PEERS_KEY = web.AppKey("peers", set[Peer])
