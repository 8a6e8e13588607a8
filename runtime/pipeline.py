"""Source to sink: threads that decode, translate and encode at the same time.

    source thread --> worker threads (pack, infer, unpack) --> the caller's thread (encode)

Results leave in the order in which frames came. Between the stages lie at most a few frames, so
memory does not grow with the length. The C library, the engines and FFmpeg let go of the
interpreter while they work, so threads are enough to use all cores.
"""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from fractions import Fraction

from .errors import CgtError, SinkError, SourceError
from .sinks import Result, Sink
from .sources import Frame, Packet, Source
from .stats import Stats
from .translator import Translator

_Item = Future[Result] | Packet | BaseException | None


def limited(
    source: Source, frames: int | None = None, duration: float | None = None
) -> Iterator[Frame | Packet]:
    """The first `frames` frames, or `duration` seconds, of a source, whichever ends first."""
    start: Fraction | None = None
    count = 0
    if frames == 0:
        return
    for item in source:
        if isinstance(item, Frame):
            start = item.time if start is None else start
            if duration is not None and item.time - start >= duration:
                return
            count += 1
        yield item
        if frames is not None and count >= frames:
            return


def stream(
    items: Iterator[Frame | Packet],
    translator: Translator,
    stats: Stats,
    stop: threading.Event,
    live: bool = False,
) -> Iterator[Result | Packet]:
    """Translate what comes, in order, until it ends or `stop` is set.

    live: the newest frame wins; one that finds all workers busy is dropped and counted.
    An error of any stage ends the stream and is raised here.
    """
    workers = translator.workers
    pending: queue.SimpleQueue[_Item] = queue.SimpleQueue()
    # Frames in flight. Packets lie between them and are few and small, so they are not counted.
    slots = threading.Semaphore(workers + (0 if live else 2))
    abandoned = threading.Event()  # the consumer is gone

    def translate(frame: Frame) -> Result:
        image, timing = translator.timed(frame.image)
        stats.add("preprocess", timing.preprocess)
        stats.add("inference", timing.inference)
        stats.add("postprocess", timing.postprocess)
        return Result(frame, image)

    def read(pool: ThreadPoolExecutor) -> None:
        try:
            asked = time.perf_counter()
            for item in items:
                if isinstance(item, Packet):
                    pending.put(item)
                else:
                    stats.add("decode", time.perf_counter() - asked)
                    if slots.acquire(blocking=not live):
                        pending.put(pool.submit(translate, item))
                    else:
                        stats.dropped += 1
                if stop.is_set() or abandoned.is_set():
                    break
                asked = time.perf_counter()
            pending.put(None)
        except BaseException as error:  # raised again in the consumer's thread
            pending.put(error)

    stats.start()
    with ThreadPoolExecutor(workers, thread_name_prefix="cgt-translate") as pool:
        reader = threading.Thread(target=read, args=(pool,), name="cgt-decode")
        reader.start()
        try:
            while (item := pending.get()) is not None:
                if isinstance(item, BaseException):
                    raise item
                if isinstance(item, Packet):
                    yield item
                else:
                    yield item.result()
                    slots.release()
        finally:
            abandoned.set()
            slots.release()  # wakes a reader that waits for one
            pool.shutdown(wait=False, cancel_futures=True)
            reader.join()


def run(
    items: Iterator[Frame | Packet],
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
        if not isinstance(error, SinkError):
            raise type(error)(
                f"{error}; {sink.name} holds the {stats.frames} frames before"
            ) from None
        raise
    if stats.frames > 0:
        sink.finish()
    elif not stop.is_set():
        raise SourceError("the source ended before its first frame")
