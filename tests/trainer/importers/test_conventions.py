"""Checkpoints of public projects compute the same outputs as in their own code."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from cgt.distill.teacher import Teacher
from cgt.runtime.errors import CheckpointError, GuessError, UsageError
from cgt.runtime.models.checkpoint_options import CheckpointOptions
from cgt.trainer.evaluation.subject import open_subject
from cgt.trainer.precision import Precision
from cgt.trainer.pretrained import TrainedGenerator, open_generator, open_generators

from . import conventions

GENERATORS = conventions.PUBLIC_GENERATORS
ASSUME = CheckpointOptions(assume=True)


def seeded(number: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(number)


def assert_same_output(
    opened: TrainedGenerator, generator: Any, weights: dict[str, torch.Tensor]
) -> None:
    side = max(32, opened.multiple)
    x = torch.rand(2, generator.channels, side, 2 * side, generator=seeded(1)) * 2 - 1
    expected = conventions.forward(generator.steps, weights, x)
    assert expected.std() > 0.05, "the test would compare constant images"
    with torch.no_grad():
        torch.testing.assert_close(opened.network(x), expected, rtol=0, atol=1e-5)


@pytest.mark.parametrize("generator", GENERATORS, ids=lambda generator: generator.name)
def test_a_generator_computes_what_its_project_computes(generator: Any, tmp_path: Path) -> None:
    weights = conventions.weights(generator.steps, seeded())
    if generator.options:
        (tmp_path / "train_opt.txt").write_text(generator.options)
    torch.save(weights, tmp_path / "latest_net_G_A.pth")
    if generator.is_match:
        opened = open_generator(tmp_path / "latest_net_G_A.pth")
        assert opened.reading == "match"
    else:
        with pytest.raises(GuessError, match="is a guess"):
            open_generator(tmp_path / "latest_net_G_A.pth")
        opened = open_generator(tmp_path / "latest_net_G_A.pth", options=ASSUME)
    assert_same_output(opened, generator, weights)
    for name, value in generator.expect.items():
        found = opened.architecture[name]
        assert (tuple(found) if isinstance(found, list) else found) == value, name
    assert opened.evidence
    assert opened.direction == "AtoB"
    # safetensors does not keep the order of the keys.
    save_file(
        {k: v.contiguous() for k, v in weights.items()}, tmp_path / "latest_net_G_B.safetensors"
    )
    again = open_generator(tmp_path / "latest_net_G_B.safetensors", options=ASSUME)
    assert again.reading == opened.reading
    assert_same_output(again, generator, weights)
    assert again.direction == "BtoA"


def test_there_are_25_generators() -> None:
    assert len({generator.name for generator in GENERATORS}) == len(GENERATORS) >= 25


PLAIN = conventions.PublicGenerator("plain", conventions.junyanz(2))
OTHER = conventions.PublicGenerator("other", conventions.junyanz(2))
W, V = conventions.weights(PLAIN.steps, seeded(0)), conventions.weights(OTHER.steps, seeded(7))
DISCRIMINATOR = {
    f"model.{n}.{leaf}": torch.randn(*(shape if leaf == "weight" else shape[:1]))
    for n, shape in ((0, (4, 3, 4, 4)), (2, (8, 4, 4, 4)), (5, (16, 8, 4, 4)), (8, (1, 16, 4, 4)))
    for leaf in ("weight", "bias")
}


def prefixed(prefix: str, tensors: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    return {prefix + key: value for key, value in tensors.items()}


ADAM = {"state": {0: {"exp_avg": torch.zeros(4, 3, 7, 7)}}, "param_groups": [{"lr": 2e-4}]}
WRAPPED: dict[str, Any] = {
    "DataParallel": prefixed("module.", W),
    "compiled": prefixed("_orig_mod.", W),
    "both": prefixed("module._orig_mod.", W),
    "averaged": prefixed("module.", W) | {"n_averaged": torch.tensor(3)},
    "named": prefixed("G_A2B.", W),
    "named netG_A": prefixed("netG_A.", W),
    "named and wrapped": prefixed("netG_A.module.", W),
    "nested": {"epoch": 200, "G_AB": W, "opt": {"lr": 1e-4}},
    "nested twice": {"models": {"netG": W}, "optimizers": [ADAM]},
    "in a list": [W, ADAM],
    "Lightning": {"state_dict": prefixed("g_ab.", W) | prefixed("d_a.", DISCRIMINATOR), "epoch": 3},
    "both ways": prefixed("G_B2A.", V) | prefixed("G_A2B.", W) | prefixed("D_A.", DISCRIMINATOR),
    "both ways, nested": {"G_BA": V, "G_AB": W, "D_A": DISCRIMINATOR, "optim": ADAM},
    "half precision": {key: value.half() for key, value in W.items()},
    "bfloat16": {key: value.bfloat16() for key, value in W.items()},
    "double": {key: value.double() for key, value in W.items()},
}


@pytest.mark.parametrize("name", WRAPPED)
def test_wrappers_are_removed(name: str, tmp_path: Path) -> None:
    path = tmp_path / "weights.pth"
    torch.save(WRAPPED[name], path)
    stored = {"half precision": torch.float16, "bfloat16": torch.bfloat16}.get(name, torch.float32)
    assert_same_output(
        open_generator(path), PLAIN, {key: value.to(stored).float() for key, value in W.items()}
    )
    if name.startswith("both ways"):
        assert_same_output(open_generator(path, "BtoA"), OTHER, V)
        both = open_generators(path)
        assert_same_output(both["G_A"], PLAIN, W)
        assert_same_output(both["G_B"], OTHER, V)


@pytest.mark.parametrize("prefix", ["module.", "G_B2A.", "gen.net."])
def test_a_prefix_hides_neither_project_nor_direction(prefix: str, tmp_path: Path) -> None:
    for name in ("aladdinpersson", "Coursera"):
        generator = next(generator for generator in GENERATORS if generator.name == name)
        weights = conventions.weights(generator.steps, seeded())
        torch.save(prefixed(prefix, weights), tmp_path / "g.pth")
        opened = open_generator(tmp_path / "g.pth")
        assert_same_output(opened, generator, weights)
        assert opened.direction == ("BtoA" if prefix == "G_B2A." else "AtoB")
        save_file(prefixed(prefix, weights), tmp_path / "g.safetensors")
        assert_same_output(open_generator(tmp_path / "g.safetensors"), generator, weights)


def test_a_project_that_names_its_generators_backwards(tmp_path: Path) -> None:
    """Check that arnab39's Gab translates b to a."""
    generator = next(generator for generator in GENERATORS if generator.name == "arnab39")
    forth, back = (conventions.weights(generator.steps, seeded(seed)) for seed in (0, 7))
    path = tmp_path / "latest.ckpt"
    torch.save(
        {"epoch": 3, "Da": DISCRIMINATOR, "Db": DISCRIMINATOR, "Gab": back, "Gba": forth}, path
    )
    assert open_generator(path).direction == "AtoB"
    assert_same_output(open_generator(path), generator, forth)
    assert_same_output(open_generator(path, "BtoA"), generator, back)
    assert "G_ab translates B to A in that project" in open_generator(path).evidence


