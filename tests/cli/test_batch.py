"""`cgt translate` of several videos by several processes, with and without failures."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from support.videos import count_frames, video_differences

from conftest import CLIP_FRAMES, run_cgt, wait_for

CGT = str(Path(sys.executable).with_name("cgt"))


@pytest.fixture
def video_folder(clip: Path, long_video: Path, tmp_path: Path) -> Path:
    """Return a folder of three videos, one of them long enough to be split."""
    folder = tmp_path / "videos"
    folder.mkdir()
    shutil.copy(clip, folder / "a.mp4")
    shutil.copy(clip, folder / "b.mp4")
    shutil.copy(long_video.with_suffix(".mkv"), folder / "long.mkv")
    return folder


def flags(model: Path) -> list[object]:
    return ["--model", model, "--engine", "onnxruntime", "--size", "32"]


def single(source: Path, model: Path, folder: Path) -> Path:
    """Translate a video in one process."""
    folder.mkdir(exist_ok=True)
    out = folder / source.name
    done = run_cgt("translate", source, "-o", out, *flags(model))
    assert done.returncode == 0, done.stderr
    return out


def at_work(out: Path) -> list[Path]:
    return list(out.glob(".cgt-jobs/*/*.beat"))


def children(process: subprocess.Popen[str]) -> list[int]:
    """Return the process IDs of a command's workers."""
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            parent = int(stat.read_text().rpartition(")")[2].split()[1])
            words = (stat.parent / "cmdline").read_bytes()
        except OSError:
            continue
        if parent == process.pid and b"spawn_main" in words:
            found.append(int(stat.parent.name))
    return found


def test_a_batch_equals_single_runs(video_folder: Path, tiny_model: Path, tmp_path: Path) -> None:
    """Translate the rest beside a bad file, report it at the end, and do not repeat the rest."""
    (video_folder / "c.mp4").write_bytes(b"no video")
    out = tmp_path / "out"
    command = ("translate", f"{video_folder}/*", "-o", out, *flags(tiny_model), "--jobs", 2)
    done = run_cgt(*command, "--json", tmp_path / "stats.json")
    assert done.returncode == 1, done.stderr
    assert "c.mp4 is not a video" in done.stderr
    assert "1 of 4 videos failed" in done.stderr.splitlines()[-1]
    for name in ("a.mp4", "b.mp4", "long.mkv"):
        assert (
            video_differences(
                single(video_folder / name, tiny_model, tmp_path / "single"), out / name
            )
            == []
        )
    assert {path.name for path in out.iterdir()} == {"a.mp4", "b.mp4", "long.mkv", ".cgt-jobs"}
    assert {path.name for path in (out / ".cgt-jobs").iterdir()} == {"lock", "finished.json"}
    facts = {
        Path(v["source"]).name: v
        for v in json.loads((tmp_path / "stats.json").read_text())["videos"]
    }
    assert facts["long.mkv"]["segments"] == 4
    assert facts["a.mp4"]["frames"] == CLIP_FRAMES
    assert facts["c.mp4"]["error"]

    changed = {path: path.stat().st_mtime_ns for path in out.glob("*.m*")}
    shutil.copy(video_folder / "a.mp4", video_folder / "c.mp4")
    (out / "b.mp4").unlink()
    done = run_cgt(*command, "--resume")
    assert done.returncode == 0, done.stderr
    assert "2 done, 2 were finished before" in done.stderr
    assert changed[out / "long.mkv"] == (out / "long.mkv").stat().st_mtime_ns
    assert count_frames(out / "c.mp4") == count_frames(out / "b.mp4") == CLIP_FRAMES


