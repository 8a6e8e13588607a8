"""The TensorRT engine on a SIMULATED device.

The real pycuda runs over host memory (libcuda.c), and a fake TensorRT computes with ONNX Runtime
(tensorrt.py). The tests show that the engine allocates, copies, waits, frees and refuses correctly.
They do not show that it runs on a GPU, nor how fast.
"""

from __future__ import annotations

import ctypes
import dataclasses
import gc
import importlib.util
import json
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from support.graphs import write_translator_model
from support.third_party import CHANNEL_KERNELS, write_channel_model, write_third_party_model

from cgt.export import build_engine
from cgt.export.engine import write_engine
from cgt.export.formats import FORMATS, BuildOptions
from cgt.export.plan import build_engines
from cgt.runtime import Translator
from cgt.runtime.api import TranslateOptions
from cgt.runtime.batch.run import _resolve_engine
from cgt.runtime.engines import BatchShape, cuda, open_engine
from cgt.runtime.engines.base import Engine
from cgt.runtime.errors import EngineError, MissingDependency, ModelError, SourceError, UsageError
from cgt.runtime.models.metadata import read_metadata
from cgt.runtime.models.sidecar import read_sidecar, sidecar_path
from cgt.serve.models import ModelCatalog, ModelSelection
from cgt.serve.scheduling.translators import TranslatorPool

GPU_NAME = "SIMULATED GPU"
DRIVER_PATH = Path(sys.prefix) / "simulated" / "libcuda.so"


@pytest.fixture(scope="module")
def driver() -> ctypes.CDLL:
    if not DRIVER_PATH.exists() or importlib.util.find_spec("pycuda") is None:
        pytest.skip("no simulated device: `make simulated` builds it (needs the CUDA toolkit)")
    ctypes.CDLL(str(DRIVER_PATH), ctypes.RTLD_GLOBAL)
    library = ctypes.CDLL("libcuda.so.1")
    if not hasattr(library, "simulated_live"):
        pytest.skip("a real CUDA driver is loaded; run `make gpu-check` instead")
    return library


