"""`cgt inspect` on checkpoints, models and engines."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest
import torch

from cgt.cli.inspect import command as inspect
from cgt.export.inspect_model import inspect_engine, inspect_onnx
from cgt.runtime.errors import CgtError, ModelError
from cgt.runtime.models.metadata import read_metadata
from cgt.trainer.importers.inspect_checkpoint import inspect_checkpoint
from cgt.trainer.networks import PatchDiscriminator, build_generator
from cgt.trainer.networks.config import GeneratorConfig
from cgt.trainer.networks.macs import count_macs
from conftest import run_cgt


def test_true_operation_counts() -> None:
    """Count by hand: kernel size times input pixels if transposed, else output pixels."""
    side, total = 256, 0
    for channels, out, kernel, pixels in (
        (3, 64, 7, side**2),
        (64, 128, 3, (side // 2) ** 2),
        (128, 256, 3, (side // 4) ** 2),
        *[(256, 256, 3, (side // 4) ** 2)] * 18,
        (256, 128, 3, (side // 4) ** 2),
        (128, 64, 3, (side // 2) ** 2),
        (64, 3, 7, side**2),
    ):
        total += channels * out * kernel**2 * pixels
    assert count_macs(GeneratorConfig("resnet9"), (256, 256)) == total
    assert round(total / 1e9, 2) == 49.55
    separable = GeneratorConfig("resnet9", block="separable")
    assert count_macs(separable, (256, 256)) < total / 3


def test_a_run_of_cgt_train(run_folder: Path) -> None:
    done = run_cgt("inspect", run_folder / "latest.pth", "--json", "--size", "64x34")
    assert done.returncode == 0, done.stderr
    facts = json.loads(done.stdout)
    assert facts["kind"] == "checkpoint"
    assert facts["written_by"].startswith("cgt train")
    assert [n["what"] for n in facts["networks"]] == ["generator"] * 2 + ["discriminator"] * 2
    first = facts["networks"][0]
    assert first["architecture"]["kind"] == "resnet1"
    assert first["domains"] == ["ramp", "noise"]
    assert first["macs"] == {"size": "64x36", "count": first["macs"]["count"]}
    assert facts["networks"][1]["direction"] == "BtoA"


def test_a_file_of_another_trainer(tmp_path: Path) -> None:
    torch.manual_seed(0)
    config = GeneratorConfig("resnet2", 4, norm="none", bias=False)
    path = tmp_path / "all.pth"
    torch.save(
        {
            "G_AB": build_generator(config).state_dict(),
            "D_B": PatchDiscriminator(4).state_dict(),
            "odd": {f"{n}.weight": torch.zeros(4, 4, 3, 3) for n in range(4)},
        },
        path,
    )
    done = run_cgt("inspect", path, env={"COLUMNS": "150", "PATH": "/usr/bin"})
    assert done.returncode == 0, done.stderr
    for fact in (
        "generator",
        "G_AB",
        "resnet2, ngf 4",
        "3 in, 3 out",
        "evidence",
        "ambiguous",
        "no norm is assumed",
        "warning",
        "PatchGAN discriminator (3 channels in, then 4 8 16 32 1)",
        "unknown",
        "GMAC at 256x256",
    ):
        assert fact in done.stdout, fact
    facts = inspect_checkpoint(path)
    assert [n["what"] for n in facts["networks"]] == ["generator", "discriminator", "unknown"]
    assert facts["sha256"] == hashlib.sha256(path.read_bytes()).hexdigest()


def test_a_model_counts_as_its_checkpoint(
    tiny_model: Path, run_folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    facts = inspect_onnx(tiny_model, (64, 96))
    network = inspect_checkpoint(run_folder / "latest.pth", (64, 96))["networks"][0]
    assert facts["macs"] == network["macs"]
    assert facts["parameters"] == network["parameters"]
    assert facts["metadata"]["domains"] == ["ramp", "noise"]
    inspect.main([str(tiny_model)], standalone_mode=False)
    printed = capsys.readouterr().out
    for fact in ("onnx", "image (any, 3, any, any)", "Conv", "instance", "GMAC"):
        assert fact in printed


def test_an_engine_and_its_sidecar(
    tiny_model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    engine = tmp_path / "model.engine"
    engine.write_bytes(b"ptrt plan")
    with pytest.raises(ModelError, match="beside it"):
        inspect_engine(engine)
    sidecar = json.loads(read_metadata(tiny_model).to_json()) | {
        "engine": {
            "format": "tensorrt",
            "version": "10.3.0",
            "gpu": "Orin",
            "compute_capabilities": [87],
            "onnx": "model.onnx",
            "onnx_sha256": "",
            "files": {".engine": hashlib.sha256(b"ptrt plan").hexdigest()},
        }
    }
    (tmp_path / "model.engine.json").write_text(json.dumps(sidecar))
    inspect.main([str(engine)], standalone_mode=False)
    shown = capsys.readouterr().out
    for fact in ("engine", "tensorrt", "10.3.0", "Orin", "ramp, noise"):
        assert fact in shown
    assert inspect_engine(engine)["note"] == ""
    engine.write_bytes(b"another plan")
    assert "build the engine again" in inspect_engine(engine)["note"]
    (tmp_path / "model.engine.json").write_text("{}")
    with pytest.raises(ModelError, match="damaged"):
        inspect_engine(engine)


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("none.pth", None, "is missing"),
        ("text.pth", b"hello", "is a text file"),
        ("text.onnx", b"hello", "not an ONNX model"),
        ("x.engine", None, "is missing"),
    ],
)
def test_what_cannot_be_inspected(
    name: str, content: bytes | None, words: str, tmp_path: Path
) -> None:
    if content is not None:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(CgtError, match=words) as caught:
        inspect.main([str(tmp_path / name)], standalone_mode=False)
    assert caught.value.exit_code == 1
    assert "\n" not in str(caught.value)
