"""Source to sink: threads that decode, translate and encode at the same time.

    source thread --> inbox --> worker threads (pack, infer, unpack) --> the caller's thread
                                                                          (calm, encode)

Results leave in the order in which frames were taken. Between the stages lie at most a few frames,
so memory does not grow with the length. The C library, the engines and FFmpeg let go of the
interpreter while they work, so threads are enough to use all cores.

Of a live source the newest frame wins: one waits at most, and a newer one takes its place. From
capture to output a frame thus takes at most one frame's time of waiting, one engine time, and the
writing of the frame before it.

What lies between a source and the workers: the one place where live frames give way.
"""

from __future__ import annotations

import dataclasses
import itertools
import queue
import threading
import time
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future

from .errors import CgtError, SinkError, SourceError
from .inference.translator import Translator
from .sinks import Sink, TranslatedFrame
from .sources import Frame, Packet
from .sources.wrappers import StreamItems, limit_frames
from .utils.stats import Stats


class EndOfStream:
    """Nothing more comes. error: why, where it is not simply over."""

    def __init__(self, error: BaseException | None = None) -> None:
        self.error = error


class FrameQueue:
    """A short queue of frames, with the packets that came between them.

    live: it holds one frame, and a newer one takes its place, so that what is taken is never older
    than the engine was busy. Otherwise it holds `room` frames, and `put` waits.
    """

    def __init__(self, live: bool, maxsize: int = 2) -> None:
        self._live, self._maxsize = live, 1 if live else maxsize
        self._items: deque[Frame | Packet] = deque()
        self._frame_count = 0
        self._end_of_stream: EndOfStream | None = None
        self._condition = threading.Condition()

    def put(self, item: Frame | Packet) -> int:
        """Returns how many frames gave way: 0 or 1. After the end nothing is taken in."""
        with self._condition:
            if isinstance(item, Packet):
                self._append(item)
                return 0
            dropped = 0
            while self._frame_count >= self._maxsize and self._end_of_stream is None:
                if self._live:
                    self._drop_oldest()
                    dropped += 1
                else:
                    self._condition.wait()
            self._frame_count += 1
            self._append(item)
            return dropped

    def _append(self, item: Frame | Packet) -> None:
        if self._end_of_stream is None:
            self._items.append(item)
            self._condition.notify_all()

    def _drop_oldest(self) -> None:
        oldest = next(item for item in self._items if isinstance(item, Frame))
        self._items.remove(oldest)
        self._frame_count -= 1

    def get(self) -> Frame | Packet | EndOfStream:
        """The oldest item; waits for it. After the end, once it is empty, the same Ended to all."""
        with self._condition:
            while not self._items and self._end_of_stream is None:
                self._condition.wait()
            if not self._items:
                assert self._end_of_stream is not None
                return self._end_of_stream
            item = self._items.popleft()
            if isinstance(item, Frame):
                self._frame_count -= 1
                self._condition.notify_all()
            return item

    @property
    def closed(self) -> bool:
        return self._end_of_stream is not None

    def close(self, error: BaseException | None = None) -> None:
        """Nothing more comes; what is here can still be taken. The first call counts."""
        with self._condition:
            self._end_of_stream = self._end_of_stream or EndOfStream(error)
            self._condition.notify_all()

    def discard(self) -> None:
        """Nobody wants the rest."""
        self.close()
        with self._condition:
            self._items.clear()
            self._frame_count = 0
            self._condition.notify_all()


__all__ = ["limit_frames", "run_pipeline", "translate_stream"]

_POLL_INTERVAL_S = 0.2  # seconds between looks at `stop` while nothing comes
_JOIN_TIMEOUT_S = 3.0  # seconds for a source to give up reading

_OutputItem = Future[list[TranslatedFrame]] | Packet | EndOfStream


