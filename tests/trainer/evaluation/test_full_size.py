"""Comparison of upsampled translations with the network at full size."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from cgt.runtime.errors import DataError, UsageError
from cgt.runtime.image.files import encode_image
from cgt.trainer.evaluation.full_size import METHODS, compare_with_full_size, gradient_energy
from conftest import make_image, run_cgt, write_inverse_model


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """Write two images that are larger than 256 pixels, and one that is not."""
    folder = tmp_path / "photos"
    folder.mkdir()
    for index, size in enumerate(((300, 520), (400, 301), (200, 300))):
        data = encode_image(make_image(index, *size), ".png")
        assert data is not None
        (folder / f"{index}.png").write_bytes(data)
    return folder


def test_guided_upsampling_is_closest_to_the_full_size(tmp_path: Path, photos: Path) -> None:
    report = compare_with_full_size(write_inverse_model(tmp_path / "m.onnx"), photos)
    values = report["images"]
    assert values["count"] == 2  # the small one is left out
    assert list(values["methods"]) == list(METHODS)
    assert values["methods"]["guided"]["psnr"] > values["methods"]["bicubic"]["psnr"] + 3
    assert values["methods"]["guided"]["ssim"] > values["methods"]["bicubic"]["ssim"]
    assert values["methods"]["guided"]["psnr_gain_worst"] > 0
    assert values["methods"]["bicubic"]["psnr_gain_worst"] == 0
    assert values["methods"]["guided"]["gradient"] == pytest.approx(1, abs=0.1)


def test_videos_have_a_warping_error(tmp_path: Path) -> None:
    model = write_inverse_model(tmp_path / "m.onnx")
    report = compare_with_full_size(model, video="test://?size=520x300&frames=3", frames=3)
    errors = report["video"]["warping_error"]
    assert set(errors) == {"input", "full", *METHODS}
    assert errors["full"] == pytest.approx(errors["input"], rel=0.05)  # an inverse


def test_what_cannot_be_compared_is_refused(tmp_path: Path, photos: Path, images: Path) -> None:
    model = write_inverse_model(tmp_path / "m.onnx")
    with pytest.raises(DataError, match="larger"):
        compare_with_full_size(model, images)
    with pytest.raises(DataError, match="not a folder"):
        compare_with_full_size(model, tmp_path / "missing")
    with pytest.raises(UsageError, match="one size only"):
        compare_with_full_size(write_inverse_model(tmp_path / "fixed.onnx", 64, 64), photos)
    with pytest.raises(UsageError, match="--data"):
        compare_with_full_size(model)


def test_gradient_energy() -> None:
    image = make_image(0, 40, 60)
    assert gradient_energy(image[:, ::-1]) == pytest.approx(gradient_energy(image))
    assert gradient_energy(image * 0) == 0


def test_the_command_prints_a_table(tmp_path: Path, photos: Path) -> None:
    model = write_inverse_model(tmp_path / "m.onnx")
    done = run_cgt("eval", "--model", model, "--data", photos, "--full-size", "--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["images"]["count"] == 2
    assert "guided" in done.stderr
    for flags, word in ((["--class", 3], "--class"), (["--size", 64], "--size")):
        refused = run_cgt("eval", "--model", model, "--data", photos, "--full-size", *flags)
        assert refused.returncode == 2
        assert word in refused.stderr
