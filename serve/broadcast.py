"""The server's own source: decoded once, translated once for each choice, shown to all who watch.

    source thread --> a session for each choice --> pairs --> the newest to each viewer

A pair is the original above its translation, both in the translation's size.
"""

from __future__ import annotations

import asyncio
import threading
from contextlib import suppress
from pathlib import Path

import numpy as np

from cgt.runtime import resize
from cgt.runtime.closing import Closing
from cgt.runtime.errors import CgtError, SourceError
from cgt.runtime.preprocess import U8
from cgt.runtime.sources import Frame, Source, open_source
from cgt.runtime.sources.reconnect import Reconnecting
from cgt.runtime.sources.wrapped import Paced

from .catalog import Choice
from .sessions import Session, Sessions
from .shown import Shown
from .stamp import stamp_of

_PATIENCE = 3.0  # seconds for a source to give up reading


class Broadcast(Closing):
    """uri: as for `open_source`. A live one is opened again when it is lost; another one plays at
    its own speed, again and again. Made and closed in the event loop's thread.

    Raises SourceError or UsageError where it cannot be opened.
    """

    def __init__(self, uri: str, sessions: Sessions) -> None:
        self._uri, self._sessions = uri, sessions
        self._source = self._open()
        self._channels: dict[Choice, Channel] = {}
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._read, name="cgt-source", daemon=True)
        self._thread.start()

    def _open(self) -> Source:
        source = open_source(self._uri, audio=False)
        if source.live:
            return Reconnecting(source, lambda: open_source(self._uri, audio=False))
        return Paced(source)

    def _read(self) -> None:
        error: BaseException | None = None
        try:
            while not self._stop.is_set():
                if not self._play():
                    raise SourceError(f"{Path(self._uri).name} has no frames")
                self._source.close()
                self._source = self._open()
        except CgtError as known:
            error = known
        finally:
            self._source.close()
            for channel in tuple(self._channels.values()):
                channel.lose(error)

    def _play(self) -> bool:
        """Once, from beginning to end; whether there was a frame."""
        some = False
        for item in self._source:
            if self._stop.is_set():
                return True
            if not isinstance(item, Frame):
                continue
            some = True
            for channel in tuple(self._channels.values()):
                channel.session.offer(item.image, stamp_of(item.captured))
        return some

    def watch(self, choice: Choice, place: Session) -> Viewer:
        """place: the viewer's among the sessions, which it gives back at its end. The choice's
        engine is open. Raises SourceError where the source has ended."""
        if not self._thread.is_alive():
            raise SourceError("the server's source has ended")
        viewer = Viewer(self, place)
        self.move(viewer, choice)
        return viewer

    def move(self, viewer: Viewer, choice: Choice) -> None:
        """From the channel it watches, if any, to the one of a choice."""
        self.leave(viewer)
        if choice not in self._channels:
            self._channels[choice] = Channel(self._sessions.open(choice, counted=False))
        self._channels[choice].viewers.add(viewer)

    def leave(self, viewer: Viewer) -> None:
        """A channel that nobody watches ends."""
        for choice, channel in tuple(self._channels.items()):
            channel.viewers.discard(viewer)
            if not channel.viewers:
                self._channels.pop(choice).session.close()

    def close(self) -> None:
        """Ends all viewers, then the source. One that holds up its reader is left behind."""
        self._stop.set()
        for channel in tuple(self._channels.values()):
            for viewer in tuple(channel.viewers):
                viewer.close()
        self._thread.join(_PATIENCE)


class Channel:
    """One choice of the source's translations. Ends with its session."""

    def __init__(self, session: Session) -> None:
        self.session = session
        self.viewers: set[Viewer] = set()
        self._loop = asyncio.get_running_loop()
        self._task = asyncio.create_task(self._run())

    async def _run(self) -> None:
        while True:
            try:
                job = await self.session.answer()
                if job is None:
                    break
                assert job.translated is not None
                pair = await asyncio.to_thread(_pair, job.picture, job.translated)
                self._give(Shown(pair, job.tag))
            except CgtError as error:
                self._give(error)
        self._give(None)

    def _give(self, what: Shown | CgtError | None) -> None:
        for viewer in self.viewers:
            viewer.give(what)

    def lose(self, error: BaseException | None) -> None:
        """The source is gone. Any thread."""
        what = error if isinstance(error, CgtError) else None
        with suppress(RuntimeError):  # the loop has ended before
            self._loop.call_soon_threadsafe(self._give, what)


class Viewer(Closing):
    """A feed of the server's source (see `feeds.Feed`): the newest pair, whatever was missed."""

    def __init__(self, broadcast: Broadcast, place: Session) -> None:
        self._broadcast, self._place = broadcast, place
        self._newest: Shown | CgtError | None = None
        self._changed = asyncio.Event()
        self._closed = False

    def give(self, what: Shown | CgtError | None) -> None:
        """None: nothing more comes."""
        if what is None:
            self._closed = True
        self._newest = what
        self._changed.set()

    def offer(self, picture: U8, stamp: int) -> None:
        """Viewers only watch."""

    async def shown(self) -> Shown | None:
        while self._newest is None and not self._closed:
            self._changed.clear()
            await self._changed.wait()
        what, self._newest = self._newest, None
        if isinstance(what, CgtError):
            raise what
        return what

    async def choose(self, choice: Choice) -> None:
        await self._place.choose(choice)
        if not self._closed:
            self._broadcast.move(self, choice)

    def close(self) -> None:
        self._closed = True
        self._changed.set()
        self._broadcast.leave(self)
        self._place.close()


def _pair(original: U8, translated: U8) -> U8:
    height, width = translated.shape[:2]
    return np.concatenate([resize(original, (height, width)), translated])
