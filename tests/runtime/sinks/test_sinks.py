"""Sinks: codecs, pipes, several at once, and the files that remain after a failure."""

from __future__ import annotations

import os
import resource
import signal
import subprocess
import sys
from fractions import Fraction
from pathlib import Path

import cv2
import numpy as np
import pytest

from cgt.runtime.errors import MissingDependency, SinkError, UsageError
from cgt.runtime.image.compose import compose_view, view_output_size
from cgt.runtime.image.files import read_image
from cgt.runtime.sinks import Sink, StreamFormat, TranslatedFrame, open_sink, open_sinks
from cgt.runtime.sinks.mp4 import iter_boxes
from cgt.runtime.sources import Frame, open_source
from conftest import make_image, run_cgt

STREAM = StreamFormat((96, 160), Fraction(25), Fraction(1, 25))


def make_results(count: int) -> list[TranslatedFrame]:
    results = []
    for index in range(count):
        image = make_image(index, 96, 160)
        results.append(TranslatedFrame(Frame(image, Fraction(index, 25)), image[:, ::-1].copy()))
    return results


def write_frames(sink: Sink, count: int = 12) -> None:
    with sink:
        for result in make_results(count):
            sink.write(result)
        sink.finish()


def probe_video(ffprobe: str, path: Path) -> list[str]:
    entries = "stream=codec_name,width,height,nb_read_frames"
    done = subprocess.run(
        [ffprobe, "-v", "error", "-count_frames", "-show_entries", entries, "-of", "csv=p=0", path],
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout.split()[0].split(",")


@pytest.mark.parametrize(
    ("name", "codec", "expected"),
    [
        ("o.mp4", None, "h264"),
        ("o.mp4", "hevc", "hevc"),
        ("o.mp4", "av1", "av1"),
        ("o.webm", None, "vp9"),
        ("o.mov", "prores", "prores"),
        ("o.mkv", "vp9", "vp9"),
        ("o.ts", "h264", "h264"),
    ],
)
def test_codecs(name: str, codec: str | None, expected: str, tmp_path: Path, ffprobe: str) -> None:
    out = tmp_path / name
    write_frames(open_sink(str(out), STREAM, codec))
    assert probe_video(ffprobe, out) == [expected, "160", "96", "12"]
    with open_source(str(out)) as source:
        frames = [item for item in source if isinstance(item, Frame)]
    assert np.abs(frames[5].image.astype(int) - make_results(6)[5].image).mean() < 8


def test_encoder_does_not_change_thread_scheduling(tmp_path: Path) -> None:
    """SVT-AV1, opened by root, gives its own threads and the calling one real-time priority."""
    before = os.sched_getscheduler(0)
    with open_sink(str(tmp_path / "o.mp4"), STREAM, "av1") as sink:
        for result in make_results(3):
            sink.write(result)
        tasks = [int(path.name) for path in Path("/proc/self/task").iterdir()]
        assert len(tasks) > 3
        assert {os.sched_getscheduler(task) for task in tasks} == {before}
        sink.finish()
    assert os.sched_getscheduler(0) == before


@pytest.mark.parametrize("count", range(24, 30))
def test_mp4_shows_the_last_frame(count: int, tmp_path: Path, ffprobe: str) -> None:
    """With 26 and 27 frames, the last one is decoded before those of the last fragment."""
    panorama = np.random.default_rng(2).integers(0, 256, (96, 400, 3), np.uint8)
    panorama = cv2.GaussianBlur(panorama, (9, 9), 3).astype(np.uint8)
    stream = StreamFormat((96, 160), Fraction(25), Fraction(1, 12800))
    with open_sink(str(tmp_path / "o.mp4"), stream) as sink:
        for index in range(count):
            image = np.ascontiguousarray(panorama[:, 4 * index : 4 * index + 160])
            sink.write(TranslatedFrame(Frame(image, Fraction(index, 25)), image))
        sink.finish()
    assert probe_video(ffprobe, tmp_path / "o.mp4")[-1] == str(count)
    entries = ("-show_entries", "format=duration", "-of", "csv=p=0")
    duration = subprocess.check_output([ffprobe, "-v", "error", *entries, tmp_path / "o.mp4"])
    assert float(duration) == pytest.approx(count / 25, abs=1e-3)


def test_missing_hardware_encoder_falls_back(
    tmp_path: Path, ffprobe: str, caplog: pytest.LogCaptureFixture
) -> None:
    write_frames(open_sink(str(tmp_path / "o.mp4"), STREAM, "h264_v4l2m2m"))
    assert probe_video(ffprobe, tmp_path / "o.mp4")[0] == "h264"
    assert "h264_v4l2m2m does not work here" in caplog.text
    assert "libx264" in caplog.text


def test_unsupported_codecs_raise(tmp_path: Path) -> None:
    for name, codec, message in (
        ("o.webm", "h264", "vp9 or av1"),
        ("o.mp4", "prores", "cannot hold prores"),
        ("o.mp4", "theora", "unknown"),
    ):
        with pytest.raises(UsageError, match=message):
            open_sink(str(tmp_path / name), STREAM, codec)
    assert not list(tmp_path.iterdir())


def test_finished_mp4_starts_with_its_index_and_has_no_fragments(tmp_path: Path) -> None:
    write_frames(open_sink(str(tmp_path / "o.mp4"), STREAM), 80)
    with open(tmp_path / "o.mp4", "rb") as file:
        kinds = [kind for kind, _, _ in iter_boxes(file)]
    assert kinds[0] == b"ftyp"
    assert kinds.index(b"moov") < kinds.index(b"mdat")
    assert b"moof" not in kinds


@pytest.mark.parametrize("suffix", [".mp4", ".mov", ".mkv", ".webm"])
def test_file_of_a_killed_process_is_playable(suffix: str, tmp_path: Path, ffprobe: str) -> None:
    child = os.fork()
    if child == 0:
        sink = open_sink(str(tmp_path / f"o{suffix}"), STREAM)
        for result in make_results(120):
            sink.write(result)
        os.kill(os.getpid(), signal.SIGKILL)
    os.waitpid(child, 0)
    (unfinished,) = tmp_path.iterdir()
    assert unfinished.name.startswith(".o.")
    assert unfinished.suffix == suffix
    # A second was in the incomplete fragment, and some frames were in the encoder.
    assert int(probe_video(ffprobe, unfinished)[3]) > 120 - 25 - 25


@pytest.mark.parametrize("suffix", [".mp4", ".mkv"])
def test_full_disk_keeps_the_frames_before(suffix: str, tmp_path: Path, ffprobe: str) -> None:
    """Simulate a full disk by a limit on file sizes."""
    code = (
        "import resource, sys\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (60_000, 60_000))\n"
        "from cgt.cli.main import main\n"
        f"sys.argv = ['cgt', 'translate', 'test://?size=320x240&frames=400&live=0',"
        f" '-o', 'o{suffix}', '--size', '96x128', '--upsampling', 'none']\n"
        "main()"
    )
    assert resource.RLIMIT_FSIZE
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 1
    frames = probe_video(ffprobe, tmp_path / f"o{suffix}")[3]
    assert int(frames) > 10
    assert f"holds the {frames} frames before" in done.stderr
    assert [path.name for path in tmp_path.iterdir()] == [f"o{suffix}"]


def test_closed_pipe_ends_the_run(tmp_path: Path) -> None:
    code = "import sys; sys.stdin.buffer.read(50_000)"
    cgt = [sys.executable, "-c", "from cgt.cli.main import main; main()"]
    args = ["translate", "test://?size=320x240&live=0&frames=3000", "-o", "-", "--size", "96x64"]
    writer = subprocess.Popen([*cgt, *args], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    subprocess.run([sys.executable, "-c", code], stdin=writer.stdout, check=True)
    assert writer.stdout is not None
    writer.stdout.close()
    _, stderr = writer.communicate(timeout=60)
    assert writer.returncode == 1
    assert b"standard output was closed after" in stderr
    assert b"Traceback" not in stderr


def test_y4m_and_raw_pixels_on_standard_output(tiny_model: Path, ffprobe: str) -> None:
    common = ("translate", "test://?size=320x240&frames=9&live=0", "--model", tiny_model)
    done = run_cgt(*common, "--size", "64x32", "--upsampling", "none", "-o", "-", text=False)
    assert done.returncode == 0, done.stderr
    entries = "stream=width,height,nb_read_frames"
    probed = subprocess.run(
        [ffprobe, "-v", "error", "-count_frames", "-show_entries", entries, "-of", "csv=p=0", "-"],
        input=done.stdout,
        capture_output=True,
        check=True,
    )
    assert probed.stdout.split() == [b"64,32,9"]
    done = run_cgt(
        *common, "--size", "64x32", "--upsampling", "none", "-o", "pipe://?format=bgr24", text=False
    )
    assert len(done.stdout) == 9 * 32 * 64 * 3


def test_image_sequence(tmp_path: Path) -> None:
    write_frames(open_sink(str(tmp_path / "new" / "%03d.png"), STREAM), 3)
    names = sorted(path.name for path in (tmp_path / "new").iterdir())
    assert names == ["000.png", "001.png", "002.png"]
    with open_source(str(tmp_path / "new" / "%03d.png")) as source:
        images = [item.image for item in source]
    assert all((a == b.image).all() for a, b in zip(images, make_results(3), strict=True))


class FailingSink(Sink):
    name = "failing sink"
    closed = False

    def __init__(self, after: int) -> None:
        self._frames_left = after

    def write(self, result: TranslatedFrame) -> None:
        self._frames_left -= 1
        if self._frames_left < 0:
            raise SinkError("its disk is full")

    def finish(self) -> None:
        pass

    def close(self) -> None:
        self.closed = True


def test_tee_continues_after_a_failure(
    tmp_path: Path, ffprobe: str, caplog: pytest.LogCaptureFixture
) -> None:
    from cgt.runtime.sinks.tee import TeeSink

    failing = FailingSink(after=3)
    with pytest.raises(SinkError, match="its disk is full"):
        write_frames(TeeSink([failing, open_sink(str(tmp_path / "o.mp4"), STREAM)]))
    assert failing.closed
    assert probe_video(ffprobe, tmp_path / "o.mp4")[3] == "12"
    assert "continuing with" in caplog.text
    with pytest.raises(SinkError, match="its disk is full"):
        write_frames(TeeSink([FailingSink(2), FailingSink(3)]))


def test_failure_to_open_closes_the_other_sinks(tmp_path: Path) -> None:
    with pytest.raises(SinkError):
        open_sinks([str(tmp_path / "a.mp4"), str(tmp_path / "none" / "b.mp4")], STREAM)
    assert not list(tmp_path.iterdir())
    with pytest.raises(UsageError, match="twice"):
        open_sinks(["null:", "null:"], STREAM)


def test_views(tmp_path: Path) -> None:
    before, after = make_image(0, 48, 64), make_image(9, 96, 128)
    small = compose_view(before, after, "original")
    assert small.shape == after.shape
    side_by_side = compose_view(before, after, "side-by-side")
    assert side_by_side.shape[:2] == view_output_size((96, 128), "side-by-side") == (96, 256)
    assert (side_by_side[:, :128] == small).all()
    assert (side_by_side[:, 128:] == after).all()
    split = compose_view(before, after, "split")
    assert (split[:, :63] == small[:, :63]).all()
    assert (split[:, 65:] == after[:, 65:]).all()
    write_frames(open_sink(str(tmp_path / "%d.png"), STREAM, view="side-by-side"), 1)
    image = read_image(tmp_path / "0.png")
    assert image is not None
    assert (image[:, :160] == make_results(1)[0].source_frame.image).all()


def test_unreachable_streams_raise() -> None:
    for uri, error, message in (
        ("/dev/video77", SinkError, "v4l2loopback"),
        ("rtsp://127.0.0.1:9/x", SinkError, "cannot send"),
        ("gopher://x", UsageError, "known: rtsp"),
    ):
        with pytest.raises(error, match=message):
            open_sink(uri, STREAM)


def test_window_without_a_screen_raises(monkeypatch: pytest.MonkeyPatch) -> None:
    for screen in ("", ":987"):
        monkeypatch.setenv("DISPLAY", screen)
        monkeypatch.delenv("WAYLAND_DISPLAY", raising=False)
        with pytest.raises(MissingDependency, match=r"screen|has no windows"):
            open_sink("window", STREAM)
