"""The pipeline, with simulated cameras and failures."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from cgt.runtime import translate
from cgt.runtime.errors import EngineError, SinkError, SourceError
from cgt.runtime.inference.translator import Translator
from cgt.runtime.pipeline import run_pipeline, translate_stream
from cgt.runtime.sinks import StreamFormat, TranslatedFrame, open_sink
from cgt.runtime.sources import Frame, Packet, open_source
from cgt.runtime.sources.wrappers import limit_frames
from cgt.runtime.utils.stats import DurationHistogram, Stats
from conftest import CLIP_FRAMES, make_image


def frames(count: int) -> Iterator[Frame | Packet]:
    for index in range(count):
        yield Frame(make_image(index, 32, 32), Fraction(index, 25), name=str(index))


@pytest.fixture
def translator(tiny_model: Path) -> Iterator[Translator]:
    with Translator(tiny_model, frame_size=(32, 32), performance_hint="throughput") as opened:
        yield opened


def test_order_is_kept_when_workers_finish_out_of_order(
    translator: Translator, monkeypatch: pytest.MonkeyPatch
) -> None:
    translate_batch = translator.translate_batch

    def translate_with_delay(images: list[np.ndarray], yuv_format: object) -> object:
        time.sleep(float(images[0][0, 0, 2]) % 3 / 200)
        return translate_batch(images, yuv_format)

    monkeypatch.setattr(translator, "translate_batch", translate_with_delay)
    monkeypatch.setattr(translator, "workers", 4)
    results = list(translate_stream(frames(60), translator, Stats(), threading.Event()))
    assert [item.source_frame.name for item in results] == [str(index) for index in range(60)]


def test_few_frames_are_in_flight(translator: Translator) -> None:
    """A slow sink limits how far the source is read ahead, so memory does not grow."""
    read_count = 0

    def counted() -> Iterator[Frame | Packet]:
        nonlocal read_count
        for item in frames(200):
            read_count += 1
            yield item

    ahead = []
    for index, _ in enumerate(translate_stream(counted(), translator, Stats(), threading.Event())):
        time.sleep(0.002)
        ahead.append(read_count - index)
    assert max(ahead) <= 2 * translator.workers + 4


def test_a_live_source_drops_frames_that_come_too_fast(
    translator: Translator, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Simulate a camera of 200 frames/s and an engine of 50."""
    translate_batch = translator.translate_batch

    def translate_slowly(images: list[np.ndarray], yuv_format: object) -> object:
        time.sleep(0.02)
        return translate_batch(images, yuv_format)

    def camera() -> Iterator[Frame | Packet]:
        for item in frames(100):
            time.sleep(0.005)
            item.capture_time = time.perf_counter()
            yield item

    monkeypatch.setattr(translator, "translate_batch", translate_slowly)
    monkeypatch.setattr(translator, "workers", 1)
    stats = Stats()
    results = list(translate_stream(camera(), translator, stats, threading.Event(), live=True))
    assert stats.dropped + len(results) == 100
    assert stats.dropped > 30
    numbers = [int(item.source_frame.name) for item in results]
    assert numbers == sorted(numbers)
    assert numbers[-1] > 75


