"""cgt translate: what its flags do, and what it says."""

from __future__ import annotations

import itertools
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from cgt.runtime.sources import open_source
from cgt.runtime.sources.test_pattern import read_counter
from conftest import CLIP_FRAMES, run_cgt


def frames_of(path: Path) -> list:
    with open_source(str(path), audio=False) as source:
        return list(source)


def test_stats_say_everything(clip: Path, tiny_model: Path, tmp_path: Path) -> None:
    done = run_cgt(
        *("translate", clip, "-o", "null:", "--model", tiny_model, "--engine", "onnxruntime"),
        *("--json", tmp_path / "s.json", "--deflicker", 0.5, "--output-size", "source"),
    )
    assert done.returncode == 0, done.stderr
    facts = json.loads((tmp_path / "s.json").read_text())
    assert facts["frames"] == facts["milliseconds"]["latency"]["count"] == CLIP_FRAMES
    stage = facts["milliseconds"]["inference"]
    assert 0 < stage["p50"] <= stage["p90"] <= stage["p99"]
    assert facts["engine"] | {"workers": 0} == {
        **{"name": "onnxruntime", "device": "CPU", "precision": "fp32"},
        **{"workers": 0, "batch": 1},
    }
    assert facts["sizes"] == {"picture": [32, 56], "tensor": [32, 56], "output": [90, 160]}
    assert facts["calm"] == "flow"
    assert facts["memory"]["peak_mib"] > 20
    assert facts["versions"]["onnxruntime"]
    assert facts["dropped"] == facts["thinned"] == 0


def test_stats_that_cannot_be_written(clip: Path, tiny_model: Path, tmp_path: Path) -> None:
    done = run_cgt(
        *("translate", clip, "-o", "null:", "--model", tiny_model, "--engine", "onnxruntime"),
        *("--json", tmp_path / "none" / "s.json"),
    )
    assert done.returncode == 1
    assert "cannot write" in done.stderr


def test_verbose_says_what_was_found_out(clip: Path, tiny_model: Path) -> None:
    command = ("translate", clip, "-o", "null:", "--model", tiny_model, "--engine", "openvino")
    wide = os.environ | {"COLUMNS": "200"}
    quiet, verbose = run_cgt(*command, env=wide), run_cgt(*command, "--verbose", env=wide)
    for fact in ("12.500 frames/s", "tensor 32x56", "at once", "cache"):
        assert fact in verbose.stderr
        assert fact not in quiet.stderr


def test_a_live_picture_drops_and_stays_in_time(tiny_model: Path, tmp_path: Path) -> None:
    """60 frames/s, at a size that takes longer."""
    out = tmp_path / "o.mkv"
    done = run_cgt(
        *("translate", "test://?size=512x512&fps=60&frames=60", "-o", out),
        *("--model", tiny_model, "--size", "1024x1024", "--engine", "onnxruntime"),
        *("--output-size", "256", "--json", tmp_path / "s.json"),
    )
    assert done.returncode == 0, done.stderr
    facts = json.loads((tmp_path / "s.json").read_text())
    assert facts["dropped"] > 0
    assert facts["frames"] + facts["dropped"] == 60
    assert facts["seconds"] >= 59 / 60
    assert f"{facts['dropped']} dropped" in done.stderr
    assert len(frames_of(out)) == facts["frames"]


def test_what_is_live_and_what_is_not_can_be_said(
    clip: Path, tiny_model: Path, tmp_path: Path
) -> None:
    model = ("--model", tiny_model, "--engine", "onnxruntime", "--json", tmp_path / "s.json")
    source = "test://?size=64x64&fps=200&frames=60"
    done = run_cgt("translate", source, "-o", "null:", "--no-live", "--size", 512, *model)
    assert done.returncode == 0, done.stderr
    assert json.loads((tmp_path / "s.json").read_text())["frames"] == 60
    done = run_cgt("translate", clip, "-o", "null:", "--live", *model)
    assert done.returncode == 0, done.stderr
    facts = json.loads((tmp_path / "s.json").read_text())
    assert facts["seconds"] >= (CLIP_FRAMES - 1) / 12.5
    assert facts["frames"] + facts["dropped"] == CLIP_FRAMES


def test_max_fps(clip: Path, tiny_model: Path, tmp_path: Path) -> None:
    done = run_cgt(
        *("translate", clip, "-o", tmp_path / "o.mp4", "--model", tiny_model, "--max-fps", 5),
        *("--engine", "onnxruntime"),
    )
    assert done.returncode == 0, done.stderr
    times = [float(item.time) for item in frames_of(tmp_path / "o.mp4")]
    assert len(times) == 8  # 1.6 s
    assert all(later - earlier > 0.15 for earlier, later in itertools.pairwise(times))
    assert "12 left out" in done.stderr


def test_numbers_survive_batches_and_tiles(tmp_path: Path) -> None:
    """Through the bundled model, which keeps light from dark."""
    for flags in (("--batch", 3, "--size", 128), ("--tile", 96)):
        done = run_cgt(
            *("translate", "test://?size=128x160&frames=10&live=0", "-o", tmp_path / "o", *flags),
            *("--engine", "openvino"),
        )
        assert done.returncode == 0, done.stderr
        numbers = [read_counter(frame.image) for frame in frames_of(tmp_path / "o")]
        assert numbers == list(range(10))


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (("--overlap", "8"), "give --tile too"),
        (("--live", "--batch", "4"), "--batch waits"),
        (("--tile", "64", "--overlap", "40"), "maximum is half a tile"),
        (("--output-size", "wide"), "--output-size wide is not a size"),
        (("--engine", "onnxruntime:tpu"), "no device tpu"),
        (("--engine", "torch"), "takes .pth"),
        (("--deflicker", "2"), "--deflicker"),
    ],
)
def test_what_makes_no_sense_is_refused(clip: Path, flags: tuple[str, ...], words: str) -> None:
    done = run_cgt("translate", clip, "-o", "null:", *flags)
    assert done.returncode == 2, done.stderr
    assert words in done.stderr
    assert done.stderr.count("\n") == 1


def test_the_doctor_for_programs() -> None:
    done = run_cgt("doctor", "--json")
    assert done.returncode == 0, done.stderr
    findings = {finding["name"]: finding for finding in json.loads(done.stdout)}
    for name in ("pixels", "openvino", "encode H.264", "decode", "opencv"):
        assert findings[name]["available"], findings[name]
    for finding in findings.values():
        assert finding["details"]
        assert finding["available"] or finding["install"], finding


@pytest.mark.parametrize("delay", [0.3, 0.6, 1.0, 1.6])
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_at_any_time_leaves_a_whole_file_or_none(
    tmp_path: Path, tiny_model: Path, number: signal.Signals, delay: float
) -> None:
    """During start-up, too. Before our own code runs, the signal is Python's to answer."""
    command = [str(Path(sys.executable).with_name("cgt")), "translate", "test://?size=320x240"]
    process = subprocess.Popen(
        [*command, "-o", "o.mp4", "--model", str(tiny_model), "--engine", "onnxruntime"],
        cwd=tmp_path,
        stderr=subprocess.PIPE,
        text=True,
    )
    time.sleep(delay)
    process.send_signal(number)
    _, said = process.communicate(timeout=60)
    assert process.returncode in (5, -number, 1 if number == signal.SIGINT else 5), said
    assert {path.name for path in tmp_path.iterdir()} <= {"o.mp4"}
    if (tmp_path / "o.mp4").exists():
        assert f"holds the {len(frames_of(tmp_path / 'o.mp4'))} frames" in said
