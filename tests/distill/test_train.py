"""Complete distillations of a tiny student."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from cgt.distill.config import DistillConfig
from cgt.distill.method import Distillation
from cgt.distill.qat import activation_ranges
from cgt.distill.run import resume_distillation
from cgt.distill.teacher import Teacher, load_teacher_discriminator
from cgt.distill.train import DistillRun, save_student
from cgt.runtime.errors import CheckpointError, Interrupted, UsageError
from cgt.runtime.image.preprocess import pack
from cgt.runtime.utils.atomic import file_sha256
from cgt.trainer.checkpoint import load_checkpoint
from cgt.trainer.distributed import SingleProcess
from cgt.trainer.logs.metrics_csv import read_metrics
from cgt.trainer.networks.config import GeneratorConfig
from cgt.trainer.precision import Precision
from cgt.trainer.pretrained import open_generator
from cgt.trainer.train import TrainingRun

ALL_LOSSES = {
    **{"lambda_feature": 0.1, "lambda_gan": 0.1, "lambda_tv": 0.1, "lambda_temporal": 0.5},
    **{"lambda_ssim": 0.5},
}


def trained(folder: Path, config: Any) -> DistillRun:
    run = DistillRun.create(folder, config)
    run.train()
    return run


def stop_after(run: TrainingRun, steps: int) -> None:
    """Train for some steps, then request a stop."""
    train_step, requested = run.model.step, {"stop": False}

    def step(*args: Any) -> Any:
        losses = train_step(*args)
        requested["stop"] = run.step + 1 >= steps
        return losses

    run.model.step = step  # type: ignore[method-assign]
    run.distributed.any = lambda flag: flag or requested["stop"]  # type: ignore[method-assign]
    with pytest.raises(Interrupted, match="cgt distill --resume"):
        run.train()


def equal(one: Any, two: Any) -> bool:
    if isinstance(one, torch.Tensor):
        return torch.equal(one, two)
    if isinstance(one, dict):
        return one.keys() == two.keys() and all(equal(one[key], two[key]) for key in one)
    if isinstance(one, list):
        return len(one) == len(two) and all(map(equal, one, two))
    return bool(one == two)


@pytest.mark.parametrize("at", [2, 7])
def test_a_resumed_run_equals_an_uninterrupted_one(
    at: int, make_config: Any, tmp_path: Path
) -> None:
    """Check a stop before and after INT8 starts, with all losses that have a state."""
    trained(tmp_path / "one", make_config(**ALL_LOSSES))
    stop_after(DistillRun.create(tmp_path / "two", make_config(**ALL_LOSSES)), at)
    DistillRun.resume(tmp_path / "two").train()
    one, two = (load_checkpoint(tmp_path / name / "latest.pth") for name in ("one", "two"))
    assert one.state["distilling"]["rounding"]
    assert equal(one.state, two.state)
    logs = [read_metrics(tmp_path / name / "metrics.csv") for name in ("one", "two")]
    assert logs[0] == logs[1]


def test_a_student_approaches_its_teacher(make_config: Any, tmp_path: Path) -> None:
    config = make_config(steps=80, int8_steps=0, lr=5e-3, crop_size=32, load_size=36)
    trained(tmp_path / "run", config)
    lines = read_metrics(tmp_path / "run" / "metrics.csv")
    skills = [line["mse_skill"] for line in lines if "mse_skill" in line]
    assert skills[-1] > skills[0] + 0.03


def test_teacher_outputs_are_computed_once(make_config: Any, tmp_path: Path) -> None:
    """Check that a second run with the same cache folder does not compute any."""
    shared = str(tmp_path / "outputs")
    first = trained(tmp_path / "one", make_config(teacher_cache=shared, crops_per_image=1))
    files = sorted(Path(shared).iterdir())
    assert len(files) == 6 + 2  # training and held-out photos
    times = [path.stat().st_mtime_ns for path in files]
    second = DistillRun.create(
        tmp_path / "two", make_config(teacher_cache=shared, crops_per_image=1)
    )
    second.teacher.network.forward = None  # type: ignore[assignment]
    second.train()
    assert [path.stat().st_mtime_ns for path in sorted(Path(shared).iterdir())] == times
    states = [run.model.networks["G_A"].state_dict() for run in (first, second)]
    assert equal(dict(states[0]), dict(states[1]))


def test_new_crops_are_not_cached(make_config: Any, tmp_path: Path) -> None:
    run = trained(tmp_path / "run", make_config(crops_per_image=0, steps=2, int8_steps=0))
    assert len(list((tmp_path / "run/targets").iterdir())) == 2  # held-out photos
    assert run.step == 2


def test_a_finished_student_is_a_checkpoint_like_any_other(
    make_config: Any, tmp_path: Path
) -> None:
    run = trained(tmp_path / "run", make_config())
    save_student(
        tmp_path / "run", tmp_path / "student.pth", {"photos": {"fp32": {"mse_skill": 0.5}}}
    )
    student = open_generator(tmp_path / "student.pth")
    assert student.distill_report["photos"]["fp32"]["mse_skill"] == 0.5
    assert (student.size, student.direction) == ((64, 64), "AtoB")
    assert student.test_folder is not None
    assert student.test_folder.name == "testA"
    x = torch.rand(1, 3, 64, 64)
    with torch.no_grad(), run.model.eval_generators() as generators:
        average = generators["G_A"].module
        plain = open_generator(tmp_path / "run" / "latest.pth").network
        assert equal(dict(average.state_dict()), dict(student.network.state_dict()))
        assert torch.equal(plain(x), student.network(x))
    size = (tmp_path / "student.pth").stat().st_size
    assert size < (tmp_path / "run" / "latest.pth").stat().st_size / 2


def test_a_run_starts_from_a_student(make_config: Any, tmp_path: Path) -> None:
    """Check that architecture, weights and moving average are those of the student."""
    first = trained(tmp_path / "first", make_config())
    report = {"written": "by a test"}
    student = save_student(first.folder, tmp_path / "first.pth", report)
    other = GeneratorConfig("student2", 8, n_downsampling=1, shuffle_factor=2, stem_kernel=3)
    config = make_config(
        generator_json=other.to_json(), generator="student2", ngf=8, crops_per_image=3
    )
    second = DistillRun.create(tmp_path / "second", config, tmp_path / "first.pth")
    assert second.summarize().startswith("G_A starts from first.pth; teacher")
    own = second.model.networks["G_A"].state_dict()
    assert equal(dict(own), dict(student.network.state_dict()))
    stop_after(second, 1)
    average = second.model.ema_generators["G_A"].module.state_dict()
    weights = (name for name, value in own.items() if value.is_floating_point())
    assert all(torch.allclose(average[name], own[name], atol=0.02) for name in weights)


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_outputs_of_a_teacher_do_not_depend_on_the_memory_format(
    teacher_path: Path, monkeypatch: pytest.MonkeyPatch, layout: torch.memory_format
) -> None:
    """Check that they are equal except for rounding, so that they are cached separately."""
    contiguous = Teacher.open(teacher_path, None, Precision(torch.device("cpu")))
    monkeypatch.setattr(Precision, "inference_memory_format", layout)
    other = Teacher.open(teacher_path, None, Precision(torch.device("cpu")))
    image = torch.rand(3, 64, 48, generator=torch.Generator().manual_seed(0)).numpy() * 2 - 1
    plain = open_generator(teacher_path, None).network(torch.from_numpy(image)[None])[0].detach()
    assert np.abs(pack(other.predict(image)) - plain.numpy()).max() < 0.02
    assert (other.cache_key == contiguous.cache_key) == (layout is torch.contiguous_format)


def test_another_teacher_is_rejected(make_config: Any, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="not the teacher"):
        DistillRun.create(tmp_path / "run", make_config(teacher_sha256="0" * 64))
    with pytest.raises(CheckpointError, match="is missing"):
        DistillRun.create(tmp_path / "run", make_config(teacher="/nowhere.pth"))


def test_each_command_resumes_its_own_runs(
    make_config: Any, tmp_path: Path, run_folder: Path
) -> None:
    trained(tmp_path / "run", make_config(steps=1, int8_steps=0))
    with pytest.raises(UsageError, match="`cgt distill --resume"):
        TrainingRun.resume(tmp_path / "run")
    with pytest.raises(UsageError, match="`cgt train --resume"):
        DistillRun.resume(run_folder)


def test_paths_given_on_resume_are_stored_as_text(
    make_config: Any, tmp_path: Path, dataset: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stop_after(DistillRun.create(tmp_path / "run", make_config(steps=2, int8_steps=0)), 1)
    moved = shutil.copytree(dataset, tmp_path / "moved")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("cgt.distill.run.finalize", lambda run, output: None)
    resume_distillation(
        {
            **{"resume": Path("run.pth"), "data": (Path("moved"),)},
            **{"teacher_cache": Path("cache"), "target_images": Path("moved/testB")},
        }
    )
    config = load_checkpoint(tmp_path / "run" / "latest.pth").config
    assert isinstance(config, DistillConfig)
    assert (config.data, config.photos) == (str(moved), (str(moved),))
    assert config.teacher_cache == str(tmp_path / "cache")
    assert config.target_images == str(moved / "testB")
    assert any((tmp_path / "cache").iterdir())


def test_contradictory_settings_are_rejected(make_config: Any) -> None:
    with pytest.raises(UsageError, match="must not exceed --steps"):
        make_config(steps=2)
    with pytest.raises(UsageError, match="lambda-tv"):
        make_config(lambda_tv=-1)


def test_the_discriminator_starts_with_the_teachers_weights(
    make_config: Any, run_folder: Path, tmp_path: Path
) -> None:
    path = run_folder / "latest.pth"
    known = load_teacher_discriminator(path, "BtoA")
    assert known is not None
    config = make_config(
        teacher=str(path),
        teacher_sha256=file_sha256(path),
        direction="BtoA",
        lambda_gan=1.0,
        **known.settings,
    )
    run = DistillRun.create(tmp_path / "run", config)
    assert run.model.networks.keys() == {"G_B", "D_B"}
    assert equal(dict(run.model.networks["D_B"].state_dict()), dict(known.weights))


class _TwoProcesses(SingleProcess):
    """A stand-in for two processes, of which the other has the same weights and larger ranges."""

    world_size = 2

    def __init__(self) -> None:
        super().__init__(torch.device("cpu"))
        self.synced: set[int] = set()
        self.averaged: list[float] = []

    def wrap_ddp(self, network: torch.nn.Module) -> torch.nn.Module:
        self.synced |= {id(parameter) for parameter in network.parameters()}
        return network

    def mean(self, value: torch.Tensor) -> torch.Tensor:
        self.averaged.append(float(value.sum()))
        return 1.5 * value


def test_processes_agree_on_what_they_train(make_config: Any, teacher_path: Path) -> None:
    """On all parameters of the optimizers, and on the ranges that INT8 rounding observes."""
    config = make_config(lambda_feature=1.0, lambda_gan=0.1, steps=3, int8_steps=2)
    precision, processes = Precision(torch.device("cpu")), _TwoProcesses()
    teacher = Teacher.open(teacher_path, None, precision)
    model = Distillation(teacher, config, precision.device, None, processes)
    trained_parameters = {
        id(parameter)
        for optimizer in model.optimizers.values()
        for group in optimizer.param_groups
        for parameter in group["params"]
    }
    assert trained_parameters <= processes.synced

    a, b = torch.rand(2, 2, 3, 64, 64) * 2 - 1
    model.step(a, b, 0)
    assert not processes.averaged
    model.step(a, b, 1)
    ranges = activation_ranges(model.networks[model.generator_name])
    assert len(processes.averaged) == len(ranges) > 0
    for (largest, _), own in zip(ranges.values(), processes.averaged, strict=True):
        assert largest == pytest.approx(1.5 * own)
