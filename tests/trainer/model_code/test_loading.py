"""`--code`: execution of another project's file, and strict loading of its weights."""

from __future__ import annotations

import os
import pickle
import sys
import types
from pathlib import Path

import pytest
import torch
from torch import nn

from cgt.runtime.errors import CgtError, CheckpointError, MissingDependency, UsageError
from cgt.runtime.models.checkpoint_options import CheckpointOptions
from cgt.runtime.models.model_code import ModelCode
from cgt.trainer.model_code.loader import build_network
from cgt.trainer.pretrained import TrainedGenerator, open_generator

TINY = """
import torch
from torch import nn

class Generator(nn.Module):
    def __init__(self, width=4, bias=True):
        super().__init__()
        self.model = nn.Sequential(
            nn.Conv2d(3, width, 3, padding=1, bias=bias), nn.InstanceNorm2d(width), nn.ReLU(),
            nn.Conv2d(width, 3, 3, padding=1))
    def forward(self, x):
        return torch.tanh(self.model(x))
"""


def write(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


def parse(file: Path, name: str = "Generator", *values: object) -> ModelCode:
    code = ModelCode.parse(f"{file}:{name}", *values)  # type: ignore[arg-type]
    assert code is not None
    return code


def options_of(code: ModelCode) -> CheckpointOptions:
    return CheckpointOptions(code=f"{code.file}:{code.name}", code_args=code.arguments or None)


def tiny(folder: Path, seed: int = 0) -> tuple[ModelCode, dict[str, torch.Tensor]]:
    """Return code, and weights that it does not initialize itself."""
    code = parse(write(folder / "their.py", TINY))
    state = build_network(code).state_dict()
    generator = torch.Generator().manual_seed(seed)
    return code, {key: torch.rand(t.shape, generator=generator) - 0.5 for key, t in state.items()}


BROKEN = {
    "a missing package": ("import no_such_package", MissingDependency, ("no_such_package", ":1")),
    "an exception": ("\nraise RuntimeError('boom')", CheckpointError, ("their.py:2", "boom")),
    "a script": ("import sys\nsys.exit(3)", CheckpointError, ("ends the program", "their.py:2")),
    "a syntax error": ("x = 1\ndef f(:", CheckpointError, ("their.py:2", "SyntaxError")),
    "no such class": (TINY.replace("Generator", "Gen"), UsageError, ("no Generator", "has Gen")),
    "no network": ("Generator = dict", UsageError, ("is a dict", "nn.Module")),
    "a failing constructor": (
        TINY.replace("super().__init__()", "super().__init__(); raise KeyError('w')"),
        CheckpointError,
        ("their.py:7", "KeyError", "building the network"),
    ),
    "needed arguments": (
        TINY.replace("width=4", "width"),
        UsageError,
        ("'width'", "Generator(width, bias=True)", "--code-args"),
    ),
    "a relative import": ("from .blocks import Block", UsageError, ("their.py:1", "--code-path")),
}


@pytest.mark.parametrize("name", BROKEN)
def test_code_that_fails_is_one_line(name: str, tmp_path: Path) -> None:
    text, kind, words = BROKEN[name]
    with pytest.raises(kind) as caught:
        build_network(parse(write(tmp_path / "their.py", text)))
    message = str(caught.value)
    assert all(word in message for word in words), message
    assert "\n" not in message


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        ("__import__('os').mkdir('made')", "not a literal"),
        ("width=open('their.py')", "not a literal"),
        ("*[1, 2]", "not a literal"),
        ("**{}", "are not arguments"),
        ("3, 3) or f(", "are not arguments"),
        ("3,, 3", "are not arguments"),
    ],
)
def test_arguments_are_literals(
    arguments: str, word: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    write(tmp_path / "their.py", TINY)
    with pytest.raises(UsageError, match=word):
        ModelCode.parse("their.py:Generator", arguments)
    assert [path.name for path in Path().iterdir()] == ["their.py"]


@pytest.mark.parametrize(
    ("values", "word"),
    [
        (("their.py",), "names no class"),
        (("gone.py:G",), "gone.py"),
        (("their.py:G", None, "gone"), "--code-path gone"),
        (("their.py:G", None, None, "1"), "--model-range 1"),
        (("their.py:G", None, None, "imagenet"), "takes no imagenet"),
        ((None, "3"), "--code-args goes with --code"),
    ],
)
def test_wrong_flags(
    values: tuple[str, ...], word: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    write(tmp_path / "their.py", TINY)
    with pytest.raises(UsageError, match=word):
        ModelCode.parse(*values)


def test_arguments_reach_the_class(tmp_path: Path) -> None:
    file = write(tmp_path / "their.py", TINY)
    network = build_network(parse(file, "Generator", "7, bias=False"))
    assert network.state_dict().keys() == {"model.0.weight", "model.3.weight", "model.3.bias"}
    assert network.state_dict()["model.0.weight"].shape == (7, 3, 3, 3)
    assert not network.training
    assert not any(p.requires_grad for p in network.parameters())


def test_packages_and_modules_of_one_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Relative imports, imports beside the file, and names that the environment has, too."""
    monkeypatch.setitem(sys.modules, "blocks", types.ModuleType("blocks"))
    block = "from torch import nn\nclass Block(nn.Conv2d):\n    def __init__(self):\n        "
    for project, width in (("one", 5), ("two", 6)):
        write(tmp_path / project / "blocks.py", f"{block}super().__init__(3, {width}, 1)")
        write(tmp_path / project / "their.py", "from blocks import Block\nGenerator = Block")
        write(tmp_path / project / "net" / "parts.py", f"{block}super().__init__(3, {width}, 1)")
        write(tmp_path / project / "net" / "models.py", "from .parts import Block\nG = Block")
    path, modules = list(sys.path), dict(sys.modules)
    for project, width in (("one", 5), ("two", 6)):
        folder = tmp_path / project
        for network in (
            build_network(parse(folder / "their.py")),
            build_network(parse(folder / "net" / "models.py", "G", None, folder)),
            build_network(parse(Path("net.models"), "G", None, folder)),
        ):
            assert isinstance(network, nn.Conv2d)
            assert network.out_channels == width
    write(tmp_path / "one" / "outer" / "inner" / "models.py", "from blocks import Block as G")
    assert build_network(parse(Path("outer.inner.models"), "G", None, tmp_path / "one"))
    write(tmp_path / "one" / "net" / "__init__.py", "")  # now the file tells where its package is
    assert build_network(parse(tmp_path / "one" / "net" / "models.py", "G"))
    assert sys.path == path
    assert sys.modules["blocks"] is modules["blocks"]
    assert not {"their", "net", "net.models"} & set(sys.modules)
    assert not list(tmp_path.rglob("*.pyc"))


def test_prints_of_their_code_do_not_reach_standard_output(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    build_network(parse(write(tmp_path / "their.py", "print('loading')\n" + TINY)))
    captured = capsys.readouterr()
    assert captured.out == ""
    assert "loading" in captured.err


# ---- Weights -------------------------------------------------------------------------------------


def opened(folder: Path, code: ModelCode, payload: object, **options: object) -> TrainedGenerator:
    torch.save(payload, folder / "their.pth")
    path, stated = folder / "their.pth", options_of(code)
    return open_generator(path, options=stated, **options)  # type: ignore[arg-type]


def loaded_bias(generator: TrainedGenerator) -> torch.Tensor:
    return generator.network.state_dict()["model.model.3.bias"]


def prefixed(state: dict[str, torch.Tensor], prefix: str) -> dict[str, torch.Tensor]:
    return {prefix + key: tensor for key, tensor in state.items()}


def test_wrappers_and_nested_files(tmp_path: Path) -> None:
    code, state = tiny(tmp_path)
    other = {
        f"discriminator.{key}": tensor for key, tensor in nn.Conv2d(3, 1, 4).state_dict().items()
    }
    files: dict[str, object] = {
        "": state,
        "module": prefixed(state, "module."),
        "compiled": prefixed(state, "module._orig_mod."),
        "inside": {key.replace("model.", "model._orig_mod."): t for key, t in state.items()},
        "averaged": prefixed(state, "module.") | {"n_averaged": torch.tensor(3)},
        "nested": {"epoch": 3, "models": [{"G": state}], "optimizer": {"param_groups": []}},
        "lightning": {"state_dict": prefixed(state, "generator.") | other},
    }
    for name, payload in files.items():
        generator = opened(tmp_path, code, payload)
        assert torch.equal(loaded_bias(generator), state["model.3.bias"]), name
        assert generator.origin == "code"
        assert len(generator.sha256) == 64


def test_several_networks(tmp_path: Path) -> None:
    code, first = tiny(tmp_path)
    _, second = tiny(tmp_path, seed=1)
    both = {"netG_A": first, "netG_B": second}
    assert torch.equal(loaded_bias(opened(tmp_path, code, both)), first["model.3.bias"])
    for options in ({"direction": "BtoA"}, {"network": "netG_B"}):
        chosen = opened(tmp_path, code, both, **options)
        assert torch.equal(loaded_bias(chosen), second["model.3.bias"])
        assert chosen.direction == "BtoA"
    with pytest.raises(UsageError, match="--network: one, two"):
        opened(tmp_path, code, {"one": first, "two": second})
    with pytest.raises(UsageError, match="no network 'three'"):
        opened(tmp_path, code, both, network="three")


def test_the_file_of_the_direction(tmp_path: Path) -> None:
    code, first = tiny(tmp_path)
    _, second = tiny(tmp_path, seed=1)
    torch.save(first, tmp_path / "latest_net_G_A.pth")
    with pytest.raises(UsageError, match=r"G_B[.]pth is not next to it"):
        open_generator(tmp_path / "latest_net_G_A.pth", "BtoA", options=options_of(code))
    torch.save(second, tmp_path / "latest_net_G_B.pth")
    reverse = open_generator(tmp_path / "latest_net_G_A.pth", "BtoA", options=options_of(code))
    assert torch.equal(loaded_bias(reverse), second["model.3.bias"])


def test_weights_that_do_not_fit(tmp_path: Path) -> None:
    code, state = tiny(tmp_path)
    missing = {key: tensor for key, tensor in state.items() if key != "model.3.bias"}
    wrong = state | {"model.0.weight": torch.zeros(8, 3, 3, 3)}
    cases = {
        "model.3.bias is missing": missing,
        "extra.weight has no place in their code": state | {"extra.weight": torch.zeros(1)},
        "model.0.weight is 8x3x3x3, in their code 4x3x3x3; change --code-args": wrong,
        "model.3.bias has NaN": state | {"model.3.bias": torch.full((3,), float("nan"))},
        "contains no tensors": {"epoch": 3},
    }
    for words, payload in cases.items():
        with pytest.raises(CheckpointError) as caught:
            opened(tmp_path, code, payload)
        assert words in str(caught.value)


def test_a_checkpoint_executes_nothing_even_with_code(tmp_path: Path) -> None:
    code, _ = tiny(tmp_path)

    class Evil:
        def __reduce__(self) -> tuple[object, ...]:
            return os.mkdir, (str(tmp_path / "made"),)

    (tmp_path / "their.pth").write_bytes(pickle.dumps({"state_dict": Evil()}))
    with pytest.raises(CgtError):
        open_generator(tmp_path / "their.pth", options=options_of(code))
    assert not (tmp_path / "made").exists()


def test_statistics_of_instance_norms(tmp_path: Path) -> None:
    """Those of PyTorch 0.3 have no place; newer ones belong to norms that use them."""
    code, state = tiny(tmp_path)
    old = state | {"model.1.running_mean": torch.ones(4), "model.1.running_var": torch.ones(4)}
    generator = opened(tmp_path, code, old)
    assert any("2 running statistics" in line for line in generator.evidence)
    with pytest.raises(CheckpointError, match=r"model.1.running_mean has no place"):
        opened(tmp_path, code, old | {"model.1.num_batches_tracked": torch.tensor(9)})
    text = TINY.replace("InstanceNorm2d(width)", "InstanceNorm2d(width, track_running_stats=True)")
    tracked = parse(write(tmp_path / "tracked.py", text))
    used = opened(tmp_path, tracked, old | {"model.1.num_batches_tracked": torch.tensor(9)})
    norm = used.network.get_submodule("model.model.1")
    assert torch.allclose(norm(x := torch.rand(1, 4, 8, 8)), (x - 1) / (1 + 1e-5) ** 0.5)


def test_spectral_and_weight_norms_become_weights(tmp_path: Path) -> None:
    text = TINY.replace(
        "nn.Conv2d(width, 3, 3, padding=1)", "spectral(weight(nn.Conv2d(width, 3, 1)))"
    )
    norms = (
        "from torch.nn.utils import spectral_norm as spectral, weight_norm as old\n"
        "weight = lambda layer: layer\n"
    )
    for replaced in ("", "weight = old\nspectral = lambda layer: layer\n"):
        code = parse(write(tmp_path / "their.py", norms + replaced + text))
        network = build_network(code)
        x = torch.rand(1, 3, 32, 32)
        with torch.no_grad():
            expected = network(x)
            generator = opened(tmp_path, code, network.state_dict())
            assert torch.allclose(generator.network(x), expected, atol=1e-6)
        assert "model.model.3.weight" in dict(generator.network.named_parameters())
