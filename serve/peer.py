"""One client over WebRTC: a track of its pictures, a track of translations, a channel of words."""

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

from .colors import Colors
from .feeds import Feed, complaint, obey
from .jitter import make_prompt
from .refusals import Refusal
from .stamp import stamped, unstamped

_PATIENCE = 15.0  # seconds without a word or a frame; pages say something every second
_CONNECTING = 4.5  # seconds; less than pages wait before they take the WebSocket, and a place again
_CLOCK = 90000  # ticks a second, as RTP has them for video


class Translations(MediaStreamTrack):
    """What a feed shows, as a video track. complain: is told what went wrong with a picture."""

    kind = "video"

    def __init__(self, peer: Peer) -> None:
        super().__init__()
        self._peer = peer
        self._began = time.perf_counter()

    async def recv(self) -> VideoFrame:
        """The next frame. Raises MediaStreamError after the last."""
        while True:
            try:
                shown = await self._peer.feed.shown()
            except CgtError as error:
                self._peer.say(complaint(str(error)))
                continue
            if shown is None:
                self.stop()
                raise MediaStreamError
            frame = VideoFrame.from_ndarray(stamped(shown.picture, shown.stamp), "rgb24")
            frame.pts = round((time.perf_counter() - self._began) * _CLOCK)
            frame.time_base = Fraction(1, _CLOCK)
            return frame


class Peer:
    """One client's connection, until `close`, or until nothing is heard of the client."""

    def __init__(self, app: web.Application, feed: Feed) -> None:
        self.app, self.feed = app, feed
        # Without servers: a STUN server elsewhere would be told of every visit.
        self.connection = RTCPeerConnection(RTCConfiguration(iceServers=[]))
        self._channel: RTCDataChannel | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._heard = time.monotonic()
        self.connection.on("track", self._receive)
        self.connection.on("datachannel", self._listen)
        self.connection.on("connectionstatechange", self._changed)
        app[PEERS].add(self)

    async def accept(self, offer: RTCSessionDescription) -> RTCSessionDescription:
        """The answer. Raises Refusal for an offer that is none."""
        try:
            await self.connection.setRemoteDescription(offer)
            make_prompt(self.connection)
            self.connection.addTrack(Translations(self))
            await self.connection.setLocalDescription(await self.connection.createAnswer())
        except Exception:  # a dozen kinds come of damaged descriptions
            raise Refusal(400, "the offer is not one of a video track and a channel") from None
        self._start(self._watch())
        return self.connection.localDescription

    def _start(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _watch(self) -> None:
        await asyncio.sleep(_CONNECTING)
        if self.connection.connectionState == "connected":
            while (left := self._heard + _PATIENCE - time.monotonic()) > 0:
                await asyncio.sleep(left)
        await self.close()

    async def _changed(self) -> None:
        if self.connection.connectionState in ("failed", "closed"):
            await self.close()

    def _receive(self, track: MediaStreamTrack) -> None:
        if track.kind == "video":
            self._start(self._take(track))

    async def _take(self, track: MediaStreamTrack) -> None:
        colors = Colors()
        with suppress(MediaStreamError):
            while True:
                frame = await track.recv()
                assert isinstance(frame, VideoFrame)
                self._heard = time.monotonic()
                found = unstamped(await asyncio.to_thread(colors, frame))
                if found is not None:
                    self.feed.offer(*found)

    def _listen(self, channel: RTCDataChannel) -> None:
        self._channel = channel
        channel.on("message", self._obey)

    async def _obey(self, message: str | bytes) -> None:
        self._heard = time.monotonic()
        if isinstance(message, str):
            self.say(await obey(self.app, self.feed, message))

    def say(self, words: dict[str, Any]) -> None:
        """On the channel, where there is one."""
        if self._channel is not None and self._channel.readyState == "open":
            self._channel.send(json.dumps(words))

    async def close(self) -> None:
        """Twice is fine."""
        if self not in self.app[PEERS]:
            return
        self.app[PEERS].discard(self)
        self.feed.close()
        for task in self._tasks - {asyncio.current_task()}:
            task.cancel()
        await self.connection.close()


PEERS = web.AppKey("peers", set[Peer])
