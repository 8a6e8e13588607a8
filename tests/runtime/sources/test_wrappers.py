"""Limits on the number, duration and rate of frames."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction

import numpy as np
import pytest

from cgt.runtime.sources import Frame, Packet
from cgt.runtime.sources.wrappers import limit_fps, limit_frames
from cgt.runtime.utils.stats import Stats

IMAGE = np.zeros((2, 2, 3), np.uint8)


def frames(count: int, rate: int = 25) -> Iterator[Frame | Packet]:
    for index in range(count):
        yield Frame(IMAGE, Fraction(index, rate))


def test_limit_frames() -> None:
    assert len(list(limit_frames(frames(9), frames=4))) == 4
    assert len(list(limit_frames(frames(9), frames=0))) == 0
    assert len(list(limit_frames(frames(9), duration=0.12))) == 3
    assert len(list(limit_frames(frames(9)))) == 9


@pytest.mark.parametrize(("rate", "max_fps", "kept"), [(30, 10, 10), (30, 20, 20), (30, 30, 30),
                                                    (30, 60, 30), (24, 10, 10)])  # fmt: skip
def test_max_fps_is_a_rate_and_not_every_nth(rate: int, max_fps: float, kept: int) -> None:
    stats = Stats()
    got = list(limit_fps(frames(rate, rate), max_fps, stats))
    assert len(got) == kept
    assert stats.skipped == rate - kept


def test_max_fps_does_not_catch_up_after_a_pause() -> None:
    times = [0, 1, 2, 100, 101, 102, 103]
    items = [Frame(IMAGE, Fraction(t, 10)) for t in times]
    assert [float(f.time) for f in limit_fps(items, 5, Stats())] == [0, 0.2, 10, 10.2]


def test_max_fps_keeps_packets() -> None:
    items = [Packet(0, None), *frames(3), Packet(0, None)]
    assert sum(isinstance(item, Packet) for item in limit_fps(items, 1, Stats())) == 2
