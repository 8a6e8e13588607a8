"""A window, by OpenCV."""

from __future__ import annotations

import itertools
import os
import subprocess
import sys
import time
from pathlib import Path

from ..errors import MissingDependency
from ..images import encode_image
from ..notes import note
from ..opencv import cv2
from ..pace import Pace
from ..preprocess import U8
from ..stopping import asked_to_stop
from ..views import VIEWS, View, compose
from .base import Result, Sink, StreamFormat

TITLE = "cgt"
_PLAIN = cv2.WINDOW_NORMAL | cv2.WINDOW_KEEPRATIO | cv2.WINDOW_GUI_NORMAL  # no tool bar
_POLL = 0.02  # seconds between looks at the keyboard
_QUIET = {"QT_LOGGING_RULES": "*.warning=false"}  # Qt's words on fonts


class WindowSink(Sink):
    """Shows results at the stream's pace. Keys: q or Escape ends the run, space pauses it,
    s saves the picture as PNG in the working folder, o goes through translated, original, split
    and side by side. Raises MissingDependency where no window opens."""

    name = "window"

    def __init__(self, stream: StreamFormat, view: View = "translated") -> None:
        _try_window()
        os.environ |= _QUIET
        self._view = view
        self._pace = None if stream.live else Pace()
        self._ended = self._paused = self._open = False
        self._aspect = float(stream.aspect)
        self._result: Result | None = None

    @property
    def ended(self) -> bool:
        return self._ended

    def write(self, result: Result) -> None:
        if self._ended:
            return
        self._result = result
        self._show()
        if self._pace is None:
            self._look(0)
        elif (early := self._pace.due(result.frame.time) - time.perf_counter()) > 0:
            self._look(early)
        while self._paused and not self._ended and not asked_to_stop():
            self._look(_POLL)
            self._pace = Pace() if self._pace else None  # time stood still

    def _picture(self) -> U8:
        assert self._result is not None
        return compose(self._result.frame.image, self._result.image, self._view)

    def _show(self) -> None:
        image = self._picture()
        if not self._open:
            self._open = True
            cv2.namedWindow(TITLE, _PLAIN)
            self._resize(image)
        cv2.imshow(TITLE, cv2.cvtColor(image, cv2.COLOR_RGB2BGR))

    def _resize(self, image: U8) -> None:
        """To the shape that the picture is meant to have."""
        height, width = image.shape[:2]
        cv2.resizeWindow(TITLE, round(width * self._aspect), height)

    def _look(self, seconds: float) -> None:
        """At the keyboard, for that long."""
        until = time.perf_counter() + seconds
        while not self._ended:
            left = max(0.001, min(_POLL, until - time.perf_counter()))
            self._press(cv2.waitKey(max(1, round(left * 1000))))
            if cv2.getWindowProperty(TITLE, cv2.WND_PROP_VISIBLE) < 1:
                self._ended = True
            if time.perf_counter() >= until or asked_to_stop():
                return

    def _press(self, code: int) -> None:
        key = chr(code & 0xFF).lower() if code >= 0 else ""
        if key in ("q", "\x1b"):
            self._ended = True
        elif key == " ":
            self._paused = not self._paused
        elif key == "s":
            self._snapshot()
        elif key == "o":
            shown = self._picture().shape
            self._view = VIEWS[(VIEWS.index(self._view) + 1) % len(VIEWS)]
            self._show()
            if self._picture().shape != shown:
                self._resize(self._picture())

    def _snapshot(self) -> None:
        names = (Path(f"cgt-{number:03d}.png") for number in itertools.count())
        path = next(name for name in names if not name.exists())
        data = encode_image(self._picture(), ".png")
        assert data is not None
        try:
            path.write_bytes(data)
            note(f"saved {path}")
        except OSError as error:
            note(f"cannot save {path}: {error.strerror}")

    def finish(self) -> None:
        self.close()

    def close(self) -> None:
        if self._open:
            cv2.destroyWindow(TITLE)
            cv2.waitKey(1)
        self._open = False


def _try_window() -> None:
    """Qt ends the whole process where it finds no screen: so another process tries first (under
    another title: whoever looks for our window shall not find this one, which goes at once)."""
    done = subprocess.run(
        [sys.executable, "-c", f"import cv2; cv2.namedWindow('{TITLE}?', cv2.WINDOW_NORMAL)"],
        env=os.environ | _QUIET,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode == 0:
        return
    if "The function is not implemented" in done.stderr:
        raise MissingDependency(
            "this OpenCV has no windows; pip uninstall opencv-python-headless, then "
            "pip install opencv-python (and apt-get install libgl1 libglib2.0-0)"
        )
    screen = os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")
    where = f"the screen {screen} cannot be reached" if screen else "there is no screen"
    raise MissingDependency(f"window does not open: {where}; set DISPLAY, or use ssh -X")
