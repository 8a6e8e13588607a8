"""The queue of one in front of a live engine, without a clock."""

from __future__ import annotations

import threading
from fractions import Fraction

import numpy as np

from cgt.runtime.pipeline import EndOfStream, FrameQueue
from cgt.runtime.sources import Frame, Packet


def frame(number: int) -> Frame:
    return Frame(np.zeros((2, 2, 3), np.uint8), Fraction(number), name=str(number))


def test_live_the_newest_frame_wins() -> None:
    inbox = FrameQueue(live=True)
    assert [inbox.put(frame(i)) for i in range(4)] == [0, 1, 1, 1]
    taken = inbox.get()
    assert isinstance(taken, Frame)
    assert taken.name == "3"
    assert inbox.put(frame(4)) == 0


def test_live_packets_stay() -> None:
    inbox = FrameQueue(live=True)
    for item in (Packet(0, "a"), frame(0), Packet(0, "b"), frame(1), Packet(0, "c")):
        inbox.put(item)
    inbox.close()
    taken = [inbox.get() for _ in range(5)]
    assert [t.av_packet if isinstance(t, Packet) else t.name for t in taken[:4]] == list("ab1c")
    assert isinstance(taken[4], EndOfStream)


def test_every_frame_of_a_file_waits_its_turn() -> None:
    inbox, dropped = FrameQueue(live=False, maxsize=2), []
    reader = threading.Thread(target=lambda: dropped.extend(inbox.put(frame(i)) for i in range(9)))
    reader.start()
    assert [inbox.get().name for _ in range(9)] == [str(i) for i in range(9)]
    reader.join()
    assert not any(dropped)


def test_the_end_reaches_every_worker_after_the_frames() -> None:
    inbox, error = FrameQueue(live=False), OSError("why")
    inbox.put(frame(0))
    inbox.close(error)
    inbox.close()
    assert inbox.put(frame(1)) == 0  # too late
    assert isinstance(inbox.get(), Frame)
    for _ in range(2):
        ended = inbox.get()
        assert isinstance(ended, EndOfStream)
        assert ended.error is error


def test_an_abandoned_inbox_holds_nobody_up() -> None:
    inbox = FrameQueue(live=False, maxsize=1)
    reader = threading.Thread(target=lambda: [inbox.put(frame(i)) for i in range(5)])
    reader.start()
    inbox.discard()
    reader.join(timeout=10)
    assert not reader.is_alive()
    assert isinstance(inbox.get(), EndOfStream)
