"""Multithreaded pipeline from source to sink: decode, translate and encode concurrently.

    reader thread --> FrameQueue --> worker threads            --> caller's thread
                                     (pack, infer, upsample)       (deflicker, encode)

Results leave in the order of the frames. At most a few frames wait between the stages, so memory
does not grow with the length of a stream. The C library, the engines and FFmpeg release the GIL, so
threads use all cores.

The FrameQueue of a live source holds only the newest frame and drops older ones; no other stage
drops frames. The latency from capture to output is thus at most one frame interval, one inference
and the writing of the previous frame.
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

import numpy as np

from .errors import CgtError, EngineError, SinkError, SourceError, UsageError
from .image.validation import YUVFormat
from .inference.translator import Translator
from .sinks import Sink, TranslatedFrame
from .sources import Frame, Packet
from .sources.wrappers import StreamItems
from .sources.wrappers import limit_frames as limit_frames
from .utils.stats import Stats


class EndOfStream:
    """Marks the end of a stream; `error` is the reason if it ended too early."""

    def __init__(self, error: BaseException | None = None) -> None:
        self.error = error


class FrameQueue:
    """Bounded queue of frames, and of the packets between them.

    Args:
        live: hold one frame, which a newer frame replaces. Otherwise `put` waits for free space.
        maxsize: number of frames; ignored if live.
    """

    def __init__(self, live: bool, maxsize: int = 2) -> None:
        self._live, self._maxsize = live, 1 if live else maxsize
        self._items: deque[Frame | Packet] = deque()
        self._frame_count = 0
        self._end_of_stream: EndOfStream | None = None
        self._condition = threading.Condition()

    def put(self, item: Frame | Packet) -> int:
        """Add an item and return the number of dropped frames, 0 or 1. After `close`, ignore it."""
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
        """Remove and return the oldest item; wait for it. After the last item, EndOfStream."""
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
        """Whether `close` was called."""
        return self._end_of_stream is not None

    def close(self, error: BaseException | None = None) -> None:
        """End the stream; queued items can still be removed. Only the first call has an effect."""
        with self._condition:
            self._end_of_stream = self._end_of_stream or EndOfStream(error)
            self._condition.notify_all()

    def discard(self) -> None:
        """End the stream and drop all queued items."""
        self.close()
        with self._condition:
            self._items.clear()
            self._frame_count = 0
            self._condition.notify_all()


_POLL_INTERVAL_S = 0.2  # between checks of `stop` while no frame arrives
_JOIN_TIMEOUT_S = 3.0  # for a source that is blocked in a read

# An error stands for an image that has no translation; the other images do not depend on it.
_Results = list[TranslatedFrame | CgtError]
_OutputItem = Future[_Results] | Packet | EndOfStream


class _PipelineThreads:
    """The threads of one stream."""

    def __init__(
        self,
        items: StreamItems,
        translator: Translator,
        stats: Stats,
        stop: threading.Event,
        live: bool,
        yuv_format: YUVFormat | None,
    ) -> None:
        self._items, self._translator, self._stats = items, translator, stats
        self._yuv_format = yuv_format
        self._stop, self._live = stop, live
        self._frame_queue = FrameQueue(live)
        self.output_queue: queue.SimpleQueue[_OutputItem] = queue.SimpleQueue()
        # A slot is a batch between its removal from the queue and its output. Live: one batch is
        # written while the next ones are translated. Files: enough slots that a worker that
        # finishes early does not wait for the others.
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
            started_at = time.perf_counter()
            for item in self._items:
                if isinstance(item, Frame) and not self._live:  # a live source mostly waits
                    self._stats.add_time("decode", time.perf_counter() - started_at)
                self._stats.dropped += self._frame_queue.put(item)
                if self._stop.is_set() or self._frame_queue.closed:
                    break
                started_at = time.perf_counter()
            self._frame_queue.close()
        except BaseException as error:  # raised again in the caller's thread
            self._frame_queue.close(error)

    def _run_worker(self) -> None:
        while True:
            self._slots.acquire()
            with self._order_lock:  # the order of removal is the order of output
                frames, end = self._get_batch()
                future: Future[_Results] = Future()
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
        """Return the next batch of frames, smaller at the end; pass packets on to the output."""
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

    def _translate_frames(self, frames: list[Frame]) -> _Results:
        results: _Results = []
        started_at = time.perf_counter()
        channels = self._translator.metadata.in_channels
        for shape, group in itertools.groupby(frames, lambda f: _shape_or_error(f, channels)):
            same_size = list(group)
            conversion = time.perf_counter() - started_at  # Frame.pixels may convert on access
            if isinstance(shape, CgtError):
                results.append(shape)
                continue
            try:
                images, timing = self._translator.translate_batch(
                    [each.pixels_for(channels) for each in same_size], self._yuv_format
                )
            except (EngineError, UsageError) as error:
                if not same_size[0].is_still:
                    raise
                results += [type(error)(f"{frame.name}: {error}") for frame in same_size]
                continue
            timing = dataclasses.replace(timing, preprocess=timing.preprocess + conversion)
            self._stats.add_batch(timing)
            results += [
                TranslatedFrame(frame, image)
                for frame, image in zip(same_size, images, strict=True)
            ]
            started_at = time.perf_counter()
        return results

    def next_item(self) -> _OutputItem:
        """Return the next output; react to `stop` even while the source delivers nothing."""
        while True:
            try:
                return self.output_queue.get(timeout=_POLL_INTERVAL_S)
            except queue.Empty:
                if self._stop.is_set():
                    self._frame_queue.close()

    def release_slot(self) -> None:
        """Allow one more batch into the pipeline."""
        self._slots.release()

    def shutdown(self) -> None:
        """End all threads. A reader that is blocked in its source is left to end with it."""
        self._frame_queue.discard()
        self._slots.release(len(self._worker_threads))
        for worker in self._worker_threads:
            worker.join()
        self._reader_thread.join(_JOIN_TIMEOUT_S)


def _shape_or_error(frame: Frame, channels: int) -> tuple[int, ...] | CgtError:
    """Return the shape of a frame, or the error of an image file that cannot be read."""
    try:
        return frame.pixels_for(channels).shape
    except SourceError as error:
        if not frame.is_still:
            raise
        return error


def _deflicker(
    translator: Translator, result: TranslatedFrame, stats: Stats, yuv_format: YUVFormat | None
) -> TranslatedFrame:
    """Smooth a translation along the optical flow, then upsample it."""
    frame = result.source_frame
    source = frame.pixels_for(translator.metadata.in_channels)
    assert isinstance(result.pixels, np.ndarray)
    smooth = translator.apply_deflicker(source, result.pixels)
    started_at = time.perf_counter()
    pixels = translator.upsample(source, smooth, yuv_format)
    if pixels is not smooth:
        stats.add_time("upsample", time.perf_counter() - started_at)
    return TranslatedFrame(frame, pixels)


def translate_stream(
    items: StreamItems,
    translator: Translator,
    stats: Stats,
    stop: threading.Event,
    live: bool = False,
    yuv_format: YUVFormat | None = None,
) -> Iterator[TranslatedFrame | Packet]:
    """Translate the frames of a source in order until it ends or `stop` is set.

    Args:
        items: frames and packets, such as a Source.
        translator: model for the frames.
        stats: is filled while the stream runs. `failures` has the images that could not be
            translated.
        stop: ends the stream early when set.
        live: drop frames that a newer frame replaces, and count them.
        yuv_format: the matrix and range of translations in YUV; None for RGB.

    Yields:
        Translated frames, and the packets between them.

    Raises:
        CgtError: a stage failed. Items before the error are yielded first.
    """
    stats.start()
    # The optical flow blends images in RGB, before they are upsampled.
    worker_format = None if translator.deflicker_mode == "flow" else yuv_format
    threads = _PipelineThreads(items, translator, stats, stop, live, worker_format)
    threads.start()
    try:
        while not isinstance(item := threads.next_item(), EndOfStream):
            if isinstance(item, Packet):
                yield item
                continue
            for result in item.result():
                if isinstance(result, CgtError):
                    stats.failures.append(result)
                    continue
                if translator.deflicker_mode == "flow":
                    result = _deflicker(translator, result, stats, yuv_format)
                yield result
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
    """Translate a source into a sink, and finish the sink even after `stop` or an error.

    Args:
        items: frames and packets, such as a Source.
        translator: model for the frames.
        sink: receives the translations and packets.
        stats: is filled while the pipeline runs; see `translate_stream`.
        stop: ends the run early when set.
        live: drop frames that a newer frame replaces, and count them.

    Yields:
        Each translated frame after it was written.

    Raises:
        SourceError: there was no frame, the source failed, or some of its images failed. The sink
            then has all other images.
        CgtError: another stage failed. The sink keeps the frames before the error.
    """
    try:
        for item in translate_stream(items, translator, stats, stop, live, sink.yuv_format):
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
        sink.finish()  # keep the frames before the error
        if isinstance(error, SinkError):
            raise
        kept = f"the {stats.frames} frames before are in {sink.name}"
        raise type(error)(f"{error}; {kept}") from None
    if stats.frames > 0:
        sink.finish()
    if stop.is_set():
        return
    stats.raise_failures()
    if stats.frames == 0:
        raise SourceError("the source ended before its first frame")
