"""Files that commit 687aa29 wrote are read, resumed and recognized, with equal results.

data/MANIFEST.md lists the command that wrote each file. data/expected/ and data/expected.json hold
the results of that commit.
"""

from __future__ import annotations

import csv
import hashlib
import importlib.metadata
import importlib.util
import json
import lzma
import os
import re
import shutil
import sys
import types
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
import pytest
from click.testing import CliRunner

from cgt.cli.main import cgt as commands
from cgt.runtime.models.metadata import read_metadata
from conftest import run_cgt

DATA = Path(__file__).parent / "data"
PHOTOS = DATA / "ramp2noise"
INPUTS = DATA / "inputs"
CLIP = INPUTS / "clip.mp4"
EXPECTED: dict[str, Any] = json.loads((DATA / "expected.json").read_text())

# Names in commit 687aa29 -> names that are written today.
METRICS_COLUMNS = {"explained": "mse_skill"}
RUN_REPORT_KEYS = {
    **{"thinned": "skipped", "frames_per_second": "fps", "milliseconds": "stages_ms"},
    **{"start_up_seconds": "startup_seconds", "calm": "deflicker"},
    **{"picture": "image", "pixels": "simd"},
}


# ---- Helpers -------------------------------------------------------------------------------------


def cgt(*args: object) -> str:
    """Run a command in this process and return what it prints."""
    done = CliRunner().invoke(
        commands, list(map(str, args)), standalone_mode=False, catch_exceptions=False
    )
    return done.output


def cgt_json(*args: object, output: Path) -> Any:
    """Run a command with --json and return the value that it writes."""
    cgt(*args, "--json", output)
    return json.loads(output.read_text())


def unpack(name: str, folder: Path) -> Path:
    """Copy a file or folder of data/ and decompress NAME.xz to NAME."""
    source, target = DATA / name, folder / Path(name).name
    if source.is_dir():
        for path in sorted(source.rglob("*")):
            if path.is_file():
                unpack(str(path.relative_to(DATA)), target / path.parent.relative_to(source))
        return target
    folder.mkdir(parents=True, exist_ok=True)
    if source.suffix == ".xz":
        target = target.with_suffix("")
        target.write_bytes(lzma.decompress(source.read_bytes()))
    else:
        shutil.copy2(source, target)
    return target


def unpack_checkpoint(name: str, folder: Path) -> Path:
    """Unpack the latest.pth of a run, or a finished student."""
    if (DATA / "runs" / name).is_dir():
        return unpack(f"runs/{name}/latest.pth.xz", folder)
    return unpack(f"students/{name}.pth.xz", folder)


def unpack_model(name: str, folder: Path) -> Path:
    return unpack(f"models/{name}.onnx.xz", folder)


SERVED = "repository/frozen_uint8_python"


@pytest.fixture
def models(tmp_path: Path) -> Path:
    """Unpack the folder of models, with frozen_uint8.onnx as the model of the repository."""
    folder = unpack("models", tmp_path)
    shutil.copy(folder / "frozen_uint8.onnx", folder / SERVED / "1/model.onnx")
    return folder


def read_image(path: Path) -> np.ndarray:
    image = cv2.imread(str(path))
    assert image is not None
    return image


def translate(model: Path | str, folder: Path, *flags: object) -> np.ndarray:
    """Translate inputs/0.png; the output has the size of the network, as in 687aa29."""
    output = folder / f"translated_{Path(model).stem}.png"
    cgt(
        *("translate", INPUTS / "0.png", "-o", output, "--model", model),
        *("--upsampling", "none", *flags),
    )
    return read_image(output)


def assert_same_image(image: np.ndarray, name: str, tolerance: float = 0.5) -> None:
    """Compare with data/expected/NAME.png; processors round differently."""
    expected = read_image(DATA / "expected" / f"{name}.png")
    assert image.shape == expected.shape
    assert np.abs(image.astype(int) - expected).mean() <= tolerance


def read_rows(path: Path) -> list[dict[str, str]]:
    with open(path, newline="") as file:
        return list(csv.DictReader(file))


