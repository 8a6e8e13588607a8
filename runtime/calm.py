"""Less flicker from frame to frame: `--calm`.

A network whose normalisation statistics are tensors of their own (`--norm stream`) is given those
of the frames before, smoothed: StatisticsCalm. For any other, the translation before is moved
along the optical flow of the input and mixed in: FlowCalm. Both forget at a cut, and neither
learns from frames without content, such as black ones: their statistics would spoil what follows.
"""

from __future__ import annotations

import math
from typing import Literal

import numpy as np

from .opencv import cv2
from .preprocess import F32, U8, resize
from .warping import Flow, gray

Scene = Literal["blank", "new", "same"]


class Scenes:
    """Tells, frame by frame, whether the picture goes on, begins anew or shows nothing."""

    CUT = 24.0  # mean difference of thumbnails, of 255
    CONTENT = 4.0  # least standard deviation of one
    FADE = math.log(1.25)  # of contrast, against that of the frames remembered

    def __init__(self) -> None:
        self._last: F32 | None = None
        self._contrast = 0.0

    def look(self, image: U8) -> Scene:
        """image: uint8 HWC RGB, the next frame of the video."""
        step = max(1, min(image.shape[:2]) // 64)
        small = cv2.resize(gray(image[::step, ::step]), (32, 32), interpolation=cv2.INTER_AREA)
        thumb = small.astype(np.float32)
        contrast = float(thumb.std())
        if contrast < self.CONTENT:
            return "blank"
        last, self._last = self._last, thumb
        if (
            last is None
            or np.abs(thumb - last).mean() > self.CUT
            or abs(math.log(contrast / self._contrast)) > self.FADE
        ):
            self._contrast = contrast
            return "new"
        self._contrast += 0.1 * (contrast - self._contrast)
        return "same"


class StatisticsCalm:
    """The memory of a network with statistics. For one thread, frames in order.

    weight: of the past, in [0, 1].
    """

    def __init__(self, weight: float) -> None:
        self._weight = weight
        self._scenes = Scenes()
        self._kept: F32 | None = None
        self._learn = True

    def before(self, image: U8, given: F32) -> None:
        """Fill the network's statistics, N,S: what it shall know of the past."""
        scene = self._scenes.look(image)
        self._learn = scene != "blank"
        if self._kept is None or scene == "new":
            given[...] = 0.0
            return
        given[...] = self._kept
        given[:, 0] = self._weight if self._learn else 1.0

    def after(self, used: F32) -> None:
        """used: the statistics that the network answered with."""
        if self._learn:
            self._kept = used.copy()


class FlowCalm:
    """Mixes each translation with the one before, moved to where things are now. Frames in order.

    weight: of the past, in [0, 1], where the input moved as the flow says; less elsewhere.
    """

    TOLERANCE = 12.0  # levels of input by which a moved pixel may differ before it counts e^-1

    def __init__(self, weight: float) -> None:
        self._weight = weight
        self._scenes = Scenes()
        self._flow = Flow(cv2.DISOPTICAL_FLOW_PRESET_ULTRAFAST)
        self._before: tuple[U8, U8] | None = None  # input in gray, output

    def __call__(self, image: U8, translated: U8) -> U8:
        """image: the frame; translated: what the network made of it. uint8 HWC RGB."""
        scene = self._scenes.look(image)
        now = gray(resize(image, (translated.shape[0], translated.shape[1])))
        if self._before is not None and scene == "same":
            before, output = self._before
            if output.shape == translated.shape:
                translated = self._mixed(before, now, output, translated)
        self._before = (now, translated) if scene != "blank" else None
        return translated

    def _mixed(self, before: U8, now: U8, output: U8, translated: U8) -> U8:
        flow = self._flow.backward(before, now)
        wrong = cv2.absdiff(self._flow.warp(before, flow), now).astype(np.float32)
        past = self._weight * np.exp(-((wrong / self.TOLERANCE) ** 2))
        mixed = cv2.blendLinear(self._flow.warp(output, flow), translated, past, 1 - past)
        return mixed.astype(np.uint8, copy=False)
