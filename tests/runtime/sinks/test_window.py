"""The window, on a virtual screen (Xvfb), with a hand on the keyboard (xdotool)."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest

from cgt.runtime.image.files import read_image
from cgt.runtime.sources.test_pattern import read_counter


@pytest.fixture
def screen(tmp_path: Path) -> Iterator[str]:
    for tool in ("Xvfb", "openbox", "xdotool", "xwd"):
        if shutil.which(tool) is None:
            pytest.skip(f"{tool} is not installed (apt-get install xvfb openbox xdotool x11-apps)")
    if "headless" in cv2.__file__ or "QT" not in cv2.getBuildInformation():
        pytest.skip("this OpenCV has no windows")
    read, write = os.pipe()
    # By default it begins anew when its last client leaves, and turns others away meanwhile.
    size = ["-screen", "0", "800x600x24", "-nolisten", "tcp", "-noreset"]
    server = subprocess.Popen(
        ["Xvfb", "-displayfd", str(write), *size], pass_fds=[write], stderr=subprocess.DEVNULL
    )
    os.close(write)
    with os.fdopen(read) as told:
        name = f":{told.readline().strip()}"
    # On a busy machine without one, Qt 5.15 now and then is not told that its window is on the
    # screen, and paints nothing.
    manager = subprocess.Popen(
        ["openbox", "--sm-disable"], env=os.environ | {"DISPLAY": name}, stderr=subprocess.DEVNULL
    )
    yield name
    for process in (manager, server):
        process.terminate()
        process.wait()


class Viewer:
    """`cgt translate ... -o window` and a user before it."""

    def __init__(self, screen: str, folder: Path, *args: str) -> None:
        self._env = os.environ | {"DISPLAY": screen}
        self._window = ""
        self.process = subprocess.Popen(
            [sys.executable, "-c", "from cgt.cli.main import main; main()", "translate", *args],
            cwd=folder,
            env=self._env,
            stderr=subprocess.PIPE,
            text=True,
        )

    def _x(self, *command: str) -> bytes:
        done = subprocess.run([*command], env=self._env, capture_output=True, check=False)
        return done.stdout

    def find_window(self) -> None:
        """The one that shows something: while Qt begins there are others of that name."""

        def shows() -> bool:
            found = self._x("xdotool", "search", "--name", "^cgt$").decode().split()
            for window in found:
                self._window = window
                if self.picture().max() > 0:
                    return True
            return False

        self.until(shows)

    def until(self, true: Callable[[], object]) -> None:
        deadline = time.monotonic() + 60
        while not true():
            assert self.process.poll() is None, self.process.communicate()
            assert time.monotonic() < deadline
            time.sleep(0.05)

    def press(self, key: str) -> None:
        self._x("xdotool", "key", "--window", self._window, key)

    def picture(self) -> np.ndarray:
        """What the screen shows in the window: uint8 HWC RGB; black before there is one."""
        dump = self._x("xwd", "-silent", "-id", self._window)
        if not dump:
            return np.zeros((180, 320, 3), np.uint8)
        head = np.frombuffer(dump[:100], ">u4")
        size, width, height, stride, colors = (int(head[i]) for i in (0, 4, 5, 12, 19))
        pixels = np.frombuffer(dump[size + 12 * colors :], np.uint8)
        rows = pixels[: stride * height].reshape(height, stride)[:, : 4 * width]
        return rows.reshape(height, width, 4)[:, :, 2::-1]

    def counter(self) -> int | None:
        return read_counter(self.picture())


@pytest.fixture
def viewer(screen: str, tmp_path: Path, tiny_model: Path) -> Iterator[Viewer]:
    source = "test://?size=320x180&fps=20"
    args = ("-o", "window", "-o", "kept.mp4", "--model", str(tiny_model), "--size", "320x180")
    made = Viewer(screen, tmp_path, source, *args)
    yield made
    made.process.kill()
    made.process.communicate()


def test_keys(viewer: Viewer, tmp_path: Path, ffprobe: str) -> None:
    viewer.find_window()
    time.sleep(0.5)
    viewer.press("o")  # the original, whose counter can be read
    viewer.until(lambda: viewer.counter() is not None)
    first = viewer.counter()
    viewer.until(lambda: (viewer.counter() or 0) > first)  # it moves

    viewer.press("space")
    time.sleep(0.5)
    stands = viewer.counter()
    time.sleep(0.5)
    assert viewer.counter() == stands
    viewer.press("s")
    viewer.until(lambda: (tmp_path / "cgt-000.png").exists())
    time.sleep(0.1)
    saved = read_image(tmp_path / "cgt-000.png")
    assert saved is not None
    assert saved.shape == (180, 320, 3)
    assert read_counter(saved) == stands
    viewer.press("space")
    viewer.until(lambda: (viewer.counter() or 0) > stands)

    viewer.press("o")  # split: the original's half of the counter, a white line in the middle
    viewer.until(lambda: (viewer.picture()[20:160, 159:161] > 250).all())
    viewer.press("q")
    _, said = viewer.process.communicate(timeout=60)
    assert viewer.process.returncode == 0, said
    assert "saved cgt-000.png" in said
    facts = subprocess.run(
        [
            *(ffprobe, "-v", "error", "-count_frames", "-show_entries", "stream=nb_read_frames"),
            *("-of", "csv=p=0", str(tmp_path / "kept.mp4")),
        ],
        capture_output=True,
        check=True,
    )
    assert int(facts.stdout) > 10
