"""Live ends over the loopback, with real servers; a simulated camera where there is none."""

from __future__ import annotations

import itertools
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cgt.runtime.errors import MissingDependency, SourceError, UsageError
from cgt.runtime.image.opencv import cv2
from cgt.runtime.sinks import StreamFormat, TranslatedFrame, open_sink
from cgt.runtime.sources import Frame, open_source, reconnect
from cgt.runtime.sources.test_pattern import read_counter
from conftest import make_image

SERVER = Path(__file__).parents[2] / "support" / "rtsp_server.py"


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Rtsp:
    """The server of rtsp_server.py, which can be killed and started again."""

    def __init__(self, folder: Path) -> None:
        self.port, self.recording = free_port(), folder / "pushed.mkv"
        self.process: subprocess.Popen[str] | None = None

    def start(self) -> None:
        command = ["/usr/bin/python3", str(SERVER), str(self.port), str(self.recording)]
        self.process = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
        )
        assert self.process.stdout is not None
        if self.process.stdout.readline() != "ready\n":
            pytest.skip("no GStreamer RTSP server (apt-get install gir1.2-gst-rtsp-server-1.0)")

    def kill(self) -> None:
        if self.process is not None:
            self.process.kill()
            self.process.communicate()
            self.process = None

    def uri(self, mount: str) -> str:
        return f"rtsp://127.0.0.1:{self.port}/{mount}"


@pytest.fixture
def rtsp(tmp_path: Path) -> Iterator[Rtsp]:
    server = Rtsp(tmp_path)
    server.start()
    yield server
    server.kill()


def ffmpeg(*args: object) -> subprocess.Popen[bytes]:
    if shutil.which("ffmpeg") is None:
        pytest.skip("ffmpeg is not installed (apt-get install ffmpeg)")
    return subprocess.Popen(["ffmpeg", "-nostdin", "-v", "quiet", "-y", *map(str, args)])


def test_an_rtsp_server_that_dies_ends_the_stream(rtsp: Rtsp) -> None:
    with open_source(rtsp.uri("live")) as source:
        assert (source.live, source.size) == (True, (96, 160))
        frames = iter(source)
        seen = [next(frames) for _ in range(5)]
        rtsp.kill()
        with pytest.raises(SourceError, match=r"ended unexpectedly after \d+ frames"):
            seen += list(frames)
    assert [frame.time for frame in seen] == sorted(frame.time for frame in seen)