@pytest.fixture(autouse=True)
def device(driver: ctypes.CDLL, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Provide a GPU and TensorRT for one test and check that all memory is freed."""
    path = Path(__file__).with_name("tensorrt.py")
    spec = importlib.util.spec_from_file_location("tensorrt", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    monkeypatch.setitem(sys.modules, "tensorrt", module)
    monkeypatch.setenv("CGT_SIMULATED_GPU", GPU_NAME)
    before = driver.simulated_live()
    yield
    driver.simulated_allocations_left(-1)
    driver.simulated_sticky_error(0)
    assert driver.simulated_live() == before
    assert driver.simulated_depth() == 0


def make_batch(shape: BatchShape, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(seed)
    if shape.io == "uint8":
        batch = random.integers(0, 256, shape.image_shape, np.uint8)
    else:
        batch = random.uniform(-1, 1, shape.image_shape).astype(np.float32)
    return batch, np.zeros_like(batch)


def expected_output(onnx: Path, shape: BatchShape, batch: np.ndarray) -> np.ndarray:
    out = np.zeros_like(batch)
    with open_engine(onnx, shape, "onnxruntime") as engine:
        engine.infer(batch, out)
    return out


@pytest.mark.parametrize("io", ["float", "uint8"])
@pytest.mark.parametrize("fixed", [True, False])
@pytest.mark.parametrize("graph", ["1", "0"])
def test_outputs_equal_onnx_runtime(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, io: str, fixed: bool, graph: str
) -> None:
    monkeypatch.setenv("CGT_CUDA_GRAPH", graph)
    onnx = write_translator_model(tmp_path / "m.onnx", io=io)
    path = build_engine(onnx, "tensorrt")
    size = (32, 40) if fixed else (0, 0)
    with open_engine(path, BatchShape(1, 3, *size, io)) as engine:
        assert (engine.name, engine.device, engine.precision) == ("tensorrt", GPU_NAME, "fp32")
        assert engine.cuda_graph == (graph == "1")
        sizes = [(32, 40)] * 4 if fixed else [(32, 40), (64, 16)] * 4
        for seed, (height, width) in enumerate(sizes):
            shape = BatchShape(1, 3, height, width, io)
            batch, out = make_batch(shape, seed)
            engine.infer(batch, out)
            assert (out == expected_output(onnx, shape, batch)).all()


@pytest.mark.parametrize("channels", CHANNEL_KERNELS)
def test_gray_and_alpha(channels: tuple[int, int], tmp_path: Path) -> None:
    onnx = write_channel_model(tmp_path / "m.onnx", channels)
    image = np.random.default_rng(0).integers(0, 256, (32, 40, 3), np.uint8)
    outputs = []
    for path, engine in ((build_engine(onnx, "tensorrt"), "tensorrt"), (onnx, "onnxruntime")):
        with Translator(path, engine=engine, size="source", frame_size=(32, 40)) as translator:
            outputs.append(translator(image))
    assert outputs[0].shape[2] == channels[1]
    assert (outputs[0] == outputs[1]).all()


def test_values_of_other_tools_are_converted(tmp_path: Path) -> None:
    onnx = write_third_party_model(tmp_path / "m.onnx", ("0..255", "0..1"))
    path = build_engine(onnx, "tensorrt")
    image = np.random.default_rng(0).integers(0, 256, (128, 160, 3), np.uint8)
    with Translator(path, size="source") as translator:
        assert np.abs(translator(image).astype(int) - image).max() <= 1


def test_ranges_are_detected_at_a_size_of_the_profile(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The engine takes no images of 256x256, at which the ranges of other models are detected."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    onnx = write_third_party_model(tmp_path / "m.onnx", ("0..255", "0..1"))
    small = dataclasses.replace(read_metadata(onnx), size=(64, 64))
    path = tmp_path / "m.engine"
    write_engine(onnx, small, FORMATS["tensorrt"], path, BuildOptions(), lambda line: None)
    image = np.random.default_rng(0).integers(0, 256, (128, 96, 3), np.uint8)
    with Translator(path, size="source") as translator:
        assert np.abs(translator(image).astype(int) - image).max() <= 1


def test_workers_of_a_cluster_ask_for_a_gpu(tmp_path: Path, clip: Path) -> None:
    onnx = write_translator_model(tmp_path / "m.onnx")
    for model, name, on_gpu in (
        (build_engine(onnx, "tensorrt"), "tensorrt", True),
        (onnx, "onnxruntime", False),
    ):
        options = TranslateOptions(model=str(model), engine="auto" if on_gpu else name, size="32")
        resolved, uses_gpu = _resolve_engine(options, [clip])
        assert (resolved.engine, uses_gpu) == (name, on_gpu)


def test_statistics_go_in_and_out(tmp_path: Path) -> None:
    path = build_engine(write_translator_model(tmp_path / "m.onnx", statistics=7), "tensorrt")
    shape = BatchShape(1, 3, 32, 32, "float", 7)
    batch, out = make_batch(shape)
    statistics_in = np.arange(7, dtype=np.float32)[None]
    statistics_out = np.zeros_like(statistics_in)
    with open_engine(path, shape) as engine:
        engine.infer(batch, out, statistics_in, statistics_out)
        assert (statistics_out == statistics_in + 1).all()
        engine.infer(batch, out, statistics_out, statistics_in)
    assert (statistics_in == np.arange(7) + 2).all()


def test_two_threads_have_two_frames_in_flight(tmp_path: Path) -> None:
    onnx = write_translator_model(tmp_path / "m.onnx")
    shape = BatchShape(1, 3, 32, 32)
    wrong: list[int] = []
    with open_engine(
        build_engine(onnx, "tensorrt"), shape, performance_hint="throughput"
    ) as engine:
        assert engine.workers == 2

        def work(seed: int) -> None:
            batch, out = make_batch(shape, seed)
            right = expected_output(onnx, shape, batch)
            for _ in range(20):
                out[:] = 0
                engine.infer(batch, out)
                if not (out == right).all():
                    wrong.append(seed)

        threads = [threading.Thread(target=work, args=(seed,)) for seed in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert not wrong


def test_each_step_is_timed(tmp_path: Path) -> None:
    path = build_engine(write_translator_model(tmp_path / "m.onnx"), "tensorrt")
    shape = BatchShape(1, 3, 64, 64)
    batch, out = make_batch(shape)
    with open_engine(path, shape) as engine:
        timings = engine.infer_timed(batch, out)
        timed_out = out.copy()
        engine.infer(batch, out)
    assert (timed_out == out).all()
    assert min(timings.h2d_ms, timings.compute_ms, timings.d2h_ms) > 0
    assert timings.compute_ms > timings.h2d_ms  # convolutions take longer than a copy


def test_the_matching_profile_is_selected(tmp_path: Path) -> None:
    profiles = (
        {"min": [1, 32, 32], "opt": [1, 32, 32], "max": [1, 48, 48]},
        {"min": [2, 64, 64], "opt": [2, 64, 64], "max": [4, 96, 96]},
    )
    onnx = write_translator_model(tmp_path / "m.onnx", profiles=profiles)
    path = build_engine(onnx, "tensorrt")
    for batch_size, side in ((1, 40), (3, 80)):
        shape = BatchShape(batch_size, 3, side, side)
        batch, out = make_batch(shape)
        with open_engine(path, shape) as engine:
            engine.infer(batch, out)
        assert (out == expected_output(onnx, shape, batch)).all()
    with pytest.raises(UsageError, match=r"1x3x32x32 to 1x3x48x48, or 2x3x64x64 to .* --size"):
        open_engine(path, BatchShape(1, 3, 64, 64))


@pytest.mark.parametrize("io", ["float", "uint8"])
def test_a_translator_takes_an_engine(tmp_path: Path, io: str) -> None:
    onnx = write_translator_model(tmp_path / "m.onnx", io=io, domains=("horse", "zebra"))
    path = build_engine(onnx, "tensorrt")
    image = np.random.default_rng(0).integers(0, 256, (50, 46, 3), np.uint8)
    with (
        Translator(path, size=(48, 48)) as tensorrt,
        Translator(onnx, engine="onnxruntime", size=(48, 48)) as expected,
    ):
        assert tensorrt.metadata.target_domain == "zebra"
        assert (tensorrt(image) == expected(image)).all()


def run_and_check(engine: Engine, onnx: Path, shape: BatchShape, runs: int = 4) -> None:
    for seed in range(runs):
        batch, out = make_batch(shape, seed)
        engine.infer(batch, out)
        assert (out == expected_output(onnx, shape, batch)).all()


def test_alternating_sizes_keep_their_buffers(tmp_path: Path, driver: ctypes.CDLL) -> None:
    onnx = write_translator_model(tmp_path / "m.onnx")
    shapes = [BatchShape(1, 3, 32, width) for width in (16, 32, 48)]
    path = build_engine(onnx, "tensorrt")
    with open_engine(path, BatchShape(1, 3, 0, 0), performance_hint="latency") as engine:
        for shape in shapes:
            run_and_check(engine, onnx, shape, 3)
        driver.simulated_allocations_left(0)
        for shape in shapes * 2:
            run_and_check(engine, onnx, shape, 1)
        with pytest.raises(EngineError, match="out of memory"):
            run_and_check(engine, onnx, BatchShape(1, 3, 48, 48), 1)
        driver.simulated_allocations_left(-1)
        for side in (16, 24, 32, 40, 48, 56, 64):
            run_and_check(engine, onnx, BatchShape(1, 3, side, side), 1)
        assert engine.cuda_graph


def test_a_failed_capture_is_reported_and_not_needed(
    tmp_path: Path, driver: ctypes.CDLL, caplog: pytest.LogCaptureFixture
) -> None:
    onnx = write_translator_model(tmp_path / "m.onnx")
    path = build_engine(onnx, "tensorrt")
    shape = BatchShape(1, 3, 32, 32)
    driver.simulated_fail_captures(1)
    with open_engine(path, shape, performance_hint="throughput") as engine:
        assert not engine.cuda_graph
        run_and_check(engine, onnx, shape)
    (line,) = [record.getMessage() for record in caplog.records]
    assert "no CUDA graph (CUDA: cuStreamEndCapture failed with code 901)" in line
    assert "CGT_CUDA_GRAPH=0" in line


def test_other_libraries_do_not_break_a_capture(
    tmp_path: Path, driver: ctypes.CDLL, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Calls on the default stream, and garbage of this thread that owns GPU memory."""
    onnx = write_translator_model(tmp_path / "m.onnx")
    path = build_engine(onnx, "tensorrt")
    shape = BatchShape(1, 3, 32, 32)
    context_type = sys.modules["tensorrt"].Context
    execute = context_type.execute_async_v3
    codes = []

    class Garbage:
        def __init__(self) -> None:
            import pycuda.driver

            self.cycle, self.memory = self, pycuda.driver.mem_alloc(64)

    def execute_beside_others(self: object, stream: int) -> bool:
        codes.append(driver.simulated_legacy_call())
        [[] for _ in range(5000)]  # makes Python collect garbage
        return bool(execute(self, stream))

    monkeypatch.setattr(context_type, "execute_async_v3", execute_beside_others)
    begin_capture = cuda.CudaGraph.__init__

    def begin_with_garbage(*arguments: object) -> None:
        gc.collect()
        Garbage()
        begin_capture(*arguments)

    monkeypatch.setattr(cuda.CudaGraph, "__init__", begin_with_garbage)
    with open_engine(path, shape, performance_hint="latency") as engine:
        run_and_check(engine, onnx, shape)
        assert engine.cuda_graph
        gc.collect()
    assert codes
    assert not any(codes)


def test_only_live_video_waits_on_a_core(tmp_path: Path, driver: ctypes.CDLL) -> None:
    onnx = write_translator_model(tmp_path / "m.onnx")
    path = build_engine(onnx, "tensorrt")
    shape = BatchShape(1, 3, 32, 32)
    for hint, waits in (("latency", (4, 0)), ("throughput", (0, 4))):
        with open_engine(path, shape, performance_hint=hint) as engine:
            driver.simulated_spinning_waits()
            driver.simulated_blocking_waits()
            run_and_check(engine, onnx, shape)
            assert (driver.simulated_spinning_waits(), driver.simulated_blocking_waits()) == waits


def test_closing_restores_the_contexts_of_any_thread(tmp_path: Path, driver: ctypes.CDLL) -> None:
    path = build_engine(write_translator_model(tmp_path / "m.onnx"), "tensorrt")
    shape = BatchShape(1, 3, 32, 32)
    before = driver.simulated_live()
    for _ in range(3):
        open_engine(path, shape).close()
        assert driver.simulated_depth() == 0
    engine = open_engine(path, shape)
    depths = []

    def close() -> None:
        engine.close()
        depths.append(driver.simulated_depth())

    thread = threading.Thread(target=close)
    thread.start()
    thread.join()
    assert depths == [0]
    assert driver.simulated_live() == before
    with open_engine(path, shape), open_engine(path, shape):
        assert driver.simulated_depth() == 0


def test_memory_that_runs_out_is_reported_and_freed(tmp_path: Path, driver: ctypes.CDLL) -> None:
    path = build_engine(write_translator_model(tmp_path / "m.onnx", statistics=3), "tensorrt")
    shape = BatchShape(1, 3, 32, 32, "float", 3)
    before = driver.simulated_live()
    for count in range(8):
        driver.simulated_allocations_left(count)
        with pytest.raises(EngineError, match=r"CUDA failed: .*out of memory"):
            open_engine(path, shape, performance_hint="latency")
        gc.collect()
        assert driver.simulated_live() == before
    driver.simulated_allocations_left(8)
    open_engine(path, shape, performance_hint="latency").close()


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_a_crashed_gpu_is_reported(tmp_path: Path, driver: ctypes.CDLL) -> None:
    path = build_engine(write_translator_model(tmp_path / "m.onnx"), "tensorrt")
    shape = BatchShape(1, 3, 32, 32)
    with open_engine(path, shape) as engine:
        driver.simulated_sticky_error(700)
        for _ in range(2):
            with pytest.raises(EngineError, match=r"CUDA.*(700|simulated error)"):
                engine.infer(*make_batch(shape))


def test_a_driver_that_is_too_old_for_tensorrt_is_reported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    onnx = write_translator_model(tmp_path / "m.onnx")
    path = build_engine(onnx, "tensorrt")

    def fail(*_: object) -> None:
        raise TypeError("pybind11::init(): factory function returned nullptr")

    message = r"does not start .* driver supports CUDA 13\.0.* pip install tensorrt-cu12"
    monkeypatch.setattr(sys.modules["tensorrt"], "Runtime", fail)
    with pytest.raises(EngineError, match=message):
        open_engine(path, BatchShape(1, 3, 32, 32))
    monkeypatch.setattr(sys.modules["tensorrt"], "Builder", fail)
    with pytest.raises(EngineError, match=message):
        build_engine(onnx, "tensorrt")


def test_tensorrt_rtx_captures_by_itself_and_is_an_engine_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its kernels are specialized before the first run, and "auto" can be opened again by name."""
    onnx = write_translator_model(tmp_path / "m.onnx")
    path = build_engine(onnx, "tensorrt")
    edit_sidecar(path, lambda values: values.update(format="tensorrt-rtx"))
    simulated = sys.modules["tensorrt"]
    monkeypatch.setitem(sys.modules, "tensorrt_rtx", simulated)
    configs = []
    create = simulated.Engine.create_execution_context

    def create_context(self: object, config: object = None) -> object:
        configs.append(config)
        return create(self, config)

    monkeypatch.setattr(simulated.Engine, "create_execution_context", create_context)
    monkeypatch.setattr(cuda.CudaGraph, "__init__", lambda *_: pytest.fail("captured twice"))
    shape = BatchShape(1, 3, 32, 32)
    with open_engine(path, shape) as engine:
        name = engine.name
        run_and_check(engine, onnx, shape)
    for config in configs:
        assert config.cuda_graph_strategy.name == "WHOLE_GRAPH_CAPTURE"
        assert config.dynamic_shapes_kernel_specialization_strategy.name == "EAGER"
    assert configs
    open_engine(path, shape, name).close()


def serve_pool(path: Path) -> TranslatorPool:
    return TranslatorPool(ModelCatalog([path]))


@pytest.mark.parametrize("name", ["tensorrt", "tensorrt-rtx"])
@pytest.mark.parametrize("profile", ["default", "small", "fixed", "batches"])
def test_serve_takes_engines_of_any_profile(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, profile: str, name: str
) -> None:
    """The default profile takes one image; "small" ends below the usual size of measurements."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    profiles = {
        "small": ({"min": [1, 32, 32], "opt": [1, 32, 32], "max": [4, 64, 64]},),
        "batches": (
            {"min": [1, 32, 32], "opt": [1, 32, 32], "max": [1, 64, 64]},
            {"min": [4, 32, 32], "opt": [4, 32, 32], "max": [4, 64, 64]},
        ),
    }
    onnx = write_translator_model(
        tmp_path / "m.onnx",
        fixed_size=(32, 48) if profile == "fixed" else None,
        profiles=profiles.get(profile, ()),
    )
    path = build_engine(onnx, "tensorrt")
    edit_sidecar(path, lambda values: values.update(format=name))
    monkeypatch.setitem(sys.modules, "tensorrt_rtx", sys.modules["tensorrt"])
    images = [np.random.default_rng(n).integers(0, 256, (32, 48, 3), np.uint8) for n in range(4)]
    with serve_pool(path) as pool, TranslatorPool(ModelCatalog([onnx]), "onnxruntime") as expected:
        selection = ModelSelection("m", size="source" if profile != "fixed" else None)
        for image in images:
            (translated,) = pool.translate(selection, [image])
            assert (translated == expected.translate(selection, [image])[0]).all()
        least, most = pool.batch_range(selection)
        if most > 1:
            batch = pool.translate(selection, images[:least])
            assert (batch[0] == expected.translate(selection, [images[0]])[0]).all()


