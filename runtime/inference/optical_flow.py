"""How steady a translated video is, by the flow of the video it came from.

The warping error of Lai et al., "Learning Blind Video Temporal Consistency" (ECCV 2018), section
4: the translation of one frame, moved along the optical flow of the input, is compared with the
translation of the next where the two show the same thing. Flow is DIS (Kroeger et al. 2016);
occlusions are found as in Ruder et al. (2016): where flow forth and back disagree, and at motion
boundaries.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..image.opencv import cv2
from ..image.preprocess import F32, U8

Mask = NDArray[np.bool_]


class OpticalFlow:
    """Dense optical flow by DIS. Holds work space: one thread's."""

    def __init__(self, preset: int = cv2.DISOPTICAL_FLOW_PRESET_FAST) -> None:
        self._dis: Any = cv2.DISOpticalFlow.create(preset)
        self._grid: Any = None

    def backward_flow(self, previous: U8, current: U8) -> F32:
        """before, after: uint8 HW gray. H,W,2 float32 (x, y): where each pixel of `after` was."""
        flow: F32 = self._dis.calc(current, previous, None)
        return flow

    def warp(self, image: NDArray[Any], flow: F32) -> NDArray[Any]:
        """The image before, moved to where things are after. Edges repeat."""
        height, width = flow.shape[:2]
        if self._grid is None or self._grid.shape[:2] != (height, width):
            x, y = np.meshgrid(np.arange(width), np.arange(height))
            self._grid = np.stack([x, y], -1).astype(np.float32)
        remap: Any = cv2.remap  # whose annotations want a second map
        warped: NDArray[Any] = remap(
            image, flow + self._grid, None, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE
        )
        return warped


def to_gray(image: U8) -> U8:
    """uint8 HWC RGB to uint8 HW."""
    return cv2.cvtColor(image, cv2.COLOR_RGB2GRAY).astype(np.uint8, copy=False)


def visibility_mask(flow: OpticalFlow, backward: F32, forward: F32) -> Mask:
    """Where a pixel of the later frame was in sight in the earlier one.

    back, forth: flow from the later frame to the earlier and the reverse, H,W,2.
    """
    warped = flow.warp(forward, backward)
    disagree = ((warped + backward) ** 2).sum(-1)
    size = (warped**2).sum(-1) + (backward**2).sum(-1)
    dx, dy = np.gradient(backward, axis=(1, 0))
    edges = (dx**2).sum(-1) + (dy**2).sum(-1)
    seen: Mask = (disagree <= 0.01 * size + 0.5) & (edges <= 0.01 * (backward**2).sum(-1) + 0.002)
    return seen


class WarpingErrorMeter:
    """Mean warping error of a video, frame by frame: `add` each input and its translation."""

    def __init__(self) -> None:
        self._flow = OpticalFlow(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
        self._previous: tuple[U8, U8] | None = None
        self._sum, self._pairs = 0.0, 0

    def update(self, image: U8, translated: U8) -> None:
        """image, translated: uint8 HWC RGB of one size, in the video's order."""
        if self._previous is not None:
            before, earlier = self._previous
            self._sum += warping_error(self._flow, before, image, earlier, translated)
            self._pairs += 1
        self._previous = image, translated

    def start_scene(self) -> None:
        """What follows is another scene."""
        self._previous = None

    @property
    def mean(self) -> float:
        """Mean squared difference of values in [0, 1], over pairs of frames."""
        return self._sum / self._pairs if self._pairs else 0.0


def warping_error(
    flow: OpticalFlow,
    previous_input: U8,
    current_input: U8,
    previous_output: U8,
    current_output: U8,
) -> float:
    """before, after: two frames of the input; earlier, later: of the output. uint8 HWC RGB of one
    size. Mean squared difference of values in [0, 1] where nothing is hidden; 0 if all is."""
    first, second = to_gray(previous_input), to_gray(current_input)
    back, forth = flow.backward_flow(first, second), flow.backward_flow(second, first)
    seen = visibility_mask(flow, back, forth)
    if not seen.any():
        return 0.0
    difference = current_output.astype(np.float32) - flow.warp(
        previous_output.astype(np.float32), back
    )
    return float((difference[seen] ** 2).mean() / 255**2)
