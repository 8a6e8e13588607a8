"""The frame queue in front of the engine, live and not."""

from __future__ import annotations

import threading
from fractions import Fraction

import numpy as np

from cgt.runtime.pipeline import EndOfStream, FrameQueue
from cgt.runtime.sources import Frame, Packet


def frame(number: int) -> Frame:
    return Frame(np.zeros((2, 2, 3), np.uint8), Fraction(number), name=str(number))


def test_live_keeps_the_newest_frame() -> None:
    frame_queue = FrameQueue(live=True)
    assert [frame_queue.put(frame(i)) for i in range(4)] == [0, 1, 1, 1]
    item = frame_queue.get()
    assert isinstance(item, Frame)
    assert item.name == "3"
    assert frame_queue.put(frame(4)) == 0


def test_live_packets_are_not_dropped() -> None:
    frame_queue = FrameQueue(live=True)
    for item in (Packet(0, "a"), frame(0), Packet(0, "b"), frame(1), Packet(0, "c")):
        frame_queue.put(item)
    frame_queue.close()
    items = [frame_queue.get() for _ in range(5)]
    assert [t.av_packet if isinstance(t, Packet) else t.name for t in items[:4]] == list("ab1c")
    assert isinstance(items[4], EndOfStream)


def test_no_frame_of_a_file_is_dropped() -> None:
    frame_queue, dropped = FrameQueue(live=False, maxsize=2), []
    reader = threading.Thread(
        target=lambda: dropped.extend(frame_queue.put(frame(i)) for i in range(9))
    )
    reader.start()
    assert [frame_queue.get().name for _ in range(9)] == [str(i) for i in range(9)]
    reader.join()
    assert not any(dropped)


def test_the_end_reaches_every_worker_after_the_frames() -> None:
    frame_queue, error = FrameQueue(live=False), OSError("why")
    frame_queue.put(frame(0))
    frame_queue.close(error)
    frame_queue.close()
    assert frame_queue.put(frame(1)) == 0  # ignored after the end
    assert isinstance(frame_queue.get(), Frame)
    for _ in range(2):
        end = frame_queue.get()
        assert isinstance(end, EndOfStream)
        assert end.error is error


def test_a_discarded_queue_unblocks_the_reader() -> None:
    frame_queue = FrameQueue(live=False, maxsize=1)
    reader = threading.Thread(target=lambda: [frame_queue.put(frame(i)) for i in range(5)])
    reader.start()
    frame_queue.discard()
    reader.join(timeout=60)
    assert not reader.is_alive()
    assert isinstance(frame_queue.get(), EndOfStream)
