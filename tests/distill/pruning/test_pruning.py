"""Pruning: students initialized from their teacher."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from cgt.distill.pruning.least_squares import AffineFit, LeastSquares, select_channels
from cgt.distill.pruning.prune import prune, pruned_config, unprunable_reason
from cgt.distill.train import DistillRun
from cgt.runtime.errors import DataError, Interrupted, UsageError
from cgt.runtime.image.files import encode_image
from cgt.trainer.checkpoint import load_checkpoint
from cgt.trainer.logs.metrics_csv import read_metrics
from cgt.trainer.networks import ResnetGenerator, build_generator, init_generator
from cgt.trainer.networks.config import GeneratorConfig
from conftest import make_image

TEACHERS = [
    GeneratorConfig("resnet2", 8),
    GeneratorConfig("resnet2", 8, norm="instance_affine", upsampling="resize", padding="zero"),
    GeneratorConfig("resnet1", 8, upsampling="antialias", downsampling="antialias"),
    GeneratorConfig("resnet2", 8, sampling_kernel=4, learn_residual=True, up_padding="zero"),
    GeneratorConfig(
        "resnet1",
        ngf=8,
        output_activation="sigmoid",
        stem_padding="zero",
        down_padding="reflect",
        no_stem_norm=True,
        stem_kernel=5,
    ),
    GeneratorConfig("resnet2", 8, norm="none", learn_residual=True, upsampling="resize"),
    GeneratorConfig("resnet1", 8, norm="none"),
    GeneratorConfig(
        "resnet1",
        ngf=6,
        n_downsampling=3,
        padding="replicate",
        dropout=True,
        output_activation="none",
        upsampling="resize",
    ),
]


def _name(config: GeneratorConfig) -> str:
    return f"{config.kind}-{config.norm}-{config.upsampling}-{config.output_activation}"


def random_network(config: GeneratorConfig) -> ResnetGenerator:
    """Build a teacher whose norms and weights differ between channels."""
    torch.manual_seed(0)
    network = build_generator(config).eval()
    assert isinstance(network, ResnetGenerator)
    for module in network.modules():
        if isinstance(module, nn.InstanceNorm2d) and module.affine:
            nn.init.normal_(module.weight, 1.0, 0.3)
            nn.init.normal_(module.bias, 0.0, 0.3)
        elif isinstance(module, nn.Conv2d) and module.out_channels == 3:
            nn.init.normal_(module.weight, 0.0, 0.1)
        elif isinstance(module, nn.Conv2d) and config.norm == "none":
            nn.init.kaiming_normal_(module.weight)  # the default weights give outputs near zero
    return network


def smooth_images(count: int, seed: int = 1) -> list[Tensor]:
    """Return smooth images that are taller than wide."""
    random = torch.Generator().manual_seed(seed)
    coarse = 2 * torch.rand(count, 3, 9, 7, generator=random) - 1
    return list(F.interpolate(coarse, size=(64, 48), mode="bicubic").clamp(-1, 1).split(1))


def mse_skill(student: nn.Module, teacher: nn.Module, photos: list[Tensor]) -> float:
    """Return the share of the variance of the teacher's outputs that the student reproduces."""
    with torch.no_grad():
        x = torch.cat(photos)
        y, s = teacher(x), student(x)
    assert bool(torch.isfinite(s).all())
    return 1 - float((s - y).square().mean() / y.var())


@pytest.mark.parametrize("config", TEACHERS, ids=_name)
def test_with_all_channels_the_student_equals_the_teacher(config: GeneratorConfig) -> None:
    teacher = random_network(config)
    student = prune(teacher, pruned_config(config, config.ngf, config.blocks), smooth_images(6))
    assert mse_skill(student, teacher, smooth_images(3, seed=2)) > 0.999


@pytest.mark.parametrize("config", TEACHERS[:-1], ids=_name)
def test_a_pruned_student_is_closer_than_a_random_network(config: GeneratorConfig) -> None:
    teacher, narrow = random_network(config), pruned_config(config, config.ngf - 1, config.blocks)
    new = build_generator(narrow).eval()
    init_generator(new)
    held_out = smooth_images(3, seed=2)
    skill = mse_skill(prune(teacher, narrow, smooth_images(6)), teacher, held_out)
    assert skill > mse_skill(new, teacher, held_out) + 0.3


