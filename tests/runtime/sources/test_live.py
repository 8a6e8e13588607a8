"""Live sources and sinks: real servers on localhost, simulated cameras, pipes, test pattern."""

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


WAIT_S = 60  # for what happens within a second, unless the machine is busy


def free_port(kind: socket.SocketKind = socket.SOCK_STREAM) -> int:
    with socket.socket(type=kind) as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class RtspServer:
    """The server of rtsp_server.py in a process that can be killed and started again."""

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
def rtsp(tmp_path: Path) -> Iterator[RtspServer]:
    server = RtspServer(tmp_path)
    server.start()
    yield server
    server.kill()


def start_ffmpeg(*args: object) -> subprocess.Popen[bytes]:
    if shutil.which("ffmpeg") is None:
        pytest.skip("ffmpeg is not installed (apt-get install ffmpeg)")
    return subprocess.Popen(["ffmpeg", "-nostdin", "-v", "quiet", "-y", *map(str, args)])


def test_killed_rtsp_server_ends_the_stream(rtsp: RtspServer) -> None:
    with open_source(rtsp.uri("live")) as source:
        assert (source.live, source.size) == (True, (96, 160))
        frames = iter(source)
        seen = [next(frames) for _ in range(5)]
        rtsp.kill()
        with pytest.raises(SourceError, match=r"ended unexpectedly after \d+ frames"):
            seen += list(frames)
    assert [frame.time for frame in seen] == sorted(frame.time for frame in seen)