class _PipelineThreads:
    """The threads of one stream."""

    def __init__(
        self,
        items: StreamItems,
        translator: Translator,
        stats: Stats,
        stop: threading.Event,
        live: bool,
    ) -> None:
        self._items, self._translator, self._stats = items, translator, stats
        self._stop, self._live = stop, live
        self._frame_queue = FrameQueue(live)
        self.output_queue: queue.SimpleQueue[_OutputItem] = queue.SimpleQueue()
        # Groups of frames from their taking to their writing. Live: one is written while the next
        # are translated. Files: enough that a worker who is done early does not wait for the other.
        self._slots = threading.Semaphore(translator.workers * (1 if live else 2) + 1)
        self._order_lock = threading.Lock()
        self._reader_thread = threading.Thread(
            target=self._run_reader, name="cgt-decode", daemon=True
        )
        self._worker_threads = [
            threading.Thread(target=self._run_worker, name=f"cgt-translate-{i}", daemon=True)
            for i in range(translator.workers)
        ]

    def start(self) -> None:
        for thread in (self._reader_thread, *self._worker_threads):
            thread.start()

    def _run_reader(self) -> None:
        try:
            asked = time.perf_counter()
            for item in self._items:
                if isinstance(item, Frame) and not self._live:  # whose time is mostly waiting
                    self._stats.add_time("decode", time.perf_counter() - asked)
                self._stats.dropped += self._frame_queue.put(item)
                if self._stop.is_set() or self._frame_queue.closed:
                    break
                asked = time.perf_counter()
            self._frame_queue.close()
        except BaseException as error:  # raised again in the consumer's thread
            self._frame_queue.close(error)

    def _run_worker(self) -> None:
        while True:
            self._slots.acquire()
            with self._order_lock:  # who takes a frame takes its place in the output
                frames, end = self._get_batch()
                future: Future[list[TranslatedFrame]] = Future()
                if frames:
                    self.output_queue.put(future)
                if end is not None:
                    self.output_queue.put(end)
            if frames:
                try:
                    future.set_result(self._translate_frames(frames))
                except BaseException as error:
                    future.set_exception(error)
            if end is not None:
                return

    def _get_batch(self) -> tuple[list[Frame], EndOfStream | None]:
        """A batch of frames, fewer at the end. Packets go past."""
        frames: list[Frame] = []
        while len(frames) < self._translator.batch:
            item = self._frame_queue.get()
            if isinstance(item, EndOfStream):
                return frames, item
            if isinstance(item, Packet):
                self.output_queue.put(item)
            else:
                frames.append(item)
        return frames, None

    def _translate_frames(self, frames: list[Frame]) -> list[TranslatedFrame]:
        results = []
        began = time.perf_counter()
        for _, group in itertools.groupby(frames, lambda frame: frame.image.shape):
            same_size = list(group)
            converted = time.perf_counter() - began  # a frame becomes RGB when it is asked for
            images, timing = self._translator.translate_batch([frame.image for frame in same_size])
            timing = dataclasses.replace(timing, preprocess=timing.preprocess + converted)
            self._stats.add_batch(timing)
            results += [
                TranslatedFrame(frame, image)
                for frame, image in zip(same_size, images, strict=True)
            ]
            began = time.perf_counter()
        return results

    def next_item(self) -> _OutputItem:
        """What comes next; notices `stop` also while the source is silent."""
        while True:
            try:
                return self.output_queue.get(timeout=_POLL_INTERVAL_S)
            except queue.Empty:
                if self._stop.is_set():
                    self._frame_queue.close()

    def release_slot(self) -> None:
        """One group less on its way."""
        self._slots.release()

    def shutdown(self) -> None:
        """End all threads. One that its source holds up is left behind: it ends with it."""
        self._frame_queue.discard()
        self._slots.release(len(self._worker_threads))
        for worker in self._worker_threads:
            worker.join()
        self._reader_thread.join(_JOIN_TIMEOUT_S)


def translate_stream(
    items: StreamItems,
    translator: Translator,
    stats: Stats,
    stop: threading.Event,
    live: bool = False,
) -> Iterator[TranslatedFrame | Packet]:
    """Translate what comes, in order, until it ends or `stop` is set.

    live: the newest frame wins; one that another took the place of is counted as dropped.
    An error of any stage ends the stream and is raised here, after what came before it.
    """
    stats.start()
    threads = _PipelineThreads(items, translator, stats, stop, live)
    threads.start()
    try:
        while not isinstance(item := threads.next_item(), EndOfStream):
            if isinstance(item, Packet):
                yield item
                continue
            for result in item.result():
                image = translator.apply_deflicker(result.source_frame.image, result.image)
                yield TranslatedFrame(result.source_frame, image)
            threads.release_slot()
        if item.error is not None:
            raise item.error
    finally:
        threads.shutdown()


def run_pipeline(
    items: StreamItems,
    translator: Translator,
    sink: Sink,
    stats: Stats,
    stop: threading.Event,
    live: bool = False,
) -> Iterator[TranslatedFrame]:
    """Translate everything into the sink and finish it, also when `stop` or an error ends it early.
    Yields each result once it is written. Raises SourceError where no frame came, and what ended
    the stream too early."""
    try:
        for item in translate_stream(items, translator, stats, stop, live):
            if isinstance(item, Packet):
                sink.write_packet(item)
                continue
            started = time.perf_counter()
            sink.write(item)
            stats.add_time("encode", time.perf_counter() - started)
            stats.add_output_frame(item.source_frame.capture_time)
            yield item
            if sink.closed_by_user:
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
