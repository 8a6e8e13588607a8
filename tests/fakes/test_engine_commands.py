"""Commands with TensorRT and TensorRT-RTX engines on the SIMULATED device of libcuda.c.

The commands and their worker processes find the fake TensorRT and the driver by their environment.
"""

from __future__ import annotations

import importlib.util
import json
import os
import sys
from pathlib import Path

import pytest
from support.graphs import write_translator_model

from cgt.runtime.models.sidecar import sidecar_path
from conftest import run_cgt

DRIVER_PATH = Path(sys.prefix) / "simulated" / "libcuda.so"
# A module tensorrt.py or tensorrt_rtx.py. The fake needs the real TensorRT-RTX, and replaces it.
SHIM = """
import importlib.util, sys
from pathlib import Path

here = str(Path(__file__).parent)
sys.path.remove(here)
sys.modules.pop("tensorrt_rtx", None)
import tensorrt_rtx
sys.path.insert(0, here)
spec = importlib.util.spec_from_file_location("simulated_tensorrt", {fake!r})
module = importlib.util.module_from_spec(spec)
spec.loader.exec_module(module)
sys.modules["tensorrt_rtx"] = sys.modules[__name__] = module
"""


@pytest.fixture
def simulated_env(tmp_path: Path) -> dict[str, str]:
    """Return the environment of a command on a machine with a simulated GPU."""
    if not DRIVER_PATH.exists() or importlib.util.find_spec("pycuda") is None:
        pytest.skip("no simulated device: `make simulated` builds it (needs the CUDA toolkit)")
    folder = tmp_path / "simulated"
    folder.mkdir()
    for name in ("tensorrt.py", "tensorrt_rtx.py"):
        (folder / name).write_text(SHIM.format(fake=str(Path(__file__).with_name("tensorrt.py"))))
    (folder / "libcuda.so.1").symlink_to(DRIVER_PATH)
    return os.environ | {
        "PYTHONPATH": os.pathsep.join([str(folder), os.environ.get("PYTHONPATH", "")]),
        "LD_LIBRARY_PATH": str(folder),
        "CGT_SIMULATED_GPU": "SIMULATED GPU",
        "XDG_CACHE_HOME": str(tmp_path / "cache"),
    }


@pytest.fixture(params=["tensorrt", "tensorrt-rtx"])
def engine(request: pytest.FixtureRequest, tmp_path: Path, simulated_env: dict[str, str]) -> Path:
    """Return an engine of the default profile, with its ONNX file beside it."""
    onnx = write_translator_model(tmp_path / "m.onnx", "fp16")
    done = run_cgt("export", onnx, "--format", "tensorrt", env=simulated_env)
    assert done.returncode == 0, done.stderr
    path = tmp_path / "m.engine"
    sidecar = sidecar_path(path)
    values = json.loads(sidecar.read_text())
    values["engine"]["format"] = request.param
    sidecar.write_text(json.dumps(values))
    return path


@pytest.mark.slow
def test_a_batch_of_workers(
    tmp_path: Path, clip: Path, engine: Path, simulated_env: dict[str, str]
) -> None:
    """The workers open the engine by the name that the first process resolved "auto" to."""
    videos = tmp_path / "videos"
    videos.mkdir()
    for name in ("a.mp4", "b.mp4"):
        (videos / name).symlink_to(clip)
    done = run_cgt(
        *("translate", videos, "-o", tmp_path / "out", "--jobs", 2, "--model", engine),
        *("--size", "32"),
        env=simulated_env,
    )
    assert done.returncode == 0, done.stderr
    assert sorted(path.name for path in (tmp_path / "out").glob("*.mp4")) == ["a.mp4", "b.mp4"]


@pytest.mark.slow
def test_bench(tmp_path: Path, engine: Path, simulated_env: dict[str, str]) -> None:
    """The peak is that of engines built from convolutions, and the layers are the ONNX file's."""
    report = tmp_path / "bench.json"
    arguments = ("bench", "--model", engine, "--size", "32", "--seconds", "0.1", "--json", report)
    done = run_cgt(*arguments, env=simulated_env)
    assert done.returncode == 0, done.stderr
    (result,) = json.loads(report.read_text())["results"]
    assert result["device"] == "SIMULATED GPU"
    assert result["limit"]["seconds"] > 0, done.stderr
    (tmp_path / "m.onnx").unlink()
    done = run_cgt(*arguments, env=simulated_env)
    assert done.returncode == 0, done.stderr
    text = " ".join((done.stdout + done.stderr).split())
    assert "the m.onnx that m.engine was built from is not beside it" in text


@pytest.mark.slow
def test_inspect(engine: Path, simulated_env: dict[str, str]) -> None:
    done = run_cgt("inspect", engine, "--json", env=simulated_env)
    assert done.returncode == 0, done.stderr
    values = json.loads(done.stdout)
    assert values["engine"]["convolutions"] == {"fp16": 3}
    assert values["note"] == ""