def test_an_rtsp_server_that_comes_back(
    rtsp: Rtsp, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(reconnect, "_MIN_RETRY_DELAY_S", 0.1)
    monkeypatch.setattr(reconnect, "_MAX_RETRY_DELAY_S", 0.2)
    with open_source(rtsp.uri("live"), reconnect=True) as source:
        frames = (item for item in source if isinstance(item, Frame))
        before = list(itertools.islice(frames, 5))
        rtsp.kill()
        until = time.monotonic() + 20
        slates = [before[-1]]
        while "reconnecting" not in caplog.text:
            assert time.monotonic() < until
            slates.append(next(frames))
        slates += itertools.islice(frames, 3)
        assert slates[-1].image.mean() < before[-1].image.mean() + 20
        assert slates[-1].image is slates[-2].image  # the same slate, again and again
        rtsp.start()
        while "is back after" not in caplog.text:
            assert time.monotonic() < until
            slates.append(next(frames))
        after = list(itertools.islice(frames, 5))
    times = [frame.time for frame in (*before, *slates[1:], *after)]
    assert all(a <= b for a, b in itertools.pairwise(times)), list(map(float, times))
    assert after[-1].image is not slates[-1].image
    # The clock went on: the gap in the times is the gap in the world (servers send some at once).
    world = after[-1].capture_time - before[-1].capture_time
    assert float(after[-1].time - before[-1].time) == pytest.approx(world, abs=2.0)


def test_a_push_over_rtsp_arrives(rtsp: Rtsp, ffprobe: str) -> None:
    stream = StreamFormat((96, 160), Fraction(25), Fraction(1, 25))
    began = time.perf_counter()
    with open_sink(rtsp.uri("push"), stream) as sink:
        for index in range(30):
            image = make_image(index, 96, 160)
            sink.write(TranslatedFrame(Frame(image, Fraction(index, 25)), image))
        paced = time.perf_counter() - began
        time.sleep(1)  # the server stops at once when told to, also before it has recorded all
        sink.finish()
    assert paced > 29 / 25 - 0.05  # at its own pace
    until = time.monotonic() + 10
    frames = b""
    while frames.strip() != b"30" and time.monotonic() < until:
        time.sleep(0.3)
        command = [ffprobe, "-v", "quiet", "-count_frames", "-show_entries"]
        frames = subprocess.run(
            [*command, "stream=nb_read_frames", "-of", "csv=p=0", str(rtsp.recording)],
            capture_output=True,
            check=False,
        ).stdout
    assert frames.strip() == b"30"


def test_udp_both_ways(tmp_path: Path) -> None:
    """What the push sink sends, the source receives."""
    port = free_port()
    receiver = ffmpeg(
        *("-i", f"udp://127.0.0.1:{port}?timeout=9000000", "-c", "copy", "-frames:v", 20),
        tmp_path / "received.mkv",
    )
    time.sleep(0.5)
    stream = StreamFormat((96, 160), Fraction(25), Fraction(1, 25))
    with open_sink(f"udp://127.0.0.1:{port}", stream) as sink:
        for index in range(120):
            image = make_image(index, 96, 160)
            sink.write(TranslatedFrame(Frame(image, Fraction(index, 25)), image))
            if receiver.poll() is not None:
                break
        sink.finish()
    receiver.wait(timeout=20)
    with open_source(str(tmp_path / "received.mkv")) as source:
        assert sum(isinstance(item, Frame) for item in source) == 20


def test_udp_as_a_source() -> None:
    port = free_port()
    sender = ffmpeg(
        *("-re", "-f", "lavfi", "-i", "testsrc=size=160x96:rate=25", "-t", 15),
        *("-c:v", "libx264", "-g", 5, "-tune", "zerolatency", "-f", "mpegts"),
        f"udp://127.0.0.1:{port}",
    )
    try:
        with open_source(f"udp://127.0.0.1:{port}") as source:
            assert source.live
            assert len(list(itertools.islice(source, 5))) == 5
    finally:
        sender.terminate()
        sender.wait()


def test_motion_jpeg_over_http_has_the_times_of_its_arrival() -> None:
    port = free_port()
    server = ffmpeg(
        *("-re", "-f", "lavfi", "-i", "testsrc=size=160x96:rate=10", "-t", 15),
        *("-f", "mpjpeg", "-listen", 1, f"http://127.0.0.1:{port}/"),
    )
    try:
        source = _when_it_listens(f"http://127.0.0.1:{port}/")
        with source:
            assert source.live
            frames = [item for item in itertools.islice(source, 12) if isinstance(item, Frame)]
    finally:
        server.terminate()
        server.wait()
    for before, after in itertools.pairwise(frames):
        apart = after.capture_time - before.capture_time
        assert float(after.time - before.time) == pytest.approx(apart, abs=0.02)


def _when_it_listens(uri: str) -> Any:
    for _ in range(40):
        try:
            return open_source(uri)
        except SourceError:
            time.sleep(0.2)
    raise AssertionError(f"{uri} never listened")


def test_a_silent_source_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    from cgt.runtime.sources import ffmpeg_inputs

    monkeypatch.setattr(ffmpeg_inputs, "_READ_TIMEOUT_S", 0.5)
    with pytest.raises(SourceError, match=r"no data arrived for 0\.5 s"):
        open_source(f"udp://127.0.0.1:{free_port()}")


class Unplugged:
    """A simulated camera that is pulled out after some frames."""

    def __init__(self, frames: int = 6) -> None:
        self.left, self.asked = frames, {}

    def isOpened(self) -> bool:  # noqa: N802
        return True

    def read(self) -> tuple[bool, np.ndarray | None]:
        self.left -= 1
        return (True, make_image(self.left, 48, 64)) if self.left >= 0 else (False, None)

    def get(self, key: int) -> float:
        return {cv2.CAP_PROP_FPS: 30.0, cv2.CAP_PROP_FOURCC: float(0x47504A4D)}.get(key, 0.0)

    def set(self, key: int, value: float) -> None:
        self.asked[key] = value

    def release(self) -> None:
        pass


def test_a_camera_is_pulled_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cv2, "VideoCapture", lambda number: Unplugged())
    with open_source("0") as source:
        frames = iter(source)
        assert len(list(itertools.islice(frames, 5))) == 5
        with pytest.raises(SourceError, match="camera 0 stopped delivering frames"):
            next(frames)


