"""Examples, run as their docstrings describe."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np

from cgt.runtime.image.files import read_image
from cgt.runtime.sources import open_source
from conftest import CLIP_FRAMES

EXAMPLES = Path(__file__).parents[2] / "examples"


def run_example(name: str, *args: object) -> str:
    command = [sys.executable, "-W", "error", str(EXAMPLES / name), *map(str, args)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    return done.stdout


def count_frames(path: Path) -> int:
    with open_source(str(path)) as source:
        return sum(1 for item in source if hasattr(item, "image"))


def test_every_example_is_tested_and_short() -> None:
    tested = {line for line in Path(__file__).read_text().split('"') if line.endswith(".py")}
    for path in EXAMPLES.glob("*.py"):
        assert path.name in tested
        assert 10 <= len(path.read_text().splitlines()) <= 40


def test_one_image(images: Path, tmp_path: Path, tiny_model: Path) -> None:
    run_example("one_image.py", images / "a.png", tmp_path / "o.png", tiny_model)
    before, after = read_image(images / "a.png"), read_image(tmp_path / "o.png")
    assert after.shape == before.shape
    assert (after != before).any()


def test_count_colors(clip: Path, tiny_model: Path) -> None:
    output = run_example("count_colors.py", clip, tiny_model)
    assert len(output.splitlines()) == CLIP_FRAMES


def test_live(clip: Path) -> None:
    output = run_example("live.py", clip, 1)
    assert "frames of 160x90" in output
    assert "p99" in output


def test_video_to_video(clip: Path, tiny_model: Path, tmp_path: Path) -> None:
    output = run_example("video_to_video.py", clip, tmp_path / "o.mp4", tiny_model)
    assert output.startswith(f"{CLIP_FRAMES} frames")
    assert count_frames(tmp_path / "o.mp4") == CLIP_FRAMES


def test_own_engine(clip: Path, tmp_path: Path) -> None:
    run_example("own_engine.py", clip, tmp_path / "o.mp4")
    first_frames = []
    for path in (clip, tmp_path / "o.mp4"):
        with open_source(str(path), audio=False) as source:
            first_frames.append(next(iter(source)).image.astype(float))
    from cgt.runtime.image.preprocess import resize

    expected = 255 - resize(first_frames[0].astype(np.uint8), first_frames[1].shape[:2])
    assert np.abs(expected.astype(float) - first_frames[1]).mean() < 8
