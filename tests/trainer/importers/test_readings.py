"""Match or guess: what a file reveals, what it leaves open, and the flags that settle it."""

from __future__ import annotations

import shlex
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from cgt.runtime.errors import GuessError, UsageError
from cgt.runtime.image.files import encode_image
from cgt.runtime.image.preprocess import pack
from cgt.runtime.models.checkpoint_options import CheckpointOptions
from cgt.trainer.data.synthetic import dead_leaves
from cgt.trainer.networks import build_generator
from cgt.trainer.networks.config import GeneratorConfig
from cgt.trainer.pretrained import open_generator
from conftest import run_cgt

from . import conventions


class Theirs(nn.Module):
    """A generator with the usual shapes, names that no project is known by, and other layers."""

    def __init__(
        self,
        padding: str = "reflect",
        down_padding: str = "zeros",
        activation: Callable[[Tensor], Tensor] = F.relu,
        norm: Callable[[int], nn.Module] = nn.InstanceNorm2d,
        stem_norm: bool = True,
        order: str = "norm_first",
        residual: bool = True,
        repeats: int = 0,
        interpolation: str = "",
        last: Callable[[Tensor], Tensor] = torch.tanh,
    ) -> None:
        super().__init__()
        self.activation, self.order, self.residual = activation, order, residual
        self.repeats, self.interpolation, self.last_layer = repeats, interpolation, last
        up = nn.Conv2d if interpolation else nn.ConvTranspose2d
        settings: dict[str, Any] = (
            {"padding": 1} if interpolation else {"stride": 2, "padding": 1, "output_padding": 1}
        )
        keep = {"padding": 1, "padding_mode": padding}
        self.entry = nn.Conv2d(3, 4, 7, padding=3, padding_mode=padding)
        self.entry_norm = norm(4) if stem_norm else nn.Identity()

        def pairs(channels: tuple[int, ...], make: Callable[[int], nn.Module]) -> nn.ModuleList:
            return nn.ModuleList(nn.ModuleList([make(c), norm(c)]) for c in channels)

        self.shrink = pairs(
            (8, 16), lambda c: nn.Conv2d(c // 2, c, 3, 2, 1, padding_mode=down_padding)
        )
        self.inner = pairs((16,) * (2 if repeats else 4), lambda c: nn.Conv2d(c, c, 3, **keep))
        self.grow = pairs((8, 4), lambda c: up(2 * c, c, 3, **settings))
        self.exit = nn.Conv2d(4, 3, 7, padding=3, padding_mode=padding)

    def _half(self, x: Tensor, n: int) -> Tensor:
        conv, norm = self.inner[n]
        x = conv(x)
        if self.order == "activation_only":
            return self.activation(x)
        if self.order == "activation_first":
            x = self.activation(x)
        x = norm(x)
        return self.activation(x) if self.order != "activation_first" and n % 2 == 0 else x

    def forward(self, x: Tensor) -> Tensor:
        x = self.activation(self.entry_norm(self.entry(x)))
        for conv, norm in self.shrink:
            x = self.activation(norm(conv(x)))
        for n in [0] * self.repeats or range(0, len(self.inner), 2):
            y = self._half(self._half(x, n), n + 1)
            x = x + y if self.residual else y
            x = self.activation(x) if self.order == "activation_last" else x
        for conv, norm in self.grow:
            if self.interpolation:
                x = F.interpolate(x, scale_factor=2, mode=self.interpolation)
            x = self.activation(norm(conv(x)))
        return self.last_layer(self.exit(x))


def seeded_network(make: Callable[[], nn.Module]) -> nn.Module:
    torch.manual_seed(0)
    network = make()
    for parameter in network.parameters():  # the initial norms are all equal
        if parameter.dim() == 1:
            nn.init.normal_(parameter, 0.5, 0.5)
    return network.eval()


def image_batch() -> Tensor:
    return torch.rand(1, 3, 32, 48, generator=torch.Generator().manual_seed(1)) * 2 - 1


def deviation(path: Path, network: nn.Module, **options: Any) -> float:
    opened = open_generator(path, options=CheckpointOptions(**options))
    with torch.no_grad():
        return float((opened.network(image_batch()) - network(image_batch())).abs().max())


def group_norm(channels: int) -> nn.Module:
    return nn.GroupNorm(channels // 2, channels)


VARIANTS: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "zero padding": ({"padding": "zeros"}, {"padding": "zero"}),
    "reflection everywhere": ({"down_padding": "reflect"}, {"padding": "reflect"}),
    "GELU": ({"activation": F.gelu}, {"activation": "gelu"}),
    "LeakyReLU": ({"activation": F.leaky_relu}, {"activation": "leaky_relu_0.01"}),
    "no norm": ({"norm": lambda c: nn.Identity()}, {"norm_layer": "none"}),
    "group norm": ({"norm": group_norm}, {"norm_layer": "group_of_2"}),
    "one group": ({"norm": lambda c: nn.GroupNorm(1, c)}, {"norm_layer": "group1"}),
    "no first norm": ({"stem_norm": False}, {"stem": "activation"}),
    "activation first": ({"order": "activation_first"}, {"block_order": "activation_first"}),
    "activation last": ({"order": "activation_last"}, {"block_order": "activation_last"}),
    "blocks without norms": ({"order": "activation_only"}, {"block_order": "activation_only"}),
    "blocks without addition": ({"residual": False}, {"no_residual": True}),
    "one block, 5 times": ({"repeats": 5}, {"blocks": 5}),
    "bilinear": ({"interpolation": "bilinear"}, {"interpolation": "bilinear"}),
    "no tanh": ({"last": lambda x: x}, {"output_activation": "none"}),
}


@pytest.mark.parametrize("name", VARIANTS)
def test_a_flag_states_what_the_file_leaves_open(name: str, tmp_path: Path) -> None:
    theirs, flags = VARIANTS[name]
    network = seeded_network(lambda: Theirs(**theirs))
    torch.save(network.state_dict(), tmp_path / "g.pth")
    with pytest.raises(GuessError, match="is a guess"):
        open_generator(tmp_path / "g.pth")
    with pytest.raises(GuessError):  # the other properties are still open
        open_generator(tmp_path / "g.pth", options=CheckpointOptions(**flags))
    if "reflection" not in name:  # `--padding reflect` states the zeros at stride 2, too
        flags = {"down_padding": "zero"} | flags if "padding" in flags else flags
    assert deviation(tmp_path / "g.pth", network, assume=True) > 1e-3
    assert deviation(tmp_path / "g.pth", network, assume=True, **flags) < 1e-4


def test_a_range_of_values_applies_to_input_and_output(tmp_path: Path) -> None:
    network = seeded_network(lambda: Theirs(last=lambda x: x))
    torch.save(network.state_dict(), tmp_path / "g.pth")
    options = CheckpointOptions(assume=True, output_activation="none", model_range="0..255")
    opened = open_generator(tmp_path / "g.pth", options=options)
    with torch.no_grad():
        expected = network((image_batch() + 1) * 127.5) / 127.5 - 1
        torch.testing.assert_close(opened.network(image_batch()), expected, rtol=0, atol=1e-4)


def test_all_flags_together_settle_a_guess(tmp_path: Path) -> None:
    network = seeded_network(lambda: Theirs())
    torch.save(network.state_dict(), tmp_path / "g.pth")
    stated = CheckpointOptions(
        padding="reflect",
        down_padding="zero",
        activation="relu",
        norm_layer="instance",
        stem="norm",
        block_order="norm_first",
        output_activation="tanh",
    )
    opened = open_generator(tmp_path / "g.pth", options=stated)
    assert (opened.reading, opened.assumptions) == ("match", ())
    assert deviation(tmp_path / "g.pth", network, **stated.given) < 1e-4


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        ({"padding": "mirror"}, "padding must be one of"),
        ({"activation": "swish"}, "activation must be one of"),
        ({"blocks": 9}, "the file has 3 residual blocks"),
        ({"norm_layer": "batch"}, "does not fit the file"),
        ({"stem": "none"}, "use norm, activation or bare"),
    ],
)
def test_impossible_flags_are_usage_errors(
    flags: dict[str, Any], words: str, tmp_path: Path
) -> None:
    weights = conventions.weights(conventions.junyanz(), torch.Generator().manual_seed(0))
    torch.save(weights, tmp_path / "latest_net_G_A.pth")
    with pytest.raises(UsageError, match=words):
        open_generator(tmp_path / "latest_net_G_A.pth", options=CheckpointOptions(**flags))


