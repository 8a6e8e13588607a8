"""RESULTS.md sections and paired baseline runs of the benchmark suites."""

from __future__ import annotations

import shutil
import statistics
from pathlib import Path

import pytest

from benchmarks.suites import _results_md
from benchmarks.suites.vs_baselines import Baseline, PairedRun, format_table, run_paired
from cgt.runtime.errors import SinkError

MACHINE = {"cpu": "Some CPU", "cores_usable": 2, "versions": {"openvino": "1"}, "commit": "abc"}
LOAD = {"load_average": [0.5, 0, 0]}


def write(path: Path, name: str, line: str) -> None:
    _results_md.write_section(path, name, [line], MACHINE, LOAD, LOAD)


def test_section_replaces_only_itself(tmp_path: Path) -> None:
    path = tmp_path / "RESULTS.md"
    for name, line in (("one", "old one"), ("two", "two"), ("one", "new one")):
        write(path, name, line)
    text = path.read_text()
    assert "old one" not in text
    assert text.index("new one") < text.index("two\n")
    assert text.count("## One") == text.count("## Two") == 1
    assert text.startswith("# Results")
    for expected in ("Some CPU", "2 cores", "UTC", "load 0.5 before", "openvino 1", "commit abc"):
        assert expected in text


def test_local_folders_are_omitted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.argv", ["/x/vs_baselines.py", "/home/me/clip.mp4", "--rounds", "3"])
    write(tmp_path / "R.md", "one", "line")
    text = (tmp_path / "R.md").read_text()
    assert "`python -m benchmarks.suites.vs_baselines clip.mp4 --rounds 3`" in text
    assert "/home" not in text


def test_unwritable_file_raises(tmp_path: Path) -> None:
    with pytest.raises(SinkError, match=r"none"):
        write(tmp_path / "none" / "R.md", "one", "line")


def test_paired_runs_alternate_which_starts() -> None:
    order: list[str] = []

    def runs(name: str, *times: float):  # type: ignore[no-untyped-def]
        left = list(times)

        def run() -> float:
            order.append(name)
            return left.pop(0)

        return run

    found = run_paired(
        Baseline("them", runs("them", 2, 8, 6)), runs("us", 1, 2, 1), 3, lambda: None
    )
    assert order == ["them", "us", "us", "them", "them", "us"]
    assert found.speedup == statistics.median([2, 4, 6]) == 4
    (row,) = format_table([PairedRun("them", [0.5], [0.25])], "us", "frames/s")[2:]
    assert row == "| them | 2.00 | 4.00 | 2.00 |"
    (row,) = format_table([PairedRun("them", [0.5], [0.25])], "us", "ms")[2:]
    assert row == "| them | 500.00 | 250.00 | 2.00 |"


def test_baseline_videos_have_all_frames(clip: Path, tiny_model: Path, tmp_path: Path) -> None:
    pytest.importorskip("torch")
    from benchmarks.suites.baseline_networks import load_network
    from benchmarks.suites.baseline_videos import (
        VideoWorkload,
        cgt_loop,
        ffmpeg_pytorch_loop,
        opencv_onnxruntime_loop,
    )
    from cgt.runtime.sources import open_source

    if shutil.which("ffmpeg") is None:
        pytest.skip("ffmpeg is not installed (apt-get install ffmpeg)")
    workload = VideoWorkload(clip, tiny_model, (32, 32), 7, tmp_path)
    network = load_network(tiny_model, None, "AtoB")
    counts = (
        opencv_onnxruntime_loop(workload),
        cgt_loop(workload),
        ffmpeg_pytorch_loop(workload, network),
    )
    assert counts == (7, 7, 7)
    for name in ("opencv", "cgt", "extracted"):
        with open_source(str(tmp_path / f"{name}.mp4"), audio=False) as source:
            assert source.size == (32, 32)
            assert sum(1 for _ in source) == 7


def test_different_network_is_detected(tiny_model: Path, tmp_path: Path) -> None:
    pytest.importorskip("torch")
    onnx = pytest.importorskip("onnx")
    from benchmarks.suites.baseline_networks import load_network
    from cgt.runtime.errors import ModelError

    model = onnx.load(tiny_model)
    for node in model.graph.node:
        if node.op_type == "Relu":
            node.op_type = "Abs"
    onnx.save(model, tmp_path / "other.onnx")
    with pytest.raises(ModelError, match="differs"):
        load_network(tmp_path / "other.onnx", None, "AtoB")
