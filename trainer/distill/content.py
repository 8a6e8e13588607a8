"""Which pictures show anything."""

from __future__ import annotations

from cgt.runtime.preprocess import F32

MIN_CHANNEL_STD = 0.01  # deviation of a channel, of values in [-1, 1]


def is_not_blank(view: F32) -> bool:
    """3,H,W in [-1, 1]. An InstanceNorm makes of any other picture whatever rounding left, 300
    times as large: the same teacher gives other answers to it in another precision."""
    return bool(view.std((1, 2)).max() > MIN_CHANNEL_STD)
