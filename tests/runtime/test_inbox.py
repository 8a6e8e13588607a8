"""The queue of one in front of a live engine, without a clock."""

from __future__ import annotations

import threading
from fractions import Fraction

import numpy as np

from cgt.runtime.inbox import Ended, Inbox
from cgt.runtime.sources import Frame, Packet


def frame(number: int) -> Frame:
    return Frame(np.zeros((2, 2, 3), np.uint8), Fraction(number), name=str(number))


def test_live_the_newest_frame_wins() -> None:
    inbox = Inbox(live=True)
    assert [inbox.put(frame(i)) for i in range(4)] == [0, 1, 1, 1]
    taken = inbox.take()
    assert isinstance(taken, Frame)
    assert taken.name == "3"
    assert inbox.put(frame(4)) == 0


def test_live_packets_stay() -> None:
    inbox = Inbox(live=True)
    for item in (Packet(0, "a"), frame(0), Packet(0, "b"), frame(1), Packet(0, "c")):
        inbox.put(item)
    inbox.end()
    taken = [inbox.take() for _ in range(5)]
    assert [t.packet if isinstance(t, Packet) else t.name for t in taken[:4]] == list("ab1c")
    assert isinstance(taken[4], Ended)


def test_every_frame_of_a_file_waits_its_turn() -> None:
    inbox, dropped = Inbox(live=False, room=2), []
    reader = threading.Thread(target=lambda: dropped.extend(inbox.put(frame(i)) for i in range(9)))
    reader.start()
    assert [inbox.take().name for _ in range(9)] == [str(i) for i in range(9)]
    reader.join()
    assert not any(dropped)


def test_the_end_reaches_every_worker_after_the_frames() -> None:
    inbox, error = Inbox(live=False), OSError("why")
    inbox.put(frame(0))
    inbox.end(error)
    inbox.end()
    assert inbox.put(frame(1)) == 0  # too late
    assert isinstance(inbox.take(), Frame)
    for _ in range(2):
        ended = inbox.take()
        assert isinstance(ended, Ended)
        assert ended.error is error


def test_an_abandoned_inbox_holds_nobody_up() -> None:
    inbox = Inbox(live=False, room=1)
    reader = threading.Thread(target=lambda: [inbox.put(frame(i)) for i in range(5)])
    reader.start()
    inbox.abandon()
    reader.join(timeout=10)
    assert not reader.is_alive()
    assert isinstance(inbox.take(), Ended)
