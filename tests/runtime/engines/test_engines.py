"""The engine interface, on graphs written for the tests."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from support.graphs import write_translator_model

from cgt.runtime import doctor
from cgt.runtime.engines import BatchShape, Engine, auto, open_engine, openvino_cpu
from cgt.runtime.engines.cuda import GPU
from cgt.runtime.engines.onnxruntime_cuda import count_cpu_nodes
from cgt.runtime.errors import EngineError, MissingDependency, ModelError, UsageError
from cgt.runtime.models.metadata import read_metadata
from cgt.runtime.utils.cache import cache_dir
from conftest import write_inverse_model

ENGINES = ("openvino", "onnxruntime")


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("fixed", [False, True])
def test_uint8_tensors(tmp_path: Path, engine: str, fixed: bool) -> None:
    path = write_inverse_model(tmp_path / "m.onnx")
    metadata = read_metadata(path)
    assert metadata.io == "uint8"
    assert metadata.dynamic
    image = np.random.default_rng(0).integers(0, 256, (1, 5, 7, 3), np.uint8)
    out = np.zeros_like(image)
    shape = (
        BatchShape.from_metadata(metadata, 5, 7) if fixed else BatchShape.from_metadata(metadata)
    )
    with open_engine(path, shape, engine) as opened:
        opened.infer(image, out)
    assert (out == 255 - image).all()


@pytest.mark.parametrize("engine", ENGINES)
def test_statistics_go_in_and_out(tmp_path: Path, engine: str) -> None:
    path = write_inverse_model(tmp_path / "m.onnx", statistics=6)
    image = np.zeros((1, 4, 4, 3), np.uint8)
    out = np.zeros_like(image)
    statistics_in = np.arange(6, dtype=np.float32)[None]
    statistics_out = np.zeros_like(statistics_in)
    with open_engine(path, BatchShape(1, 3, 0, 0, "uint8", 6), engine) as opened:
        opened.infer(image, out, statistics_in, statistics_out)
        assert (statistics_out == statistics_in + 1).all()
        opened.infer(
            image, out, statistics_out, statistics_in
        )  # arrays may be swapped from call to call
    assert (statistics_in == np.arange(6) + 2).all()


@pytest.mark.parametrize("engine", ENGINES)
def test_a_wrong_shape_is_an_engine_error(tmp_path: Path, engine: str) -> None:
    path = write_inverse_model(tmp_path / "m.onnx")
    image = np.zeros((1, 4, 4, 2), np.uint8)
    with (
        open_engine(path, BatchShape(1, 3, 0, 0, "uint8"), engine) as opened,
        pytest.raises(EngineError),
    ):
        opened.infer(image, image.copy())


# ---- auto: measured and cached ------------------------------------------------------------------


@pytest.fixture
def isolated_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache" / "cgt"


def fake_frame_times(monkeypatch: pytest.MonkeyPatch, times: dict[str, float]) -> list[str]:
    """Simulate the speed of the engines; return the list that collects the measured names."""
    measured: list[str] = []

    def run_time(engine: Engine, shape: BatchShape) -> float:
        measured.append(engine.name)
        return times[engine.name]

    monkeypatch.setattr(auto, "measure_frame_time", run_time)
    return measured


@pytest.mark.parametrize("winner", ENGINES)
def test_auto_selects_the_fastest_and_measures_once(
    isolated_cache: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    winner: str,
) -> None:
    path = write_inverse_model(tmp_path / "m.onnx")
    measured = fake_frame_times(monkeypatch, dict.fromkeys(ENGINES, 0.031) | {winner: 0.012})
    shape = BatchShape.from_metadata(read_metadata(path), 8, 8)
    with open_engine(path, shape) as engine:
        assert engine.name == winner
        (note,) = caplog.messages
        assert f"{winner} 12 ms" in note
        assert "31 ms" in note
        assert "cached" in note
    with open_engine(path, shape.with_size(16, 16)) as engine:
        assert engine.name == winner
        assert len(caplog.messages) == 1
    assert sorted(measured) == ["onnxruntime", "openvino"]
    write_inverse_model(path, statistics=3)  # another model under the same name
    with open_engine(path, BatchShape(1, 3, 8, 8, "uint8", 3)) as engine:
        assert engine.name == winner
    assert len(measured) == 4


def test_auto_measures_again_with_another_gpu_or_driver(
    isolated_cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write_inverse_model(tmp_path / "m.onnx")
    measured = fake_frame_times(monkeypatch, dict.fromkeys(ENGINES, 0.031))
    shape = BatchShape.from_metadata(read_metadata(path), 8, 8)
    machines = [([], ""), ([GPU("L4", 89, 58)], "12.4"), ([GPU("L4", 89, 58)], "13.0"), ([], "")]
    for count, (gpus, driver) in zip((2, 4, 6, 6), machines, strict=True):
        monkeypatch.setattr(auto, "list_gpus", lambda gpus=gpus: gpus)
        monkeypatch.setattr(auto, "cuda_driver_version", lambda driver=driver: driver)
        open_engine(path, shape).close()
        assert len(measured) == count


def test_auto_without_a_cache_folder_still_measures(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    path = write_inverse_model(tmp_path / "m.onnx")
    assert cache_dir() is None
    open_engine(path, BatchShape.from_metadata(read_metadata(path), 8, 8)).close()
    assert "not cached" in caplog.text


def test_auto_skips_an_engine_that_fails(
    isolated_cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from cgt.runtime.engines.openvino import OpenVINOEngine

    def fails(self: object, *arguments: object) -> None:
        raise EngineError("no such layer")

    path = write_inverse_model(tmp_path / "m.onnx")
    shape = BatchShape.from_metadata(read_metadata(path), 8, 8)
    monkeypatch.setattr(OpenVINOEngine, "infer", fails)
    with open_engine(path, shape) as engine:
        assert engine.name == "onnxruntime"
    path.write_bytes(b"not a model")
    with pytest.raises(ModelError):
        open_engine(path, shape)


def test_a_damaged_cache_is_ignored(
    isolated_cache: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    isolated_cache.mkdir(parents=True)
    (isolated_cache / "engines.json").write_text("{broken")
    path = write_inverse_model(tmp_path / "m.onnx")
    open_engine(path, BatchShape.from_metadata(read_metadata(path), 8, 8)).close()
    assert "; cached" in caplog.text


def test_names_of_engines_and_devices_are_checked(tmp_path: Path, tiny_model: Path) -> None:
    shape = BatchShape(1, 3, 32, 32)
    for name, message in (
        ("warp", "unknown; use auto, openvino"),
        ("openvino:abacus", "no device abacus"),
        ("torch", "takes .pth"),
    ):
        with pytest.raises(UsageError, match=message):
            open_engine(tiny_model, shape, name)


# ---- OpenVINO -----------------------------------------------------------------------------------


def test_openvino_caches_compiled_models_and_survives_damage(
    isolated_cache: Path, tiny_model: Path
) -> None:
    batch = np.random.default_rng(0).uniform(-1, 1, (1, 3, 32, 32)).astype(np.float32)
    outs = []
    for turn in range(3):
        with open_engine(tiny_model, BatchShape(1, 3, 32, 32), "openvino") as engine:
            outs.append(np.zeros_like(batch))
            engine.infer(batch, outs[-1])
            precision = engine.precision
            assert engine.loaded_from_cache == (turn == 1)
        (blob,) = isolated_cache.glob("openvino/*/*.blob")
        assert precision in ("fp32", "bf16")
        if turn == 1:
            blob.chmod(0o600)
            blob.write_bytes(blob.read_bytes()[:1000])
    np.testing.assert_array_equal(outs[0], outs[1])
    np.testing.assert_array_equal(outs[0], outs[2])


@pytest.mark.parametrize("content", ["", "[]", "null", '"x"', "{}", '{"crc32":', '{"crc32": []}'])
def test_openvino_compiles_again_if_the_config_in_the_cache_is_damaged(
    isolated_cache: Path, tiny_model: Path, content: str
) -> None:
    shape = BatchShape(1, 3, 32, 32)
    open_engine(tiny_model, shape, "openvino").close()
    (config,) = isolated_cache.glob("openvino/*/config.json")
    for damaged in (content, json.dumps(json.loads(config.read_text()) | {"config": [1, 2]})):
        config.write_text(damaged)
        with open_engine(tiny_model, shape, "openvino") as engine:
            assert not engine.loaded_from_cache
        with open_engine(tiny_model, shape, "openvino") as engine:
            assert engine.loaded_from_cache


def test_openvino_keeps_its_model_converter_for_other_code() -> None:
    """It takes longer to load than OpenVINO, so it loads on first use."""
    code = (
        "import sys, cgt.runtime.engines.openvino, openvino\n"
        "assert 'openvino.tools.ovc' not in sys.modules\n"
        "assert openvino.convert_model.__module__.startswith('openvino.tools.ovc')\n"
        "assert not hasattr(openvino, 'no_such_name')"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("slower", ["fp32", "OpenVINO's default"])
def test_openvino_uses_the_precision_that_was_measured_to_be_faster(
    isolated_cache: Path, tiny_model: Path, monkeypatch: pytest.MonkeyPatch, slower: str
) -> None:
    """Measure once: later engines use the cached result."""
    import openvino as ov

    def fake_run_time(core: ov.Core, model: ov.Model, config: dict[str, str]) -> float:
        measured.append(config)
        return 2.0 if bool(config) == (slower == "fp32") else 1.0

    measured: list[dict[str, str]] = []
    default_precision = ov.Core().get_property("CPU", "INFERENCE_PRECISION_HINT")
    monkeypatch.setattr(openvino_cpu, "_fastest_run_s", fake_run_time)
    for _ in range(2):
        with open_engine(tiny_model, BatchShape(1, 3, 32, 32), "openvino") as engine:
            keeps_bf16 = slower == "fp32" and default_precision == ov.Type.bf16
            assert engine.precision == ("bf16" if keeps_bf16 else "fp32")
    assert len(measured) == (0 if default_precision == ov.Type.f32 else 2)


# ---- ONNX Runtime's providers, simulated without a GPU ------------------------------------------


class CpuFallbackSession:
    """A simulated session of a build with CUDA on a machine without: ONNX Runtime uses the CPU."""

    def __init__(self, real: type, path: Path, options: object, providers: list[object]) -> None:
        self.requested_providers = providers
        self._real = real(path, options, providers=["CPUExecutionProvider"])

    def __getattr__(self, name: str) -> object:
        return getattr(self._real, name)


def test_a_provider_that_does_not_load_is_reported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    import onnxruntime as ort

    path, real = write_inverse_model(tmp_path / "m.onnx"), ort.InferenceSession
    shape = BatchShape.from_metadata(read_metadata(path), 8, 8)
    with pytest.raises(MissingDependency, match=r"\[gpu\]"):
        open_engine(path, shape, "onnxruntime:cuda")
    names = ["CUDAExecutionProvider", "CPUExecutionProvider"]
    monkeypatch.setattr(ort, "get_available_providers", lambda: names)
    monkeypatch.setattr(ort, "InferenceSession", lambda *a, **k: CpuFallbackSession(real, *a, **k))
    with open_engine(path, shape, "onnxruntime") as engine:
        assert engine.device == "CPU"
        assert "CUDAExecutionProvider does not load" in caplog.text
        assert engine._session.requested_providers[0][0] == "CUDAExecutionProvider"
        image = np.zeros((1, 8, 8, 3), np.uint8)
        out = np.zeros_like(image)
        engine.infer(image, out)
        assert (out == 255).all()
    with pytest.raises(EngineError, match="does not load"):
        open_engine(path, shape, "onnxruntime:cuda")
    with pytest.raises(UsageError, match="has no device tensorrt; use cpu, cuda"):
        open_engine(path, shape, "onnxruntime:tensorrt")
    caplog.clear()
    open_engine(path, shape, "onnxruntime:cpu").close()
    assert not caplog.messages


class SimulatedCudaSession(CpuFallbackSession):
    """A simulated session whose provider has loaded; it computes on the CPU all the same."""

    def get_providers(self) -> list[str]:
        return ["CUDAExecutionProvider", "CPUExecutionProvider"]


@pytest.fixture
def cuda_sessions(monkeypatch: pytest.MonkeyPatch) -> list[SimulatedCudaSession]:
    """Simulate a build of ONNX Runtime with CUDA; return the sessions that are created."""
    import onnxruntime as ort

    real, sessions = ort.InferenceSession, []

    def create(*arguments: object, **settings: object) -> SimulatedCudaSession:
        sessions.append(SimulatedCudaSession(real, *arguments, **settings))
        return sessions[-1]

    monkeypatch.setattr(ort, "get_available_providers", lambda: ["CUDAExecutionProvider"])
    monkeypatch.setattr(ort, "InferenceSession", create)
    return sessions


def test_cuda_computes_fp32_without_tf32_and_finds_its_libraries(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cuda_sessions: list[SimulatedCudaSession]
) -> None:
    import onnxruntime as ort

    calls: list[int] = []

    def preload() -> None:
        calls.append(len(cuda_sessions))
        print("Failed to load libcudnn.so.9: cannot open shared object file")

    monkeypatch.setattr(ort, "preload_dlls", preload, raising=False)
    path = write_inverse_model(tmp_path / "m.onnx")
    shape = BatchShape.from_metadata(read_metadata(path), 8, 8)
    with open_engine(path, shape, "onnxruntime:cuda") as engine:
        assert engine.device == "CUDA"
    ((provider, options), fallback) = cuda_sessions[0].requested_providers
    assert (provider, fallback) == ("CUDAExecutionProvider", "CPUExecutionProvider")
    assert options["use_tf32"] == "0"
    assert calls == [0]  # before the session
    monkeypatch.setattr(SimulatedCudaSession, "get_providers", lambda _: ["CPUExecutionProvider"])
    with pytest.raises(EngineError, match=r"Failed to load libcudnn\.so\.9"):
        open_engine(path, shape, "onnxruntime:cuda")


def test_nodes_that_cuda_lacks_are_reported_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, cuda_sessions: list[SimulatedCudaSession]
) -> None:
    path = write_translator_model(tmp_path / "m.onnx")
    batch, out = np.zeros((1, 3, 8, 8), np.float32), np.zeros((1, 3, 8, 8), np.float32)
    with open_engine(path, BatchShape(1, 3, 8, 8), "onnxruntime:cuda") as engine:
        for _ in range(3):
            engine.infer(batch, out)
    (line,) = caplog.messages
    assert "nodes on the CPU (3 Conv" in line
    assert "onnxruntime-gpu 1.25" in line


def test_int8_on_cuda_is_reported(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, cuda_sessions: list[SimulatedCudaSession]
) -> None:
    for precision in ("fp16", "int8"):
        path = write_translator_model(tmp_path / f"{precision}.onnx", precision)
        open_engine(path, BatchShape(1, 3, 8, 8), "onnxruntime:cuda").close()
    (line,) = caplog.messages
    assert line.startswith("note: int8.onnx is INT8, which ONNX Runtime computes in floating point")


def test_shapes_on_the_cpu_are_not_counted() -> None:
    def node(name: str, op: str, provider: str, dims: list[int]) -> dict[str, object]:
        shape = [{"float": dims}]
        values = {"op_name": op, "provider": provider, "output_type_shape": shape}
        return {"cat": "Node", "name": name, "args": values}

    profile = [
        {"cat": "Session", "name": "model_loading"},
        node("a", "Shape", "CPUExecutionProvider", [4]),
        node("b", "Pad", "CPUExecutionProvider", [1, 64, 66, 66]),
        node("b", "Pad", "CPUExecutionProvider", [1, 64, 66, 66]),
        node("c", "Pad", "CPUExecutionProvider", [1, 64, 66, 66]),
        node("d", "Conv", "CUDAExecutionProvider", [1, 64, 64, 64]),
    ]
    assert count_cpu_nodes(profile) == {"Pad": 2}


def test_doctor_loads_the_cuda_provider(
    monkeypatch: pytest.MonkeyPatch, cuda_sessions: list[SimulatedCudaSession]
) -> None:
    checks = {check.name: check for check in doctor._check_onnxruntime()}
    assert checks["onnxruntime on CUDA"].available
    assert checks["onnxruntime on CUDA"].details == "loads"
    monkeypatch.setattr(SimulatedCudaSession, "get_providers", lambda _: ["CPUExecutionProvider"])
    checks = {check.name: check for check in doctor._check_onnxruntime()}
    assert not checks["onnxruntime on CUDA"].available
    assert "onnxruntime-gpu[cuda,cudnn]" in checks["onnxruntime on CUDA"].install


# ---- PyTorch, the reference ---------------------------------------------------------------------


def test_the_torch_engine_runs_a_checkpoint(run_folder: Path, tiny_model: Path) -> None:
    from cgt.runtime import Translator
    from conftest import make_image

    image = make_image(1, 48, 64)
    with Translator(run_folder / "latest.pth", engine="torch") as reference:
        expected = reference(image).astype(int)
        assert reference.metadata.size == (32, 32)
    with Translator(run_folder / "latest.pth") as by_suffix:
        np.testing.assert_array_equal(by_suffix(image), expected)
    with Translator(tiny_model, engine="onnxruntime") as exported:
        assert np.abs(exported(image).astype(int) - expected).max() <= 1
