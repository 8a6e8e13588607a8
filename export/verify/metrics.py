"""Image quality metrics on values in [-1, 1]."""

from __future__ import annotations

import math


def psnr_from_mse(mean_squared_error: float) -> float:
    """Return the PSNR in dB for values in [-1, 1] (peak to peak 2).

    Equal images give 200 dB, NaN and infinity 0 dB.
    """
    if not math.isfinite(mean_squared_error):
        return 0.0
    return 10 * math.log10(4 / max(mean_squared_error, 4e-20))
