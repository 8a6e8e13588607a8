"""A real Ray cluster of two nodes, on one machine."""

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


@needs_ray
def test_a_worker_and_a_node_die(
    clip: Path, long_video: Path, tiny_model: Path, tmp_path: Path
) -> None:
    """A long_video in parts and a short one: outputs are those of one process, nothing is left."""
    out, one = tmp_path / "out", tmp_path / "one"
    one.mkdir()
    films = [long_video, clip]
    flags = ("--model", tiny_model, "--engine", "onnxruntime", "--size", "320", "--output-size", 64)
    for source in films:
        done = run_cgt("translate", source, "-o", one / source.name, *flags)
        assert done.returncode == 0, done.stderr
    with start_ray_cluster(2, 1) as cluster:
        command = ("translate", *films, "-o", out, *flags, "--ray", cluster.address)
        with subprocess.Popen(
            [CGT, *map(str, command)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        ) as process:
            try:
                wait_for(lambda: cluster.kill_worker(0), process)
                wait_for(cluster.kill_last_node, process)
                heard, said = process.communicate(timeout=600)
            finally:
                process.kill()
    assert process.returncode == 0, said
    assert heard == ""
    assert "WorkerCrashedError" in said
    assert re.search(r"[2-9] tasks tried again", said), said
    for source in films:
        assert video_differences(one / source.name, out / source.name) == []
    assert {path.name for path in (out / ".cgt-jobs").iterdir()} == {"lock", "finished.json"}


@needs_ray
def test_no_cluster_there(clip: Path, tiny_model: Path, tmp_path: Path) -> None:
    done = run_cgt(
        *("translate", clip, "-o", tmp_path / "out", "--model", tiny_model),
        *("--engine", "onnxruntime", "--ray", "127.0.0.1:9"),
    )
    assert done.returncode == 1, done.stderr
    assert "there is no Ray cluster at 127.0.0.1:9" in done.stderr
    assert done.stderr.count("\n") == 1


def test_without_ray(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(MissingDependency, match=r"cyclegan-toolkit\[ray\]"):
        RayPool()
