"""Checkpoints written by the code of other projects, compared with the output of that code."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import onnx
import pytest
import torch

from cgt.export.graph.trace import GraphInterface, trace
from cgt.runtime.engines import BatchShape, open_engine
from cgt.runtime.image.files import list_images, read_image
from cgt.runtime.image.preprocess import pack
from cgt.runtime.models.checkpoint_options import CheckpointOptions
from cgt.trainer.pretrained import TrainedGenerator, open_generator

NAMES = {
    "cut_resnet6_antialias_down_only": ("resnet6", "instance"),
    "cut_resnet9_antialias": ("resnet9", "instance"),
    "gc_mobile_resnet9": ("resnet9", "instance"),
    "gc_resnet9": ("resnet9", "instance"),
    "jz_resnet6_batch": ("resnet6", "batch"),
    "jz_resnet6_instance_dropout": ("resnet6", "instance"),
    "jz_resnet6_module_prefix": ("resnet6", "instance"),
    "jz_resnet6_nested_in_dict": ("resnet6", "instance"),
    "jz_resnet9_instance": ("resnet9", "instance"),
    "jz_resnet9_instance_old_statistics": ("resnet9", "instance"),
    "jz_resnet9_none": ("resnet9", "none"),
    "jz_unet128_instance": ("unet128", "instance"),
    "jz_unet256_batch_dropout": ("unet256", "batch"),
}


def assert_close(opened: TrainedGenerator, x: np.ndarray, y: np.ndarray) -> None:
    with torch.no_grad():
        out = opened.network(torch.from_numpy(x)).numpy()
    np.testing.assert_allclose(out, y, rtol=0, atol=1e-4)


@pytest.mark.parametrize("name", NAMES)
def test_public_projects_checkpoints(name: str, cgt_data: Path, tmp_path: Path) -> None:
    folder = cgt_data / "checkpoints" / name
    opened = open_generator(folder / "latest_net_G_A.pth")
    stored = np.load(folder / "io.npz")
    assert_close(opened, stored["x"], stored["y"])
    assert (opened.architecture["kind"], opened.norm) == NAMES[name]
    assert opened.architecture["dropout"] == ("dropout" in name or name.startswith("gc_"))
    assert opened.direction == "AtoB"
    if name == "cut_resnet6_antialias_down_only":  # test_architectures has the other families
        path = tmp_path / "g.onnx"
        onnx.save(trace(opened.network, GraphInterface(opened.in_channels, opened.multiple)), path)
        out = np.empty_like(stored["y"])
        shape = BatchShape(*stored["x"].shape)
        with open_engine(path, shape, "onnxruntime", precision="fp32") as engine:
            engine.infer(stored["x"], out)
        np.testing.assert_allclose(out, stored["y"], rtol=0, atol=1e-4)


@pytest.fixture(scope="module")
def vintagify() -> tuple[Path, ModuleType]:
    """Return the package's weights and the module of its network.

    The package itself is not imported, because it needs torchvision.
    """
    found = importlib.util.find_spec("vintagify")
    if found is None or found.origin is None:
        pytest.skip("vintagify is not installed (pip install --no-deps vintagify)")
    folder = Path(found.origin).parent
    spec = importlib.util.spec_from_file_location("vintagify_generator", folder / "generator.py")
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return folder / "resources" / "G_A2B_epoch33.pth", module


def test_a_trained_generator_equals_its_own_code(
    vintagify: tuple[Path, Any], cgt_data: Path
) -> None:
    path, module = vintagify
    opened = open_generator(path)
    assert (opened.direction, opened.norm, opened.ambiguities) == ("AtoB", "instance", ())
    assert opened.warnings == (), "a trained generator must pass the sanity check"
    theirs = module.ResnetGenerator().eval()
    theirs.load_state_dict(torch.load(path, map_location="cpu", weights_only=True))
    photos = list_images(cgt_data / "monet2photo" / "testB")[:3]
    for photo, size in zip(photos, ((128, 128), (96, 160), (132, 100)), strict=True):
        image = read_image(photo)
        x = torch.from_numpy(pack(image, size))[None]
        with torch.no_grad():
            np.testing.assert_allclose(opened.network(x), theirs(x), rtol=0, atol=1e-4)


def test_shuffled_weights_have_a_warning(vintagify: tuple[Path, Any], tmp_path: Path) -> None:
    path, _ = vintagify
    weights = torch.load(path, map_location="cpu", weights_only=True)
    shuffled = {
        key: value.flip(0) if value.dim() == 4 and len(value) > 8 else value
        for key, value in weights.items()
    }
    torch.save(shuffled, tmp_path / "g.pth")
    assert any("structure" in warning for warning in open_generator(tmp_path / "g.pth").warnings)


def test_a_test_image_resolves_the_ambiguity(vintagify: tuple[Path, Any], tmp_path: Path) -> None:
    """Remove biases and norm weights, so that an instance norm looks like no norm."""
    weights = torch.load(vintagify[0], map_location="cpu", weights_only=True)
    last = [key for key, value in weights.items() if value.dim() == 4][-1]
    bare = {
        key: value
        for key, value in weights.items()
        if value.dim() == 4 or key == last.replace("weight", "bias")
    }
    torch.save(bare, tmp_path / "g.pth")
    opened = open_generator(tmp_path / "g.pth", options=CheckpointOptions(assume=True))
    assert opened.architecture["norm"] == "instance"
    assert opened.warnings == ()
    assert any("because only with it" in line for line in opened.ambiguities)
