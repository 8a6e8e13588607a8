"""Export of networks that another project's code builds (`--code`)."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import onnx
import pytest
import torch
from torch import nn

from cgt.export import export
from cgt.runtime import translate_file
from cgt.runtime.errors import CgtError, UsageError
from cgt.runtime.models.checkpoint_options import CheckpointOptions
from cgt.runtime.models.metadata import read_metadata
from cgt.trainer.model_code.loader import build_network
from cgt.trainer.networks.init import init_weights
from conftest import make_image, run_cgt

NETWORKS = Path(__file__).parents[1] / "trainer" / "model_code" / "networks"
ARCHITECTURES = {
    "ugatit.py:Generator": "light=True",
    "pix2pixhd.py:define_G": "3, 3, 4, 'local'",
    "attention_unet.py:Networks.AttentionUNet": None,
    "animegan.py:Generator": None,
    "sequential.py:make_generator": "(8, 16, 32), groups=2",
}


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("photos")
    for index in range(12):
        cv2.imwrite(str(folder / f"{index}.png"), make_image(index, 64, 80))
    return folder


def stated(name: str, arguments: str | None = None) -> CheckpointOptions:
    return CheckpointOptions(code=name, code_args=arguments)


def build(options: CheckpointOptions) -> nn.Module:
    code = options.model_code
    assert code is not None
    return build_network(code)


@pytest.mark.slow
@pytest.mark.parametrize("name", ARCHITECTURES)
def test_architectures_that_cgt_does_not_have(name: str, photos: Path, tmp_path: Path) -> None:
    """Their checkpoint is exported in three precisions, and translates an image."""
    options = stated(f"{NETWORKS}/{name}", ARCHITECTURES[name])
    network = build(options)
    init_weights(network, "kaiming", 1.0)
    torch.save({"generator": network.state_dict()}, tmp_path / "their.pth")
    for precision, floor in (("fp32", 100.0), ("fp16", 55.0), ("int8", 20.0)):
        calib = {"calib": str(photos)} if precision == "int8" else {}
        lines: list[str] = []
        path, metadata = export(
            tmp_path / "their.pth",
            tmp_path / f"{precision}.onnx",
            checkpoint_options=options,
            precision=precision,
            eval_images=photos,
            min_psnr=floor,
            log=lines.append,
            **calib,
        )
        print(f"{name} {precision}: {metadata.parity}")
        counts = next(line for line in lines if line.startswith("graph: "))
        assert f"Conv {precision}" in counts
        assert any("against their code in PyTorch fp32" in line for line in lines)
        # OpenVINO computes one of them for fixed sizes only.
        assert metadata.dynamic or any("OpenVINO computes it differently" in x for x in lines)
        assert metadata.dynamic or (name, precision) == ("ugatit.py:Generator", "int8")
        assert not any("OpenVINO computes this model differently" in line for line in lines)
        assert read_metadata(path) == metadata
        assert metadata.origin == "code"
        assert metadata.architecture["kind"].startswith(name.partition(":")[0])
        assert len(metadata.checkpoint_sha256) == 64
        translate_file(str(photos / "0.png"), str(tmp_path / "out.png"), model=path)
        assert cv2.imread(str(tmp_path / "out.png")).std() > 1


def test_a_module_that_runs_several_times_is_quantized(photos: Path, tmp_path: Path) -> None:
    options = stated(f"{NETWORKS}/misread.py:Shared", "width=4, times=3")
    path, metadata = export(
        None,
        tmp_path / "shared.onnx",
        checkpoint_options=options,
        precision="int8",
        calib=str(photos),
        min_psnr=15,
        size="32",
    )
    graph = onnx.load(path).graph
    convolutions = [node for node in graph.node if node.op_type == "Conv"]
    assert len(convolutions) == 6 + 2 * 3
    assert len({node.name for node in convolutions}) == len(convolutions)
    names = [weight.name for weight in graph.initializer]
    assert len(set(names)) == len(names)
    assert metadata.checkpoint_sha256 == ""


CONTROL_FLOW = """
import torch
from torch import nn