def test_reconnects_to_restarted_rtsp_server(
    rtsp: RtspServer, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(reconnect, "_MIN_RETRY_DELAY_S", 0.1)
    monkeypatch.setattr(reconnect, "_MAX_RETRY_DELAY_S", 0.2)
    with open_source(rtsp.uri("live"), reconnect=True) as source:
        frames = (item for item in source if isinstance(item, Frame))
        before = list(itertools.islice(frames, 5))
        rtsp.kill()
        until = time.monotonic() + WAIT_S
        placeholders = [before[-1]]
        while "reconnecting" not in caplog.text:
            assert time.monotonic() < until
            placeholders.append(next(frames))
        placeholders += itertools.islice(frames, 3)
        assert placeholders[-1].image.mean() < before[-1].image.mean() + 20
        assert placeholders[-1].image is placeholders[-2].image  # the same placeholder each time
        rtsp.start()
        while "is back after" not in caplog.text:
            assert time.monotonic() < until
            placeholders.append(next(frames))
        after = list(itertools.islice(frames, 5))
    times = [frame.time for frame in (*before, *placeholders[1:], *after)]
    assert all(a <= b for a, b in itertools.pairwise(times)), list(map(float, times))
    assert after[-1].image is not placeholders[-1].image
    # The stream's clock kept running: the gap in it equals the elapsed time. The tolerance is for
    # servers that send some frames in a burst.
    elapsed = after[-1].capture_time - before[-1].capture_time
    assert float(after[-1].time - before[-1].time) == pytest.approx(elapsed, abs=2.0)


def test_rtsp_sink_streams_in_real_time(rtsp: RtspServer, ffprobe: str) -> None:
    stream = StreamFormat((96, 160), Fraction(25), Fraction(1, 25))
    start = time.perf_counter()
    with open_sink(rtsp.uri("push"), stream) as sink:
        for index in range(30):
            image = make_image(index, 96, 160)
            sink.write(TranslatedFrame(Frame(image, Fraction(index, 25)), image))
        elapsed = time.perf_counter() - start
        time.sleep(1)  # the server stops at once, even before it has recorded all frames
        sink.finish()
    assert elapsed > 29 / 25 - 0.05  # no faster than its frame rate
    until = time.monotonic() + WAIT_S
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


@pytest.mark.slow
def test_udp_sink_and_source_of_its_recording(tmp_path: Path) -> None:
    """FFmpeg records what the stream sink sends, and the source reads the recording."""
    port = free_port(socket.SOCK_DGRAM)
    receiver = start_ffmpeg(
        *("-i", f"udp://127.0.0.1:{port}?timeout={WAIT_S * 1_000_000}", "-c", "copy"),
        *("-frames:v", 20),
        tmp_path / "received.mkv",
    )
    stream = StreamFormat((96, 160), Fraction(25), Fraction(1, 25))
    try:
        with open_sink(f"udp://127.0.0.1:{port}", stream) as sink:
            for index in range(25 * WAIT_S):  # what is sent before it listens is lost
                image = make_image(index, 96, 160)
                sink.write(TranslatedFrame(Frame(image, Fraction(index, 25)), image))
                if receiver.poll() is not None:
                    break
            sink.finish()
        receiver.wait(timeout=WAIT_S)
    finally:
        receiver.kill()
        receiver.wait()
    with open_source(str(tmp_path / "received.mkv")) as source:
        assert sum(isinstance(item, Frame) for item in source) == 20


def test_udp_source() -> None:
    port = free_port(socket.SOCK_DGRAM)
    sender = start_ffmpeg(
        *("-re", "-f", "lavfi", "-i", "testsrc=size=160x96:rate=25", "-t", 2 * WAIT_S),
        *("-c:v", "libx264", "-g", 5, "-tune", "zerolatency", "-f", "mpegts"),
        f"udp://127.0.0.1:{port}",
    )
    try:
        with _open_when_ready(f"udp://127.0.0.1:{port}") as source:
            assert source.live
            assert len(list(itertools.islice(source, 5))) == 5
    finally:
        sender.terminate()
        sender.wait()


def test_motion_jpeg_over_http_is_timed_by_arrival() -> None:
    port = free_port()
    server = start_ffmpeg(
        *("-re", "-f", "lavfi", "-i", "testsrc=size=160x96:rate=10", "-t", 2 * WAIT_S),
        *("-f", "mpjpeg", "-listen", 1, f"http://127.0.0.1:{port}/"),
    )
    try:
        source = _open_when_ready(f"http://127.0.0.1:{port}/")
        with source:
            assert source.live
            frames = [item for item in itertools.islice(source, 12) if isinstance(item, Frame)]
    finally:
        server.terminate()
        server.wait()
    for before, after in itertools.pairwise(frames):
        interval = after.capture_time - before.capture_time
        assert float(after.time - before.time) == pytest.approx(interval, abs=0.02)


def _open_when_ready(uri: str) -> Any:
    until = time.monotonic() + WAIT_S
    while True:
        try:
            return open_source(uri)
        except SourceError:
            assert time.monotonic() < until, f"{uri} never listened"
            time.sleep(0.2)


def test_silent_source_times_out(monkeypatch: pytest.MonkeyPatch) -> None:
    from cgt.runtime.sources import ffmpeg_inputs

    monkeypatch.setattr(ffmpeg_inputs, "_READ_TIMEOUT_S", 0.5)
    with pytest.raises(SourceError, match=r"no data arrived for 0\.5 s"):
        open_source(f"udp://127.0.0.1:{free_port(socket.SOCK_DGRAM)}")


class FakeCamera:
    """A cv2.VideoCapture of a camera that is unplugged after some frames."""

    def __init__(self, frames: int = 6) -> None:
        self.frames_left, self.settings = frames, {}

    def isOpened(self) -> bool:  # noqa: N802
        return True

    def read(self) -> tuple[bool, np.ndarray | None]:
        self.frames_left -= 1
        if self.frames_left < 0:
            return False, None
        return True, make_image(self.frames_left, 48, 64)

    def get(self, key: int) -> float:
        return {cv2.CAP_PROP_FPS: 30.0, cv2.CAP_PROP_FOURCC: float(0x47504A4D)}.get(key, 0.0)

    def set(self, key: int, value: float) -> None:
        self.settings[key] = value

    def release(self) -> None:
        pass


def test_unplugged_camera_raises(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cv2, "VideoCapture", lambda number: FakeCamera())
    with open_source("0") as source:
        frames = iter(source)
        assert len(list(itertools.islice(frames, 5))) == 5
        with pytest.raises(SourceError, match="camera 0 stopped delivering frames"):
            next(frames)


def test_reconnects_to_camera(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(reconnect, "_MIN_RETRY_DELAY_S", 0.05)
    monkeypatch.setattr(cv2, "VideoCapture", lambda number: FakeCamera())
    with open_source("/dev/video0", reconnect=True) as source:
        frames = list(itertools.islice(source, 14))
    assert "camera /dev/video0 is back" in caplog.text
    times = [frame.time for frame in frames]
    assert all(a < b for a, b in itertools.pairwise(times))


def test_camera_settings_are_requested_and_logged(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    camera = FakeCamera()
    monkeypatch.setattr(cv2, "VideoCapture", lambda number: camera)
    with open_source("/dev/video0?size=1280x720&fps=60&format=mjpg") as source:
        assert source.rate == 30
    assert camera.settings == {
        cv2.CAP_PROP_FOURCC: cv2.VideoWriter.fourcc(*"MJPG"),
        cv2.CAP_PROP_FRAME_WIDTH: 1280,
        cv2.CAP_PROP_FRAME_HEIGHT: 720,
        cv2.CAP_PROP_FPS: 60.0,
    }
    assert "delivers 64x48 MJPG at 30 frames/s" in caplog.text


def test_missing_gstreamer_is_reported() -> None:
    if "GStreamer:                   YES" in cv2.getBuildInformation():
        pytest.skip("this OpenCV has GStreamer")
    for uri in ("csi://0", "gst://videotestsrc"):
        with pytest.raises(MissingDependency, match="GStreamer"):
            open_source(uri)


@pytest.mark.parametrize(
    ("uri", "message"),
    [
        ("test://?size=64", "WIDTHxHEIGHT"),
        ("test://?color=red", "known: size, fps, frames, live"),
        ("test://?fps=0", "not a rate"),
        ("test://?live=yes", "neither 0 nor 1"),
        ("gopher://x", "unknown scheme"),
        ("0?format=motion", "four letters"),
    ],
)
def test_invalid_uris(uri: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        open_source(uri)


def test_pattern_counts_frames() -> None:
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


def test_pattern_counter_survives_encoding(tmp_path: Path) -> None:
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


def test_live_pattern_plays_in_real_time() -> None:
    with open_source("test://?size=64x64&fps=40&frames=20") as source:
        assert source.live
        frames = list(source)
    elapsed = frames[-1].capture_time - frames[0].capture_time
    assert elapsed == pytest.approx(19 / 40, abs=0.01)


def test_source_reads_standard_input(clip: Path) -> None:
    code = (
        "import sys; from cgt.runtime.sources import *\n"
        "with open_source(sys.argv[1]) as s:\n"
        "    print(s.size, s.rate, sum(isinstance(i, Frame) for i in s))"
    )
    raw_frames = b"".join(make_image(i, 48, 64).tobytes() for i in range(7))
    remux = start_ffmpeg("-i", clip, "-c", "copy", "-f", "matroska", clip.with_suffix(".piped"))
    remux.wait()
    for uri, data, output in (
        ("pipe://?size=64x48&fps=20", raw_frames, "(48, 64) 20 7"),
        ("-", clip.with_suffix(".piped").read_bytes(), "(90, 160) 25/2 20"),
    ):
        done = subprocess.run(
            [sys.executable, "-c", code, uri], input=data, capture_output=True, check=True
        )
        assert done.stdout.decode().strip() == output


def test_the_printed_gstreamer_command_runs() -> None:
    """A shell would take the parentheses of a pipeline as its own."""
    from cgt.runtime.sources.camera import _launch_command

    pipeline = (
        "videotestsrc num-buffers=1 ! video/x-raw(memory:SystemMemory),format=RGB,width=32,"
        "height=32 ! fakesink"
    )
    if shutil.which("gst-launch-1.0") is None:
        pytest.skip("gst-launch-1.0 is not installed")
    done = subprocess.run(
        ["bash", "-c", _launch_command(pipeline)], capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stderr