def assert_same_metrics(path: Path, name: str) -> None:
    """Compare a metrics.csv with data/expected/NAME.csv: the same columns, values within 3 %."""
    expected, rows = read_rows(DATA / "expected" / f"{name}.csv"), read_rows(path)
    assert {METRICS_COLUMNS.get(column, column) for column in expected[0]} == set(rows[0])
    assert len(rows) == len(expected)
    for row, old_row in zip(rows, expected, strict=True):
        for column, old in old_row.items():
            value = row[METRICS_COLUMNS.get(column, column)]
            assert bool(value) == bool(old), (column, value, old)
            if old:
                assert float(value) == pytest.approx(float(old), rel=0.03, abs=0.01), column


def raise_best_value(path: Path) -> None:
    """Store a best value that no evaluation reaches; best.pth appears only if it is ignored."""
    import torch

    payload = torch.load(path, weights_only=True)
    assert payload["best"]["value"] is not None
    payload["best"]["value"] = 1e6
    torch.save(payload, path)


# ---- Checkpoints and students --------------------------------------------------------------------

CHECKPOINTS = ("cyclegan", "pix2pix", "begun", "toned", "pruned", "steered")


@pytest.mark.parametrize("name", CHECKPOINTS)
def test_a_checkpoint_is_translated_and_inspected(name: str, tmp_path: Path) -> None:
    path = unpack_checkpoint(name, tmp_path)
    image = translate(path, tmp_path, "--engine", "torch", "--size", "source")
    assert_same_image(image, f"checkpoint_{name}")
    inspected = cgt_json("inspect", path, output=tmp_path / "inspected.json")
    expected = EXPECTED["inspect"][name]
    assert inspected["written_by"] == expected["written_by"]
    networks = {network["name"]: network["parameters"] for network in inspected["networks"]}
    assert networks == expected["networks"]
    if name == "steered":
        assert_same_report(inspected["distill_report"])


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=[pytest.mark.slow] if name != "steered" else [])
        for name in CHECKPOINTS
    ],
)
def test_a_checkpoint_is_exported(name: str, tmp_path: Path) -> None:
    path, model = unpack_checkpoint(name, tmp_path), tmp_path / "model.onnx"
    cgt("export", "--ckpt", path, "--fp32", "-o", model)
    image = translate(model, tmp_path, "--engine", "onnxruntime", "--size", "source")
    assert_same_image(image, f"checkpoint_{name}")


def test_the_reverse_direction_is_exported(tmp_path: Path) -> None:
    path, model = unpack_checkpoint("cyclegan", tmp_path), tmp_path / "model.onnx"
    cgt("export", "--ckpt", path, "--direction", "BtoA", "-o", model)
    image = translate(model, tmp_path, "--engine", "onnxruntime", "--size", "source")
    assert_same_image(image, "model_fp32")


def assert_same_report(report: dict[str, Any]) -> None:
    """Compare the evaluation of the student steered.pth, stored in it and in its model."""
    old = EXPECTED["report"]
    assert set(report) == set(old)
    for values, old_values in (
        (report["photos"], old["photos"]),
        (report["videos"]["clip.mp4"], old["videos"]["clip.mp4"]),
    ):
        for precision in ("fp32", "int8"):
            assert "explained" not in values[precision]
            assert values[precision]["mse_skill"] == old_values[precision]["explained"]
            assert values[precision]["psnr"] == old_values[precision]["psnr"]
    assert report["speed"]["fps"] == old["speed"]["fps"]


@pytest.mark.slow
def test_a_student_initializes_another(tmp_path: Path) -> None:
    teacher = unpack_checkpoint("cyclegan", tmp_path / "teacher")
    printed = cgt(
        *("distill", "--ckpt", teacher, "--data", PHOTOS, "-o", tmp_path / "new.pth"),
        *("--init-from", unpack_checkpoint("steered", tmp_path), "--size", "32", "--steps", "1"),
        *("--batch-size", "1", "--threads", "1", "--precision", "fp32"),
    )
    assert "steered.pth" in printed


# ---- Runs ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["cyclegan", "pix2pix"])
def test_a_run_resumes(name: str, tmp_path: Path) -> None:
    """Reach the losses and the network that commit 687aa29 reached by --resume."""
    run = unpack(f"runs/{name}", tmp_path)
    if name == "cyclegan":
        raise_best_value(run / "latest.pth")
    cgt("train", "--resume", run, "--data", PHOTOS)
    assert_same_metrics(run / "metrics.csv", f"resumed_{name}")
    assert not (run / "best.pth").exists()
    image = translate(run / "latest.pth", tmp_path, "--engine", "torch", "--size", "source")
    assert_same_image(image, f"resumed_{name}", tolerance=3)


