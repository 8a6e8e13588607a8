"""Source to sink: threads that decode, translate and encode at the same time.

    source thread --> inbox --> worker threads (pack, infer, unpack) --> the caller's thread
                                                                          (calm, encode)

Results leave in the order in which frames were taken. Between the stages lie at most a few frames,
so memory does not grow with the length. The C library, the engines and FFmpeg let go of the
interpreter while they work, so threads are enough to use all cores.

Of a live source the newest frame wins: one waits at most, and a newer one takes its place. From
capture to output a frame thus takes at most one frame's time of waiting, one engine time, and the
writing of the frame before it.
"""

from __future__ import annotations

import dataclasses
import itertools
import queue
import threading
import time
from collections.abc import Iterator
from concurrent.futures import Future

from .errors import CgtError, SinkError, SourceError
from .inbox import Ended, Inbox
from .sinks import Result, Sink
from .sources import Frame, Packet
from .stats import Stats
from .translator import Translator
from .wanted import Items, limited

__all__ = ["limited", "run", "stream"]

_POLL = 0.2  # seconds between looks at `stop` while nothing comes
_PATIENCE = 3.0  # seconds for a source to give up reading

_Item = Future[list[Result]] | Packet | Ended


class _Crew:
    """The threads of one stream."""

    def __init__(
        self, items: Items, translator: Translator, stats: Stats, stop: threading.Event, live: bool
    ) -> None:
        self._items, self._translator, self._stats = items, translator, stats
        self._stop, self._live = stop, live
        self._inbox = Inbox(live)
        self.pending: queue.SimpleQueue[_Item] = queue.SimpleQueue()
        # Groups of frames from their taking to their writing. Live: one is written while the next
        # are translated. Files: enough that a worker who is done early does not wait for the other.
        self._slots = threading.Semaphore(translator.workers * (1 if live else 2) + 1)
        self._order = threading.Lock()
        self._reader = threading.Thread(target=self._read, name="cgt-decode", daemon=True)
        self._workers = [
            threading.Thread(target=self._work, name=f"cgt-translate-{i}", daemon=True)
            for i in range(translator.workers)
        ]

    def start(self) -> None:
        for thread in (self._reader, *self._workers):
            thread.start()

    def _read(self) -> None:
        try:
            asked = time.perf_counter()
            for item in self._items:
                if isinstance(item, Frame) and not self._live:  # whose time is mostly waiting
                    self._stats.add("decode", time.perf_counter() - asked)
                self._stats.dropped += self._inbox.put(item)
                if self._stop.is_set() or self._inbox.ended:
                    break
                asked = time.perf_counter()
            self._inbox.end()
        except BaseException as error:  # raised again in the consumer's thread
            self._inbox.end(error)

    def _work(self) -> None:
        while True:
            self._slots.acquire()
            with self._order:  # who takes a frame takes its place in the output
                frames, ended = self._take()
                place: Future[list[Result]] = Future()
                if frames:
                    self.pending.put(place)
                if ended is not None:
                    self.pending.put(ended)
            if frames:
                try:
                    place.set_result(self._translate(frames))
                except BaseException as error:
                    place.set_exception(error)
            if ended is not None:
                return

    def _take(self) -> tuple[list[Frame], Ended | None]:
        """A batch of frames, fewer at the end. Packets go past."""
        frames: list[Frame] = []
        while len(frames) < self._translator.batch:
            item = self._inbox.take()
            if isinstance(item, Ended):
                return frames, item
            if isinstance(item, Packet):
                self.pending.put(item)
            else:
                frames.append(item)
        return frames, None

    def _translate(self, frames: list[Frame]) -> list[Result]:
        results = []
        began = time.perf_counter()
        for _, group in itertools.groupby(frames, lambda frame: frame.image.shape):
            same = list(group)
            converted = time.perf_counter() - began  # a frame becomes RGB when it is asked for
            images, timing = self._translator.timed([frame.image for frame in same])
            timing = dataclasses.replace(timing, preprocess=timing.preprocess + converted)
            self._stats.translated(timing)
            results += [Result(frame, image) for frame, image in zip(same, images, strict=True)]
            began = time.perf_counter()
        return results

    def next(self) -> _Item:
        """What comes next; notices `stop` also while the source is silent."""
        while True:
            try:
                return self.pending.get(timeout=_POLL)
            except queue.Empty:
                if self._stop.is_set():
                    self._inbox.end()

    def written(self) -> None:
        """One group less on its way."""
        self._slots.release()

    def dismiss(self) -> None:
        """End all threads. One that its source holds up is left behind: it ends with it."""
        self._inbox.abandon()
        self._slots.release(len(self._workers))
        for worker in self._workers:
            worker.join()
        self._reader.join(_PATIENCE)


def stream(
    items: Items,
    translator: Translator,
    stats: Stats,
    stop: threading.Event,
    live: bool = False,
) -> Iterator[Result | Packet]:
    """Translate what comes, in order, until it ends or `stop` is set.

    live: the newest frame wins; one that another took the place of is counted as dropped.
    An error of any stage ends the stream and is raised here, after what came before it.
    """
    stats.start()
    crew = _Crew(items, translator, stats, stop, live)
    crew.start()
    try:
        while not isinstance(item := crew.next(), Ended):
            if isinstance(item, Packet):
                yield item
                continue
            for result in item.result():
                image = translator.calmed(result.frame.image, result.image)
                yield Result(result.frame, image)
            crew.written()
        if item.error is not None:
            raise item.error
    finally:
        crew.dismiss()


def run(
    items: Items,
    translator: Translator,
    sink: Sink,
    stats: Stats,
    stop: threading.Event,
    live: bool = False,
) -> Iterator[Result]:
    """Translate everything into the sink and finish it, also when `stop` or an error ends it early.
    Yields each result once it is written. Raises SourceError where no frame came, and what ended
    the stream too early."""
    try:
        for item in stream(items, translator, stats, stop, live):
            if isinstance(item, Packet):
                sink.pass_through(item)
                continue
            started = time.perf_counter()
            sink.write(item)
            stats.add("encode", time.perf_counter() - started)
            stats.written(item.frame.captured)
            yield item
            if sink.ended:
                break
    except CgtError as error:
        if stats.frames == 0:
            raise
        sink.finish()  # nothing is lost that could be kept
        if isinstance(error, SinkError):
            raise
        kept = f"{sink.name} holds the {stats.frames} frames before"
        raise type(error)(f"{error}; {kept}") from None
    if stats.frames > 0:
        sink.finish()
    elif not stop.is_set():
        raise SourceError("the source ended before its first frame")