def tracked(seed: int = 0) -> nn.Module:
    """Return a generator of pytorch-CycleGAN whose InstanceNorms track their statistics."""
    torch.manual_seed(seed)
    network = build_generator(GeneratorConfig("resnet2", 4))
    for name, module in list(network.named_modules()):
        if isinstance(module, nn.InstanceNorm2d):
            norm = nn.InstanceNorm2d(module.num_features, track_running_stats=True)
            norm.running_mean.normal_(0, 0.5)
            norm.running_var.uniform_(0.5, 2)
            parent, _, last = name.rpartition(".")
            setattr(network.get_submodule(parent), last, norm)
    return network.eval()


def test_statistics_of_instance_norms_are_used_as_eval_mode_does(tmp_path: Path) -> None:
    network, path = tracked(), tmp_path / "latest_net_G_A.pth"
    state = network.state_dict()
    torch.save(state, path)
    assert open_generator(path).reading == "match"
    assert deviation(path, network) < 1e-5
    # As pytorch-CycleGAN's test.py, which leaves the network in train mode.
    assert deviation(path, network.train(), norm_statistics="batch") < 1e-5
    # PyTorch before 0.4 saved statistics without using them.
    old = {key: value for key, value in state.items() if not key.endswith("num_batches_tracked")}
    torch.save(old, path)
    assert deviation(path, network.train()) < 1e-5