def test_blocks_without_effect_are_removed() -> None:
    teacher = random_network(GeneratorConfig("resnet3", 8, norm="instance_affine"))
    for index in (10, 12):  # blocks that add nothing
        last = teacher.model[index].conv_block[-1]  # type: ignore[index]
        nn.init.zeros_(last.weight)
        nn.init.zeros_(last.bias)
    student = prune(teacher, pruned_config(teacher.config, 8, 1), smooth_images(6))
    assert mse_skill(student, teacher, smooth_images(3, seed=2)) > 0.999


def test_selected_channels_predict_the_others() -> None:
    random = torch.Generator().manual_seed(0)
    a, b, c, d = torch.randn(4, 1000, dtype=torch.float64, generator=random)
    x = torch.stack([0.1 * (a + c), 2 * a, 0.1 * (b + d), 0 * a, 3 * b])
    assert select_channels([x @ x.T], 2).tolist() == [1, 4]
    assert select_channels([x @ x.T], 5).tolist() == [0, 1, 2, 3, 4]  # including constant channels


def test_least_squares_keeps_the_prior_without_data() -> None:
    before = torch.randn(2, 3)
    sums = LeastSquares(3, 2)
    assert torch.equal(sums.solve(before), before)
    x = torch.randn(100, 3)
    x[:, 2] = 0
    y = x @ torch.tensor([[1.0, 2], [3, 4], [5, 6]])
    sums.add(x, y)
    solved = sums.solve(before)
    torch.testing.assert_close(solved[:, :2], torch.tensor([[1.0, 3], [2, 4]]), atol=0.02, rtol=0)
    torch.testing.assert_close(solved[:, 2], before[:, 2])
    line = AffineFit(2)
    line.add(torch.stack([x[:, 0], x[:, 2]], 1), torch.stack([2 * x[:, 0] + 1, x[:, 2] + 3], 1))
    scale, shift = line.solve()
    torch.testing.assert_close(scale, torch.tensor([2.0, 0.0]))
    torch.testing.assert_close(shift, torch.tensor([1.0, 3.0]))


@pytest.mark.parametrize("blank", [1, 6])
def test_blank_photos_and_dead_channels_are_harmless(blank: int) -> None:
    """Check one blank photo, and only blank photos."""
    teacher = random_network(TEACHERS[0])
    teacher.model[1].weight.data[:3] = 0  # type: ignore[union-attr]
    photos = [*smooth_images(6)[blank:], *[torch.full((1, 3, 64, 48), -1.0)] * blank]
    student = prune(teacher, pruned_config(teacher.config, 6, 2), photos)
    assert all(bool(torch.isfinite(value).all()) for value in student.state_dict().values())
    assert mse_skill(student, teacher, [*smooth_images(3, seed=2), photos[-1]]) > -10


@pytest.mark.parametrize(
    ("teacher", "ngf", "blocks", "message"),
    [
        (GeneratorConfig("unet128"), 8, 1, "it is a unet128, not a ResNet"),
        (GeneratorConfig(norm="batch"), 8, 1, "its norm is batch"),
        (GeneratorConfig(block="separable"), 8, 1, "separable"),
        (GeneratorConfig("resnet6", 16), 20, 6, "6 blocks and is 16 wide"),
        (GeneratorConfig("resnet6", 16), 8, 9, "cannot have 9 blocks and be 8 wide"),
        (GeneratorConfig("resnet1", 16, widths=(16, 32, 64, 20, 32, 16)), 8, 1, "8 wide"),
    ],
)
def test_impossible_sizes_are_rejected(
    teacher: GeneratorConfig, ngf: int, blocks: int, message: str
) -> None:
    with pytest.raises(UsageError, match=message):
        pruned_config(teacher, ngf, blocks)


def test_prunable_teachers_have_no_reason() -> None:
    assert not any(map(unprunable_reason, TEACHERS))


