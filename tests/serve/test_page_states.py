"""What the page says when something is in the way, in a real browser."""

from __future__ import annotations

import re
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from support.chromium import write_camera_clip

from conftest import write_inverse_model

from .browser import CAMERA_SIZE, open_browser, wait_for_frames, wait_until
from .factories import encode_image
from .server import start_server


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_inverse_model(tmp_path_factory.mktemp("states") / "inverse.onnx")


@pytest.fixture(scope="module")
def chromium(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    with open_browser(
        write_camera_clip(tmp_path_factory.mktemp("camera") / "camera.y4m", 30, CAMERA_SIZE)
    ) as started:
        yield started


@contextmanager
def command(
    model: Path, folder: Path, *flags: str, port: int = 0
) -> Iterator[tuple[subprocess.Popen[bytes], int]]:
    """`cgt serve` as a process of its own, and its port."""
    words = [str(Path(sys.executable).with_name("cgt")), "serve", "--model", str(model)]
    words += ["--engine", "onnxruntime", "--port", str(port), *flags]
    said = folder / f"{port}.txt"
    with said.open("wb") as to, subprocess.Popen(words, stderr=to, stdout=to) as server:
        try:
            while not (found := re.search(r":(\d+)/", said.read_text())):
                assert server.poll() is None, said.read_text()
                time.sleep(0.05)
            yield server, int(found[1])
        finally:
            server.terminate()


def title(page: Any, text: str) -> None:
    page.locator("#notice-title").get_by_text(text).wait_for()


def use_camera(page: Any) -> None:
    page.get_by_role("button", name="Use the camera").click()


def test_a_camera_that_is_refused(model: Path, tmp_path: Path) -> None:
    with open_browser(allowed=False) as chromium, start_server(model) as server:
        page = chromium.new_page()
        page.goto(server.url)
        use_camera(page)
        title(page, "The camera was refused")
        assert "Allow it" in page.locator("#notice-text").inner_text()
        assert page.locator("#snapshot").is_disabled()
        assert server.service.sessions.client_count == 0


def test_a_page_that_gets_no_camera_because_it_is_not_secure(model: Path, tmp_path: Path) -> None:
    elsewhere = "--host-resolver-rules=MAP cgt.test 127.0.0.1"
    with (
        command(model, tmp_path, "--allow-host", "cgt.test") as (_, port),
        open_browser(None, True, elsewhere) as chromium,
    ):
        page = chromium.new_page()
        page.goto(f"http://cgt.test:{port}")
        use_camera(page)
        title(page, "No camera on this page")
        assert "https://" in page.locator("#notice-text").inner_text()


def test_where_webrtc_cannot_connect_the_websocket_does(model: Path, tmp_path: Path) -> None:
    no_udp = "--webrtc-ip-handling-policy=disable_non_proxied_udp"
    camera = write_camera_clip(tmp_path / "camera.y4m", 30, CAMERA_SIZE)
    with open_browser(camera, True, no_udp) as chromium, start_server(model, most=1) as server:
        page = chromium.new_page()
        page.goto(server.url)
        use_camera(page)
        wait_for_frames(page, 3)
        page.locator("#transport").get_by_text("WebSocket").wait_for()


def test_one_of_two_cameras(model: Path) -> None:
    two = "--use-fake-device-for-media-stream=device-count=2"
    with open_browser(None, True, two) as chromium, start_server(model) as server:
        page = chromium.new_page()
        page.goto(server.url)
        use_camera(page)
        wait_for_frames(page, 3)
        picker = page.get_by_label("Which camera")
        first, second = (option.get_attribute("value") for option in picker.locator("option").all())
        assert picker.input_value() == first
        picker.select_option(second)
        wait_until(
            page, f"async () => (await import('./js/main.js')).app.source?.deviceId === '{second}'"
        )
        wait_for_frames(page, 3)
        page.get_by_role("button", name="Translated").click()
        image = {"name": "a.png", "mimeType": "image/png", "buffer": encode_image("PNG")}
        page.locator("#file").set_input_files([image])
        page.locator("#status").get_by_text("Translated").wait_for()
        assert picker.is_hidden()  # a picture has no camera


def test_a_server_that_wants_a_token(model: Path, chromium: Any) -> None:
    with start_server(model, token="right") as server:
        page = chromium.new_context().new_page()
        page.goto(server.url)
        title(page, "This server wants a token")
        page.get_by_role("button", name="Camera", exact=True).click()  # too early
        title(page, "This server wants a token")
        page.get_by_label("Token").fill("wrong")
        page.get_by_role("button", name="Continue").click()
        page.get_by_text("That token did not fit").wait_for()
        page.get_by_label("Token").fill("right")
        page.get_by_role("button", name="Continue").click()
        use_camera(page)
        wait_for_frames(page, 3)
        assert "right" not in page.url
        page.context.close()


def test_a_full_server_lets_the_next_one_wait(model: Path, chromium: Any) -> None:
    with start_server(model, most=1) as server:
        first, second = chromium.new_page(), chromium.new_page()
        for page in (first, second):
            page.goto(server.url)
            use_camera(page)
            if page is first:
                wait_for_frames(page, 3)
        title(second, "All places are taken")
        assert "Trying again in" in second.locator("#notice-wait").inner_text()
        # Read out is what happened, not the seconds and figures that change all the time.
        assert "Yours comes" in second.locator("[role=status] #notice-text").inner_text()
        changing = "#notice-wait, #fps, #latency, #dropped"
        assert (
            second.locator(f":is([role=status], [aria-live], output) :is({changing})").count() == 0
        )
        assert second.locator(changing).count() == 4
        first.close()
        second.get_by_role("button", name="Try now").wait_for()
        wait_for_frames(second, 3)  # by itself
        second.close()


def test_a_source_of_the_server_that_falls_silent(
    model: Path, chromium: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    with start_server(model, source="test://?size=64x48&fps=10") as server:
        page = chromium.new_page()
        page.goto(server.url)
        wait_for_frames(page, 3)
        assert page.locator("#notice").is_hidden()
        going, translate = threading.Event(), server.service.translators.translate

        def waiting(*args: Any) -> Any:
            going.wait()
            return translate(*args)

        monkeypatch.setattr(server.service.translators, "translate", waiting)
        title(page, "No picture comes from the server's source")
        assert page.locator("#status").inner_text() == "Waiting"
        going.set()
        page.locator("#notice").wait_for(state="hidden")
        assert page.locator("#status").inner_text() == "Live"
        page.close()


def test_a_server_that_goes_and_comes_back(model: Path, chromium: Any, tmp_path: Path) -> None:
    page = chromium.new_page()
    with command(model, tmp_path) as (server, port):
        page.goto(f"http://127.0.0.1:{port}")
        use_camera(page)
        wait_for_frames(page, 3)
        server.kill()
        title(page, "The server does not answer")
        page.locator("#notice-wait").get_by_text(re.compile("Trying again in [78] s")).wait_for()
        with page.expect_request("**/v1/webrtc", timeout=5000):  # not by itself that soon
            page.get_by_role("button", name="Try now").click()
        title(page, "The server does not answer")
    with command(model, tmp_path, port=port):
        page.locator("#notice").wait_for(state="hidden")  # by itself
        assert page.locator("#status").inner_text() == "Live"
        page.close()


def test_a_file_that_is_neither_video_nor_picture(
    model: Path, chromium: Any, tmp_path: Path
) -> None:
    bad = tmp_path / "bad.mp4"
    bad.write_bytes(b"nothing")
    with start_server(model) as server:
        page = chromium.new_page()
        page.goto(server.url)
        page.get_by_role("button", name="Use the camera").wait_for()
        page.locator("#file").set_input_files(bad)
        title(page, "This file cannot be opened")
        page.close()