def test_a_closed_engine_is_an_error(tmp_path: Path) -> None:
    path = build_engine(write_translator_model(tmp_path / "m.onnx"), "tensorrt")
    shape = BatchShape(1, 3, 32, 32)
    engine: Engine = open_engine(path, shape)
    engine.close()
    engine.close()
    with pytest.raises(EngineError, match="closed"):
        engine.infer(*make_batch(shape))


def edit_sidecar(path: Path, change: Callable[[dict[str, object]], None]) -> None:
    sidecar = sidecar_path(path)
    values = json.loads(sidecar.read_text())
    change(values["engine"])
    sidecar.write_text(json.dumps(values))


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        (
            {"version": "10.3.0"},
            EngineError,
            r"10\.3\.0, but this machine has 10\.13.*cgt export m\.onnx",
        ),
        (
            {"gpu": "", "compute_capabilities": [75, 89]},
            EngineError,
            r"capability 7\.5, 8\.9, but .* has SIMULATED GPU, 8\.6; run: cgt export m\.onnx",
        ),
        ({"format": "openvino"}, ModelError, "TensorRT does not run"),
        ({"files": {".engine": "0" * 64}}, ModelError, "is not the file that its m.engine.json"),
        ({"files": 3}, ModelError, "is damaged"),
        ({"color": "red"}, ModelError, "is damaged"),
    ],
)
def test_an_incompatible_plan_is_refused(
    tmp_path: Path, change: dict[str, object], error: type[Exception], message: str
) -> None:
    path = build_engine(write_translator_model(tmp_path / "m.onnx"), "tensorrt")
    edit_sidecar(path, lambda values: values.update(change))
    with pytest.raises(error, match=message):
        open_engine(path, BatchShape(1, 3, 32, 32))