def test_a_live_stream_is_never_more_than_one_frame_behind(
    translator: Translator, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While the engine works on one frame, nine others arrive; the last one is next."""
    translate_batch = translator.translate_batch
    started, proceed = threading.Event(), threading.Event()

    def translate_when_released(images: list[np.ndarray], yuv_format: object) -> object:
        started.set()
        assert proceed.wait(30)
        return translate_batch(images, yuv_format)

    def camera() -> Iterator[Frame | Packet]:
        for index, item in enumerate(frames(10)):
            yield item
            if index == 0:
                assert started.wait(30)
        proceed.set()

    monkeypatch.setattr(translator, "translate_batch", translate_when_released)
    monkeypatch.setattr(translator, "workers", 1)
    stats = Stats()
    results = list(translate_stream(camera(), translator, stats, threading.Event(), live=True))
    assert [item.source_frame.name for item in results] == ["0", "9"]
    assert stats.dropped == 8


def test_stop_works_while_the_source_delivers_nothing(translator: Translator) -> None:
    stop, silence = threading.Event(), threading.Event()

    def camera() -> Iterator[Frame | Packet]:
        yield from frames(3)
        silence.wait(60)

    results = translate_stream(camera(), translator, Stats(), stop, live=True)
    next(results)
    stop.set()
    started_at = time.monotonic()
    assert len(list(results)) <= 2
    assert time.monotonic() - started_at < 30
    silence.set()
    assert_no_threads_left()


def test_batches_give_the_same_images_in_order(tiny_model: Path) -> None:
    expected = []
    with Translator(tiny_model, frame_size=(32, 32), engine="onnxruntime") as one:
        expected = [one(item.image) for item in frames(10)]
    with Translator(tiny_model, frame_size=(32, 32), engine="onnxruntime", batch=4) as four:
        results = list(translate_stream(frames(10), four, Stats(), threading.Event()))
    assert [item.source_frame.name for item in results] == [str(index) for index in range(10)]
    for item, image in zip(results, expected, strict=True):
        assert np.abs(item.image.astype(int) - image).max() <= 1


def test_the_output_keeps_its_size_if_the_source_changes(translator: Translator) -> None:
    def changing() -> Iterator[Frame | Packet]:
        yield from frames(5)
        for index in range(5, 10):
            yield Frame(make_image(index, 48, 64), Fraction(index, 25), name=str(index))

    results = list(translate_stream(changing(), translator, Stats(), threading.Event()))
    assert [item.source_frame.name for item in results] == [str(index) for index in range(10)]
    assert {item.image.shape for item in results} == {(32, 32, 3)}


def test_an_error_of_the_source_arrives_after_its_frames(translator: Translator) -> None:
    def failing_source() -> Iterator[Frame | Packet]:
        yield from frames(5)
        raise SourceError("the cable is unplugged")

    seen = []
    with pytest.raises(SourceError, match="cable"):
        seen.extend(translate_stream(failing_source(), translator, Stats(), threading.Event()))
    assert len(seen) == 5
    assert_no_threads_left()


def test_an_error_of_the_engine_ends_the_run(
    translator: Translator, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def fails(batch: np.ndarray, out: np.ndarray) -> None:
        raise EngineError("device lost")

    monkeypatch.setattr(translator.engine, "infer", fails)
    sink = open_sink(str(tmp_path / "o.mp4"), StreamFormat((32, 32), None, None))
    with pytest.raises(EngineError, match="device lost"), sink:
        list(run_pipeline(frames(50), translator, sink, Stats(), threading.Event()))
    assert not list(tmp_path.iterdir())
    assert_no_threads_left()


@pytest.mark.parametrize(
    "error", [EngineError("out of memory"), SourceError("the cable is unplugged")]
)
def test_frames_before_an_error_are_kept(
    translator: Translator, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, error: Exception
) -> None:
    translate_batch, count = translator.translate_batch, 0

    def fails_late(images: list[np.ndarray], yuv_format: object) -> object:
        nonlocal count
        count += 1
        if count > 8 and isinstance(error, EngineError):
            raise error
        return translate_batch(images, yuv_format)

    def source() -> Iterator[Frame | Packet]:
        yield from frames(8)
        if isinstance(error, SourceError):
            raise error
        yield from frames(100)

    monkeypatch.setattr(translator, "workers", 1)
    monkeypatch.setattr(translator, "translate_batch", fails_late)
    out = tmp_path / "o.mp4"
    with (
        pytest.raises(type(error), match=f"{error}; the 8 frames before are in .*o.mp4"),
        open_sink(str(out), StreamFormat((32, 32), Fraction(25), Fraction(1, 25))) as sink,
    ):
        list(run_pipeline(source(), translator, sink, Stats(), threading.Event()))
    with open_source(str(out)) as written:
        assert sum(1 for _ in written) == 8
    assert_no_threads_left()


def test_nan_in_the_output_ends_the_run(
    translator: Translator, monkeypatch: pytest.MonkeyPatch
) -> None:
    infer, count = translator.engine.infer, 0

    def overflows(batch: np.ndarray, out: np.ndarray) -> None:
        nonlocal count
        count += 1
        infer(batch, out)
        if count == 3:
            out[0, 1, 7, 9] = np.nan

    monkeypatch.setattr(translator.engine, "infer", overflows)
    monkeypatch.setattr(translator, "workers", 1)
    seen = []
    with pytest.raises(EngineError, match="output NaN or infinity"):
        seen.extend(translate_stream(frames(9), translator, Stats(), threading.Event()))
    assert len(seen) == 2


def test_an_error_of_the_sink_ends_the_run(translator: Translator) -> None:
    class FullDiskSink:
        yuv_format = None

        def write(self, result: TranslatedFrame) -> None:
            raise SinkError("the disk is full")

    with pytest.raises(SinkError, match="full"):
        list(run_pipeline(frames(10**6), translator, FullDiskSink(), Stats(), threading.Event()))
    assert_no_threads_left()


def test_stop_finishes_frames_in_flight(translator: Translator, tmp_path: Path) -> None:
    out, stop, stats = tmp_path / "o.mp4", threading.Event(), Stats()
    with open_sink(str(out), StreamFormat((32, 32), None, Fraction(1, 25))) as sink:
        for result in run_pipeline(frames(10**6), translator, sink, stats, stop):
            if result.source_frame.name == "9":
                stop.set()
    with open_source(str(out)) as source:
        assert sum(1 for _ in source) == stats.frames >= 10
    assert_no_threads_left()


def test_an_empty_source_is_an_error(translator: Translator, tmp_path: Path) -> None:
    with (
        open_sink(str(tmp_path / "o.mp4"), StreamFormat((32, 32), None, None)) as sink,
        pytest.raises(SourceError, match="before its first frame"),
    ):
        list(run_pipeline(frames(0), translator, sink, Stats(), threading.Event()))
    assert not list(tmp_path.iterdir())


def test_translate_as_a_generator(clip: Path, tiny_model: Path) -> None:
    images = list(translate(clip, model=tiny_model))
    assert len(images) == CLIP_FRAMES
    assert all(image.shape == (90, 160, 3) for image in images)
    for _ in translate(clip, model=tiny_model):
        break  # ends all threads early
    assert_no_threads_left()


def test_a_simulated_camera(clip: Path, tiny_model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let OpenCV open a file instead of a device."""
    from cgt.runtime.image.opencv import cv2

    capture = cv2.VideoCapture
    monkeypatch.setattr(cv2, "VideoCapture", lambda number: capture(str(clip)))
    with open_source("0") as source:
        assert (source.live, source.size) == (True, (90, 160))
        captured = list(limit_frames(source, frames=5))
    assert len(captured) == 5
    assert [item.time for item in captured] == sorted(item.time for item in captured)
    expected = make_image(1, 90, 160).astype(int)  # the first was read to find the size
    assert np.abs(captured[0].image - expected).mean() < 6


def test_percentiles_are_within_a_percent() -> None:
    random = np.random.default_rng(0)
    values = random.lognormal(-5, 1, 5000)
    histogram = DurationHistogram()
    for value in values:
        histogram.add(value)
    for q in (1, 50, 90, 99):
        exact = np.percentile(values, q, method="inverted_cdf")
        assert histogram.percentile(q) == pytest.approx(exact, rel=0.01)
    assert DurationHistogram().percentile(50) == 0


def assert_no_threads_left() -> None:
    deadline = time.monotonic() + 60
    while any(
        thread.name.startswith(("cgt-decode", "cgt-translate")) for thread in threading.enumerate()
    ):
        assert time.monotonic() < deadline, threading.enumerate()
        time.sleep(0.01)