@pytest.mark.parametrize("name", ["toned", "pruned"])
def test_a_distillation_resumes(name: str, tmp_path: Path) -> None:
    """Reach the same losses and network, and find all teacher outputs in the cache."""
    run = unpack(f"runs/{name}", tmp_path)
    teacher = unpack_checkpoint("cyclegan", tmp_path / "teacher")
    cache = unpack("targets", run)
    flags: tuple[object, ...] = ("--ckpt", teacher, "--data", PHOTOS)
    if name == "toned":
        raise_best_value(run / "latest.pth")
        flags += ("--video", CLIP)
    before = {path.name: path.stat().st_mtime_ns for path in cache.iterdir()}
    cgt("distill", "--resume", run.with_suffix(".pth"), *flags)
    assert {path.name: path.stat().st_mtime_ns for path in cache.iterdir()} == before
    assert_same_metrics(run / "metrics.csv", f"resumed_{name}")
    assert (run / "best.pth").exists() == (name == "pruned")
    student = run.with_suffix(".pth")
    image = translate(student, tmp_path, "--engine", "torch", "--size", "source")
    assert_same_image(image, f"resumed_{name}", tolerance=3)


def test_metrics_are_plotted(tmp_path: Path) -> None:
    """Plot every column of a training and of a distillation."""
    pytest.importorskip("matplotlib")
    runs = [unpack(f"runs/{name}", tmp_path) for name in ("cyclegan", "logged")]
    cgt("plot", *runs, "-o", tmp_path / "runs.svg")
    assert "mse_skill" in (tmp_path / "runs.svg").read_text()


# ---- Models --------------------------------------------------------------------------------------

MODELS = {"fp32": 0.5, "int8": 3.0, "stream": 0.5, "frozen_uint8": 0.5}  # mean difference


@pytest.mark.parametrize("engine", ["onnxruntime", "openvino"])
@pytest.mark.parametrize("name", MODELS)
def test_a_model_translates(name: str, engine: str, tmp_path: Path) -> None:
    size = ("--size", "64x32" if name == "frozen_uint8" else "source")
    image = translate(unpack_model(name, tmp_path), tmp_path, "--engine", engine, *size)
    # OpenVINO may compute in bf16.
    assert_same_image(image, f"model_{name}", MODELS[name] if engine == "onnxruntime" else 3.0)


def test_model_metadata_is_inspected(tmp_path: Path) -> None:
    def inspect(name: str) -> dict[str, Any]:
        path = unpack_model(name, tmp_path)
        metadata: dict[str, Any] = cgt_json("inspect", path, output=tmp_path / "i.json")["metadata"]
        return metadata

    metadata = inspect("frozen_uint8")
    assert metadata["size"] == "64x32"
    assert metadata["dynamic"] is False
    assert (metadata["io"], metadata["norm"], metadata["precision"]) == ("uint8", "frozen", "fp32")
    assert metadata["domains"] == ["ramp", "noise"]
    assert inspect("stream")["profiles"] == EXPECTED["profiles"]
    assert_same_report(inspect("int8")["distill_report"])


def test_statistics_of_past_frames_reduce_flicker(tmp_path: Path) -> None:
    """Use a model whose statistics tensors are called `given` and `used`."""
    output = tmp_path / "frames"
    cgt(
        *("translate", CLIP, "-o", output, "--model", unpack_model("stream", tmp_path)),
        *("--engine", "onnxruntime", "--size", "source", "--deflicker", "0.8", "--frames", "4"),
    )
    assert_same_image(read_image(sorted(output.glob("*.png"))[-1]), "model_stream_calm")


def test_statistics_of_the_whole_image_apply_to_its_tiles(tmp_path: Path) -> None:
    model = unpack_model("stream", tmp_path)
    image = translate(model, tmp_path, "--engine", "onnxruntime", "--size", "64", "--tile", "32")
    assert_same_image(image, "model_stream_tiled")


@pytest.mark.parametrize("name", ["monet", "vintage"])
def test_a_bundled_model_translates(name: str, tmp_path: Path) -> None:
    image = translate(name, tmp_path, "--engine", "onnxruntime", "--size", "32")
    assert_same_image(image, f"bundled_{name}", tolerance=4)


