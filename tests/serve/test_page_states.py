"""Tests of the notices of the page, in a real browser."""

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
    ) as browser:
        yield browser


@contextmanager
def serve_command(
    model: Path, folder: Path, *flags: str, port: int = 0
) -> Iterator[tuple[subprocess.Popen[bytes], int]]:
    """Run `cgt serve` as a process, and yield the process and its port."""
    command = [str(Path(sys.executable).with_name("cgt")), "serve", "--model", str(model)]
    command += ["--engine", "onnxruntime", "--port", str(port), *flags]
    log = folder / f"{port}.txt"
    with (
        log.open("wb") as log_file,
        subprocess.Popen(command, stderr=log_file, stdout=log_file) as server,
    ):
        try:
            while not (found := re.search(r":(\d+)/", log.read_text())):
                assert server.poll() is None, log.read_text()
                time.sleep(0.05)
            yield server, int(found[1])
        finally:
            server.terminate()


def wait_for_title(page: Any, text: str) -> None:
    page.locator("#notice-title").get_by_text(text).wait_for()


def use_camera(page: Any) -> None:
    page.get_by_role("button", name="Use the camera").click()


def test_camera_access_denied(model: Path, tmp_path: Path) -> None:
    with open_browser(camera_allowed=False) as chromium, start_server(model) as server:
        page = chromium.new_page()
        page.goto(server.url)
        use_camera(page)
        wait_for_title(page, "Camera access was denied")
        assert "Allow the camera" in page.locator("#notice-text").inner_text()
        assert page.locator("#snapshot").is_disabled()
        assert server.service.sessions.client_count == 0


def test_camera_needs_a_secure_page(model: Path, tmp_path: Path) -> None:
    resolver_rule = "--host-resolver-rules=MAP cgt.test 127.0.0.1"
    with (
        serve_command(model, tmp_path, "--allow-host", "cgt.test") as (_, port),
        open_browser(None, True, resolver_rule) as chromium,
    ):
        page = chromium.new_page()
        page.goto(f"http://cgt.test:{port}")
        use_camera(page)
        wait_for_title(page, "No camera on this page")
        assert "https://" in page.locator("#notice-text").inner_text()


@pytest.mark.slow
def test_websocket_is_used_if_webrtc_cannot_connect(model: Path, tmp_path: Path) -> None:
    no_udp = "--webrtc-ip-handling-policy=disable_non_proxied_udp"
    camera = write_camera_clip(tmp_path / "camera.y4m", 30, CAMERA_SIZE)
    with (
        open_browser(camera, True, no_udp) as chromium,
        start_server(model, max_sessions=1) as server,
    ):
        page = chromium.new_page()
        page.goto(server.url)
        use_camera(page)
        wait_for_frames(page, 3)
        page.locator("#transport").get_by_text("WebSocket").wait_for()


def test_camera_selection(model: Path) -> None:
    two_cameras = "--use-fake-device-for-media-stream=device-count=2"
    with open_browser(None, True, two_cameras) as chromium, start_server(model) as server:
        page = chromium.new_page()
        page.goto(server.url)
        use_camera(page)
        wait_for_frames(page, 3)
        selector = page.get_by_label("Camera device")
        first, second = (
            option.get_attribute("value") for option in selector.locator("option").all()
        )
        assert selector.input_value() == first
        selector.select_option(second)
        wait_until(
            page, f"async () => (await import('./js/main.js')).app.source?.deviceId === '{second}'"
        )
        wait_for_frames(page, 3)
        page.get_by_role("button", name="Translated").click()
        image = {"name": "a.png", "mimeType": "image/png", "buffer": encode_image("PNG")}
        page.locator("#file").set_input_files([image])
        page.locator("#status").get_by_text("Translated").wait_for()
        assert selector.is_hidden()  # an image needs no camera


def test_token_form(model: Path, chromium: Any) -> None:
    with start_server(model, token="right") as server:
        page = chromium.new_context().new_page()
        page.goto(server.url)
        wait_for_title(page, "This server requires a token")
        page.get_by_role("button", name="Camera", exact=True).click()  # before the token
        wait_for_title(page, "This server requires a token")
        page.get_by_label("Token").fill("wrong")
        page.get_by_role("button", name="Continue").click()
        page.get_by_text("That token is not valid").wait_for()
        page.get_by_label("Token").fill("right")
        page.get_by_role("button", name="Continue").click()
        use_camera(page)
        wait_for_frames(page, 3)
        assert "right" not in page.url
        page.context.close()


@pytest.mark.slow
def test_page_waits_for_a_free_session(model: Path, chromium: Any) -> None:
    with start_server(model, max_sessions=1) as server:
        first, second = chromium.new_page(), chromium.new_page()
        for page in (first, second):
            page.goto(server.url)
            use_camera(page)
            if page is first:
                wait_for_frames(page, 3)
        wait_for_title(second, "All sessions are in use")
        second.locator("#notice-countdown").get_by_text("Trying again in").wait_for()
        # Screen readers announce the notice, but not the countdown and the statistics.
        assert "connects as soon as" in second.locator("[role=status] #notice-text").inner_text()
        changing = "#notice-countdown, #fps, #latency, #dropped"
        assert (
            second.locator(f":is([role=status], [aria-live], output) :is({changing})").count() == 0
        )
        assert second.locator(changing).count() == 4
        first.close()
        second.get_by_role("button", name="Try now").wait_for()
        wait_for_frames(second, 3)  # without a click
        second.close()


@pytest.mark.slow
def test_silent_source_of_the_server(
    model: Path, chromium: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    with start_server(model, source="test://?size=64x48&fps=10") as server:
        page = chromium.new_page()
        page.goto(server.url)
        wait_for_frames(page, 3)
        assert page.locator("#notice").is_hidden()
        resume, translate = threading.Event(), server.service.translators.translate

        def blocked(*args: Any) -> Any:
            resume.wait()
            return translate(*args)

        monkeypatch.setattr(server.service.translators, "translate", blocked)
        wait_for_title(page, "No frames from the server's source")
        assert page.locator("#status").inner_text() == "Waiting"
        resume.set()
        page.locator("#notice").wait_for(state="hidden")
        assert page.locator("#status").inner_text() == "Live"
        page.close()


@pytest.mark.slow
def test_reconnection_after_a_server_restart(model: Path, chromium: Any, tmp_path: Path) -> None:
    page = chromium.new_page()
    with serve_command(model, tmp_path) as (server, port):
        page.goto(f"http://127.0.0.1:{port}")
        use_camera(page)
        wait_for_frames(page, 3)
        server.kill()
        wait_for_title(page, "The server does not respond")
        page.locator("#notice-countdown").get_by_text(
            re.compile("Trying again in [78] s")
        ).wait_for()
        with page.expect_request("**/v1/webrtc", timeout=5000):  # earlier than the automatic retry
            page.get_by_role("button", name="Try now").click()
        wait_for_title(page, "The server does not respond")
    with serve_command(model, tmp_path, port=port):
        page.locator("#notice").wait_for(state="hidden")  # without a click
        assert page.locator("#status").inner_text() == "Live"
        page.close()


def test_unreadable_file(model: Path, chromium: Any, tmp_path: Path) -> None:
    bad = tmp_path / "bad.mp4"
    bad.write_bytes(b"nothing")
    with start_server(model) as server:
        page = chromium.new_page()
        page.goto(server.url)
        page.get_by_role("button", name="Use the camera").wait_for()
        page.locator("#file").set_input_files(bad)
        wait_for_title(page, "This file cannot be opened")
        page.close()
