"""Tests of `cgt eval` and of its measurements."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from support.third_party import write_channel_model

from cgt.cli.eval import _result_table
from cgt.runtime import Translator
from cgt.runtime.errors import DataError
from cgt.runtime.image.files import list_images, read_image
from cgt.runtime.image.metrics import MAX_PSNR_DB
from cgt.runtime.image.opencv import cv2
from cgt.runtime.models.metadata import read_metadata
from cgt.trainer.evaluation.evaluate import evaluate
from cgt.trainer.evaluation.features import (
    FeatureExtractor,
    efficientnet_extractor,
    predicted_class_share,
)
from cgt.trainer.evaluation.report import EvaluationImages, TranslateFn, measure_translation
from cgt.trainer.evaluation.subject import EvaluationSubject
from cgt.trainer.networks.efficientnet import INPUT_SIDES_PX
from conftest import TINY_TRAIN_FLAGS, make_image, run_cgt

MEAN_COLOR = FeatureExtractor(
    "mean", lambda images: np.stack([i.reshape(-1, 3).mean(0) for i in images]) * 1.0
)


def test_perfect_translation() -> None:
    """Use a B that is the negative of A, so that inverting images is a perfect translation."""
    source = [make_image(i, 32, 32) for i in range(6)]
    target = [255 - image for image in source]
    report, rows = measure_translation(
        EvaluationImages(source, target, target),
        lambda x: 255 - x,
        lambda x: 255 - x,
        [MEAN_COLOR],
        paired=True,
    )
    distances = report["distances"]["mean"]
    assert distances["translated"]["frechet"] == pytest.approx(0, abs=1e-6)
    assert distances["real"]["frechet"] == pytest.approx(0, abs=1e-6)
    assert distances["no_translation"]["frechet"] > 100
    assert report["cycle"]["psnr"] == report["paired"]["psnr"] == MAX_PSNR_DB
    assert [len(row) for row in rows] == [4] * 6


def test_evaluate_checkpoint(run_folder: Path, clip: Path, tmp_path: Path) -> None:
    pytest.importorskip("efficientnet_lite_pytorch")
    done = run_cgt(
        *("eval", "--ckpt", run_folder / "latest.pth", "--json", tmp_path / "e.json"),
        *("--montage", tmp_path / "e.png", "--video", clip, "--frames", 3, "--class", 340),
    )
    assert done.returncode == 0, done.stderr
    assert "no distances with Inception" in done.stdout
    report = json.loads((tmp_path / "e.json").read_text())
    assert report["directions"].keys() == {"AtoB", "BtoA"}
    for values in report["directions"].values():
        for backbone in ("efficientnet-lite0", "efficientnet-lite1"):
            distances = values["distances"][backbone]
            assert distances.keys() == {"translated", "no_translation", "real"}
            assert values["imagenet_class"][backbone].keys() == {
                *("translated", "no_translation", "target")
            }
        assert values["cycle"].keys() == {"psnr", "ssim", "l1"}
        assert values["imagenet_class"]["class"] == 340
    assert report["video"]["frames"] == 3
    assert report["video"]["error"] > 0
    assert cv2.imread(str(tmp_path / "e.png")).shape == (4 * 36 - 4, 3 * 36 - 4, 3)


def test_evaluate_model(tiny_model: Path, dataset: Path, tmp_path: Path) -> None:
    """Compare with the results of its checkpoint; a model has one direction and no cycle."""
    pytest.importorskip("efficientnet_lite_pytorch")
    files = [tmp_path / name for name in ("model.json", "ckpt.json")]
    ckpt = tiny_model.parent / "latest.pth"
    for flag, file, out in zip(("--model", "--ckpt"), (tiny_model, ckpt), files, strict=True):
        done = run_cgt("eval", flag, file, "--data", dataset, "--json", out, "--direction", "AtoB")
        assert done.returncode == 0, done.stderr
    reports = [json.loads(file.read_text())["directions"]["AtoB"] for file in files]
    assert "cycle" not in reports[0]
    of_model, of_ckpt = (report["distances"]["efficientnet-lite0"] for report in reports)
    expected = of_ckpt["translated"]["frechet"]
    assert of_model["translated"]["frechet"] == pytest.approx(expected, rel=0.05)
    assert of_model["no_translation"] == of_ckpt["no_translation"]


@pytest.mark.slow
def test_gray_to_color_from_training_to_evaluation(
    dataset: Path, clip: Path, tmp_path: Path
) -> None:
    """Train, export and evaluate 1 to 3 channels, and translate with the reference engine."""
    pytest.importorskip("efficientnet_lite_pytorch")
    run, model = tmp_path / "run", tmp_path / "gray.onnx"
    flags = (*TINY_TRAIN_FLAGS, "--channels-a", 1, "--lambda-identity", 0)
    steps = [
        ("train", "--data", dataset, "--output", run, *flags),
        ("export", "--ckpt", run / "latest.pth", "-o", model),
        ("eval", "--ckpt", run / "latest.pth", "--video", clip, "--frames", 2),
        ("eval", "--model", model, "--data", dataset, "--video", clip, "--frames", 2),
    ]
    for arguments in steps:
        done = run_cgt(*arguments)
        assert done.returncode == 0, done.stderr
    metadata = read_metadata(model)
    assert (metadata.in_channels, metadata.out_channels) == (1, 3)
    image = make_image(0, 64, 96)
    outputs = []
    for path, engine in ((run / "latest.pth", "torch"), (model, "onnxruntime")):
        with Translator(path, engine=engine, size="source") as translator:
            outputs.append(translator(image).astype(int))
    assert np.abs(outputs[0] - outputs[1]).max() <= 1


@pytest.mark.parametrize("channels", [(1, 1), (3, 1), (4, 4)])
def test_evaluate_models_of_any_channels(
    channels: tuple[int, int], dataset: Path, tmp_path: Path
) -> None:
    pytest.importorskip("efficientnet_lite_pytorch")
    model = write_channel_model(tmp_path / "a.onnx", channels)
    montage = tmp_path / "m.png"
    done = run_cgt("eval", "--model", model, "--data", dataset, "--montage", montage)
    assert done.returncode == 0, done.stderr
    assert montage.is_file()


@pytest.mark.parametrize("network", INPUT_SIDES_PX)
def test_zebras_are_classified_as_zebras(cgt_data: Path, network: str) -> None:
    pytest.importorskip("efficientnet_lite_pytorch")
    files = list_images(cgt_data / "horse2zebra" / "testB")[:20]
    assert predicted_class_share([read_image(path) for path in files], 340, network) >= 0.9
    horses = list_images(cgt_data / "horse2zebra" / "testA")[:10]
    assert predicted_class_share([read_image(path) for path in horses], 340, network) <= 0.1


@pytest.mark.parametrize("network", INPUT_SIDES_PX)
def test_gray_images_have_features(network: str) -> None:
    pytest.importorskip("efficientnet_lite_pytorch")
    gray = [make_image(i, 48, 48)[..., :1] for i in range(2)]
    assert efficientnet_extractor(network).extract(gray).shape == (2, 1280)


@pytest.mark.parametrize(
    ("flags", "code", "message"),
    [
        ((), 2, "either --ckpt FILE or --model FILE"),
        (("--ckpt", "none.pth"), 1, "missing"),
        (("--ckpt", "RUN", "--data", "none"), 1, "missing"),
        (("--ckpt", "RUN", "--inception", "none.pth"), 2, "none.pth is missing"),
    ],
)
def test_invalid_arguments_are_rejected(
    run_folder: Path, flags: tuple[str, ...], code: int, message: str
) -> None:
    args = [run_folder / "latest.pth" if flag == "RUN" else flag for flag in flags]
    done = run_cgt("eval", *args)
    assert done.returncode == code
    assert message in done.stderr
    assert "Traceback" not in done.stderr


def inverting_subject(*directions: str, paired: bool = False) -> EvaluationSubject:
    def invert(_: tuple[int, int]) -> TranslateFn:
        return lambda image: 255 - image

    return EvaluationSubject(
        "inverse", dict.fromkeys(directions, invert), directions, ("a", "b"), 32, paired=paired
    )


@pytest.mark.parametrize(
    ("removed", "directions", "distances", "messages"),
    [
        (("testB",), ["AtoB"], {"translated", "no_translation"}, ["BtoA is left out", "training"]),
        (("testB", "trainA"), ["AtoB"], {"translated", "no_translation"}, ["training images"]),
        (("testB", "trainB"), ["AtoB"], None, ["no distances"]),
        (("testA", "trainA"), ["BtoA"], None, ["AtoB is left out", "no distances"]),
        (("trainB",), ["AtoB", "BtoA"], {"translated", "no_translation"}, ["no distance between"]),
    ],
)
@pytest.mark.parametrize("paired", [False, True])
def test_one_side_of_a_data_set_is_enough_for_one_direction(
    removed: tuple[str, ...],
    directions: list[str],
    distances: set[str] | None,
    messages: list[str],
    paired: bool,
    dataset: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("cgt.trainer.evaluation.evaluate._open_extractors", lambda *_: [MEAN_COLOR])
    for name in {"testA", "testB", "trainA", "trainB"} - set(removed):
        shutil.copytree(dataset / name, tmp_path / name)
    lines: list[str] = []
    subject = inverting_subject("AtoB", "BtoA", paired=paired)
    report, rows = evaluate(subject, tmp_path, log=lines.append)
    assert list(report["directions"]) == list(rows) == directions
    values = report["directions"][directions[0]]
    assert values["cycle"]["psnr"] == MAX_PSNR_DB
    assert values["distances"].get("mean", {}).keys() == (distances or set())
    assert ("paired" in values) == (paired and len(directions) == 2)
    for message in messages:
        assert message in "\n".join(lines)


def test_a_direction_without_its_images_is_named(dataset: Path, tmp_path: Path) -> None:
    shutil.copytree(dataset / "testA", tmp_path / "testA")
    with pytest.raises(DataError, match="testB is missing; BtoA translates"):
        evaluate(inverting_subject("BtoA"), tmp_path)
    with pytest.raises(DataError, match=r"testA and .*testB are missing; AtoB and BtoA"):
        evaluate(inverting_subject("AtoB", "BtoA"), tmp_path / "none")


def test_class_shares_without_images_of_the_target() -> None:
    values = {"imagenet_class": {"class": 340, "net": {"translated": 0.5, "no_translation": 0.0}}}
    table = _result_table("t", {"images": 2, "distances": {}} | values)
    assert [list(column.cells) for column in table.columns][1:] == [["50%"], ["0%"], ["-"]]
