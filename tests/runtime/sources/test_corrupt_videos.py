"""Damaged and truncated videos: intact frames are read, the damage is reported."""

from __future__ import annotations

import random
from pathlib import Path

import av
import pytest

from cgt.runtime.errors import SourceError
from cgt.runtime.sources import Frame, open_source
from conftest import make_image, run_cgt

FRAMES = 200


@pytest.fixture(scope="module")
def intact_videos(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """Return 200 frames with a keyframe every 10, as file content by suffix."""
    folder, contents = tmp_path_factory.mktemp("intact"), {}
    for suffix in (".mp4", ".mkv", ".ts"):
        path = folder / f"intact{suffix}"
        options = {"movflags": "faststart"} if suffix == ".mp4" else {}
        with av.open(str(path), "w", options=options) as out:
            video = out.add_stream("libx264", rate=25, options={"g": "10", "preset": "ultrafast"})
            video.width, video.height, video.pix_fmt = 160, 96, "yuv420p"
            for index in range(FRAMES):
                frame = av.VideoFrame.from_ndarray(make_image(index, 96, 160), format="rgb24")
                out.mux(video.encode(frame))
            out.mux(video.encode(None))
        contents[suffix] = path.read_bytes()
    return contents


def count_decodable_frames(path: Path) -> int:
    """Count the frames that PyAV alone decodes."""
    count = 0
    with av.open(str(path)) as container:
        while True:
            try:
                for packet in container.demux(video=0):
                    try:
                        count += len(packet.decode())
                    except av.InvalidDataError:
                        continue
                return count
            except av.InvalidDataError:
                continue


@pytest.mark.parametrize("suffix", [".mp4", ".mkv", ".ts"])
def test_damaged_middle_is_skipped(
    suffix: str, intact_videos: dict[str, bytes], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / f"bad{suffix}"
    data = bytearray(intact_videos[suffix])
    noise = random.Random(0)
    middle = len(data) // 2
    data[middle : middle + len(data) // 20] = noise.randbytes(len(data) // 20)
    path.write_bytes(data)
    with open_source(str(path)) as source:
        frames = [item for item in source if isinstance(item, Frame)]
    assert 0.7 * FRAMES < len(frames) == count_decodable_frames(path)
    assert frames[-1].time > FRAMES / 25 - 0.5  # decoding continues after the damage
    assert f"bad{suffix} is damaged" in caplog.text
    assert "intact frames were read" in caplog.text


@pytest.mark.parametrize("suffix", [".mp4", ".mkv"])
def test_truncated_file_keeps_its_frames(
    suffix: str, intact_videos: dict[str, bytes], tmp_path: Path, tiny_model: Path
) -> None:
    path, out = tmp_path / f"truncated{suffix}", tmp_path / "out.mp4"
    path.write_bytes(intact_videos[suffix][: len(intact_videos[suffix]) // 2])
    done = run_cgt("translate", path, "-o", out, "--model", tiny_model, "--size", "64x32")
    assert done.returncode == 1
    assert "ended unexpectedly after" in done.stderr
    assert "Traceback" not in done.stderr
    with open_source(str(out)) as source:
        frames = sum(isinstance(item, Frame) for item in source)
    assert 0.4 * FRAMES < frames < 0.6 * FRAMES
    assert f"the {frames} frames before are in" in done.stderr


def test_noise_is_not_a_video(tmp_path: Path) -> None:
    path = tmp_path / "noise.mp4"
    path.write_bytes(random.Random(0).randbytes(50_000))
    with pytest.raises(SourceError, match=r"noise\.mp4"):
        open_source(str(path))


def test_intact_file_logs_no_damage(
    intact_videos: dict[str, bytes], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    for suffix, data in intact_videos.items():
        path = tmp_path / f"intact{suffix}"
        path.write_bytes(data)
        with open_source(str(path)) as source:
            assert sum(isinstance(item, Frame) for item in source) == FRAMES
    assert caplog.text == ""
