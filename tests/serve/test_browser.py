"""Tests of the page in a real browser: the page shows the output of the model for its input."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from support.chromium import write_camera_clip
from support.graphs import write_translator_model

from cgt.runtime import Translator
from cgt.runtime.image.files import encode_image, read_image
from cgt.runtime.sources import open_source
from cgt.runtime.sources.test_pattern import read_counter
from conftest import make_image, write_inverse_model

from .browser import (
    CAMERA_FRAMES,
    CAMERA_SIZE,
    camera_frame,
    open_browser,
    psnr,
    read_pixels,
    wait_for_frames,
    wait_until,
)
from .server import start_server

# A frame and its copy over WebRTC, whose encoder adapts to its estimate of the bandwidth, have a
# PSNR of 28 to 38 dB. Frames of different numbers have 15 to 19 dB.
MIN_SAME_FRAME_DB = 24


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_inverse_model(tmp_path_factory.mktemp("page") / "inverse.onnx")


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_camera_clip(
        tmp_path_factory.mktemp("camera") / "camera.y4m", CAMERA_FRAMES, CAMERA_SIZE
    )


@pytest.fixture(scope="module")
def chromium(clip: Path) -> Iterator[Any]:
    with open_browser(clip) as browser:
        yield browser


@pytest.fixture
def page(chromium: Any) -> Iterator[Any]:
    """Open a page, and fail if a script of it fails."""
    failures: list[object] = []
    opened = chromium.new_page()
    opened.on("pageerror", lambda error: failures.append(error))
    yield opened
    opened.close()
    assert not failures


@pytest.mark.parametrize(("query", "transport"), [("", "WebRTC"), ("?websocket", "WebSocket")])
def test_camera_frames_are_translated(model: Path, page: Any, query: str, transport: str) -> None:
    with start_server(model) as server:
        page.goto(f"{server.url}/{query}")
        page.get_by_role("button", name="Use the camera").click()
        page.get_by_role("button", name="Side by side").click()
        wait_for_frames(page, 30)  # until the bitrate has grown to what the frames need
        numbers, psnrs = [], []
        for _ in range(3):
            both, camera = read_pixels(page), read_pixels(page, "#camera-video")
            original, translated = np.split(both, 2, axis=1)
            number = read_counter(original)
            assert number is not None
            assert read_counter(255 - translated) == number  # both sides show the same frame
            with Translator(model, engine="onnxruntime", size="source") as translate:
                expected = translate(camera_frame(number))
                other = translate(camera_frame((number + 2) % CAMERA_FRAMES))
            psnrs.append(psnr(translated, expected))
            assert psnrs[-1] > MIN_SAME_FRAME_DB > psnr(translated, other)
            assert (read_counter(camera) - number) % CAMERA_FRAMES < 45  # at most 1.5 s old
            numbers.append(number)
            page.wait_for_timeout(300)
        assert len(set(numbers)) == 3
        assert max(psnrs) > 30
        assert page.locator("#transport").inner_text() == transport


@pytest.mark.slow
def test_server_source_is_shown_to_all_viewers(
    model: Path, page: Any, chromium: Any, tmp_path: Path
) -> None:
    with start_server(model, source="test://?size=320x240&fps=15") as server:
        other = chromium.new_page()
        for viewer in (page, other):
            viewer.goto(server.url)  # starts without a click
            viewer.get_by_role("button", name="Side by side").click()
        for viewer in (page, other):
            wait_for_frames(viewer, 30)  # until the bitrate has grown to what the frames need
            psnrs = []
            for _ in range(5):  # the bitrate may still grow
                original, translated = np.split(read_pixels(viewer), 2, axis=1)
                number = read_counter(original)
                assert number is not None
                assert read_counter(255 - translated) == number
                psnrs.append(psnr(translated, 255 - original))
                viewer.wait_for_timeout(300)
            assert min(psnrs) > MIN_SAME_FRAME_DB
            assert max(psnrs) > 30
            latency = viewer.evaluate(
                "async () => (await import('./js/main.js'))"
                ".app.stats.summary(performance.now()).latency"
            )
            assert 0 < latency < 3000  # by the clock of the server
        other.close()


@pytest.mark.slow
def test_video_file(model: Path, page: Any, tmp_path: Path) -> None:
    video = write_camera_clip(tmp_path / "video.webm", 45, CAMERA_SIZE)
    with start_server(model) as server:
        page.goto(server.url)
        page.get_by_role("button", name="Use the camera").wait_for()
        page.locator("#file").set_input_files(video)
        page.get_by_role("button", name="Translated", exact=True).click()
        wait_for_frames(page, 30)  # until the bitrate has grown to what the frames need
        psnrs = []
        for _ in range(5):  # the bitrate may still grow
            shown = read_pixels(page)
            number = read_counter(255 - shown)
            assert number is not None
            psnrs.append(psnr(shown, 255 - camera_frame(number)))
            page.wait_for_timeout(300)
        assert max(psnrs) > 28  # two codecs (file, WebRTC) and two color conversions
        assert min(psnrs) > MIN_SAME_FRAME_DB


def test_dropped_image_file(model: Path, page: Any) -> None:
    image = make_image(3, 96, 128)
    data = list(encode_image(image, ".png") or b"")
    with start_server(model) as server:
        page.goto(server.url)
        page.get_by_role("button", name="Use the camera").wait_for()
        page.locator("#size").select_option("128")
        transfer = page.evaluate_handle(
            """(data) => {
                const transfer = new DataTransfer();
                transfer.items.add(new File([new Uint8Array(data)], "a.png", {type: "image/png"}));
                return transfer;
            }""",
            data,
        )
        page.dispatch_event("body", "drop", {"dataTransfer": transfer})
        page.get_by_role("button", name="Side by side").click()
        wait_for_frames(page, 1)
        original, translated = np.split(read_pixels(page), 2, axis=1)
        np.testing.assert_array_equal(original, image)
        np.testing.assert_array_equal(translated, 255 - original)  # lossless


@pytest.mark.slow
def test_snapshot_and_recording(model: Path, page: Any, tmp_path: Path) -> None:
    with start_server(model) as server:
        page.goto(server.url)
        page.get_by_role("button", name="Use the camera").click()
        wait_for_frames(page)
        page.keyboard.press("3")
        wait_for_frames(page, 30)
        psnrs = []
        for _ in range(5):
            with page.expect_download() as download:
                page.keyboard.press("s")
            download.value.save_as(tmp_path / "snapshot.png")
            shown = read_image(tmp_path / "snapshot.png")
            assert shown is not None
            number = read_counter(255 - shown)
            assert number is not None
            psnrs.append(psnr(shown, 255 - camera_frame(number)))
            page.wait_for_timeout(300)
        assert min(psnrs) > MIN_SAME_FRAME_DB
        assert max(psnrs) > 28

        page.keyboard.press("r")
        page.wait_for_timeout(2500)
        with page.expect_download() as download:
            page.keyboard.press("r")
        recording = tmp_path / download.value.suggested_filename
        download.value.save_as(recording)
        with open_source(str(recording)) as source:
            numbers = [read_counter(255 - item.image) for item in source if hasattr(item, "image")]
        assert len({number for number in numbers if number is not None}) > 5


def test_recording_continues_when_the_view_changes(model: Path, page: Any, tmp_path: Path) -> None:
    with start_server(model) as server:
        page.goto(server.url)
        page.keyboard.press("c")
        wait_for_frames(page)
        page.keyboard.press("r")
        page.wait_for_timeout(1500)
        page.keyboard.press("2")  # twice as wide
        page.wait_for_timeout(1500)
        with page.expect_download() as download:
            page.get_by_role("button", name="Stop").click()
        recording = tmp_path / download.value.suggested_filename
        download.value.save_as(recording)
        with av.open(str(recording)) as container:
            times = [float(frame.time) for frame in container.decode(video=0)]
        assert times[-1] - times[0] > 2


def test_model_selection(model: Path, page: Any, tmp_path: Path) -> None:
    fixed = write_inverse_model(tmp_path / "fixed.onnx", 64, 96)
    with start_server(model, fixed) as server:
        page.goto(server.url)
        page.keyboard.press("c")
        wait_for_frames(page)
        page.get_by_label("Model").select_option("fixed")
        page.keyboard.press("3")
        page.get_by_label("Precision").select_option("fp32")
        wait_for_frames(page, 30)
        assert read_pixels(page).shape == (*CAMERA_SIZE, 3)  # not the only size of the model
        assert page.locator("#notice").is_hidden()
        aspect = page.evaluate(
            "() => document.querySelector('#canvas').getBoundingClientRect().width /"
            " document.querySelector('#canvas').getBoundingClientRect().height"
        )
        assert abs(aspect - CAMERA_SIZE[1] / CAMERA_SIZE[0]) < 0.02


def test_precision_names_of_int8_models(model: Path, page: Any, tmp_path: Path) -> None:
    with start_server(
        model, write_translator_model(tmp_path / "small.onnx", precision="int8")
    ) as server:
        page.goto(server.url)
        for name, exact in (("inverse", "fp32"), ("small", "int8, rest fp32")):
            page.get_by_label("Model").select_option(name)
            assert page.locator("#precision option").all_inner_texts() == ["Fastest", exact]


@pytest.mark.slow
@pytest.mark.parametrize("query", ["", "?websocket"])
def test_split_by_keyboard_and_size_selection(model: Path, page: Any, query: str) -> None:
    with start_server(model) as server:
        page.goto(f"{server.url}/{query}")
        page.keyboard.press("c")
        wait_for_frames(page)
        for _ in range(5):
            page.keyboard.press("ArrowRight")
        assert page.locator("#split").input_value() == "60"
        for side, size in (("192", "256x192"), ("256", "source")):
            page.get_by_label("Network size").select_option(side)
            selected = "async () => (await import('./js/main.js')).app.connection.selection.size"
            assert page.evaluate(selected) == size
            wait_for_frames(page)
            assert read_pixels(page).shape == (*CAMERA_SIZE, 3)  # the camera's
        page.keyboard.press("2")
        wait_until(page, "() => document.querySelector('#canvas').width === 640")
        page.keyboard.press("?")
        assert page.get_by_role("dialog").is_visible()


SCREENS = {"desktop": (1280, 800), "phone": (390, 844), "phone, landscape": (844, 390)}


@pytest.mark.slow
@pytest.mark.parametrize("screen", SCREENS)
def test_view_fills_the_stage(model: Path, page: Any, screen: str) -> None:
    """Check that in each view the canvas touches two sides of its stage, and nothing is cut off."""
    width, height = SCREENS[screen]
    page.set_viewport_size({"width": width, "height": height})
    with start_server(model) as server:
        page.goto(server.url)
        page.keyboard.press("c")
        wait_for_frames(page, 3)
        for key, columns, rows in (("1", 1, 1), ("2", 2, 1), ("3", 1, 1)):
            page.keyboard.press(key)
            if screen == "phone" and columns == 2:
                columns, rows = 1, 2
            wait_until(
                page, f"() => document.querySelector('#canvas').height === {CAMERA_SIZE[0] * rows}"
            )
            stage, canvas = (page.locator(name).bounding_box() for name in ("#stage", "#canvas"))
            aspect = columns * CAMERA_SIZE[1] / (rows * CAMERA_SIZE[0])
            assert canvas["width"] / canvas["height"] == pytest.approx(aspect, rel=0.02)
            margins = [stage[side] - canvas[side] for side in ("width", "height")]
            assert min(margins) == pytest.approx(2, abs=1)  # the border
            assert canvas["width"] > 0.35 * width
        for button in page.locator("button:visible, select:visible").all():
            box = button.bounding_box()
            assert box["x"] >= 0
            assert box["x"] + box["width"] <= width
            assert box["height"] >= 36  # large enough for a finger
        assert page.evaluate("() => document.documentElement.scrollWidth") == width