class Generator(nn.Module):
    def __init__(self, check):
        super().__init__()
        self.check, self.conv = check, nn.Conv2d(3, 3, 3, padding=1)
    def forward(self, x):
        y = torch.tanh(self.conv(x))
        if self.check == "finite" and not bool(torch.isfinite(x).all()):
            raise ValueError("bad image")
        if self.check == "bright" and bool(x.mean() > 0):
            return -y
        if self.check == "size" and x.shape[2] > 100:
            return y * torch.linspace(0, 1, int(x.shape[3]))
        return y
"""


def test_control_flow_that_depends_on_the_image(photos: Path, tmp_path: Path) -> None:
    (tmp_path / "their.py").write_text(CONTROL_FLOW)
    source, path = f"{tmp_path / 'their.py'}:Generator", tmp_path / "out.onnx"
    # A check that passes for every image leaves one path, which is recorded for one size.
    lines: list[str] = []
    finite, bright = stated(source, "'finite'"), stated(source, "'bright'")
    _, metadata = export(None, path, checkpoint_options=finite, size="32", log=lines.append)
    assert metadata.parity["psnr_worst_db"] > 100
    assert (metadata.size, metadata.dynamic) == ((32, 32), False)
    path.unlink()
    with pytest.raises(CgtError, match="takes another path for another image") as caught:
        export(None, path, checkpoint_options=bright, size="32")
    assert "\n" not in str(caught.value)
    assert not path.exists()


def test_a_network_of_one_size_is_exported_for_it(photos: Path, tmp_path: Path) -> None:
    options = stated(f"{NETWORKS}/ugatit.py:Generator", "img_size=64, n_blocks=1")
    path = tmp_path / "out.onnx"
    with pytest.raises(UsageError, match="runs at 64x64 only; omit --size"):
        export(None, path, checkpoint_options=options, size="128")
    _, metadata = export(None, path, checkpoint_options=options, eval_images=photos)
    assert (metadata.size, metadata.dynamic) == ((64, 64), False)


@pytest.mark.slow
def test_the_command(photos: Path, tmp_path: Path) -> None:
    """Export, inspection and translation with --code print what they execute."""
    (tmp_path / "their.py").write_text((NETWORKS / "sequential.py").read_text())
    code = ("--code", tmp_path / "their.py:make_generator", "--code-args", "(8, 16)")
    network = build(stated(str(code[1]), "(8, 16)"))
    torch.save(network.state_dict(), tmp_path / "their.pth")
    done = run_cgt(
        "export", "--ckpt", tmp_path / "their.pth", *code, "--eval-images", photos, "--fp16"
    )
    assert done.returncode == 0, done.stderr
    assert "note: --code executes" in done.stderr
    assert "without --code, cgt does not read this file" in done.stdout
    described = run_cgt("inspect", tmp_path / "their.pth", *code, "--json")
    assert described.returncode == 0, described.stderr
    (found,) = json.loads(described.stdout)["networks"]
    assert found["architecture"]["kind"] == "their.py:make_generator((8, 16))"
    assert found["macs"]["count"] > 0
    out = tmp_path / "out.png"
    command = ("translate", photos / "0.png", "-o", out, "--model", tmp_path / "their.pth")
    done = run_cgt(*command, *code, "--engine", "torch", "--size", "64")
    assert done.returncode == 0, done.stderr
    image = cv2.imread(str(out))
    done = run_cgt(*command[:5], next(tmp_path.glob("*.onnx")), "--size", "64")
    assert done.returncode == 0, done.stderr
    assert np.abs(cv2.imread(str(out)).astype(int) - image).max() <= 2
    refused = run_cgt(*command, *code, "--engine", "onnxruntime")
    assert refused.returncode == 2
    assert "--code goes with --engine torch" in refused.stderr