def test_compatible_plans_run_on_other_machines(tmp_path: Path) -> None:
    path = build_engine(write_translator_model(tmp_path / "m.onnx"), "tensorrt")
    edit_sidecar(path, lambda values: values.update(gpu="A100", hardware_compatible=True))
    open_engine(path, BatchShape(1, 3, 32, 32)).close()
    for version, runs in (("10.3.0", True), ("10.14.0", False), ("9.9.0", False)):
        edit_sidecar(
            path, lambda v, version=version: v.update(version=version, version_compatible=True)
        )
        if runs:
            open_engine(path, BatchShape(1, 3, 32, 32)).close()
        else:
            with pytest.raises(EngineError, match=version):
                open_engine(path, BatchShape(1, 3, 32, 32))


@pytest.mark.parametrize(
    ("built_on", "warned"),
    [
        ({"gpu": "OLD NAME OF THE SIMULATED GPU"}, False),
        ({"gpu": "SIMULATED GPU", "multiprocessors": 42}, True),
        ({"gpu": "SIMULATED GPU MIG 3g.20gb", "multiprocessors": 42}, True),
        ({"gpu": "Orin", "multiprocessors": 0}, True),  # the sidecar of an older version
        ({"gpu": "Orin", "multiprocessors": 0, "hardware_compatible": True}, False),
    ],
)
def test_another_gpu_of_the_same_capability_is_a_warning(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, built_on: dict[str, object], warned: bool
) -> None:
    path = build_engine(write_translator_model(tmp_path / "m.onnx"), "tensorrt")
    assert read_sidecar(path).build.multiprocessors == 84
    edit_sidecar(path, lambda values: values.update(built_on))
    open_engine(path, BatchShape(1, 3, 32, 32)).close()
    lines = [record.getMessage() for record in caplog.records]
    assert len(lines) == warned
    if warned:
        assert f"was built on {built_on['gpu']}" in lines[0]
        assert "this machine has SIMULATED GPU with 84 multiprocessors" in lines[0]


