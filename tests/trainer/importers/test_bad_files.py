"""Unusable checkpoint files: the error is one line, and no code is executed."""

from __future__ import annotations

import argparse
import io
import os
import pickle
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save as safetensors

from cgt.runtime.errors import CgtError, CheckpointError
from cgt.trainer.pretrained import open_generator
from conftest import run_cgt

from . import conventions

W = conventions.weights(conventions.junyanz(2), torch.Generator().manual_seed(0))


def saved(value: Any, zipped: bool = True) -> bytes:
    buffer = io.BytesIO()
    torch.save(value, buffer, _use_new_zipfile_serialization=zipped)
    return buffer.getvalue()


class Bomb:
    """A pickle that runs a command."""

    def __reduce__(self) -> Any:
        return os.system, ("touch ran",)


def archive(**members: bytes) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as file:
        for name, content in members.items():
            file.writestr(name.replace("__", "/").replace("_DOT_", "."), content)
    return buffer.getvalue()


def with_(**changes: Any) -> dict[str, Any]:
    """Return the weights with changed keys; "__" stands for a dot, None removes a key."""
    changed = dict(W)
    for name, value in changes.items():
        key = name.replace("__", ".")
        if value is None:
            del changed[key]
        else:
            changed[key] = value
    return changed


class Scripted(torch.nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x


def scripted() -> bytes:
    import warnings

    buffer = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # TorchScript is deprecated, but files exist
        torch.jit.save(torch.jit.trace(Scripted(), torch.zeros(1)), buffer)
    return buffer.getvalue()


GOOD, OLD, SAFE = saved(W), saved(W, zipped=False), safetensors(W)
MIDDLE = torch.zeros(16, 16, 3, 3)
DISCRIMINATOR = {
    f"model.{n}.weight": torch.zeros(*shape)
    for n, shape in ((0, (4, 3, 4, 4)), (2, (8, 4, 4, 4)), (5, (16, 8, 4, 4)), (8, (1, 16, 4, 4)))
}
MONET = Path(__file__).parents[3] / "runtime" / "models" / "monet.onnx"

HAND_MADE: dict[str, tuple[Callable[[], bytes], str]] = {
    "empty": (lambda: b"", "is empty"),
    "zeros": (lambda: bytes(4096), "starts with zeros"),
    "text": (lambda: b"hello\n" * 200, "is a text file"),
    "html": (lambda: b"\n<!DOCTYPE html><html><body>Sign in", "is a web page"),
    "html without doctype": (lambda: b"<html><head>404", "is a web page"),
    "xml": (lambda: b'<?xml version="1.0"?><Error>AccessDenied</Error>', "is a web page"),
    "git lfs": (
        lambda: b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 45575747\n",
        "git lfs pull",
    ),
    "keras h5": (lambda: b"\x89HDF\r\n\x1a\n" + bytes(100), "Keras or TensorFlow"),
    "keras zip": (
        lambda: archive(config_DOT_json=b"{}", model_DOT_weights_DOT_h5=b"x"),
        "is a Keras model",
    ),
    "tensorflow lite": (lambda: b"\x1c\0\0\0TFL3" + bytes(100), "TensorFlow Lite"),
    "onnx": (lambda: MONET.read_bytes(), "is an ONNX model"),
    "torchscript": (scripted, "TorchScript program"),
    "numpy": (lambda: b"\x93NUMPY\x01\0" + bytes(50), "NumPy array"),
    "npz": (lambda: archive(a_DOT_npy=b"x"), "NumPy arrays"),
    "zip of weights": (
        lambda: archive(dir__net_G_DOT_pth=GOOD),
        "unpack it first .it contains dir/net",
    ),
    "png": (lambda: b"\x89PNG\r\n\x1a\n" + bytes(50), "PNG image"),
    "jpeg": (lambda: b"\xff\xd8\xff\xe0" + bytes(50), "JPEG image"),
    "gzip": (lambda: b"\x1f\x8b\x08" + bytes(50), "gzip archive"),
    "engine": (lambda: b"ptrt" + bytes(50), "TensorRT engine"),
    "noise": (lambda: np.random.default_rng(0).bytes(5000), "does not load"),
    "half a zip": (lambda: GOOD[: len(GOOD) // 2], "truncated or damaged"),
    "a zip but for its end": (lambda: GOOD[:-30], "truncated or damaged"),
    "half an old file": (lambda: OLD[: len(OLD) // 2], "truncated or damaged"),
    "the beginning of an old file": (lambda: OLD[:40], "truncated or damaged"),
    "half a safetensors": (lambda: SAFE[: len(SAFE) // 2], "damaged .safetensors"),
    "safetensors, header alone": (lambda: SAFE[:60], "damaged .safetensors"),
    "bomb, pickled": (lambda: pickle.dumps(Bomb()), "runs no code"),
    "bomb, protocol 0": (lambda: pickle.dumps(Bomb(), 0), "text file|runs no code"),
    "bomb in a checkpoint": (
        lambda: saved({"G_A": W, "args": Bomb()}),
        "would run posix.system",
    ),
    "bomb in an old checkpoint": (lambda: saved({"x": Bomb()}, zipped=False), "posix.system"),
    "whole module": (lambda: saved(torch.nn.Conv2d(1, 1, 1)), "torch.nn.modules.conv.Conv2d"),
    "argparse": (lambda: saved({"G": W, "args": argparse.Namespace(a=1)}), "argparse.Namespace"),
    "numpy inside": (lambda: saved({"G": W, "best": np.float64(1)}), "would run numpy"),
    "a number": (lambda: saved(7), "no image network"),
    "a list of numbers": (lambda: saved([1, 2]), "no image network"),
    "nothing in a dict": (lambda: saved({}), "no image network"),
    "an optimizer": (
        lambda: saved({"state": {0: {"exp_avg": MIDDLE}}, "param_groups": []}),
        "no image network",
    ),
    "a classifier": (
        lambda: saved(
            {f"conv{n}.weight": torch.zeros(8, 8 if n else 3, 3, 3) for n in range(5)}
            | {"fc.weight": torch.zeros(10, 8)}
        ),
        "5 convolutions.* are like none; .* add --code their/models.py:Generator",
    ),
    "a generator of unknown kind beside its discriminator": (
        lambda: saved(
            {
                "gen": {f"conv{n}.weight": torch.zeros(8, 8 if n else 3, 5, 5) for n in range(3)},
                "disc": DISCRIMINATOR,
            }
        ),
        r"no supported generator \(of gen\)",
    ),
    "a discriminator": (lambda: saved(DISCRIMINATOR), "discriminator .*not a generator"),
    "a discriminator with spectral norms": (
        lambda: saved(
            {
                key.replace("weight", "parametrizations.weight.original"): w
                for key, w in DISCRIMINATOR.items()
            }
            | {"model.0.parametrizations.weight.0._u": torch.zeros(4)}
        ),
        "discriminator .*not a generator",
    ),
    "only discriminators": (
        lambda: saved({"D_A": DISCRIMINATOR, "D_B": DISCRIMINATOR}),
        "D_A: PatchGAN discriminator",
    ),
    "5x5 in a block": (
        lambda: saved(with_(**{"model__10__conv_block__5__weight": torch.zeros(16, 16, 5, 5)})),
        r"closest is resnet2 with ngf 4: 9 of 10 .* model\.10\.conv_block\.5\.weight \(16, 16, 5,",
    ),
    "a block missing": (
        lambda: saved({k: v for k, v in W.items() if not k.startswith(("model.10.", "model.11."))}),
        "0 residual blocks|it has 6 convolutions",
    ),
    "half a block": (
        lambda: saved({k: v for k, v in W.items() if not k.startswith("model.11.conv_block.5.")}),
        "no supported generator",
    ),
    "one convolution too many": (
        lambda: saved(with_(model__30__weight=torch.zeros(3, 3, 3, 3))),
        "no supported generator",
    ),
    "a layer that has no place": (
        lambda: saved(with_(attention__gamma=torch.zeros(1))),
        r"1 tensors do not belong to it: attention\.gamma",
    ),
    "not finite": (
        lambda: saved(with_(model__4__weight=torch.full((8, 4, 3, 3), float("nan")))),
        "is not finite",
    ),
    "a bias of the wrong length": (
        lambda: saved(with_(model__4__bias=torch.zeros(5))),
        r"model.4.bias of resnet2 is \(5,\); expected \(8,\)",
    ),
    "shuffled channels": (
        lambda: saved(with_(model__7__weight=torch.zeros(8, 16, 3, 3))),
        "no supported generator",
    ),
    "five channels": (
        lambda: saved(with_(model__1__weight=torch.zeros(4, 5, 7, 7))),
        "an image has 1 to 4",
    ),
    "damaged run of ours": (
        lambda: saved({"format": "cgt-checkpoint", "version": 1, "domains": ["a", "b"]}),
        "is damaged",
    ),
    "a run of ours without weights": (
        lambda: saved(
            {"format": "cgt-checkpoint", "version": 1, "domains": ["a", "b"], "step": 1}
            | {"config": {"data": "", "generator": "resnet1"}, "networks": {"G_A": {}}}
            | {name: {} for name in ("optimizers", "averages", "pools", "unlogged")}
        ),
        "G_A does not match its config",
    ),
    "a run of the future": (
        lambda: saved({"format": "cgt-checkpoint", "version": 99}),
        "newer version",
    ),
}


def assert_rejected(path: Path, words: str) -> None:
    with pytest.raises(CheckpointError, match=words) as caught:
        open_generator(path)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", HAND_MADE)
def test_a_bad_file_is_described(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    make, words = HAND_MADE[name]
    (tmp_path / "bad.pth").write_bytes(make())
    assert_rejected(tmp_path / "bad.pth", words)
    assert [path.name for path in tmp_path.iterdir()] == ["bad.pth"], (
        "code in the file was executed"
    )


def test_the_suggested_command_works(tmp_path: Path) -> None:
    """Check that the command in the error message writes a file that opens."""
    import re
    import subprocess
    import sys

    (tmp_path / "theirs.pth").write_bytes(saved({"G": W, "args": argparse.Namespace(a=1)}))
    with pytest.raises(CheckpointError) as caught:
        open_generator(tmp_path / "theirs.pth")
    code = re.search(r'python -c "(.*)"', str(caught.value))[1]
    subprocess.run([sys.executable, "-c", code], cwd=tmp_path, check=True)
    assert open_generator(tmp_path / "weights.pth").architecture["kind"] == "resnet2"


def test_missing_files_and_folders(tmp_path: Path) -> None:
    assert_rejected(tmp_path / "none.pth", "is missing")
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "latest_net_G_A.pth").write_bytes(GOOD)
    assert_rejected(tmp_path / "run", r"is a folder.*latest_net_G_A\.pth")


@pytest.mark.parametrize("kind", ["zip", "old", "safetensors"])
def test_damaged_bytes_never_give_a_traceback(kind: str, tmp_path: Path) -> None:
    """Flip bits, overwrite and truncate: the file opens and is finite, or the error is one line."""
    good = {"zip": GOOD, "old": OLD, "safetensors": SAFE}[kind]
    random = np.random.default_rng(4)
    path = tmp_path / "fuzzed.pth"
    outcomes = {"opened": 0, "rejected": 0}
    for round_ in range(24):
        data = bytearray(good)
        # The first or the last kilobytes, which hold the structure, or anywhere.
        where = random.integers(0, [len(data), min(2000, len(data)), len(data)][round_ % 3])
        where = len(data) - 1 - where % 3000 if round_ % 3 == 2 else where
        if round_ % 4 == 0:
            data = data[:where]
        elif round_ % 4 == 1:
            data[where : where + 16] = random.bytes(16)
        else:
            data[where] ^= 1 << random.integers(8)
        path.write_bytes(data)
        try:
            opened = open_generator(path)
        except CgtError as error:
            outcomes["rejected"] += "\n" not in str(error)
        else:
            assert all(bool(torch.isfinite(p).all()) for p in opened.network.parameters())
            outcomes["opened"] += 1
    assert sum(outcomes.values()) == 24
    assert outcomes["rejected"] >= 8, outcomes


def test_the_command_prints_one_line(tmp_path: Path) -> None:
    (tmp_path / "bad.pth").write_bytes(HAND_MADE["bomb in a checkpoint"][0]())
    done = run_cgt("export", "--ckpt", "bad.pth", cwd=tmp_path)
    assert done.returncode == 1
    assert done.stderr.startswith("cgt: bad.pth would run")
    assert done.stderr.count("\n") == 1
    assert [path.name for path in tmp_path.iterdir()] == ["bad.pth"]