# ---- Engines -------------------------------------------------------------------------------------


def test_an_openvino_model_translates(models: Path, tmp_path: Path) -> None:
    model = models / "fp32.xml"
    image = translate(model, tmp_path, "--engine", "openvino", "--size", "source")
    assert_same_image(image, "model_fp32", tolerance=3)


@pytest.mark.parametrize("name", ["frozen_uint8.engine", "fp32.tflite", "rtx.engine", "fp32.xml"])
def test_an_engine_is_inspected(name: str, models: Path, tmp_path: Path) -> None:
    """Read the sidecar; the 3 MB of rtx.engine are left out, so another file takes its place."""
    path = models / name
    if name == "rtx.engine":
        path.write_bytes(b"another file")
    inspected = cgt_json("inspect", path, output=tmp_path / "inspected.json")
    build = json.loads((DATA / "models" / f"{name}.json").read_text())["engine"]
    assert build.pop("dla") is None  # engines for an accelerator are refused
    assert {key: inspected["engine"][key] for key in build} == build
    assert bool(inspected["note"]) == (name == "rtx.engine")
    assert inspected["metadata"]["domains"] == ["ramp", "noise"]


def test_an_engine_is_added_to_a_repository(models: Path, tmp_path: Path) -> None:
    cgt(
        *("export", models / "frozen_uint8.onnx", "--format", "triton", "--backend", "tensorrt"),
        *("-o", tmp_path / "repository"),
    )
    plan = tmp_path / "repository/frozen_uint8_tensorrt/1/model.plan"
    assert plan.read_bytes() == (models / "frozen_uint8.engine").read_bytes()


def test_a_version_is_added_to_a_repository(models: Path) -> None:
    """Keep the edits of config.pbtxt."""
    home = models / SERVED
    config = (home / "config.pbtxt").read_text().replace("count: 1", "count: 3")
    (home / "config.pbtxt").write_text(config)
    cgt(
        *("export", models / "frozen_uint8.onnx", "--format", "triton", "--backend", "python"),
        *("-o", models / "repository"),
    )
    assert sorted(path.name for path in home.iterdir()) == ["1", "2", "config.pbtxt"]
    assert "count: 3" in (home / "config.pbtxt").read_text()


class FakeTensor:
    """Replaces triton_python_backend_utils.Tensor."""

    def __init__(self, name: str, array: np.ndarray) -> None:
        self.name, self._array = name, array

    def as_numpy(self) -> np.ndarray:
        return self._array


class FakeResponse:
    """Replaces triton_python_backend_utils.InferenceResponse."""

    def __init__(self, tensors: Any = (), error: Any = None) -> None:
        self.tensors, self.error = tensors, error


