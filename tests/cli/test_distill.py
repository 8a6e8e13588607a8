"""Command line of `cgt distill`."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from cgt.distill.finalize import check_target_speed
from cgt.distill.student_spec import parse_student_spec
from cgt.runtime.errors import QualityError, UsageError
from cgt.runtime.image.files import encode_image
from cgt.runtime.models.metadata import read_metadata
from cgt.trainer.networks.config import GeneratorConfig
from conftest import make_image, run_cgt

TINY = [
    *("--student", "4x1,instance,resize", "--size", "64", "--steps", "6", "--batch-size", "2"),
    *("--threads", "1", "--crops-per-image", "1"),
]


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Write a folder of 21 photos, of which one is held out."""
    folder = tmp_path_factory.mktemp("photos")
    for index in range(21):
        png = encode_image(make_image(index, 64, 72), ".png")
        assert png is not None
        (folder / f"{index:02}.png").write_bytes(png)
    return folder


@pytest.fixture(scope="module")
def student(
    run_folder: Path,
    dataset: Path,
    photos: Path,
    clip: Path,
    tmp_path_factory: pytest.TempPathFactory,
) -> Path:
    """Distill the A-to-B generator of the tiny CycleGAN."""
    path = tmp_path_factory.mktemp("student") / "student.pth"
    done = run_cgt(
        *("distill", "--ckpt", run_folder / "latest.pth", "--direction", "AtoB", "--data", photos),
        *("-o", path, "--video", clip, "--target-images", dataset / "testB", *TINY),
    )
    assert done.returncode == 0, done.stderr
    for text in ("mse_skill", "held-out photos", "clip.mp4", "int8", "times fewer"):
        assert text in done.stdout
    return path


def test_the_student_has_a_run_folder_and_a_report(student: Path) -> None:
    run = student.with_suffix("")
    assert {path.name for path in run.iterdir()} >= {
        "latest.pth",
        "metrics.csv",
        "samples",
        "targets",
    }
    done = run_cgt("inspect", student, "--json")
    inspected = json.loads(done.stdout)
    assert inspected["written_by"] == "cgt distill, at step 6"
    report = inspected["distill_report"]
    assert report["photos"]["fp32"].keys() == {
        "mse_skill",
        "psnr",
        "ssim",
        "psnr_left",
        "ssim_left",
    }
    assert set(report["videos"]["clip.mp4"]["warping"]) == {"input", "teacher", "fp32", "int8"}
    assert "frechet" not in report  # needs more than one held-out photo
    assert report["teacher"]["macs"] > report["student"]["macs"] > 0


def test_the_student_is_exported_and_translates(
    student: Path, photos: Path, clip: Path, tmp_path: Path
) -> None:
    model = tmp_path / "student.onnx"
    done = run_cgt(
        "export", "--ckpt", student, "--int8", "--calib", photos, "--min-psnr", "0", "-o", model
    )
    assert done.returncode == 0, done.stderr
    metadata = read_metadata(model)
    assert metadata.distill_report["photos"]
    assert metadata.domains == ("ramp", "noise")
    done = run_cgt(
        "translate", clip, "-o", tmp_path / "a.mp4", "--model", student, "--engine", "torch"
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.slow
def test_resuming_a_finished_run_writes_the_student(student: Path) -> None:
    student.unlink()
    done = run_cgt("distill", "--resume", student.with_suffix(""))
    assert done.returncode == 0, done.stderr
    assert student.exists()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--data", "."], "give --ckpt TEACHER"),
        (["--ckpt", "a.pth", "--data", ".", "-o", "student.onnx"], "must end in .pth"),
        (
            ["--ckpt", "a.pth", "--data", ".", "-o", "s.pth", "--student", "wide"],
            "is not like pruned:20x9",
        ),
        (
            [
                *("--ckpt", "a.pth", "--data", ".", "-o", "s.pth"),
                *("--student", "4x1", "--init-from", "b.pth"),
            ],
            "leave out --student",
        ),
        (
            ["--ckpt", "a.pth", "--data", ".", "-o", "s.pth", "--student", "20x9,pruned"],
            "is now spelled --student pruned:20x9",
        ),
        (["--resume", "s.pth", "--size", "64"], "--size is an option of a new run"),
        (["--resume", "s.pth", "--init-from", "b.pth"], "--init-from is an option of a new run"),
        (["--resume", "s.pth"], "there is no run to resume"),
        (["--ckpt", "none.pth", "--data", ".", "-o", "s.pth", "--student", "4x1"], "none.pth"),
    ],
)
def test_usage_errors_are_one_line(arguments: list[str], message: str, tmp_path: Path) -> None:
    done = run_cgt("distill", *arguments, cwd=tmp_path)
    assert done.returncode in (1, 2)
    assert message in done.stderr
    assert "Traceback" not in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
