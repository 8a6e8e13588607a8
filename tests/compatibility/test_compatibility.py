"""What version 0.1.0 stored before its restructuring (commit 687aa29) still loads, and means the
same: checkpoints, students, models, engines, run folders, batches, tables, reports and caches.

data/ was written by that commit's commands; MANIFEST.md has each of them. Images in
data/expected/ and the numbers in data/expected.json are what that commit made of the files.
"""

from __future__ import annotations

import csv
import hashlib
import importlib
import importlib.metadata
import json
import lzma
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
import pytest

from conftest import run_cgt

# What the restructuring renames: flags, and stored names as the new version writes them.
STATS = "--json"
CALM = "--deflicker"
TARGETS = "targets"  # in a run of distill: the folder of the teacher's cached answers
LIST = "--list-candidates"
EXPLAINED = "mse_skill"
STATS_KEYS: dict[str, str] = {}  # such as {"thinned": "skipped", "calm": "deflicker"}
COLUMNS: dict[str, str] = {}  # of metrics.csv, such as {"explained": "mse_skill"}
LATENCY_TABLE = "cgt.distill.search.latency_table"
CANDIDATES = "cgt.distill.search.measure"
MACHINE = "cgt.benchmarks.harness.environment"

DATA = Path(__file__).parent / "data"
PHOTOS = DATA / "ramp2noise"
INPUTS = DATA / "inputs"
EXPECTED: dict[str, Any] = (
    json.loads((DATA / "expected.json").read_text()) if (DATA / "expected.json").exists() else {}
)


# ---- Helpers -------------------------------------------------------------------------------------


def cgt(*args: object, code: int = 0, **options: Any) -> subprocess.CompletedProcess[str]:
    done = run_cgt(*args, **options)
    assert done.returncode == code, done.stderr + done.stdout
    assert "Traceback" not in done.stderr
    return done


def unpack(name: str, folder: Path) -> Path:
    """A copy of a file or folder of data/ that may be written to, NAME.xz as NAME."""
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


def run_folder(name: str, folder: Path) -> Path:
    run = unpack(f"runs/{name}", folder)
    (run / "samples").mkdir(exist_ok=True)
    return run


def checkpoint(name: str, folder: Path) -> Path:
    """A run's latest.pth, or a finished student."""
    if (DATA / "runs" / name).is_dir():
        return unpack(f"runs/{name}/latest.pth.xz", folder)
    return unpack(f"students/{name}.pth.xz", folder)


def model_file(name: str, folder: Path) -> Path:
    return unpack(f"models/{name}.onnx.xz", folder)


def unpack_models(folder: Path) -> Path:
    """All of them; the repository's is frozen_uint8.onnx."""
    models = unpack("models", folder)
    shutil.copy(models / "frozen_uint8.onnx", models / SERVED / "1/model.onnx")
    return models


SERVED = "repository/frozen_uint8_python"


def read_image(path: Path) -> np.ndarray:
    image = cv2.imread(str(path))
    assert image is not None
    return image


def translate(model: Path | str, out: Path, *flags: object, source: str = "0.png") -> np.ndarray:
    """One image's translation; `out` without suffix gets .png."""
    path = out.with_name(f"{out.name}.png")
    cgt("translate", INPUTS / source, "-o", path, "--model", model, *flags)
    return read_image(path)


def assert_same(image: np.ndarray, name: str, mean: float = 0.5) -> None:
    """As the old version's data/expected/NAME.png, but for the rounding of other processors."""
    expected = read_image(DATA / "expected" / f"{name}.png")
    assert image.shape == expected.shape
    assert np.abs(image.astype(int) - expected).mean() <= mean


def read_log(path: Path) -> list[dict[str, str]]:
    with open(path, newline="") as file:
        return list(csv.DictReader(file))


def assert_same_log(path: Path, name: str) -> None:
    """The same columns, under their names of today, and the same lines within 3 %."""
    expected = read_log(DATA / "expected" / f"{name}.csv")
    found = read_log(path)
    assert {COLUMNS.get(column, column) for column in expected[0]} == set(found[0])
    assert len(found) == len(expected)
    for row, old in zip(found, expected, strict=True):
        for column, value in old.items():
            now = row[COLUMNS.get(column, column)]
            assert bool(now) == bool(value), (column, now, value)
            if value:
                assert float(now) == pytest.approx(float(value), rel=0.03, abs=0.01), column