def test_a_killed_worker_and_a_signal(long_video: Path, tiny_model: Path, tmp_path: Path) -> None:
    """Give a dead worker's segment to another; after a signal, --resume does what is missing."""
    out = tmp_path / "out.mp4"
    command = [*map(str, ("translate", long_video, "-o", out, *flags(tiny_model), "--jobs", 2))]
    process = subprocess.Popen([CGT, *command], stderr=subprocess.PIPE, text=True)
    wait_for(lambda: at_work(tmp_path) and children(process))
    for pid in children(process):
        os.kill(pid, signal.SIGKILL)
    wait_for(lambda: list(tmp_path.glob(".cgt-jobs/*/0*.part")))
    process.send_signal(signal.SIGINT)
    _, printed = process.communicate(timeout=60)
    assert process.returncode == 5, printed
    assert "a worker died: signal 9; retrying" in printed
    assert "--resume continues it" in printed
    assert "0 done" in printed
    assert not out.exists()
    parts = list(tmp_path.glob(".cgt-jobs/*/*"))
    assert parts
    assert all(path.suffix == ".part" for path in parts)
    changed = {path: path.stat().st_mtime_ns for path in parts}

    process = subprocess.Popen([CGT, *command, "--resume"], stderr=subprocess.PIPE, text=True)
    wait_for(lambda: at_work(tmp_path) or process.poll() is not None)
    assert all(path.stat().st_mtime_ns == then for path, then in changed.items() if path.exists())
    _, printed = process.communicate(timeout=120)
    assert process.returncode == 0, printed
    assert video_differences(single(long_video, tiny_model, tmp_path / "single"), out) == []
    assert not list(tmp_path.glob(".cgt-jobs/*/"))


def test_a_task_that_always_kills_its_worker(clip: Path, tiny_model: Path, tmp_path: Path) -> None:
    """Try three times; then the video has failed."""
    out = tmp_path / "out"
    command = map(str, ("translate", clip, "-o", out, *flags(tiny_model), "--jobs", 1))
    process = subprocess.Popen([CGT, *command], stderr=subprocess.PIPE, text=True)
    killed: set[int] = set()
    while process.poll() is None:
        for pid in set(children(process)) - killed:
            os.kill(pid, signal.SIGKILL)
            killed.add(pid)
        time.sleep(0.01)
    _, printed = process.communicate()
    assert process.returncode == 1, printed
    assert printed.count("retrying") == 2
    assert "failed: a worker died: signal 9" in printed
    assert [path.name for path in out.iterdir()] == [".cgt-jobs"]


@pytest.mark.parametrize(
    ("more", "words"),
    [
        (("--live",), "--live is not for several videos"),
        (("--reconnect",), "--reconnect is not for"),
        (("-o", "second"), "take one -o"),
        (("--engine", "nonsense"), "--engine nonsense is unknown"),
        (("--model", "none.onnx"), "none.onnx"),
    ],
)
def test_flags_for_single_videos_are_refused(
    clip: Path, tmp_path: Path, more: tuple[str, ...], words: str
) -> None:
    done = run_cgt("translate", clip, "-o", tmp_path / "out", "--jobs", 2, *more)
    assert done.returncode in (1, 2), done.stderr
    assert words in done.stderr
    assert done.stderr.count("\n") == 1


def test_resume_is_for_batches(clip: Path) -> None:
    done = run_cgt("translate", clip, "-o", "null:", "--resume")
    assert done.returncode == 2
    assert "--resume is for several videos" in done.stderr


def test_deflickered_videos_are_not_split(
    long_video: Path, tiny_model: Path, tmp_path: Path
) -> None:
    out = tmp_path / "deflickered.mp4"
    done = run_cgt(
        *("translate", long_video, "-o", out, "--jobs", 2, "--deflicker", 0.5),
        *("--json", tmp_path / "s.json"),
        *flags(tiny_model),
    )
    assert done.returncode == 0, done.stderr
    assert "--deflicker depends on earlier frames: no video is split" in done.stderr
    assert json.loads((tmp_path / "s.json").read_text())["videos"][0]["segments"] == 1


def test_two_batches_cannot_share_a_folder(clip: Path, tiny_model: Path, tmp_path: Path) -> None:
    from cgt.runtime.batch.manifest import JobManifest

    with JobManifest(tmp_path / "out", resume=False):
        done = run_cgt("translate", clip, "-o", tmp_path / "out", "--jobs", 1, *flags(tiny_model))
    assert done.returncode == 1
    assert "another cgt translate is writing" in done.stderr