def test_a_pruned_student(run_folder: Path, photos: Path, tmp_path: Path) -> None:
    """Prune the tiny CycleGAN's generator, which has one block and is 4 channels wide."""
    common = ("distill", "--ckpt", run_folder / "latest.pth", "--data", photos)
    output = ("-o", tmp_path / "s.pth", "--size", "64", "--threads", "1")
    done = run_cgt(
        *common, *output, "--student", "pruned:3x1", "--steps", "2", "--crops-per-image", "1"
    )
    assert done.returncode == 0, done.stderr
    assert "pruned from its teacher, before training: mse_skill" in done.stdout
    assert "resnet1, ngf 3" in run_cgt("inspect", tmp_path / "s.pth").stdout
    on = ("-o", tmp_path / "on.pth", "--size", "64", "--threads", "1", "--steps", "1")
    done = run_cgt(*common, *on, "--init-from", tmp_path / "s.pth")
    assert done.returncode == 0, done.stderr
    assert "G_A starts from s.pth; teacher latest.pth" in done.stdout
    assert "resnet1, ngf 3" in run_cgt("inspect", tmp_path / "on.pth").stdout
    done = run_cgt(*common, "-o", tmp_path / "t.pth", "--student", "pruned:8x1")
    assert done.returncode == 2
    assert len(done.stderr.strip().splitlines()) == 1
    assert "cannot have 1 blocks and be 8 wide" in done.stderr


def test_student_specs() -> None:
    teacher = GeneratorConfig("resnet9", upsampling="resize")
    candidate = parse_student_spec("24x6,batch_film,separable").to_candidate(teacher)
    assert (candidate.ngf, candidate.blocks) == (24, 6)
    assert (candidate.variant.norm, candidate.variant.block) == ("batch_film", "separable")
    assert candidate.pruned_from is None
    pruned = parse_student_spec("pruned:20x6").to_candidate(teacher)
    assert pruned.config == replace(teacher, kind="resnet6", ngf=20, norm="instance_affine")
    for wrong in ("24x6,shiny", "pruned:24x6,separable", "0x6", "pruned:24", "24,pruned"):
        with pytest.raises(UsageError, match=r"is not like pruned:20x9, 32x6 or 32x6,batch_film"):
            parse_student_spec(wrong)
    with pytest.raises(UsageError, match=r"9 blocks and is 64 wide"):
        parse_student_spec("pruned:20x12").to_candidate(teacher)
    with pytest.raises(UsageError, match=r"cannot be pruned: it is a unet256, not a ResNet"):
        parse_student_spec("pruned:20x9").to_candidate(GeneratorConfig("unet256"))


def test_a_missed_target_is_an_error() -> None:
    def speed(fps: float) -> dict[str, Any]:
        return {"fps": fps, "target": 60.0, "size": [256, 256], "precision": "int8"}

    check_target_speed(None, "auto")
    check_target_speed(speed(60.0), "auto")
    with pytest.raises(QualityError, match=r"59\.9 frames/s.*below the target of 60"):
        check_target_speed(speed(59.9), "auto")
