"""`cgt translate`: what its flags do, and what it prints."""

from __future__ import annotations

import itertools
import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from cgt.runtime.sources import open_source
from cgt.runtime.sources.test_pattern import read_counter
from conftest import CLIP_FRAMES, run_cgt


def frames_of(path: Path) -> list:
    with open_source(str(path), audio=False) as source:
        return list(source)


def test_json_has_all_figures(clip: Path, tiny_model: Path, tmp_path: Path) -> None:
    done = run_cgt(
        *("translate", clip, "-o", "null:", "--model", tiny_model, "--engine", "onnxruntime"),
        *("--json", tmp_path / "s.json", "--deflicker", 0.5, "--output-size", "source"),
    )
    assert done.returncode == 0, done.stderr
    facts = json.loads((tmp_path / "s.json").read_text())
    assert facts["frames"] == facts["latency_ms"]["count"] == CLIP_FRAMES
    assert facts["fps"] > 0
    assert facts["precision"] == "fp32"
    stage = facts["stages_ms"]["inference"]
    assert 0 < stage["p50"] <= stage["p90"] <= stage["p99"]
    assert facts["engine"] | {"workers": 0} == {
        **{"name": "onnxruntime", "device": "CPU", "precision": "fp32"},
        **{"workers": 0, "batch": 1},
    }
    assert facts["sizes"] == {"image": "56x32", "tensor": "56x32", "output": "160x90"}
    assert facts["source"]["size"] == "160x90"
    assert facts["deflicker"] == "flow"
    assert facts["memory"]["peak_mib"] > 20
    assert facts["versions"]["onnxruntime"]
    assert facts["dropped"] == facts["skipped"] == 0


def test_json_without_a_file_is_printed(clip: Path, tiny_model: Path) -> None:
    done = run_cgt(
        *("translate", clip, "-o", "null:", "--model", tiny_model, "--engine", "onnxruntime"),
        "--json",
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["frames"] == CLIP_FRAMES
    refused = run_cgt("translate", clip, "-o", "-", "--model", tiny_model, "--json")
    assert refused.returncode == 2
    assert "both write to standard output" in refused.stderr


def test_translate_file_is_the_same_from_python(
    clip: Path, tiny_model: Path, tmp_path: Path
) -> None:
    from cgt.runtime import translate, translate_file

    options: dict = {"model": tiny_model, "engine": "onnxruntime", "start": 0.4, "frames": 5}
    report = translate_file(clip, tmp_path / "o.mkv", view="side-by-side", **options)
    assert report.stats.frames == 5
    written = [frame.image for frame in frames_of(tmp_path / "o.mkv")]
    yielded = list(translate(clip, view="side-by-side", **options))
    assert len(written) == len(yielded) == 5
    assert written[0].shape == yielded[0].shape == (90, 320, 3)
    assert abs(written[0].astype(int) - yielded[0]).mean() < 8, "only the codec differs"


def test_translate_file_can_be_stopped(clip: Path, tiny_model: Path, tmp_path: Path) -> None:
    from cgt.runtime import translate_file
    from cgt.runtime.errors import Interrupted

    stop = threading.Event()
    with pytest.raises(Interrupted, match=r"the first .* frames are in"):
        translate_file(
            *(clip, tmp_path / "o.mkv"),
            **{"stop": stop, "on_frame": lambda frame: stop.set()},
            **{"model": tiny_model, "engine": "onnxruntime"},
        )
    assert 1 <= len(frames_of(tmp_path / "o.mkv")) < CLIP_FRAMES


def test_json_that_cannot_be_written(clip: Path, tiny_model: Path, tmp_path: Path) -> None:
    done = run_cgt(
        *("translate", clip, "-o", "null:", "--model", tiny_model, "--engine", "onnxruntime"),
        *("--json", tmp_path / "none" / "s.json"),
    )
    assert done.returncode == 1
    assert "cannot write" in done.stderr


def test_verbose_prints_the_settings(clip: Path, tiny_model: Path) -> None:
    command = ("translate", clip, "-o", "null:", "--model", tiny_model, "--engine", "openvino")
    wide = os.environ | {"COLUMNS": "200"}
    quiet, verbose = run_cgt(*command, env=wide), run_cgt(*command, "--verbose", env=wide)
    for fact in ("12.500 frames/s", "tensor 56x32", "at once", "cache"):
        assert fact in verbose.stderr
        assert fact not in quiet.stderr


def test_a_live_source_drops_frames_to_stay_in_time(tiny_model: Path, tmp_path: Path) -> None:
    """Translate 60 frames/s at a size that takes longer."""
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


def test_live_and_no_live_override_the_source(clip: Path, tiny_model: Path, tmp_path: Path) -> None:
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
    assert "12 skipped" in done.stderr


def test_numbers_survive_batches_and_tiles(tmp_path: Path) -> None:
    """Translate with the bundled model, which keeps light and dark apart."""
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
        (("--side-by-side", "--split"), "exclude each other"),
        (("--output-size", "wide"), "--output-size wide is not a size"),
        (("--engine", "onnxruntime:tpu"), "no device tpu"),
        (("--engine", "torch"), "takes .pth"),
        (("--deflicker", "2"), "--deflicker"),
    ],
)
def test_contradicting_flags_are_refused(clip: Path, flags: tuple[str, ...], words: str) -> None:
    done = run_cgt("translate", clip, "-o", "null:", *flags)
    assert done.returncode == 2, done.stderr
    assert words in done.stderr
    assert done.stderr.count("\n") == 1


def test_doctor_as_json() -> None:
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
    """Stop also during start-up; before our own code runs, Python handles the signal."""
    command = [str(Path(sys.executable).with_name("cgt")), "translate", "test://?size=320x240"]
    process = subprocess.Popen(
        [*command, "-o", "o.mp4", "--model", str(tiny_model), "--engine", "onnxruntime"],
        cwd=tmp_path,
        stderr=subprocess.PIPE,
        text=True,
    )
    time.sleep(delay)
    process.send_signal(number)
    _, printed = process.communicate(timeout=60)
    assert process.returncode in (5, -number, 1 if number == signal.SIGINT else 5), printed
    assert {path.name for path in tmp_path.iterdir()} <= {"o.mp4"}
    if (tmp_path / "o.mp4").exists():
        assert f"the first {len(frames_of(tmp_path / 'o.mp4'))} frames are in" in printed


@pytest.mark.parametrize("closed", [">&-", "2>&-"])
def test_a_video_needs_no_standard_streams(
    clip: Path, tiny_model: Path, tmp_path: Path, closed: str
) -> None:
    done = _run_in_shell(closed, clip, tmp_path / "o.mp4", tiny_model)
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr
    assert len(frames_of(tmp_path / "o.mp4")) == CLIP_FRAMES


def test_a_closed_standard_output_cannot_be_the_sink(clip: Path, tiny_model: Path) -> None:
    done = _run_in_shell(">&-", clip, "-", tiny_model)
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1].startswith("cgt: standard output is closed; ")
    assert "Traceback" not in done.stderr


def _run_in_shell(
    redirection: str, source: Path, sink: Path | str, model: Path
) -> subprocess.CompletedProcess[str]:
    cgt = Path(sys.executable).with_name("cgt")
    options = ("--model", model, "--engine", "onnxruntime")
    return subprocess.run(
        ["sh", "-c", f'"$@" {redirection}', "sh", cgt, "translate", source, "-o", sink, *options],
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