def edit_checkpoint(path: Path, config: dict[str, Any], best: float | None = None) -> None:
    """Paths of this machine in place of those that it was written with; and a best value that
    no later one beats, so that best.pth is written anew only where it is forgotten."""
    import torch

    payload = torch.load(path, weights_only=True)
    assert set(config) <= set(payload["config"])
    payload["config"] |= config
    if best is not None:
        assert payload["best"]["value"] is not None
        payload["best"]["value"] = best
    torch.save(payload, path)


# ---- Checkpoints and students --------------------------------------------------------------------

CHECKPOINTS = ("cyclegan", "pix2pix", "begun", "toned", "pruned", "steered")


@pytest.mark.parametrize("name", CHECKPOINTS)
def test_a_checkpoint_translates(name: str, tmp_path: Path) -> None:
    path = checkpoint(name, tmp_path)
    image = translate(path, tmp_path / "out", "--engine", "torch", "--size", "source")
    assert_same(image, f"checkpoint_{name}")


@pytest.mark.parametrize("name", CHECKPOINTS)
def test_a_checkpoint_is_exported(name: str, tmp_path: Path) -> None:
    path, model = checkpoint(name, tmp_path), tmp_path / "model.onnx"
    cgt("export", "--ckpt", path, "--fp32", "-o", model)
    image = translate(model, tmp_path / "out", "--engine", "onnxruntime", "--size", "source")
    assert_same(image, f"checkpoint_{name}")


@pytest.mark.parametrize("name", CHECKPOINTS)
def test_a_checkpoint_is_inspected(name: str, tmp_path: Path) -> None:
    told = json.loads(cgt("inspect", checkpoint(name, tmp_path), "--json").stdout)
    expected = EXPECTED["inspect"][name]
    assert told["written_by"] == expected["written_by"]
    networks = {network["name"]: network["parameters"] for network in told["networks"]}
    assert networks == expected["networks"]


def test_the_way_back_is_exported(tmp_path: Path) -> None:
    path, model = checkpoint("cyclegan", tmp_path), tmp_path / "model.onnx"
    cgt("export", "--ckpt", path, "--direction", "BtoA", "-o", model)
    image = translate(model, tmp_path / "out", "--engine", "onnxruntime", "--size", "source")
    assert_same(image, "model_fp32")


def test_a_student_says_what_was_measured_of_it(tmp_path: Path) -> None:
    told = json.loads(cgt("inspect", checkpoint("steered", tmp_path), "--json").stdout)
    assert_same_report(told["distilled"])


def assert_same_report(report: dict[str, Any]) -> None:
    old = EXPECTED["report"]
    assert set(report) == set(old)
    for sets, before in (
        (report["photos"], old["photos"]),
        (report["videos"]["clip.mp4"], old["videos"]["clip.mp4"]),
    ):
        for student in ("fp32", "int8"):
            assert sets[student][EXPLAINED] == pytest.approx(before[student]["explained"])
            assert sets[student]["psnr"] == pytest.approx(before[student]["psnr"])
    assert report["speed"]["fps"] == pytest.approx(old["speed"]["fps"])


def test_a_student_is_what_another_begins_with(tmp_path: Path) -> None:
    teacher = checkpoint("cyclegan", tmp_path / "teacher")
    done = cgt(
        *("distill", "--ckpt", teacher, "--data", PHOTOS, "-o", tmp_path / "on.pth"),
        *("--init-from", checkpoint("steered", tmp_path), "--size", "32", "--steps", "1"),
        *("--batch-size", "1", "--threads", "1", "--precision", "fp32"),
    )
    assert "G_A begins with steered.pth" in done.stdout


# ---- Runs ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["cyclegan", "pix2pix"])
def test_a_run_is_resumed(name: str, tmp_path: Path) -> None:
    """To the losses and the network of a run that the old version resumed."""
    run = run_folder(name, tmp_path)
    if name == "cyclegan":
        edit_checkpoint(run / "latest.pth", {}, best=1e6)
    cgt("train", "--resume", run, "--data", PHOTOS)
    assert_same_log(run / "metrics.csv", f"resumed_{name}")
    assert not (run / "best.pth").exists()
    image = translate(run / "latest.pth", tmp_path / "out", "--engine", "torch", "--size", "source")
    assert_same(image, f"resumed_{name}", 3)