def test_a_unet_with_other_names_is_a_guess(tmp_path: Path) -> None:
    weights = conventions.weights(conventions.unet(4, "affine"), seeded())
    stages = [f"{side}{n}" for side in ("down", "up") for n in range(4)]
    named, stage, last = {}, "", ""
    for key, value in weights.items():
        module, _, leaf = key.rpartition(".")
        if value.dim() == 4:
            stage, last = stages.pop(0), module
        named[f"{stage}.{'conv' if module == last else 'norm'}.{leaf}"] = value
    torch.save(weights, tmp_path / "g.pth")
    # Affine instance norms are not those of pix2pix, and look like group norms.
    assert open_generator(tmp_path / "g.pth", options=ASSUME).reading == "guess"
    torch.save(named, tmp_path / "g.pth")
    with pytest.raises(GuessError, match=r"(?s)wiring +of pix2pix.*--code"):
        open_generator(tmp_path / "g.pth")
    opened = open_generator(tmp_path / "g.pth", options=ASSUME)
    assert opened.architecture["kind"] == "unet16"


def test_old_files_load_too(tmp_path: Path) -> None:
    torch.save(W, tmp_path / "g.pth", _use_new_zipfile_serialization=False)
    assert_same_output(open_generator(tmp_path / "g.pth"), PLAIN, W)


def test_a_generator_is_selected_by_name(tmp_path: Path) -> None:
    path = tmp_path / "several.pth"
    torch.save({"gen_H": W, "gen_Z": V, "disc_H": DISCRIMINATOR}, path)
    with pytest.raises(UsageError, match=r"several generators; select.*--network: gen_H, gen_Z"):
        open_generator(path)
    assert_same_output(open_generator(path, network="gen_Z"), OTHER, V)
    assert open_generator(path, "BtoA", network="gen_Z").direction == "BtoA"
    with pytest.raises(UsageError, match="no network 'gen_X'; it contains gen_H, gen_Z, disc_H"):
        open_generator(path, network="gen_X")
    with pytest.raises(UsageError, match="disc_H is a PatchGAN discriminator"):
        open_generator(path, network="disc_H")


def test_a_file_without_a_direction_is_evaluated_once(tmp_path: Path) -> None:
    torch.save(W, tmp_path / "generator.pth")
    assert open_subject(tmp_path / "generator.pth", None, None, None).directions == ("AtoB",)
    assert open_subject(tmp_path / "generator.pth", None, "BtoA", None).directions == ("BtoA",)
    torch.save({"gen_H": W, "gen_Z": V}, tmp_path / "both.pth")
    subject = open_subject(tmp_path / "both.pth", None, None, None, network="gen_Z")
    assert set(subject.translators) == {"AtoB"}
    torch.save({"G_AB": W, "G_BA": V}, tmp_path / "both.pth")
    assert open_subject(tmp_path / "both.pth", None, None, None).directions == ("AtoB", "BtoA")