def test_a_camera_comes_back(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(reconnect, "_MIN_RETRY_DELAY_S", 0.05)
    monkeypatch.setattr(cv2, "VideoCapture", lambda number: Unplugged())
    with open_source("/dev/video0", reconnect=True) as source:
        frames = list(itertools.islice(source, 14))
    assert "camera /dev/video0 is back" in caplog.text
    times = [frame.time for frame in frames]
    assert all(a < b for a, b in itertools.pairwise(times))


def test_what_a_camera_is_asked_and_gives(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    camera = Unplugged()
    monkeypatch.setattr(cv2, "VideoCapture", lambda number: camera)
    with open_source("/dev/video0?size=1280x720&fps=60&format=mjpg") as source:
        assert source.rate == 30
    assert camera.asked == {
        cv2.CAP_PROP_FOURCC: cv2.VideoWriter.fourcc(*"MJPG"),
        cv2.CAP_PROP_FRAME_WIDTH: 1280,
        cv2.CAP_PROP_FRAME_HEIGHT: 720,
        cv2.CAP_PROP_FPS: 60.0,
    }
    assert "delivers 64x48 MJPG at 30 frames/s" in caplog.text


def test_gstreamer_is_asked_for_by_name() -> None:
    if "GStreamer:                   YES" in cv2.getBuildInformation():
        pytest.skip("this OpenCV has GStreamer")
    for uri in ("csi://0", "gst://videotestsrc"):
        with pytest.raises(MissingDependency, match="GStreamer"):
            open_source(uri)


@pytest.mark.parametrize(
    ("uri", "words"),
    [
        ("test://?size=64", "WIDTHxHEIGHT"),
        ("test://?colour=red", "known: size, fps, frames, live"),
        ("test://?fps=0", "not a rate"),
        ("test://?live=yes", "neither 0 nor 1"),
        ("gopher://x", "unknown scheme"),
        ("0?format=motion", "four letters"),
    ],
)
def test_uris_that_make_no_sense(uri: str, words: str) -> None:
    with pytest.raises(UsageError, match=words):
        open_source(uri)


def test_the_test_picture_counts() -> None:
    with open_source("test://?size=640x360&fps=50&frames=12&live=0") as source:
        assert (source.size, source.rate, source.frame_count, source.live) == (
            (360, 640),
            50,
            12,
            False,
        )
        frames = [item for item in source if isinstance(item, Frame)]
    assert [read_counter(frame.image) for frame in frames] == list(range(12))
    assert [frame.time for frame in frames] == [Fraction(i, 50) for i in range(12)]
    small = cv2.resize(frames[7].image, (112, 64), interpolation=cv2.INTER_AREA)
    assert read_counter(small) == 7
    assert read_counter(255 - small) is None


def test_the_test_picture_is_read_back_from_a_video(tmp_path: Path) -> None:
    stream = StreamFormat((96, 160), Fraction(30), Fraction(1, 30))
    with (
        open_source("test://?size=160x96&frames=30&live=0") as source,
        open_sink(str(tmp_path / "o.mp4"), stream) as sink,
    ):
        for item in source:
            assert isinstance(item, Frame)
            sink.write(TranslatedFrame(item, item.image))
        sink.finish()
    with open_source(str(tmp_path / "o.mp4")) as source:
        assert [read_counter(item.image) for item in source] == list(range(30))


def test_live_test_pictures_come_on_time() -> None:
    with open_source("test://?size=64x64&fps=40&frames=20") as source:
        assert source.live
        frames = list(source)
    apart = frames[-1].capture_time - frames[0].capture_time
    assert apart == pytest.approx(19 / 40, abs=0.01)


def test_pipes_into_the_source(clip: Path) -> None:
    """A process that reads its standard input."""
    code = (
        "import sys; from cgt.runtime.sources import *\n"
        "with open_source(sys.argv[1]) as s:\n"
        "    print(s.size, s.rate, sum(isinstance(i, Frame) for i in s))"
    )
    pictures = b"".join(make_image(i, 48, 64).tobytes() for i in range(7))
    recorded = ffmpeg("-i", clip, "-c", "copy", "-f", "matroska", clip.with_suffix(".piped"))
    recorded.wait()
    for uri, data, said in (
        ("pipe://?size=64x48&fps=20", pictures, "(48, 64) 20 7"),
        ("-", clip.with_suffix(".piped").read_bytes(), "(90, 160) 25/2 20"),
    ):
        done = subprocess.run(
            [sys.executable, "-c", code, uri], input=data, capture_output=True, check=True
        )
        assert done.stdout.decode().strip() == said
