"""Temporal smoothing that reduces flicker (`--deflicker`).

For a network whose normalization statistics are tensors (exported with `--norm stream`),
StatisticsSmoother feeds back smoothed statistics of earlier frames. For any other network,
FlowSmoother warps the previous output along the optical flow of the input and blends it in. Both
start again at a scene change. Both ignore blank frames, such as black ones, whose statistics would
spoil the following frames.
"""

from __future__ import annotations

import math
from typing import Literal

import numpy as np

from ..image.opencv import cv2
from ..image.preprocess import F32, U8, resize
from .optical_flow import OpticalFlow, to_gray

SceneState = Literal["blank", "new", "same"]


class SceneDetector:
    """Classifies each frame: blank, first of a new scene, or same scene as the previous frame."""

    CUT_THRESHOLD = 24.0  # mean absolute difference of thumbnails, in levels of 255
    MIN_CONTRAST = 4.0  # standard deviation of a thumbnail that is not blank
    MAX_LOG_CONTRAST_CHANGE = math.log(1.25)  # against the running mean of the scene

    def __init__(self) -> None:
        self._last_thumbnail: F32 | None = None
        self._contrast = 0.0

    def classify(self, image: U8) -> SceneState:
        """Classify the next frame of a video, uint8 HWC RGB."""
        step = max(1, min(image.shape[:2]) // 64)
        small = cv2.resize(to_gray(image[::step, ::step]), (32, 32), interpolation=cv2.INTER_AREA)
        thumbnail = small.astype(np.float32)
        contrast = float(thumbnail.std())
        if contrast < self.MIN_CONTRAST:
            return "blank"
        last, self._last_thumbnail = self._last_thumbnail, thumbnail
        if (
            last is None
            or np.abs(thumbnail - last).mean() > self.CUT_THRESHOLD
            or abs(math.log(contrast / self._contrast)) > self.MAX_LOG_CONTRAST_CHANGE
        ):
            self._contrast = contrast
            return "new"
        self._contrast += 0.1 * (contrast - self._contrast)
        return "same"


class StatisticsSmoother:
    """Smooths the statistics of a network over frames. For one thread, frames in order.

    Args:
        weight: weight of the past, 0 to 1.
    """

    def __init__(self, weight: float) -> None:
        self._weight = weight
        self._scene_detector = SceneDetector()
        self._statistics: F32 | None = None
        self._has_content = True

    def fill(self, image: U8, statistics_in: F32) -> None:
        """Fill the float32 N,S statistics for a frame before the network runs."""
        scene = self._scene_detector.classify(image)
        self._has_content = scene != "blank"
        if self._statistics is None or scene == "new":
            statistics_in[...] = 0.0
            return
        statistics_in[...] = self._statistics
        statistics_in[:, 0] = self._weight if self._has_content else 1.0

    def update(self, statistics_out: F32) -> None:
        """Remember the statistics that the network used."""
        if self._has_content:
            self._statistics = statistics_out.copy()


class FlowSmoother:
    """Blends each output with the warped previous output. For one thread, frames in order.

    Args:
        weight: weight of the past, 0 to 1, where the optical flow explains the input; less
            elsewhere.
    """

    TOLERANCE_LEVELS = 12.0  # error of the warped input, of 255, that reduces the weight by e

    def __init__(self, weight: float) -> None:
        self._weight = weight
        self._scene_detector = SceneDetector()
        self._flow = OpticalFlow(cv2.DISOPTICAL_FLOW_PRESET_ULTRAFAST)
        self._previous: tuple[U8, U8] | None = None  # input in gray, output

    def __call__(self, image: U8, translated: U8) -> U8:
        """Return the smoothed output for a frame and its translation, both uint8 HWC."""
        scene = self._scene_detector.classify(image)
        gray = to_gray(resize(image, (translated.shape[0], translated.shape[1])))
        if self._previous is not None and scene == "same":
            previous_gray, previous_output = self._previous
            if previous_output.shape == translated.shape:
                translated = self._blend(previous_gray, gray, previous_output, translated)
        self._previous = (gray, translated) if scene != "blank" else None
        return translated

    def _blend(
        self, previous_gray: U8, current_gray: U8, previous_output: U8, translated: U8
    ) -> U8:
        flow = self._flow.backward_flow(previous_gray, current_gray)
        error = cv2.absdiff(self._flow.warp(previous_gray, flow), current_gray).astype(np.float32)
        weight = self._weight * np.exp(-((error / self.TOLERANCE_LEVELS) ** 2))
        warped = self._flow.warp(previous_output, flow)
        blended = cv2.blendLinear(warped, translated, weight, 1 - weight)
        return blended.astype(np.uint8, copy=False).reshape(translated.shape)
