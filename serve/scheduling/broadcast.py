"""Broadcast of the server's own source to many viewers.

The source is decoded once, and translated once for each selection of model, size and precision:

    source thread -> one session per selection -> pairs -> the newest pair to each viewer

A pair is the original above its translation, both in the size of the translation.
"""

from __future__ import annotations

import asyncio
import threading
from contextlib import suppress

import numpy as np

from cgt.runtime import resize
from cgt.runtime.errors import CgtError, SourceError
from cgt.runtime.image.channels import to_rgb
from cgt.runtime.image.preprocess import U8
from cgt.runtime.sources import Frame, Source, open_source
from cgt.runtime.sources.reconnect import ReconnectingSource
from cgt.runtime.sources.wrappers import RealtimeSource
from cgt.runtime.utils.closeable import Closeable

from ..models import ModelSelection
from ..streaming.timestamp import to_timestamp
from .output_frame import OutputFrame
from .sessions import Session, SessionManager

_JOIN_TIMEOUT_S = 3.0  # for the source thread to stop reading


class Broadcast(Closeable):
    """Source of the server with all its viewers.

    A live source is opened again when it is lost. Any other source plays in a loop at its own
    frame rate. The methods are to be called in the thread of the event loop.

    Args:
        uri: URI of the source, as for `open_source`.
        sessions: Where the sessions of the channels are opened.

    Raises:
        SourceError: The source cannot be opened.
        UsageError: The URI is invalid.
    """

    def __init__(self, uri: str, sessions: SessionManager) -> None:
        self._uri, self._sessions = uri, sessions
        self._source = self._open_source()
        self._channels: dict[ModelSelection, BroadcastChannel] = {}
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run_source, name="cgt-source", daemon=True)
        self._thread.start()

    def _open_source(self) -> Source:
        source = open_source(self._uri, audio=False)
        if source.live:
            return ReconnectingSource(source, lambda: open_source(self._uri, audio=False))
        return RealtimeSource(source)

    def _run_source(self) -> None:
        error: BaseException | None = None
        try:
            while not self._stop.is_set():
                if not self._play_once():
                    raise SourceError(f"{self._source.name} has no frames")
                self._source.close()
                self._source = self._open_source()
        except CgtError as known:
            error = known
        finally:
            self._source.close()
            for channel in tuple(self._channels.values()):
                channel.notify_source_lost(error)

    def _play_once(self) -> bool:
        """Play the source once to its end, and return whether it had any frames."""
        has_frames = False
        for item in self._source:
            if self._stop.is_set():
                return True
            if not isinstance(item, Frame):
                continue
            has_frames = True
            for channel in tuple(self._channels.values()):
                channel.session.submit(item.image, to_timestamp(item.capture_time))
        return has_frames

    def add_viewer(self, selection: ModelSelection, session: Session) -> Viewer:
        """Return a new viewer.

        Args:
            selection: What it watches. The engine of the selection must be open.
            session: Session that counts the viewer as a client. The viewer closes it.

        Raises:
            SourceError: The source has ended.
        """
        if not self._thread.is_alive():
            raise SourceError("the source of the server has ended; restart the server")
        viewer = Viewer(self, session)
        self.switch_viewer(viewer, selection)
        return viewer

    def switch_viewer(self, viewer: Viewer, selection: ModelSelection) -> None:
        """Move a viewer to the channel of a selection."""
        self.remove_viewer(viewer)
        if selection not in self._channels:
            self._channels[selection] = BroadcastChannel(
                self._sessions.open(selection, counted=False)
            )
        self._channels[selection].viewers.add(viewer)

    def remove_viewer(self, viewer: Viewer) -> None:
        """Remove a viewer from its channel. A channel without viewers closes."""
        for selection, channel in tuple(self._channels.items()):
            channel.viewers.discard(viewer)
            if not channel.viewers:
                self._channels.pop(selection).session.close()

    def close(self) -> None:
        """Close all viewers, then the source. A source thread that blocks is abandoned."""
        self._stop.set()
        for channel in tuple(self._channels.values()):
            for viewer in tuple(channel.viewers):
                viewer.close()
        self._thread.join(_JOIN_TIMEOUT_S)


class BroadcastChannel:
    """Translations of the source under one selection. Ends when its session closes."""

    def __init__(self, session: Session) -> None:
        self.session = session
        self.viewers: set[Viewer] = set()
        self._loop = asyncio.get_running_loop()
        self._task = asyncio.create_task(self._forward_results())

    async def _forward_results(self) -> None:
        while True:
            try:
                job = await self.session.next_result()
                if job is None:
                    break
                assert job.translated is not None
                pair = await asyncio.to_thread(_stack_original_above, job.image, job.translated)
                self._publish(OutputFrame(pair, job.tag))
            except CgtError as error:
                self._publish(error)
        self._publish(None)

    def _publish(self, item: OutputFrame | CgtError | None) -> None:
        for viewer in self.viewers:
            viewer.deliver(item)

    def notify_source_lost(self, error: BaseException | None) -> None:
        """Notify the viewers that the source ended. May be called from any thread."""
        item = error if isinstance(error, CgtError) else None
        with suppress(RuntimeError):  # the event loop is closed
            self._loop.call_soon_threadsafe(self._publish, item)


class Viewer(Closeable):
    """Feed of the server's source (see `feeds.Feed`). It skips to the newest pair."""

    def __init__(self, broadcast: Broadcast, session: Session) -> None:
        self._broadcast, self._session = broadcast, session
        self._latest: OutputFrame | CgtError | None = None
        self._changed = asyncio.Event()
        self._closed = False

    def deliver(self, item: OutputFrame | CgtError | None) -> None:
        """Set the newest item; None ends the feed."""
        if item is None:
            self._closed = True
        self._latest = item
        self._changed.set()

    def submit(self, image: U8, timestamp: int) -> None:
        """Ignore the frame: viewers only watch."""

    async def next_frame(self) -> OutputFrame | None:
        while self._latest is None and not self._closed:
            self._changed.clear()
            await self._changed.wait()
        item, self._latest = self._latest, None
        if isinstance(item, CgtError):
            raise item
        return item

    async def select_model(self, selection: ModelSelection) -> None:
        await self._session.select_model(selection)
        if not self._closed:
            self._broadcast.switch_viewer(self, selection)

    def close(self) -> None:
        self._closed = True
        self._changed.set()
        self._broadcast.remove_viewer(self)
        self._session.close()


def _stack_original_above(original: U8, translated: U8) -> U8:
    height, width = translated.shape[:2]
    return np.concatenate([resize(original, (height, width)), to_rgb(translated)])