@pytest.mark.parametrize("name", ["toned", "pruned"])
def test_a_distillation_is_resumed(name: str, tmp_path: Path) -> None:
    """And asks its teacher for nothing that it has answered: the files of the cache are those that
    the old version leaves."""
    run = run_folder(name, tmp_path)
    teacher = checkpoint("cyclegan", tmp_path / "teacher")
    targets = unpack("targets", run).rename(run / TARGETS)
    photos = {"photos": [str(PHOTOS)], "data": str(PHOTOS)}
    edit_checkpoint(run / "latest.pth", photos, best=1e6 if name == "toned" else None)
    video = ("--video", INPUTS / "clip.mp4") if name == "toned" else ()
    before = {path.name: path.stat().st_mtime_ns for path in targets.iterdir()}
    cgt("distill", "--resume", run.with_suffix(".pth"), "--ckpt", teacher, *video)
    after = {path.name: path.stat().st_mtime_ns for path in targets.iterdir()}
    assert after == before
    assert_same_log(run / "metrics.csv", f"resumed_{name}")
    assert (run / "best.pth").exists() == (name == "pruned")
    image = translate(
        run.with_suffix(".pth"), tmp_path / "out", "--engine", "torch", "--size", "source"
    )
    assert_same(image, f"resumed_{name}", 3)


def test_a_log_of_all_columns_is_drawn(tmp_path: Path) -> None:
    runs = [unpack(f"runs/{name}", tmp_path) for name in ("cyclegan", "logged")]
    cgt("plot", *runs, "-o", tmp_path / "runs.svg")
    assert (tmp_path / "runs.svg").stat().st_size > 1000


# ---- Models --------------------------------------------------------------------------------------

MODELS = {"fp32": 0.5, "int8": 3.0, "stream": 0.5, "frozen_uint8": 0.5}  # mean difference


@pytest.mark.parametrize("engine", ["onnxruntime", "openvino"])
@pytest.mark.parametrize("name", MODELS)
def test_a_model_translates(name: str, engine: str, tmp_path: Path) -> None:
    size = ("--size", "64x32" if name == "frozen_uint8" else "source")
    model = model_file(name, tmp_path)
    image = translate(model, tmp_path / "out", "--engine", engine, *size)
    # OpenVINO may compute in bf16.
    assert_same(image, f"model_{name}", MODELS[name] if engine == "onnxruntime" else 3.0)


def test_a_model_says_what_it_is(tmp_path: Path) -> None:
    """Height before width in the file, however sizes are written elsewhere."""

    def told(name: str) -> dict[str, Any]:
        done = cgt("inspect", model_file(name, tmp_path), "--json")
        artifact: dict[str, Any] = json.loads(done.stdout)["artifact"]
        return artifact

    artifact = told("frozen_uint8")
    assert artifact["size"] == [32, 64]
    assert artifact["dynamic"] is False
    assert (artifact["io"], artifact["norm"], artifact["precision"]) == ("uint8", "frozen", "fp32")
    assert artifact["domains"] == ["ramp", "noise"]
    assert told("stream")["profiles"] == EXPECTED["profiles"]
    assert_same_report(told("int8")["distilled"])


def test_statistics_of_frames_are_fed_back(tmp_path: Path) -> None:
    """By the tensors `given` and `used`."""
    out = tmp_path / "out"
    cgt(
        *("translate", INPUTS / "clip.mp4", "-o", out, "--model", model_file("stream", tmp_path)),
        *("--engine", "onnxruntime", "--size", "source", CALM, "0.8", "--frames", "4"),
    )
    last = sorted(out.glob("*.png"))[-1]
    assert_same(read_image(last), "model_stream_calm")


def test_statistics_of_the_whole_image_make_tiles_agree(tmp_path: Path) -> None:
    image = translate(
        model_file("stream", tmp_path),
        tmp_path / "out",
        *("--engine", "onnxruntime", "--size", "64", "--tile", "32"),
    )
    assert_same(image, "model_stream_tiled")


