"""Export of checkpoints to ONNX: metadata, precision, comparison with PyTorch, errors."""

from __future__ import annotations

import copy
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch

from cgt.export import export
from cgt.export.config import ExportConfig
from cgt.export.graph.reduced_precision import ReducedPrecision
from cgt.export.graph.trace import trace
from cgt.export.quantization.sample_images import ImageSet, make_resize_fn, sample_images
from cgt.export.verify.parity import measure_parity
from cgt.export.verify.precision import count_layer_precisions, verify_precision
from cgt.runtime.errors import CheckpointError, QualityError, SinkError, UsageError
from cgt.runtime.image.metrics import psnr_from_mse
from cgt.runtime.models.metadata import ModelMetadata, read_metadata
from cgt.trainer.checkpoint import load_checkpoint
from cgt.trainer.data.synthetic import dead_leaves
from cgt.trainer.networks import ResnetGenerator, init_weights
from cgt.trainer.networks.config import GeneratorConfig
from conftest import run_cgt


def network(**changes: object) -> ResnetGenerator:
    torch.manual_seed(0)
    generator = ResnetGenerator(GeneratorConfig("resnet2", 8, **changes))
    init_weights(generator)
    return generator.eval()


@pytest.mark.parametrize("direction", ["AtoB", "BtoA"])
def test_export_describes_and_compares(run_folder: Path, tmp_path: Path, direction: str) -> None:
    out = tmp_path / "model.onnx"
    done = run_cgt(
        "export", "--ckpt", run_folder / "latest.pth", "--direction", direction, "-o", out
    )
    assert done.returncode == 0, done.stderr
    assert "PSNR" in done.stdout
    assert "max error" in done.stdout
    onnx.checker.check_model(out, full_check=True)
    artifact = read_metadata(out)
    domains = ("ramp", "noise") if direction == "AtoB" else ("noise", "ramp")
    assert (artifact.source_domain, artifact.target_domain) == domains
    assert (artifact.precision, artifact.size, artifact.dynamic) == ("fp32", (32, 32), True)
    checkpoint = load_checkpoint(run_folder / "latest.pth")
    assert artifact.checkpoint_sha256 == checkpoint.sha256()
    assert artifact.parity["psnr_worst_db"] > 80
    generator = checkpoint.load_generator(direction)  # the right one of the two
    noise = np.random.default_rng(5).integers(0, 256, (36, 44, 3)).astype(np.uint8)
    assert measure_parity(out, generator, ImageSet((noise,), "noise"), artifact).psnr_db > 100