def test_a_repository_is_served(models: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Run the model.py of the repository, which imports today's cgt, as Triton does."""
    json_format = pytest.importorskip("google.protobuf.json_format")
    text_format = pytest.importorskip("google.protobuf.text_format")
    messages = pytest.importorskip("tritonclient.grpc.model_config_pb2")
    backend: Any = types.ModuleType("triton_python_backend_utils")
    backend.Tensor, backend.InferenceResponse = FakeTensor, FakeResponse
    backend.TritonError = RuntimeError
    backend.get_input_tensor_by_name = lambda request, name: request[name]
    monkeypatch.setitem(sys.modules, "triton_python_backend_utils", backend)

    home = models / SERVED
    config = text_format.Parse((home / "config.pbtxt").read_text(), messages.ModelConfig())
    spec = importlib.util.spec_from_file_location("served_model", home / "1/model.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    model = module.TritonPythonModel()
    model.initialize(
        {
            "model_config": json_format.MessageToJson(config, preserving_proto_field_name=True),
            **{"model_repository": str(home), "model_version": "1"},
        }
    )
    image = cv2.resize(read_image(INPUTS / "0.png"), (64, 32), interpolation=cv2.INTER_NEAREST)
    rgb = np.ascontiguousarray(image[None, ..., ::-1])
    (response,) = model.execute([{"image": FakeTensor("image", rgb)}])
    model.finalize()
    assert response.error is None
    (tensor,) = response.tensors
    assert tensor.name == "translated"
    assert_same_image(tensor.as_numpy()[0, ..., ::-1], "repository", tolerance=3)


# ---- Latency tables and reports ------------------------------------------------------------------


def test_a_student_is_chosen_from_a_latency_table(tmp_path: Path) -> None:
    teacher = unpack_checkpoint("cyclegan", tmp_path)
    table = unpack("table.json.xz", tmp_path)
    for target_fps, chosen in EXPECTED["table"].items():
        printed = cgt(
            *("distill", "--list-candidates", "--ckpt", teacher, "--latency-table", table),
            *("--target-fps", target_fps),
        )
        assert re.findall(r"\* (\d+x\d+)", printed) == [chosen]


def test_a_latency_table_is_loaded(tmp_path: Path) -> None:
    """Restore the candidates, among them those that are pruned from a teacher."""
    pytest.importorskip("torch")
    from cgt.distill.search.latency_table import load_latency_table

    table = load_latency_table(unpack("table.json.xz", tmp_path))
    assert [(timing.ngf, timing.blocks, timing.p50_ms) for timing in table.timings] == [
        tuple(row) for row in EXPECTED["speeds"]
    ]
    for timing in table.timings:
        assert timing.candidate.parameters == timing.parameters
    assert {"batch_film", "separable"} <= {name for t in table.timings for name in t.variant}
    pruned = [timing.candidate for timing in table.timings if timing.pruned_from]
    assert [candidate.config.kind for candidate in pruned] == EXPECTED["pruned"]


def test_benchmark_reports_are_compared(tmp_path: Path) -> None:
    reports = [unpack(f"bench_{name}.json.xz", tmp_path) for name in "ab"]
    printed = cgt("bench", "compare", *reports)
    for number in EXPECTED["compare"]:
        assert number in printed


def key_paths(values: dict[str, Any], renamed: dict[str, str]) -> set[str]:
    """Return the paths of all keys, such as "sizes/image"."""
    paths = set()
    for key, value in values.items():
        path = renamed.get(key, key)
        paths.add(path)
        if isinstance(value, dict):
            paths |= {f"{path}/{inner}" for inner in key_paths(value, renamed)}
    return paths


def test_a_run_report_has_the_same_values(tmp_path: Path) -> None:
    """Compare the keys, except for those that were renamed, and the counts."""
    new = cgt_json(
        *("translate", CLIP, "-o", tmp_path / "out.mp4"),
        *("--model", unpack_model("fp32", tmp_path), "--engine", "onnxruntime", "--size", "32"),
        *("--deflicker", "0.5", "--max-fps", "6"),
        output=tmp_path / "report.json",
    )
    old = json.loads((DATA / "stats.json").read_text())
    assert key_paths(old, RUN_REPORT_KEYS) - key_paths(new, {}) == set()
    for key in ("frames", "dropped", "thinned", "calm"):
        assert new[RUN_REPORT_KEYS.get(key, key)] == old[key]


# ---- Batches -------------------------------------------------------------------------------------


def old_batch_key(source: Path, target: Path, model: Path) -> str:
    """Return the key of a video in .cgt-jobs, computed as in commit 687aa29."""
    options = (
        f"Translation(model='{model}', engine='onnxruntime', size=(32, 32), output_size=None, "
        "tile=None, overlap=None, batch=1, calm=0.0, frames=None, duration=None, max_fps=None, "
        "audio=True, start=0.0, stream=None, codec=None, view='translated')"
    )
    stat = source.stat()
    versions = [importlib.metadata.version(name) for name in ("av", "cyclegan-toolkit")]
    parts = (
        *(source, stat.st_size, stat.st_mtime_ns, target.name, 30),
        *(options, hashlib.sha256(model.read_bytes()).hexdigest(), *versions),
    )
    return hashlib.sha256("\0".join(map(str, parts)).encode()).hexdigest()[:24]


@pytest.fixture
def interrupted_batch(tmp_path: Path) -> Path:
    """Unpack an interrupted batch and adapt its keys, as if it had run in this folder.

    a.mp4 is finished. One of three segments of long.mp4 is finished; a segment that another model
    wrote takes its place, so that the result shows whether it was used.
    """
    root = unpack("jobs", tmp_path.resolve())
    model = unpack_model("fp32", root)
    output, manifest = root / "out", root / "out/.cgt-jobs"
    (output / "dot-cgt-jobs").rename(manifest)
    finished = json.loads((manifest / "finished.json").read_text())
    entry = finished["a.mp4"]
    os.utime(output / "a.mp4", ns=(entry["changed"], entry["changed"]))
    assert entry["bytes"] == (output / "a.mp4").stat().st_size
    keys = {
        name: old_batch_key(root / "videos" / name, output / name, model)
        for name in ("a.mp4", "long.mp4")
    }
    entry["key"] = keys["a.mp4"]
    (manifest / "finished.json").write_text(json.dumps(finished))
    (manifest / "LONG").rename(manifest / keys["long.mp4"])
    shutil.move(root / "other.part", manifest / keys["long.mp4"] / "00000.part")
    return root


def mean_colors(video: Path) -> np.ndarray:
    """Return the mean of each channel of each frame."""
    with av.open(str(video)) as container:
        frames = [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]
    return np.array([frame.mean((0, 1)) for frame in frames])


def test_an_interrupted_batch_resumes(interrupted_batch: Path) -> None:
    """Keep the finished video; translate a segment with the color tags of 687aa29 again."""
    root, output = interrupted_batch, interrupted_batch / "out"
    before = (output / "a.mp4").stat().st_mtime_ns
    done = run_cgt(
        *("translate", root / "videos", "-o", output, "--model", root / "fp32.onnx"),
        *("--engine", "onnxruntime", "--size", "32", "--upsampling", "none"),
        *("--jobs", "1", "--resume"),
    )
    assert done.returncode == 0, done.stderr
    assert (output / "a.mp4").stat().st_mtime_ns == before
    colors, expected = mean_colors(output / "long.mp4"), np.array(EXPECTED["long"])
    assert colors.shape == expected.shape
    assert np.abs(colors - expected).max() < 3
    names = {path.name for path in (output / ".cgt-jobs").iterdir()}
    assert names == {"lock", "finished.json"}


# ---- Caches: an entry is either used correctly or ignored ----------------------------------------


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Use a copy of the cache that commit 687aa29 left."""
    folder = unpack("cache", tmp_path)
    monkeypatch.setenv("XDG_CACHE_HOME", str(folder))
    return folder


@pytest.mark.usefixtures("cache")
def test_cached_engine_choices_do_not_change_the_result(tmp_path: Path) -> None:
    for model in ("fp32", "int8"):
        image = translate(unpack_model(model, tmp_path), tmp_path, "--size", "source")
        assert_same_image(image, f"model_{model}", tolerance=3)


def test_cached_exports_are_used(cache: Path, tmp_path: Path) -> None:
    """Find the exports of `cgt bench --matrix`; their key hashes the checkpoint and flags."""
    pytest.importorskip("torch")
    from cgt.benchmarks.analysis.matrix import export_all_precisions

    files = {path: path.read_bytes() for path in (cache / "cgt/bench").rglob("*.onnx")}
    paths = export_all_precisions(unpack_checkpoint("cyclegan", tmp_path))
    assert {path: path.read_bytes() for path in paths} == files
    assert [read_metadata(path).precision for path in paths] == ["fp32", "fp16", "bf16", "int8"]
    image = translate(paths[0], tmp_path, "--engine", "onnxruntime", "--size", "source")
    assert_same_image(image, "checkpoint_cyclegan")


def test_cached_candidate_timings_are_loaded(cache: Path) -> None:
    """Find all entries under the keys that commit 687aa29 computes on this machine."""
    pytest.importorskip("torch")
    from cgt.benchmarks.harness import environment
    from cgt.distill.search.measure import CandidateBenchmark

    machine = environment.machine_summary(environment.describe_machine())
    settings = (2, machine, environment.package_versions())
    settings += ((32, 32), "fp32", "onnxruntime", 3, 0.4)
    entries = json.loads((DATA / "candidates.json").read_text())
    content = {
        hashlib.sha256("\0".join(map(str, (*settings, entry["about"]))).encode()).hexdigest()[
            :24
        ]: entry["value"]
        for entry in entries
    }
    (cache / "cgt/candidates.json").write_text(json.dumps(content))
    table = CandidateBenchmark((32, 32), "fp32", "onnxruntime").load_cached()
    timings = [entry["value"] for entry in entries if "p50" in entry["value"]]
    assert {timing.p50_ms for timing in table.timings} == {value["p50"] for value in timings}
    assert {timing.other_load for timing in table.timings} == {v["others"] for v in timings}