@pytest.mark.parametrize("name", ["monet", "vintage"])
def test_a_bundled_model_translates(name: str, tmp_path: Path) -> None:
    image = translate(name, tmp_path / "out", "--engine", "onnxruntime", "--size", "32")
    assert_same(image, f"bundled_{name}", 4)


# ---- Engines -------------------------------------------------------------------------------------


def test_an_openvino_model_translates(tmp_path: Path) -> None:
    models = unpack_models(tmp_path)
    model = models / "fp32.xml"
    image = translate(model, tmp_path / "out", "--engine", "openvino", "--size", "source")
    assert_same(image, "model_fp32", 3)


@pytest.mark.parametrize("name", ["frozen_uint8.engine", "fp32.tflite", "rtx.engine", "fp32.xml"])
def test_an_engine_says_what_it_is(name: str, tmp_path: Path) -> None:
    """rtx.engine itself (3 MB) is not kept."""
    path = unpack_models(tmp_path) / name
    if name == "rtx.engine":
        path.write_bytes(b"another")
    told = json.loads(cgt("inspect", path, "--json").stdout)
    build = json.loads((DATA / "models" / f"{name}.json").read_text())["engine"]
    assert {key: told["engine"][key] for key in build} == build
    assert bool(told["note"]) == (name == "rtx.engine")
    assert told["artifact"]["domains"] == ["ramp", "noise"]


def test_an_engine_goes_into_a_repository(tmp_path: Path) -> None:
    models = unpack_models(tmp_path)
    cgt(
        *("export", models / "frozen_uint8.onnx", "--format", "triton", "--backend", "tensorrt"),
        *("-o", tmp_path / "repository"),
    )
    plan = tmp_path / "repository/frozen_uint8_tensorrt/1/model.plan"
    assert plan.read_bytes() == (models / "frozen_uint8.engine").read_bytes()


def test_a_repository_gets_another_version(tmp_path: Path) -> None:
    models = unpack_models(tmp_path)
    home = models / SERVED
    config = (home / "config.pbtxt").read_text().replace("count: 1", "count: 3")
    (home / "config.pbtxt").write_text(config)
    cgt(
        *("export", models / "frozen_uint8.onnx", "--format", "triton", "--backend", "python"),
        *("-o", models / "repository"),
    )
    assert sorted(path.name for path in home.iterdir()) == ["1", "2", "config.pbtxt"]
    assert "count: 3" in (home / "config.pbtxt").read_text()


SERVER = """
import importlib.util, sys, types
from pathlib import Path
import cv2, numpy as np

home, source, out = map(Path, sys.argv[1:])
stub = types.ModuleType("triton_python_backend_utils")
class Tensor:
    def __init__(self, name, array): self.name, self.array = name, array
    def as_numpy(self): return self.array
class InferenceResponse:
    def __init__(self, tensors=None, error=None): self.output, self.error = tensors, error
stub.Tensor, stub.InferenceResponse, stub.TritonError = Tensor, InferenceResponse, RuntimeError
stub.get_input_tensor_by_name = lambda request, name: request[name]
sys.modules[stub.__name__] = stub

from google.protobuf import json_format, text_format
from tritonclient.grpc import model_config_pb2
text = (home / "config.pbtxt").read_text()
config = text_format.Parse(text, model_config_pb2.ModelConfig())
spec = importlib.util.spec_from_file_location("model", home / "1" / "model.py")
model = importlib.util.module_from_spec(spec)
spec.loader.exec_module(model)
server = model.TritonPythonModel()
server.initialize({
    "model_config": json_format.MessageToJson(config, preserving_proto_field_name=True),
    "model_repository": str(home), "model_version": "1",
})
image = cv2.resize(cv2.imread(str(source))[..., ::-1], (64, 32), interpolation=cv2.INTER_NEAREST)
(answer,) = server.execute([{"image": Tensor("image", np.ascontiguousarray(image)[None])}])
assert answer.error is None, answer.error
(tensor,) = answer.output
assert tensor.name == "translated"
cv2.imwrite(str(out), tensor.array[0][..., ::-1])
server.finalize()
"""


