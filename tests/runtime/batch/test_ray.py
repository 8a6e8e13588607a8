"""A real Ray cluster of two nodes on one machine."""

from __future__ import annotations

import importlib.util
import re
import subprocess
import sys
from pathlib import Path

import pytest
from support.ray_cluster import start_ray_cluster
from support.videos import video_differences

from cgt.runtime.batch.ray_pool import RayPool
from cgt.runtime.errors import MissingDependency
from conftest import run_cgt, wait_for

CGT = str(Path(sys.executable).with_name("cgt"))
needs_ray = pytest.mark.skipif(
    importlib.util.find_spec("ray") is None, reason="Ray is not installed (extra [ray])"
)


@pytest.mark.slow
@needs_ray
def test_a_killed_worker_and_a_killed_node_lose_nothing(
    clip: Path, long_video: Path, tiny_model: Path, tmp_path: Path
) -> None:
    """Compare a long video in segments and a short one with the outputs of one process."""
    out, expected = tmp_path / "out", tmp_path / "expected"
    expected.mkdir()
    videos = [long_video, clip]
    flags = ("--model", tiny_model, "--engine", "onnxruntime", "--size", "320", "--output-size", 64)
    for source in videos:
        done = run_cgt("translate", source, "-o", expected / source.name, *flags)
        assert done.returncode == 0, done.stderr
    with start_ray_cluster(2, 1) as cluster:
        command = ("translate", *videos, "-o", out, *flags, "--ray", cluster.address)
        with subprocess.Popen(
            [CGT, *map(str, command)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        ) as process:
            try:
                wait_for(lambda: cluster.kill_worker(0), process)
                wait_for(cluster.kill_last_node, process)
                stdout, stderr = process.communicate(timeout=600)
            finally:
                process.kill()
    assert process.returncode == 0, stderr
    assert stdout == ""
    assert "WorkerCrashedError" in stderr
    assert re.search(r"[2-9] tasks tried again", stderr), stderr
    for source in videos:
        assert video_differences(expected / source.name, out / source.name) == []
    assert {path.name for path in (out / ".cgt-jobs").iterdir()} == {"lock", "finished.json"}


@needs_ray
def test_an_unreachable_cluster_is_reported(clip: Path, tiny_model: Path, tmp_path: Path) -> None:
    done = run_cgt(
        *("translate", clip, "-o", tmp_path / "out", "--model", tiny_model),
        *("--engine", "onnxruntime", "--ray", "127.0.0.1:9"),
    )
    assert done.returncode == 1, done.stderr
    assert "there is no Ray cluster at 127.0.0.1:9" in done.stderr
    assert done.stderr.count("\n") == 1


def test_ray_pool_names_the_missing_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(MissingDependency, match=r"cyclegan-toolkit\[ray\]"):
        RayPool()