def test_a_teacher_is_selected_by_name(tmp_path: Path) -> None:
    path = tmp_path / "both.pth"
    torch.save({"gen_H": W, "gen_Z": V}, path)
    exact = Precision.from_name("fp32", torch.device("cpu"))
    one, other = (Teacher.open(path, None, exact, name) for name in ("gen_H", "gen_Z"))
    assert one.cache_key != other.cache_key
    assert one.source.sha256 == other.source.sha256


def test_both_generators_of_a_folder_are_found_from_either(tmp_path: Path) -> None:
    folder = tmp_path / "horse2zebra_cyclegan"
    folder.mkdir()
    for side, tensors in (("G_A", W), ("G_B", V), ("D_A", DISCRIMINATOR), ("D_B", DISCRIMINATOR)):
        torch.save(tensors, folder / f"latest_net_{side}.pth")
    for start in ("G_A", "G_B"):
        path = folder / f"latest_net_{start}.pth"
        forth, back = open_generator(path, "AtoB"), open_generator(path, "BtoA")
        assert_same_output(forth, PLAIN, W)
        assert_same_output(back, OTHER, V)
        assert (forth.source, forth.target) == ("horse", "zebra")
        assert (back.source, back.target) == ("zebra", "horse")
        assert forth.sha256 != back.sha256
        assert open_generator(path).direction == ("AtoB" if start == "G_A" else "BtoA")
        assert set(open_generators(path)) == {"G_A", "G_B"}
    with pytest.raises(CheckpointError, match=r"discriminator.*use latest_net_G_A\.pth next to it"):
        open_generator(folder / "latest_net_D_A.pth")
    (folder / "latest_net_G_B.pth").unlink()
    with pytest.raises(
        UsageError, match=r"AtoB, not BtoA; the reverse generator latest_net_G_B\.pth"
    ):
        open_generator(folder / "latest_net_G_A.pth", "BtoA")


def test_train_opt_txt_is_read(tmp_path: Path) -> None:
    root = tmp_path / "data" / "maps2photo"
    (tmp_path / "train_opt.txt").write_text(
        "----------------- Options ---------------\n"
        f"                 dataroot: {root}                    \t[default: None]\n"
        "                crop_size: 200                           \t[default: 256]\n"
        "                direction: BtoA                          \t[default: AtoB]\n"
        "                    model: pix2pix                       \t[default: cycle_gan]\n"
    )
    torch.save(W, tmp_path / "latest_net_G.pth")
    opened = open_generator(tmp_path / "latest_net_G.pth")
    assert opened.direction == "BtoA"
    assert opened.domains == ("maps", "photo")
    assert opened.size == (200, 200)
    assert opened.test_folder == root / "testB"
    assert opened.filter == "bicubic"


@pytest.mark.parametrize(
    ("name", "direction"),
    [
        ("latest_net_G_A.pth", "AtoB"),
        ("200_net_G_B.pth", "BtoA"),
        ("netG_A2B.pth", "AtoB"),
        ("netG_B2A.pth", "BtoA"),
        ("G_AB_199.pth", "AtoB"),
        ("G_BA_199.pth", "BtoA"),
        ("g_ba.pt", "BtoA"),
        ("G_YtoX.pkl", "BtoA"),
        ("generator.pth", None),
        ("GABRIEL.pth", None),
    ],
)
def test_names_have_a_direction(name: str, direction: str | None) -> None:
    from cgt.trainer.importers.conventions import direction_from_name, reverse_direction_name

    assert direction_from_name(name) == direction
    other = reverse_direction_name(name)
    assert (other is None) == (direction is None)
    if other:
        assert direction_from_name(other) != direction
        assert reverse_direction_name(other) == name


def test_ambiguities_are_reported(tmp_path: Path) -> None:
    path = tmp_path / "g.pth"
    torch.save(conventions.weights(conventions.junyanz(norm="none"), seeded()), path)
    assert any("look the same" in line for line in open_generator(path).ambiguities)
    torch.save(W, path)
    assert open_generator(path).ambiguities == ()


def test_networks_that_do_not_translate_have_warnings(tmp_path: Path) -> None:
    path = tmp_path / "g.pth"
    torch.save({key: value * 0 for key, value in W.items()}, path)
    assert any("constant" in warning for warning in open_generator(path).warnings)
    loud = {key: value * (50 if "model.14" in key else 1) for key, value in W.items()}
    last = [key for key in W if key.endswith("weight")][-1]
    torch.save(loud | {last: W[last] * 50}, path)
    assert any("pure black or white" in warning for warning in open_generator(path).warnings)