def test_batch_norms_with_the_statistics_of_each_image(tmp_path: Path) -> None:
    torch.manual_seed(0)
    network = build_generator(GeneratorConfig("resnet2", 4, norm="batch", bias=False))
    torch.save(network.state_dict(), tmp_path / "latest_net_G_A.pth")
    path = tmp_path / "latest_net_G_A.pth"
    assert deviation(path, network.eval()) < 1e-5
    assert open_generator(path, options=CheckpointOptions(norm_statistics="batch")).reading
    assert deviation(path, network.train(), norm_statistics="batch") < 1e-5


@pytest.mark.parametrize(
    "changes",
    [
        {"zero_padding": True},
        {"stem_padding": "zero"},
        {"upsampling": "reflect"},
        {"norm": "affine"},
        {"block": "resnet_block"},
    ],
)
def test_lookalikes_of_known_projects_are_guesses(changes: dict[str, Any], tmp_path: Path) -> None:
    steps = conventions.junyanz(**changes)
    weights = conventions.weights(steps, torch.Generator().manual_seed(0))
    torch.save(weights, tmp_path / "latest_net_G_A.pth")
    with pytest.raises(GuessError):
        open_generator(tmp_path / "latest_net_G_A.pth")


def adam_payload(network: nn.Module) -> dict[str, Any]:
    """Train a network for three steps; return its checkpoint, as if after many steps."""
    optimizer = torch.optim.Adam(network.parameters())
    for _ in range(3):
        optimizer.zero_grad()
        network(image_batch()).square().mean().backward()
        optimizer.step()
    stored = optimizer.state_dict()
    for state in stored["state"].values():
        state["step"] = torch.tensor(1000.0)
    return {"state_dict": network.state_dict(), "optimizer": stored}


def open_assumed(path: Path) -> Any:
    return open_generator(path, options=CheckpointOptions(assume=True))


def test_optimizers_reveal_norms(tmp_path: Path) -> None:
    path = tmp_path / "g.pth"
    for theirs, expected, settled in (
        ({}, {"no_stem_norm": False, "norm": "instance"}, {"norm", "stem"}),
        ({"stem_norm": False}, {"no_stem_norm": True, "stem_activation": True}, {"norm"}),
        ({"order": "activation_first"}, {"block_order": "activation_first"}, {"norm"}),
        ({"norm": lambda c: nn.Identity()}, {"norm": "none"}, set()),
    ):
        network = seeded_network(lambda theirs=theirs: Theirs(**theirs)).train()
        torch.save(adam_payload(network), path)
        opened = open_assumed(path)
        assert expected.items() <= opened.architecture.items(), theirs
        assert not settled & {one.name for one in opened.assumptions}, theirs
        assert deviation(path, network.eval(), assume=True) < 1e-4, theirs


def test_biases_that_are_still_zero_reveal_norms(tmp_path: Path) -> None:
    network = seeded_network(Theirs)
    for name, parameter in network.named_parameters():
        if name.endswith("bias") and not name.startswith("exit"):
            nn.init.zeros_(parameter)
    torch.save(network.state_dict(), tmp_path / "g.pth")
    assert not {"norm", "stem"} & {one.name for one in open_assumed(tmp_path / "g.pth").assumptions}


def test_optimizers_do_not_overrule_a_known_project(tmp_path: Path) -> None:
    """In half precision, the rounding noise of a bias looks like a gradient."""
    torch.manual_seed(0)
    payload = adam_payload(build_generator(GeneratorConfig("resnet2", 4)))
    for state in payload["optimizer"]["state"].values():
        state["exp_avg_sq"].fill_(1e-11)
    torch.save(payload, tmp_path / "G_AB.pth")
    assert open_generator(tmp_path / "G_AB.pth").reading == "match"


@pytest.mark.slow
def test_statistics_of_photos_contradict_a_fingerprint(tmp_path: Path) -> None:
    """Names and numbers of pytorch-CycleGAN with batch norms, but blocks that do not add."""
    folder = tmp_path / "photos" / "testA"
    folder.mkdir(parents=True)
    images = [dead_leaves((128, 128), np.random.default_rng(seed)) for seed in range(8)]
    for number, image in enumerate(images):
        (folder / f"{number}.png").write_bytes(encode_image(image, ".png"))
    (tmp_path / "train_opt.txt").write_text(f"dataroot: {tmp_path / 'photos'}\n")
    path = tmp_path / "latest_net_G_A.pth"
    for residual in (True, False):
        torch.manual_seed(0)
        config = GeneratorConfig("resnet2", 4, norm="batch", bias=False, residual=residual)
        network = build_generator(config)
        with torch.no_grad():
            for image in images * 5:
                network(torch.from_numpy(pack(image))[None])
        torch.save(network.state_dict(), path)
        if residual:
            assert open_generator(path).reading == "match"
        else:
            with pytest.raises(GuessError, match="norm_first, without addition"):
                open_generator(path)


