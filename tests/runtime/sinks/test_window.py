"""Window sink on a virtual screen (Xvfb), with simulated keys (xdotool)."""

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
    # By default Xvfb resets when its last client exits, and rejects others meanwhile.
    size = ["-screen", "0", "800x600x24", "-nolisten", "tcp", "-noreset"]
    server = subprocess.Popen(
        ["Xvfb", "-displayfd", str(write), *size], pass_fds=[write], stderr=subprocess.DEVNULL
    )
    os.close(write)
    with os.fdopen(read) as display_pipe:
        name = f":{display_pipe.readline().strip()}"
    # Without a window manager, Qt 5.15 on a busy machine sometimes misses that its window is
    # mapped, and paints nothing.
    manager = subprocess.Popen(
        ["openbox", "--sm-disable"], env=os.environ | {"DISPLAY": name}, stderr=subprocess.DEVNULL
    )
    yield name
    for process in (manager, server):
        process.terminate()
        process.wait()


class Viewer:
    """`cgt translate ... -o window` with a simulated user."""

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

    def _run_x11_tool(self, *command: str) -> bytes:
        done = subprocess.run([*command], env=self._env, capture_output=True, check=False)
        return done.stdout

    def find_window(self) -> None:
        """Find the window that shows frames; at startup Qt has others of the same title."""

        def shows_frames() -> bool:
            windows = self._run_x11_tool("xdotool", "search", "--name", "^cgt$").decode().split()
            for window in windows:
                self._window = window
                if self.screenshot().max() > 0:
                    return True
            return False

        self.wait_until(shows_frames)

    def wait_until(self, condition: Callable[[], object]) -> None:
        deadline = time.monotonic() + 60
        while not condition():
            assert self.process.poll() is None, self.process.communicate()
            assert time.monotonic() < deadline
            time.sleep(0.05)

    def press_key(self, key: str) -> None:
        self._run_x11_tool("xdotool", "key", "--window", self._window, key)

    def screenshot(self) -> np.ndarray:
        """Capture the window, uint8 HWC RGB; black if there is none."""
        dump = self._run_x11_tool("xwd", "-silent", "-id", self._window)
        if not dump:
            return np.zeros((180, 320, 3), np.uint8)
        header = np.frombuffer(dump[:100], ">u4")
        size, width, height, stride, colors = (int(header[i]) for i in (0, 4, 5, 12, 19))
        pixels = np.frombuffer(dump[size + 12 * colors :], np.uint8)
        rows = pixels[: stride * height].reshape(height, stride)[:, : 4 * width]
        return rows.reshape(height, width, 4)[:, :, 2::-1]

    def counter(self) -> int | None:
        return read_counter(self.screenshot())


@pytest.fixture
def viewer(screen: str, tmp_path: Path, tiny_model: Path) -> Iterator[Viewer]:
    source = "test://?size=320x180&fps=20"
    args = ("-o", "window", "-o", "kept.mp4", "--model", str(tiny_model), "--size", "320x180")
    viewer = Viewer(screen, tmp_path, source, *args)
    yield viewer
    viewer.process.kill()
    viewer.process.communicate()


def test_keyboard_control(viewer: Viewer, tmp_path: Path, ffprobe: str) -> None:
    viewer.find_window()
    time.sleep(0.5)
    viewer.press_key("o")  # the original, whose counter is readable
    viewer.wait_until(lambda: viewer.counter() is not None)
    first = viewer.counter()
    viewer.wait_until(lambda: (viewer.counter() or 0) > first)  # it plays

    viewer.press_key("space")
    time.sleep(0.5)
    paused_at = viewer.counter()
    time.sleep(0.5)
    assert viewer.counter() == paused_at
    viewer.press_key("s")
    viewer.wait_until(lambda: (tmp_path / "cgt-000.png").exists())
    time.sleep(0.1)
    saved = read_image(tmp_path / "cgt-000.png")
    assert saved is not None
    assert saved.shape == (180, 320, 3)
    assert read_counter(saved) == paused_at
    viewer.press_key("space")
    viewer.wait_until(lambda: (viewer.counter() or 0) > paused_at)

    viewer.press_key("o")  # split screen: a white line in the middle
    viewer.wait_until(lambda: (viewer.screenshot()[20:160, 159:161] > 250).all())
    viewer.press_key("q")
    _, stderr = viewer.process.communicate(timeout=60)
    assert viewer.process.returncode == 0, stderr
    assert "saved cgt-000.png" in stderr
    probed = subprocess.run(
        [
            *(ffprobe, "-v", "error", "-count_frames", "-show_entries", "stream=nb_read_frames"),
            *("-of", "csv=p=0", str(tmp_path / "kept.mp4")),
        ],
        capture_output=True,
        check=True,
    )
    assert int(probed.stdout) > 10