# ---- Runs ----------------------------------------------------------------------------------------


def pruned(make_config: Any, **fields: Any) -> Any:
    student = pruned_config(GeneratorConfig("resnet1", 8), 6, 1)
    settings = {
        "generator_json": student.to_json(),
        "generator": "resnet1",
        "ngf": 6,
        "pruned": True,
    }
    return make_config(**{**settings, "lr": 1e-4, **fields})


def test_a_pruned_run_resumes_exactly(make_config: Any, tmp_path: Path) -> None:
    messages: list[str] = []
    one = DistillRun.create(tmp_path / "one", pruned(make_config), log=messages.append)
    assert any(line.startswith("pruned from its teacher") for line in messages)
    assert "pruned" in one.summarize()
    initial = {key: value.clone() for key, value in one.model.networks["G_A"].state_dict().items()}
    one.train()
    two = DistillRun.create(tmp_path / "two", pruned(make_config))
    assert all(
        torch.equal(initial[k], v) for k, v in two.model.networks["G_A"].state_dict().items()
    )
    step = two.model.step

    def stop(*args: Any) -> Any:
        two.distributed.any = lambda flag: two.step >= 2  # type: ignore[method-assign]
        return step(*args)

    two.model.step = stop  # type: ignore[method-assign]
    with pytest.raises(Interrupted, match="--resume"):
        two.train()
    DistillRun.resume(tmp_path / "two").train()
    states = [load_checkpoint(tmp_path / name / "latest.pth").state for name in ("one", "two")]
    for key, value in states[0]["networks"]["G_A"].items():
        assert torch.equal(value, states[1]["networks"]["G_A"][key])
        assert bool(torch.isfinite(value).all())


def test_a_pruned_student_has_a_higher_skill_after_equal_steps(
    make_config: Any, tmp_path: Path
) -> None:
    skills = []
    for name, is_pruned in (("new", False), ("pruned", True)):
        DistillRun.create(tmp_path / name, pruned(make_config, pruned=is_pruned)).train()
        skills.append(read_metrics(tmp_path / name / "metrics.csv")[-1]["mse_skill"])
    assert skills[1] > skills[0] + 0.2


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"kind": "unet128"}, "it is a unet128, not a ResNet"),
        ({"norm": "batch"}, "its norm is batch"),
        ({"block": "separable"}, "separable"),
        ({"residual": False}, "do not add their input"),
        ({"stem_kernel": 4}, "downsample and upsample"),
    ],
)
def test_teachers_that_cannot_be_pruned(fields: dict[str, Any], message: str) -> None:
    teacher = GeneratorConfig(**({"kind": "resnet2", "ngf": 8} | fields))
    with pytest.raises(UsageError, match=message):
        pruned_config(teacher, 4, 2)


# ---- Blank photos --------------------------------------------------------------------------------


def test_blank_photos_are_skipped(make_config: Any, tmp_path: Path) -> None:
    """Train on photos of which half are blank, with reflected borders.

    Without zero borders, a blank photo is constant at every norm, whose gradient is 300 times that
    of other photos. A single one makes the weights of a deep student NaN.
    """
    folder = tmp_path / "photos"
    folder.mkdir()
    for index in range(21):
        image = make_image(index, 64, 72)
        png = encode_image(image * 0 if index % 2 else image, ".png")
        assert png is not None
        (folder / f"{index:02}.png").write_bytes(png)
    network = replace(pruned_config(GeneratorConfig("resnet1", 8), 6, 1), down_padding="reflect")
    config = pruned(make_config, photos=(str(folder),), generator_json=network.to_json())
    run = DistillRun.create(tmp_path / "run", config)
    for draw in range(40):
        assert run.data.train.load_crop(0, draw).std() > 0.01
    run.train()
    for index in range(0, 21, 2):
        (folder / f"{index:02}.png").write_bytes((folder / "01.png").read_bytes())
    with pytest.raises(DataError, match="blank"):
        DistillRun.create(tmp_path / "all", pruned(make_config, photos=(str(folder),)))