def test_a_repository_is_served(tmp_path: Path) -> None:
    """Its model.py, a copy of the old version's, imports the runtime that is installed."""
    home = unpack_models(tmp_path) / SERVED
    out = tmp_path / "out.png"
    done = subprocess.run(
        [sys.executable, "-c", SERVER, str(home), str(INPUTS / "0.png"), str(out)],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert_same(read_image(out), "repository", 3)


# ---- Tables, reports, figures --------------------------------------------------------------------


def test_a_latency_table_chooses_a_student(tmp_path: Path) -> None:
    """New ones and, of a teacher that is wide enough, pruned ones."""
    teacher = checkpoint("cyclegan", tmp_path)
    table = unpack("table.json.xz", tmp_path)
    for target, chosen in EXPECTED["table"].items():
        done = cgt(
            *("distill", LIST, "--ckpt", teacher, "--latency-table", table),
            *("--target-fps", target),
        )
        assert re.findall(r"\* (\d+x\d+)", done.stdout) == [chosen]


def test_a_latency_table_has_pruned_students(tmp_path: Path) -> None:
    """A CycleGAN's usual ResNet may be pruned to them; by what is public of the table."""
    search = importlib.import_module(LATENCY_TABLE)
    table = search.load_table(unpack("table.json.xz", tmp_path))
    assert [(speed.ngf, speed.blocks, speed.p50) for speed in table.speeds] == [
        tuple(row) for row in EXPECTED["speeds"]
    ]
    pruned = [speed.candidate for speed in table.speeds if speed.layout]
    assert [candidate.config.kind for candidate in pruned] == EXPECTED["pruned"]


def test_reports_are_compared(tmp_path: Path) -> None:
    reports = [unpack(f"bench_{name}.json.xz", tmp_path) for name in "ab"]
    done = cgt("bench", "compare", *reports)
    for number in EXPECTED["compare"]:
        assert number in done.stdout


def test_figures_keep_their_names(tmp_path: Path) -> None:
    """But for those that are renamed on purpose."""
    cgt(
        *("translate", INPUTS / "clip.mp4", "-o", tmp_path / "out.mp4"),
        *("--model", model_file("fp32", tmp_path), "--engine", "onnxruntime", "--size", "32"),
        *(CALM, "0.5", "--max-fps", "6", STATS, tmp_path / "stats.json"),
    )
    old = json.loads((DATA / "stats.json").read_text())
    new = json.loads((tmp_path / "stats.json").read_text())
    assert {STATS_KEYS.get(key, key) for key in old} <= set(new)
    for key in ("frames", "dropped", "thinned"):
        assert new[STATS_KEYS.get(key, key)] == old[key]


# ---- Batches -------------------------------------------------------------------------------------


def legacy_key(source: Path, target: Path, model: Path) -> str:
    """What the old version called a video's folder in .cgt-jobs: a digest of all that its output
    depends on, the flags among them as the text of a dataclass."""
    given = (
        f"Translation(model='{model}', engine='onnxruntime', size=(32, 32), output_size=None, "
        "tile=None, overlap=None, batch=1, calm=0.0, frames=None, duration=None, max_fps=None, "
        "audio=True, start=0.0, stream=None, codec=None, view='translated')"
    )
    found = source.stat()
    versions = [importlib.metadata.version(name) for name in ("av", "cyclegan-toolkit")]
    parts = (
        *(source, found.st_size, found.st_mtime_ns, target.name, 30),
        *(given, hashlib.sha256(model.read_bytes()).hexdigest(), *versions),
    )
    return hashlib.sha256("\0".join(map(str, parts)).encode()).hexdigest()[:24]


@pytest.fixture
def batch(tmp_path: Path) -> Path:
    """An interrupted `cgt translate --jobs`, as if it had run here: a.mp4 is finished, of long.mp4
    the first of three parts, which is a part of another model's output so that it is recognised."""
    root = unpack("jobs", tmp_path.resolve())
    model_file("fp32", root)
    out, jobs = root / "out", root / "out/.cgt-jobs"
    (root / "out/dot-cgt-jobs").rename(jobs)
    finished = json.loads((jobs / "finished.json").read_text())
    entry = finished["a.mp4"]
    os.utime(out / "a.mp4", ns=(entry["changed"], entry["changed"]))
    assert entry["bytes"] == (out / "a.mp4").stat().st_size
    keys = {
        name: legacy_key(root / "videos" / name, out / name, root / "fp32.onnx")
        for name in ("a.mp4", "long.mp4")
    }
    entry["key"] = keys["a.mp4"]
    (jobs / "finished.json").write_text(json.dumps(finished))
    room = jobs / keys["long.mp4"]
    (jobs / "LONG").rename(room)
    shutil.move(root / "other.part", room / "00000.part")
    return root


def resume(root: Path) -> None:
    cgt(
        *("translate", root / "videos", "-o", root / "out", "--model", root / "fp32.onnx"),
        *("--engine", "onnxruntime", "--size", "32", "--jobs", "1", "--resume"),
    )


def colors(video: Path) -> np.ndarray:
    """frame, channel -> its mean."""
    with av.open(str(video)) as container:
        frames = [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]
    return np.array([frame.mean((0, 1)) for frame in frames])


def test_an_interrupted_batch_is_finished(batch: Path) -> None:
    """Whether or not what is there is used again."""
    resume(batch)
    expected = np.array(EXPECTED["long"])
    found = colors(batch / "out/long.mp4")
    assert found.shape == expected.shape
    assert np.abs(found[30:] - expected[30:]).max() < 3
    assert len(colors(batch / "out/a.mp4")) == 6
    names = {path.name for path in (batch / "out/.cgt-jobs").iterdir()}
    assert len(names) == 2  # the lock, and what is finished: nothing of the old version is left


def test_an_interrupted_batch_is_not_begun_anew(batch: Path) -> None:
    """What was finished stays, and of a video in parts only the missing ones are translated."""
    before = (batch / "out/a.mp4").stat().st_mtime_ns
    resume(batch)
    assert (batch / "out/a.mp4").stat().st_mtime_ns == before
    found = colors(batch / "out/long.mp4")
    assert np.abs(found[:30] - np.array(EXPECTED["other"])).max() < 3
    assert np.abs(found[30:] - np.array(EXPECTED["long"])[30:]).max() < 3


# ---- Caches: what is no longer understood must neither fail nor mislead --------------------------


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    return unpack("cache", tmp_path)


def test_a_cache_of_engines_does_no_harm(cache: Path, tmp_path: Path) -> None:
    environment = os.environ | {"XDG_CACHE_HOME": str(cache)}
    out = tmp_path / "out.png"
    for model in ("fp32", "int8"):
        cgt(
            *("translate", INPUTS / "0.png", "-o", out, "--size", "source"),
            *("--model", model_file(model, tmp_path)),
            env=environment,
        )
        assert_same(read_image(out), f"model_{model}", 3)


def test_a_cache_of_exports_does_no_harm(cache: Path, tmp_path: Path) -> None:
    """The key is the checkpoint's, and so the old file is found."""
    path = checkpoint("cyclegan", tmp_path)
    out = tmp_path / "bench.json"
    cgt(
        *("bench", "--matrix", "--ckpt", path, "--size", "32", "--seconds", "0.1"),
        *("--engine", "onnxruntime", "--precision", "fp32", "--pipeline", INPUTS / "clip.mp4"),
        *("--json", out),
        env=os.environ | {"XDG_CACHE_HOME": str(cache)},
    )
    assert json.loads(out.read_text())["matrix"]["rows"]


def test_a_cache_of_candidates_does_no_harm(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Under the keys that the old version would have given them here."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(cache))
    machine, candidates = (importlib.import_module(name) for name in (MACHINE, CANDIDATES))
    where = (2, machine.one_line(machine.describe_machine()), machine.versions())
    where += ((32, 32), "fp32", "onnxruntime", 3, 0.4)
    entries = json.loads((DATA / "candidates.json").read_text())
    remembered = {
        hashlib.sha256("\0".join(map(str, (*where, entry["about"]))).encode()).hexdigest()[:24]: (
            entry["value"]
        )
        for entry in entries
    }
    (cache / "cgt/candidates.json").write_text(json.dumps(remembered, indent=1))
    table = candidates.Measuring((32, 32), "fp32", "onnxruntime").recall()
    old = {entry["value"]["p50"] for entry in entries if "p50" in entry["value"]}
    assert {speed.p50 for speed in table.speeds} in (old, set())  # found, or not known any more
