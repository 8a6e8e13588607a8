"""Window sink with keyboard control, by OpenCV."""

from __future__ import annotations

import itertools
import os
import subprocess
import sys
import time
from pathlib import Path

from ..errors import MissingDependency
from ..image.compose import VIEW_MODES, ViewMode, compose_view
from ..image.files import encode_image
from ..image.opencv import cv2
from ..image.preprocess import U8
from ..utils.log import warn_user
from ..utils.pacer import Pacer
from ..utils.signals import stop_requested
from .base import Sink, StreamFormat, TranslatedFrame

WINDOW_TITLE = "cgt"
_WINDOW_FLAGS = (
    cv2.WINDOW_NORMAL | cv2.WINDOW_KEEPRATIO | cv2.WINDOW_GUI_NORMAL
)  # without a toolbar
_POLL_INTERVAL_S = 0.02
_QUIET_ENVIRONMENT = {"QT_LOGGING_RULES": "*.warning=false"}  # Qt's font warnings


class WindowSink(Sink):
    """Window that shows results in real time.

    Keys: q or Escape ends the run, space pauses it, s saves the shown image as PNG in the working
    folder, o switches between translated, original, split and side by side.

    Args:
        stream: The format of the frames.
        view: The initial view.

    Raises:
        MissingDependency: No window can be opened.
    """

    name = "window"

    def __init__(self, stream: StreamFormat, view: ViewMode = "translated") -> None:
        _check_window_support()
        os.environ |= _QUIET_ENVIRONMENT
        self._view = view
        self._pacer = None if stream.live else Pacer()
        self._closed_by_user = self._paused = self._is_open = False
        self._sample_aspect_ratio = float(stream.sample_aspect_ratio)
        self._result: TranslatedFrame | None = None

    @property
    def closed_by_user(self) -> bool:
        return self._closed_by_user

    def write(self, result: TranslatedFrame) -> None:
        if self._closed_by_user:
            return
        self._result = result
        self._show()
        if self._pacer is None:
            self._poll_keyboard(0)
        elif (wait_s := self._pacer.due_time(result.source_frame.time) - time.perf_counter()) > 0:
            self._poll_keyboard(wait_s)
        while self._paused and not self._closed_by_user and not stop_requested():
            self._poll_keyboard(_POLL_INTERVAL_S)
            self._pacer = Pacer() if self._pacer else None  # the pause must not count

    def _composed_image(self) -> U8:
        assert self._result is not None
        return compose_view(self._result.source_frame.image, self._result.image, self._view)

    def _show(self) -> None:
        image = self._composed_image()
        if not self._is_open:
            self._is_open = True
            cv2.namedWindow(WINDOW_TITLE, _WINDOW_FLAGS)
            self._resize_window(image)
        cv2.imshow(WINDOW_TITLE, cv2.cvtColor(image, cv2.COLOR_RGB2BGR))

    def _resize_window(self, image: U8) -> None:
        """Resize the window to the display aspect ratio of the image."""
        height, width = image.shape[:2]
        cv2.resizeWindow(WINDOW_TITLE, round(width * self._sample_aspect_ratio), height)

    def _poll_keyboard(self, seconds: float) -> None:
        """Handle keys for `seconds`, and at least once."""
        deadline = time.perf_counter() + seconds
        while not self._closed_by_user:
            wait_s = max(0.001, min(_POLL_INTERVAL_S, deadline - time.perf_counter()))
            self._handle_key(cv2.waitKey(max(1, round(wait_s * 1000))))
            if cv2.getWindowProperty(WINDOW_TITLE, cv2.WND_PROP_VISIBLE) < 1:
                self._closed_by_user = True
            if time.perf_counter() >= deadline or stop_requested():
                return

    def _handle_key(self, code: int) -> None:
        key = chr(code & 0xFF).lower() if code >= 0 else ""
        if key in ("q", "\x1b"):
            self._closed_by_user = True
        elif key == " ":
            self._paused = not self._paused
        elif key == "s":
            self._save_snapshot()
        elif key == "o":
            previous_shape = self._composed_image().shape
            self._view = VIEW_MODES[(VIEW_MODES.index(self._view) + 1) % len(VIEW_MODES)]
            self._show()
            if self._composed_image().shape != previous_shape:
                self._resize_window(self._composed_image())

    def _save_snapshot(self) -> None:
        names = (Path(f"cgt-{number:03d}.png") for number in itertools.count())
        path = next(name for name in names if not name.exists())
        data = encode_image(self._composed_image(), ".png", label=True)
        assert data is not None
        try:
            path.write_bytes(data)
            warn_user(f"saved {path}")
        except OSError as error:
            warn_user(f"cannot save {path}: {error.strerror}")

    def finish(self) -> None:
        self.close()

    def close(self) -> None:
        if self._is_open:
            cv2.destroyWindow(WINDOW_TITLE)
            cv2.waitKey(1)
        self._is_open = False


def _check_window_support() -> None:
    # Qt aborts the process if there is no screen, so another process tries first. Its window has
    # another title, so that nothing mistakes it for the window of this process.
    done = subprocess.run(
        [
            sys.executable,
            "-c",
            f"import cv2; cv2.namedWindow('{WINDOW_TITLE}?', cv2.WINDOW_NORMAL)",
        ],
        env=os.environ | _QUIET_ENVIRONMENT,
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
