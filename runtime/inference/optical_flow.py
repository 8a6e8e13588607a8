"""Optical flow, warping, and the warping error of a translated video.

The warping error measures temporal consistency, as in Lai et al., "Learning Blind Video Temporal
Consistency" (ECCV 2018), section 4. The output of one frame, warped along the optical flow of the
input, is compared with the output of the next frame where both show the same content. The flow is
DIS (Kroeger et al. 2016). Occlusions are detected as in Ruder et al. (2016): where forward and
backward flow disagree, and at motion boundaries.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..image.channels import convert_channels
from ..image.opencv import cv2
from ..image.preprocess import F32, U8

Mask = NDArray[np.bool_]


class OpticalFlow:
    """Dense optical flow by DIS. It has work buffers, so use one instance per thread."""

    def __init__(self, preset: int = cv2.DISOPTICAL_FLOW_PRESET_FAST) -> None:
        self._dis: Any = cv2.DISOpticalFlow.create(preset)
        self._grid: Any = None

    def backward_flow(self, previous: U8, current: U8) -> F32:
        """Compute the flow from the current frame to the previous one.

        Args:
            previous: uint8 HW, grayscale.
            current: uint8 HW, grayscale.

        Returns:
            float32 H,W,2: (x, y) offset in pixels to the position in `previous`.
        """
        flow: F32 = self._dis.calc(current, previous, None)
        return flow

    def warp(self, image: NDArray[Any], flow: F32) -> NDArray[Any]:
        """Warp the previous image to the current frame; pixels beyond the edges repeat the edge."""
        height, width = flow.shape[:2]
        if self._grid is None or self._grid.shape[:2] != (height, width):
            x, y = np.meshgrid(np.arange(width), np.arange(height))
            self._grid = np.stack([x, y], -1).astype(np.float32)
        remap: Any = cv2.remap  # its annotations require a second map
        warped: NDArray[Any] = remap(
            image, flow + self._grid, None, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE
        )
        return warped.reshape(image.shape)  # OpenCV drops a single channel


def to_gray(image: U8) -> U8:
    """Convert uint8 HWC with 1, 3 or 4 channels to uint8 HW grayscale."""
    return convert_channels(image, 1)[..., 0]


def visibility_mask(flow: OpticalFlow, backward: F32, forward: F32) -> Mask:
    """Return where the pixels of the current frame are visible in the previous one.

    Args:
        flow: used for warping.
        backward: flow from the current frame to the previous one, H,W,2.
        forward: flow from the previous frame to the current one, H,W,2.

    Returns:
        bool H,W.
    """
    warped = flow.warp(forward, backward)
    mismatch = ((warped + backward) ** 2).sum(-1)
    magnitude = (warped**2).sum(-1) + (backward**2).sum(-1)
    dx, dy = np.gradient(backward, axis=(1, 0))
    gradient = (dx**2).sum(-1) + (dy**2).sum(-1)
    consistent = mismatch <= 0.01 * magnitude + 0.5
    visible: Mask = consistent & (gradient <= 0.01 * (backward**2).sum(-1) + 0.002)
    return visible


class WarpingErrorMeter:
    """Mean warping error of a video; call `update` for each frame and its translation."""

    def __init__(self) -> None:
        self._flow = OpticalFlow(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
        self._previous: tuple[U8, U8] | None = None
        self._sum, self._pairs = 0.0, 0

    def update(self, image: U8, translated: U8) -> None:
        """Add the next frame and its translation, uint8 HWC RGB of the same size."""
        if self._previous is not None:
            previous_input, previous_output = self._previous
            self._sum += warping_error(
                self._flow, previous_input, image, previous_output, translated
            )
            self._pairs += 1
        self._previous = image, translated

    def start_scene(self) -> None:
        """Do not compare the next frame with the previous one."""
        self._previous = None

    @property
    def mean(self) -> float:
        """Mean warping error over pairs of frames; see `warping_error`."""
        return self._sum / self._pairs if self._pairs else 0.0


def warping_error(
    flow: OpticalFlow,
    previous_input: U8,
    current_input: U8,
    previous_output: U8,
    current_output: U8,
) -> float:
    """Compute the warping error of two consecutive frames, uint8 HWC RGB of one size.

    Returns:
        Mean squared difference of values in [0, 1] over visible pixels; 0 if no pixel is visible.
    """
    previous, current = to_gray(previous_input), to_gray(current_input)
    backward, forward = flow.backward_flow(previous, current), flow.backward_flow(current, previous)
    visible = visibility_mask(flow, backward, forward)
    if not visible.any():
        return 0.0
    warped = flow.warp(previous_output.astype(np.float32), backward)
    difference = current_output.astype(np.float32) - warped
    return float((difference[visible] ** 2).mean() / 255**2)
