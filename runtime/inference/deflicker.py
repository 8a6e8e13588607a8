"""Less flicker from frame to frame: `--deflicker`.

A network whose normalisation statistics are tensors of their own (`--norm stream`) is given those
of the frames before, smoothed: StatisticsCalm. For any other, the translation before is moved
along the optical flow of the input and mixed in: FlowCalm. Both forget at a cut, and neither
learns from frames without content, such as black ones: their statistics would spoil what follows.
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
    """Tells, frame by frame, whether the picture goes on, begins anew or shows nothing."""

    CUT_THRESHOLD = 24.0  # mean difference of thumbnails, of 255
    MIN_CONTRAST = 4.0  # least standard deviation of one
    MAX_LOG_CONTRAST_CHANGE = math.log(1.25)  # of contrast, against that of the frames remembered

    def __init__(self) -> None:
        self._last_thumbnail: F32 | None = None
        self._contrast = 0.0

    def classify(self, image: U8) -> SceneState:
        """image: uint8 HWC RGB, the next frame of the video."""
        step = max(1, min(image.shape[:2]) // 64)
        small = cv2.resize(to_gray(image[::step, ::step]), (32, 32), interpolation=cv2.INTER_AREA)
        thumb = small.astype(np.float32)
        contrast = float(thumb.std())
        if contrast < self.MIN_CONTRAST:
            return "blank"
        last, self._last_thumbnail = self._last_thumbnail, thumb
        if (
            last is None
            or np.abs(thumb - last).mean() > self.CUT_THRESHOLD
            or abs(math.log(contrast / self._contrast)) > self.MAX_LOG_CONTRAST_CHANGE
        ):
            self._contrast = contrast
            return "new"
        self._contrast += 0.1 * (contrast - self._contrast)
        return "same"


class StatisticsSmoother:
    """The memory of a network with statistics. For one thread, frames in order.

    weight: of the past, in [0, 1].
    """

    def __init__(self, weight: float) -> None:
        self._weight = weight
        self._scene_detector = SceneDetector()
        self._statistics: F32 | None = None
        self._has_content = True

    def fill(self, image: U8, statistics_in: F32) -> None:
        """Fill the network's statistics, N,S: what it shall know of the past."""
        scene = self._scene_detector.classify(image)
        self._has_content = scene != "blank"
        if self._statistics is None or scene == "new":
            statistics_in[...] = 0.0
            return
        statistics_in[...] = self._statistics
        statistics_in[:, 0] = self._weight if self._has_content else 1.0

    def update(self, statistics_out: F32) -> None:
        """used: the statistics that the network answered with."""
        if self._has_content:
            self._statistics = statistics_out.copy()


class FlowSmoother:
    """Mixes each translation with the one before, moved to where things are now. Frames in order.

    weight: of the past, in [0, 1], where the input moved as the flow says; less elsewhere.
    """

    TOLERANCE_LEVELS = (
        12.0  # levels of input by which a moved pixel may differ before it counts e^-1
    )

    def __init__(self, weight: float) -> None:
        self._weight = weight
        self._scene_detector = SceneDetector()
        self._flow = OpticalFlow(cv2.DISOPTICAL_FLOW_PRESET_ULTRAFAST)
        self._previous: tuple[U8, U8] | None = None  # input in gray, output

    def __call__(self, image: U8, translated: U8) -> U8:
        """image: the frame; translated: what the network made of it. uint8 HWC RGB."""
        scene = self._scene_detector.classify(image)
        now = to_gray(resize(image, (translated.shape[0], translated.shape[1])))
        if self._previous is not None and scene == "same":
            before, output = self._previous
            if output.shape == translated.shape:
                translated = self._blend(before, now, output, translated)
        self._previous = (now, translated) if scene != "blank" else None
        return translated

    def _blend(
        self, previous_gray: U8, current_gray: U8, previous_output: U8, translated: U8
    ) -> U8:
        flow = self._flow.backward_flow(previous_gray, current_gray)
        wrong = cv2.absdiff(self._flow.warp(previous_gray, flow), current_gray).astype(np.float32)
        past = self._weight * np.exp(-((wrong / self.TOLERANCE_LEVELS) ** 2))
        mixed = cv2.blendLinear(self._flow.warp(previous_output, flow), translated, past, 1 - past)
        return mixed.astype(np.uint8, copy=False)
