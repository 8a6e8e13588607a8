"""Model repositories for Triton: their content, and that Triton's own parser reads the config."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from google.protobuf import text_format
from support.graphs import write_translator_model

from cgt.export import build_engine
from cgt.export.formats import BuildOptions
from cgt.runtime.errors import UsageError
from cgt.runtime.models.metadata import ModelMetadata, read_metadata
from cgt.runtime.models.sidecar import EngineBuildInfo, Sidecar, sha256, sidecar_path
from conftest import run_cgt

BACKENDS = ("python", "onnxruntime", "tensorrt")


def read_config(model_folder: Path) -> Any:
    """Parse config.pbtxt with the message definition of the server."""
    from tritonclient.grpc import model_config_pb2

    text = (model_folder / "config.pbtxt").read_text()
    return text_format.Parse(text, model_config_pb2.ModelConfig())


def add_model(onnx: Path, repository: Path, *backends: str) -> list[str]:
    messages: list[str] = []
    build_engine(onnx, "triton", repository, BuildOptions(backends=backends), log=messages.append)
    return messages


def write_fake_engine(onnx: Path, version_compatible: bool = False) -> bytes:
    """Write a stand-in for a plan with the sidecar of a real one; it is only copied here."""
    plan = b"plan of " + onnx.read_bytes()[:100]
    path = onnx.with_suffix(".engine")
    path.write_bytes(plan)
    build = EngineBuildInfo(
        format="tensorrt",
        version="10.13",
        onnx=onnx.name,
        onnx_sha256=sha256(onnx.read_bytes()),
        files={".engine": sha256(plan)},
        gpu="H100",
        compute_capabilities=(90,),
        version_compatible=version_compatible,
    )
    sidecar_path(path).write_text(Sidecar(read_metadata(onnx), build).to_json())
    return plan


def test_every_backend_has_a_valid_model_folder(tmp_path: Path) -> None:
    profile = {"min": [1, 32, 32], "opt": [1, 64, 64], "max": [4, 128, 128]}
    described = {"domains": ("l'été", "hiver"), "size": (64, 64), "profiles": (profile,)}
    onnx = write_translator_model(tmp_path / "h2z.onnx", io="uint8", **described)
    plan = write_fake_engine(onnx)
    repository = tmp_path / "repo"
    messages = add_model(onnx, repository)
    assert "tritonserver --model-repository" in messages[-1]
    for backend in BACKENDS:
        model_folder = repository / f"h2z_{backend}"
        config = read_config(model_folder)
        assert (config.name, config.backend) == (model_folder.name, backend)
        assert config.max_batch_size == (8 if backend == "python" else 4)
        for tensors, name in ((config.input, "image"), (config.output, "translated")):
            (tensor,) = tensors
            assert tensor.name == name
            assert (
                tensor.data_type
                == tensor.DESCRIPTOR.file.enum_types_by_name["DataType"]
                .values_by_name["TYPE_UINT8"]
                .number
            )
            assert list(tensor.dims) == [-1, -1, 3]
        assert config.HasField("dynamic_batching")
        (group,) = config.instance_group
        kinds = {"python": group.KIND_CPU, "onnxruntime": group.KIND_AUTO}
        assert group.kind == kinds.get(backend, group.KIND_GPU)
        assert config.version_policy.latest.num_versions == 2
        (warmup,) = config.model_warmup
        assert list(warmup.inputs["image"].dims) == [64, 64, 3]
        metadata = ModelMetadata.from_json(config.parameters["cgt"].string_value)
        assert metadata.domains == ("l'été", "hiver")
        assert metadata.io == "uint8"
    assert (repository / "h2z_onnxruntime/1/model.onnx").read_bytes() == onnx.read_bytes()
    assert (repository / "h2z_python/1/model.onnx").read_bytes() == onnx.read_bytes()
    assert (repository / "h2z_tensorrt/1/model.plan").read_bytes() == plan
    assert "H100 and TensorRT 10.13" in (repository / "h2z_tensorrt/config.pbtxt").read_text()
    assert read_config(repository / "h2z_tensorrt").optimization.cuda.graphs
    assert not read_config(repository / "h2z_onnxruntime").HasField("optimization")
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        *("h2z.engine", "h2z.engine.json", "h2z.onnx", "repo")
    ]


def test_a_version_compatible_plan_names_the_flag_of_the_server(tmp_path: Path) -> None:
    onnx = write_translator_model(tmp_path / "m.onnx", io="uint8")
    write_fake_engine(onnx, version_compatible=True)
    messages = add_model(onnx, tmp_path / "repo", "tensorrt")
    flag = "--backend-config=tensorrt,version-compatible=true"
    assert flag in (tmp_path / "repo/m_tensorrt/config.pbtxt").read_text()
    assert any(flag in line for line in messages)


def test_fixed_size_is_in_the_config(tmp_path: Path) -> None:
    onnx = write_translator_model(tmp_path / "m.onnx", io="uint8", fixed_size=(32, 48))
    add_model(onnx, tmp_path / "repo")
    config = read_config(tmp_path / "repo/m_onnxruntime")
    assert list(config.input[0].dims) == [32, 48, 3]


def test_config_without_a_plan_explains_how_to_add_one(tmp_path: Path) -> None:
    onnx = write_translator_model(tmp_path / "m.onnx", io="uint8")
    messages = add_model(onnx, tmp_path / "repo")
    model_folder = tmp_path / "repo/m_tensorrt"
    assert read_config(model_folder).max_batch_size == 1, "the default profile of a plan"
    assert any("m_tensorrt has the batch size 1" in line for line in messages)
    assert "cgt export m.onnx --format tensorrt" in (model_folder / "config.pbtxt").read_text()
    assert not list((model_folder / "1").iterdir())
    assert "--load-model=m_tensorrt" not in messages[-1]


def test_float_models_use_the_python_backend(tmp_path: Path) -> None:
    onnx = write_translator_model(tmp_path / "m.onnx", fixed_size=(32, 48))
    messages = add_model(onnx, tmp_path / "repo")
    assert "Python backend only" in messages[0]
    assert [path.name for path in (tmp_path / "repo").iterdir()] == ["m_python"]
    config = read_config(tmp_path / "repo/m_python")
    assert list(config.input[0].dims) == [32, 48, 3]
    with pytest.raises(UsageError, match="--io uint8 for the backend onnxruntime"):
        add_model(onnx, tmp_path / "repo", "onnxruntime")


def test_same_name_gets_the_next_version(tmp_path: Path) -> None:
    """Everything else in the repository stays."""
    repository = tmp_path / "repo"
    onnx = write_translator_model(tmp_path / "m.onnx", io="uint8")
    add_model(onnx, repository)
    other = repository / "other/3/model.onnx"
    other.parent.mkdir(parents=True)
    other.write_text("third-party model")
    path = repository / "m_onnxruntime/config.pbtxt"
    path.write_text(path.read_text().replace("count: 1", "count: 7") + "# a note\n")
    write_translator_model(onnx, io="uint8", domains=("dog", "cat"))
    messages = add_model(onnx, repository)
    assert sorted(p.name for p in path.parent.iterdir()) == ["1", "2", "config.pbtxt"]
    assert any("m_python/2" in line for line in messages)
    config = read_config(path.parent)
    assert config.instance_group[0].count == 7
    assert path.read_text().endswith("# a note\n")
    assert json.loads(config.parameters["cgt"].string_value)["domains"] == ["dog", "cat"]
    assert other.read_text() == "third-party model"
    assert [p.name for p in (repository / "m_tensorrt").iterdir() if p.is_dir()] == ["1"]


def test_incompatible_model_is_rejected_and_nothing_changes(tmp_path: Path) -> None:
    repository = tmp_path / "repo"
    onnx = write_translator_model(tmp_path / "m.onnx", io="uint8")
    add_model(onnx, repository, "onnxruntime")
    before = {path: path.stat().st_mtime_ns for path in repository.rglob("*")}
    write_translator_model(onnx, io="uint8", fixed_size=(32, 32))
    with pytest.raises(UsageError, match="takes other sizes"):
        add_model(onnx, repository)  # the model of the Python backend would be new
    (repository / "m_python").mkdir()
    with pytest.raises(UsageError, match="did not write"):
        add_model(onnx, repository, "python")
    (repository / "m_python").rmdir()
    after = {path: path.stat().st_mtime_ns for path in repository.rglob("*")}
    assert {**after, repository: 0} == {**before, repository: 0}
    assert sorted(path.name for path in tmp_path.iterdir()) == ["m.onnx", "repo"]


def test_errors_are_one_line(tmp_path: Path) -> None:
    onnx = write_translator_model(tmp_path / "m.onnx", io="uint8")
    streamed = write_translator_model(tmp_path / "s.onnx", io="uint8", statistics=4, norm="stream")
    (tmp_path / "file").write_text("")
    spaced = write_translator_model(tmp_path / "a b.onnx", io="uint8")
    for arguments, words, code in (
        ([onnx, "-o", tmp_path / "file"], "cannot write", 1),
        ([onnx, "-o", tmp_path / "missing" / "repo"], "cannot write", 1),
        ([onnx, "-o", tmp_path / "m.engine"], "must be a folder", 2),
        ([streamed, "-o", tmp_path / "repo"], "export without it", 2),
        ([spaced, "-o", tmp_path / "repo"], "rename a b.onnx", 2),
        ([onnx, "-o", tmp_path / "repo", "--workspace", "4"], "workspace is for", 2),
    ):
        done = run_cgt("export", *arguments, "--format", "triton")
        assert done.returncode == code, done.stderr
        assert words in done.stderr
        assert done.stderr.count("\n") == 1
    done = run_cgt("export", onnx, "--backend", "python", "--format", "openvino")
    assert done.returncode == 2
    assert "backends is for --format triton only" in done.stderr


@pytest.mark.slow
def test_checkpoint_to_repository(run_folder: Path, tmp_path: Path) -> None:
    """One command writes uint8 models and OpenVINO's files."""
    repository = tmp_path / "repo"
    arguments = ["--ckpt", run_folder / "latest.pth", "--format", "triton", "-o", repository]
    done = run_cgt("export", *arguments, "--format", "openvino")
    assert done.returncode == 0, done.stderr
    (onnx,) = run_folder.glob("*_uint8.onnx")
    assert onnx.with_suffix(".xml").exists()
    assert read_metadata(onnx).io == "uint8"
    assert {path.name for path in repository.iterdir()} == {
        f"{onnx.stem}_{backend}" for backend in BACKENDS
    }