def test_the_printed_commands(tmp_path: Path) -> None:
    network = seeded_network(Theirs)
    torch.save(network.state_dict(), tmp_path / "g.pth")
    attributes = sorted({key.partition(".")[0] for key in network.state_dict()})
    lines = "\n".join(f"        self.{name} = None" for name in attributes)
    (tmp_path / "nets.py").write_text(
        f"raise SystemExit\nclass Gen:\n    def __init__(self):\n{lines}\n"
    )
    done = run_cgt("inspect", "g.pth", "--json", cwd=tmp_path)
    assert '"reading": "guess"' in done.stdout
    done = run_cgt("eval", "--ckpt", "g.pth", "--data", "none", cwd=tmp_path)
    assert done.returncode == 4
    assert done.stderr.startswith("cgt: g.pth is a guess: the file leaves 6 properties open")
    assert "norm         instance; affects contrast, colors; --norm-layer NAME" in done.stderr
    code, assume = done.stderr.splitlines()[-2:]
    assert "eval --ckpt g.pth --data none --code nets.py:Gen " in code
    command = shlex.split(assume.partition("#")[0])
    assert command == ["cgt", "eval", "--ckpt", "g.pth", "--data", "none", "--assume"]
    done = run_cgt(*command[1:], cwd=tmp_path)  # the next problem is the missing data
    assert "none" in done.stderr
    assert "guess" not in done.stderr


def test_checkpoint_flags_need_a_checkpoint_of_another_project(tmp_path: Path) -> None:
    done = run_cgt("eval", "--model", "x.onnx", "--padding", "zero", cwd=tmp_path)
    assert (done.returncode, done.stdout) == (2, "")
    assert "--padding goes with --ckpt" in done.stderr


# Of CGT_DATA: directory, the file, and the flags for names that no project is known by.
MISREAD: dict[str, tuple[str, dict[str, Any] | None]] = {
    "dscho15": (
        "gen_A_10.pth",
        {"padding": "reflect", "norm_layer": "group_of_2", "interpolation": "bilinear"},
    ),
    "erenaspire7": ("genh.pth.tar", {"padding": "reflect", "stem": "activation"}),
    "fns_transformer": ("mosaic.pth", {"padding": "reflect", "output_activation": "none"}),
    "knstntin": (
        "gen.pth",
        {"padding": "reflect", "down_padding": "zero", "block_order": "activation_only"},
    ),
    "lornatang2022": ("g_A_best.pth.tar", None),
    "mhdadk": ("G_AB_10epochs.pt", {"blocks": 9}),
}


@pytest.mark.parametrize("name", MISREAD)
def test_files_that_were_misread(name: str, cgt_data: Path, tmp_path: Path) -> None:
    file, flags = MISREAD[name]
    path = cgt_data / "checkpoints_misread" / name / file
    stored = np.load(path.with_name("io.npz"))

    def check(path: Path, **options: Any) -> None:
        opened = open_generator(path, options=CheckpointOptions(**options))
        with torch.no_grad():
            out = opened.network(torch.from_numpy(stored["x"])).numpy()
        np.testing.assert_allclose(out, stored["y"], rtol=0, atol=1e-4)

    if flags is None:
        check(path)
        return
    with pytest.raises(GuessError):
        open_generator(path)
    check(path, assume=True)
    # Without names that give the project away, the flags state the rest.
    payload = torch.load(path, weights_only=True)
    tensors = payload.get("state_dict", payload)
    renamed = {f"{key.partition('.')[0]}_x{key[key.index('.') :]}": t for key, t in tensors.items()}
    torch.save(renamed, tmp_path / "renamed.pth")
    check(tmp_path / "renamed.pth", assume=True, **flags)


def test_the_number_of_repeated_blocks_is_open(cgt_data: Path) -> None:
    """A project's name suggests 9 times, but the file has no trace of it."""
    path = cgt_data / "checkpoints_misread" / "mhdadk" / "G_AB_10epochs.pt"
    with pytest.raises(GuessError, match="the only one applied 9 times; affects everything"):
        open_generator(path)
    stated = open_generator(path, options=CheckpointOptions(assume=True, blocks=6))
    assert "blocks" not in [one.name for one in stated.assumptions]
    assert stated.network.config.blocks == 6