def test_an_engine_for_an_accelerator_is_refused(tmp_path: Path) -> None:
    path = build_engine(write_translator_model(tmp_path / "m.onnx"), "tensorrt")
    edit_sidecar(path, lambda values: values.update(dla=None))  # as in sidecars of version 0.1.0
    open_engine(path, BatchShape(1, 3, 32, 32)).close()
    edit_sidecar(path, lambda values: values.update(dla=0))
    with pytest.raises(ModelError, match=r"deep learning accelerator.*run: cgt export m\.onnx"):
        open_engine(path, BatchShape(1, 3, 32, 32))


def test_a_damaged_plan_is_not_loaded(tmp_path: Path) -> None:
    path = build_engine(write_translator_model(tmp_path / "m.onnx"), "tensorrt")
    plan = bytearray(path.read_bytes())
    plan[len(plan) // 2] ^= 1
    path.write_bytes(plan)
    with pytest.raises(ModelError, match=r"or is damaged; build it again: cgt export m\.onnx"):
        open_engine(path, BatchShape(1, 3, 32, 32))


def test_errors_of_tensorrt_are_reported(tmp_path: Path) -> None:
    path = build_engine(write_translator_model(tmp_path / "m.onnx"), "tensorrt")
    path.write_bytes(b"not a TensorRT plan")
    from cgt.runtime.models.sidecar import sha256

    edit_sidecar(path, lambda values: values.update(files={".engine": sha256(path.read_bytes())}))
    with pytest.raises(EngineError, match=r"Serialization.*run: cgt export m\.onnx"):
        open_engine(path, BatchShape(1, 3, 32, 32))


def test_a_missing_gpu_is_reported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    onnx = write_translator_model(tmp_path / "m.onnx")
    path = build_engine(onnx, "tensorrt")
    monkeypatch.delenv("CGT_SIMULATED_GPU")
    assert cuda.list_gpus() == []
    with pytest.raises(MissingDependency, match="no NVIDIA GPU"):
        open_engine(path, BatchShape(1, 3, 32, 32))
    with pytest.raises(MissingDependency, match=r"no NVIDIA GPU.*tensorrt-rtx"):
        build_engine(onnx, "tensorrt")


def test_the_build_is_recorded_and_logged(tmp_path: Path) -> None:
    onnx = write_translator_model(tmp_path / "m.onnx", "fp16")
    lines: list[str] = []
    sidecar = read_sidecar(build_engine(onnx, "tensorrt", log=lines.append))
    assert sidecar.build.gpu == GPU_NAME
    assert sidecar.build.compute_capabilities == (86,)
    assert sidecar.build.convolutions == {"fp16": 3}
    assert any("convolutions 3 in fp16, as in the graph; for 8.6" in line for line in lines)


def test_unreadable_precisions_are_unverified(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    onnx = write_translator_model(tmp_path / "m.onnx", "fp16")
    layer = {"Name": "node", "LayerType": "kgen", "Metadata": "[ONNX Layer: conv1]"}
    monkeypatch.setattr(
        sys.modules["tensorrt"].Inspector,
        "get_engine_information",
        lambda *_: json.dumps({"Layers": [layer]}),
    )
    path = build_engine(onnx, "tensorrt")
    assert read_sidecar(path).build.convolutions == {"unverified": 3}
    (line,) = [record.getMessage() for record in caplog.records]
    assert "3 of 3 convolutions are unverified: tensorrt 10.13.3.9 does not tell" in line
    with open_engine(path, BatchShape(1, 3, 32, 32)) as engine:
        assert engine.precision == "unverified"


def test_an_export_without_a_format_builds_no_engine(tmp_path: Path) -> None:
    onnx = write_translator_model(tmp_path / "m.onnx")
    lines: list[str] = []
    build_engines(onnx, (), None, BuildOptions(), lines.append)
    assert [path.name for path in tmp_path.iterdir()] == ["m.onnx"]
    assert "cgt export m.onnx --format tensorrt" in lines[0]


@pytest.mark.filterwarnings("ignore:Use Deprecated")  # from TensorRT-RTX
def test_the_timing_cache_is_kept(tmp_path: Path) -> None:
    onnx, cache = write_translator_model(tmp_path / "m.onnx"), tmp_path / "timing"
    options = BuildOptions(timing_cache=cache)
    build_engine(onnx, "tensorrt", options=options)
    assert cache.stat().st_size > 0
    build_engine(onnx, "tensorrt", options=options)
    with pytest.raises(SourceError, match="cannot be read: Is a directory"):
        build_engine(onnx, "tensorrt", options=BuildOptions(timing_cache=tmp_path))


@pytest.mark.filterwarnings("ignore:Use Deprecated")  # from TensorRT-RTX's timing cache
def test_gpu_check_writes_its_report(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from gpu import gpu_check
    from gpu.gpu_report import trtexec_flags

    models = [
        write_translator_model(tmp_path / "a.onnx", "fp16"),
        write_translator_model(tmp_path / "b.onnx", "int8", "uint8", fixed_size=(64, 64)),
        write_translator_model(tmp_path / "c.onnx", statistics=5),
    ]
    bad = tmp_path / "d.onnx"
    bad.write_text("not a model")
    report = tmp_path / "report.md"
    arguments = [*map(str, models), str(bad), "--report", str(report), "--seconds", "0.05"]
    assert gpu_check.main(arguments) == 1
    text = report.read_text()
    for part in (
        GPU_NAME,
        "a.onnx 32x32 float",
        "3 fp16",
        "b.onnx 64x64 uint8",
        "3 int8",
        "c.onnx",
    ):
        assert part in text
    assert "d.onnx failed: " in text
    figures = json.loads(text.partition("```json")[2].rpartition("```")[0])
    assert all(check["worst_psnr_db"] > check["min_psnr_db"] for check in figures["checks"])
    assert all(check["frames_per_second"] > 0 for check in figures["checks"])
    for name in "abc":
        layers = json.loads((tmp_path / f"report-{name}-inspector.json").read_text())["Layers"]
        assert len(layers) > 2
    shapes = "--shapes=image:1x3x32x32,statistics_in:1x5"
    assert trtexec_flags(figures["checks"][2]["shapes"])[-1] == shapes
    assert figures["checks"][1]["shapes"] == {}  # one size: trtexec takes no shapes
    assert gpu_check.main([str(models[0]), "--report", str(report), "--seconds", "0.05"]) == 0


def test_gpu_check_without_a_gpu(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from gpu import gpu_check

    monkeypatch.delenv("CGT_SIMULATED_GPU")
    assert gpu_check.main([]) == 3
    (line,) = capsys.readouterr().err.splitlines()
    assert "nothing was checked: this machine has no NVIDIA GPU" in line


def test_the_environment_of_gpu_check_needs_a_gpu(tmp_path: Path) -> None:
    """Nothing is installed without one, and the command does not use the development tools."""
    root = Path(__file__).parents[2]
    script = root / "tests/gpu/run.sh"
    environment = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
    done = subprocess.run(
        ["bash", str(script), sys.executable, str(tmp_path / "venv")],
        capture_output=True,
        text=True,
        env=environment,
    )
    assert done.returncode == 3
    assert done.stdout == ""
    (line,) = done.stderr.splitlines()
    assert "nothing was checked: this machine has no NVIDIA GPU" in line
    assert not (tmp_path / "venv").exists()
    commands = subprocess.run(
        ["make", "-n", "gpu-check"], cwd=root, capture_output=True, text=True, env=environment
    )
    assert commands.stdout.splitlines() == ["bash tests/gpu/run.sh python3 .venv-gpu "]