@pytest.mark.slow
def test_fp16_is_fp16_in_the_graph(run_folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "half.onnx"
    done = run_cgt("export", "--ckpt", run_folder / "latest.pth", "--fp16", "-o", out)
    assert done.returncode == 0, done.stderr
    model = onnx.load(out)
    counts = count_layer_precisions(model)
    assert counts == {
        "Conv": {"fp16": 6},
        "ConvTranspose": {"fp16": 2},
        "ReduceMean": {"fp32": 14},
    }
    halves = [w for w in model.graph.initializer if w.data_type == onnx.TensorProto.FLOAT16]
    assert (
        sum(onnx.numpy_helper.to_array(w).size for w in halves)
        > 0.9 * read_metadata(out).parameters
    )
    assert read_metadata(out).precision == "fp16"
    assert read_metadata(out).parity["psnr_worst_db"] > 50


def test_convolution_in_another_precision_is_detected() -> None:
    half = trace(ReducedPrecision(network()))
    assert verify_precision(half, ExportConfig("fp16"))["Conv"] == {"fp16": 8}
    with pytest.raises(QualityError, match=r"model\.1 \(Conv\) is fp16 instead of fp32"):
        verify_precision(half, ExportConfig())
    with pytest.raises(QualityError, match="instead of int8"):
        verify_precision(half, ExportConfig("int8", "fp16"))
    name = next(node for node in half.graph.node if node.op_type == "Conv").input[1]
    weights = next(w for w in half.graph.initializer if w.name == name)
    fp32_weights = onnx.numpy_helper.to_array(weights).astype(np.float32)
    weights.CopyFrom(onnx.numpy_helper.from_array(fp32_weights, name))
    with pytest.raises(QualityError, match=r"model\.1 \(Conv\) is fp32"):
        verify_precision(half, ExportConfig("fp16"))


@pytest.mark.slow
@pytest.mark.parametrize(
    "changes", [{}, {"norm": "none", "learn_residual": True, "upsampling": "resize"}]
)
@pytest.mark.parametrize("engine", ["openvino", "onnxruntime"])
@pytest.mark.parametrize("half", [False, True])
def test_graphs_agree_with_pytorch_at_any_size(
    tmp_path: Path, changes: dict[str, object], engine: str, half: bool
) -> None:
    from cgt.runtime.engines import BatchShape, open_engine

    original = network(**changes)
    path = tmp_path / "g.onnx"
    onnx.save(trace(ReducedPrecision(copy.deepcopy(original)) if half else original), path)
    for shape in ((1, 3, 32, 32), (1, 3, 64, 100), (2, 3, 40, 20)):
        batch = np.random.default_rng(0).uniform(-1, 1, shape).astype(np.float32)
        out = np.zeros_like(batch)
        with open_engine(path, BatchShape(*shape), engine, precision="fp32") as runner:
            runner.infer(batch, out)
        with torch.no_grad():
            expected = original(torch.from_numpy(batch)).numpy()
        assert psnr_from_mse(float(np.mean((out - expected) ** 2)), data_range=2) > (
            55 if half else 100
        )


def test_export_is_deterministic(run_folder: Path, tmp_path: Path) -> None:
    first, _ = export(run_folder / "latest.pth", tmp_path / "a.onnx")
    second, _ = export(run_folder / "latest.pth", tmp_path / "b.onnx")
    assert first.read_bytes() == second.read_bytes()
    assert str(Path.home()).encode() not in first.read_bytes()


@pytest.mark.slow
def test_calibrated_export_is_deterministic(run_folder: Path, images: Path, tmp_path: Path) -> None:
    """The processes order sets differently."""
    from cgt.runtime.image.files import encode_image
    from conftest import make_image

    for index in range(10):
        (images / f"{index}.png").write_bytes(encode_image(make_image(index, 32, 32), ".png"))
    exported = []
    for seed in ("1", "2"):
        exported.append(tmp_path / f"{seed}.onnx")
        done = run_cgt(
            *("export", "--ckpt", run_folder / "latest.pth", "--int8", "--fp16", "--io", "uint8"),
            *("--calib", images, "--calib-frames", 8, "--min-psnr", 1, "-o", exported[-1]),
            env={"PATH": "/usr/bin", "PYTHONHASHSEED": seed},
        )
        assert done.returncode == 0, done.stderr
    assert exported[0].read_bytes() == exported[1].read_bytes()


def test_below_the_floor_no_file_is_left(run_folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "model.onnx"
    done = run_cgt(
        "export", "--ckpt", run_folder / "latest.pth", "--fp16", "--min-psnr", 150, "-o", out
    )
    assert done.returncode == 4
    assert "below the floor of 150.0" in done.stderr
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
def test_eval_images_are_compared(run_folder: Path, tmp_path: Path) -> None:
    from cgt.runtime.image.files import encode_image
    from conftest import make_image

    photos, out = tmp_path / "photos", tmp_path / "m.onnx"
    photos.mkdir()
    args = ("export", "--ckpt", run_folder / "latest.pth", "--eval-images", photos, "-o", out)
    done = run_cgt(*args)
    assert done.returncode == 1
    assert done.stderr == f"cgt: --eval-images {photos} has no readable image\n"
    assert not out.exists()
    for index in range(3):
        (photos / f"{index}.png").write_bytes(encode_image(make_image(index, 40, 32), ".png"))
    done = run_cgt(*args)
    assert done.returncode == 0, done.stderr
    assert f"on 3 images of {photos}" in done.stdout
    assert read_metadata(out).parity["frames"] == 3


def test_bad_requests(run_folder: Path, tmp_path: Path) -> None:
    good = run_folder / "latest.pth"
    with pytest.raises(UsageError, match=r"must end in \.onnx"):
        export(good, tmp_path / "model.engine")
    with pytest.raises(SinkError, match="is missing"):
        export(good, tmp_path / "none" / "model.onnx")
    with pytest.raises(CheckpointError, match="missing"):
        export(tmp_path / "none.pth")


def test_dead_leaves_have_the_spectrum_of_photos(cgt_data: Path) -> None:
    """The power spectrum falls as that of photos does, by about 1/f^2."""

    def slope(image: np.ndarray) -> float:
        gray = image.astype(float).mean(-1)
        window = np.hanning(gray.shape[0])[:, None] * np.hanning(gray.shape[1])
        power = np.abs(np.fft.fft2((gray - gray.mean()) * window)) ** 2
        f = np.hypot(*np.meshgrid(np.fft.fftfreq(256), np.fft.fftfreq(256)))
        bands = [(0.02, 0.04), (0.04, 0.08), (0.08, 0.16), (0.16, 0.32)]
        means = [np.log(power[(f >= lo) & (f < hi)].mean()) for lo, hi in bands]
        return float(np.polyfit(np.log([lo for lo, _ in bands]), means, 1)[0])

    from cgt.runtime.image.files import list_images, read_image

    photos = list_images(cgt_data / "monet2photo" / "testB")[:20]
    real = [slope(read_image(path)) for path in photos]
    synthetic = [slope(dead_leaves((256, 256), np.random.default_rng(i))) for i in range(8)]
    assert min(real) < np.mean(synthetic) < max(real)


def test_sample_images_prefer_the_data_set(dataset: Path, tmp_path: Path) -> None:
    resize_fn = make_resize_fn(ModelMetadata(size=(32, 32), dynamic=True, multiple=4))
    image_set = sample_images(dataset / "testA", resize_fn, (32, 32))
    assert len(image_set.images) == 2
    assert "testA" in image_set.origin
    image_set = sample_images(tmp_path, resize_fn, (32, 40))
    assert "synthetic" in image_set.origin
    assert {image.shape for image in image_set.images} == {(32, 40, 3)}
    assert all(image.dtype == np.uint8 for image in image_set.images)


def test_psnr() -> None:
    assert psnr_from_mse(4.0, data_range=2) == 0
    assert psnr_from_mse(4e-6, data_range=2) == pytest.approx(60)
    assert psnr_from_mse(float("nan"), data_range=2) == 0


def test_the_method_of_upsampling_is_recorded(run_folder: Path, tmp_path: Path) -> None:
    path = tmp_path / "m.onnx"
    flags = ("--ckpt", run_folder / "latest.pth", "--upsampling", "detail", "-o", path)
    done = run_cgt("export", *flags)
    assert done.returncode == 0, done.stderr
    assert read_metadata(path).upsampling == "detail"
