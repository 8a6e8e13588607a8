"""Models of gray images, RGB, and RGB with alpha, from frames to files."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np
import pytest
from support.third_party import CHANNEL_KERNELS, write_channel_model

from cgt.runtime import Translator
from cgt.runtime.api import TranslateOptions, translate, translate_file
from cgt.runtime.batch.run import BatchOptions, run_batch
from cgt.runtime.image.channels import convert_channels, to_rgb
from cgt.runtime.image.files import encode_image, read_image
from cgt.runtime.models.metadata import read_metadata
from cgt.runtime.sinks import TranslatedFrame
from cgt.runtime.sources import Frame
from cgt.trainer.data.folders import ImageFolder
from conftest import run_cgt

ENGINES = ("openvino", "onnxruntime")
MAX_ERROR = 2  # levels; bf16 rounds


def colorful_image(channels: int = 3, height: int = 64, width: int = 96) -> np.ndarray:
    y, x = np.mgrid[:height, :width]
    planes = (x * 255 // (width - 1), y * 255 // (height - 1), (x + y) % 256, 255 - 2 * y)
    return np.stack(planes, -1).astype(np.uint8)[..., :channels]


def expected_output(image: np.ndarray, channels: tuple[int, int]) -> np.ndarray:
    """Return the translation of an image by a model of `write_model`."""
    given = convert_channels(image, channels[0])
    return given @ CHANNEL_KERNELS[channels].T


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("channels", list(CHANNEL_KERNELS))
def test_translator_converts_channels(
    engine: str, channels: tuple[int, int], tmp_path: Path
) -> None:
    model = write_channel_model(tmp_path / "a.onnx", channels)
    metadata = read_metadata(model)
    assert (metadata.in_channels, metadata.out_channels) == channels
    images = {3: colorful_image(), channels[0]: colorful_image(channels[0])}
    for settings in ({}, {"tile": 32}, {"batch": 2}, {"deflicker": 0.5}, {"output_size": (32, 48)}):
        with Translator(model, engine=engine, size="source", **settings) as translator:  # type: ignore[arg-type]
            for image in images.values():
                translated = translator(image)
                assert translated.shape[2] == channels[1]
                if not settings.keys() & {"output_size", "deflicker"}:
                    difference = translated - expected_output(image, channels)
                    assert np.abs(difference).max() <= MAX_ERROR


def test_gray_is_the_same_in_training_and_translation(tmp_path: Path) -> None:
    image = colorful_image()
    trained = ImageFolder(tmp_path, (), channels=1).convert(image)
    model = write_channel_model(tmp_path / "a.onnx", (1, 1))
    with Translator(model, engine="onnxruntime", size="source") as translator:
        assert np.array_equal(translator(image), trained)
    luma = image @ [0.299, 0.587, 0.114]  # BT.601
    assert np.abs(trained[..., 0] - luma).max() <= 1


def test_conversions_between_channels() -> None:
    gray, rgb, rgba = (colorful_image(count) for count in (1, 3, 4))
    assert np.array_equal(convert_channels(gray, 3), gray.repeat(3, axis=2))
    assert np.array_equal(convert_channels(gray, 4)[..., 3], np.full((64, 96), 255))
    assert np.array_equal(convert_channels(rgb, 4)[..., :3], rgb)
    assert np.array_equal(convert_channels(rgba, 3), rgb)
    assert np.array_equal(convert_channels(rgba, 1), convert_channels(rgb, 1))
    assert to_rgb(rgb) is rgb
    weight = rgba[..., 3:] / 255
    on_blue = rgb * weight + np.array([0, 0, 255]) * (1 - weight)
    assert np.abs(to_rgb(rgba, (0, 0, 255)) - on_blue).max() <= 0.5


@pytest.fixture
def transparent_png(tmp_path: Path) -> Path:
    path, rgba = tmp_path / "in.png", colorful_image(4)
    data = encode_image(np.ascontiguousarray(rgba[..., :3]), ".png", rgba[..., 3])
    assert data is not None
    path.write_bytes(data)
    return path


def translate_to(source: Path, target: Path, model: Path, **options: object) -> np.ndarray:
    """Translate an image and return what the file has, uint8 HW or HWC, RGB first."""
    settings = {"model": model, "engine": "onnxruntime", "size": "source"} | options
    translate_file(source, target, **settings)
    decoded = cv2.imread(str(target), cv2.IMREAD_UNCHANGED)
    assert decoded is not None
    return decoded if decoded.ndim == 2 else decoded[..., [2, 1, 0, 3][: decoded.shape[2]]]


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".webp", ".tif", ".bmp"])
def test_gray_output_is_a_gray_file(suffix: str, tmp_path: Path, transparent_png: Path) -> None:
    model = write_channel_model(tmp_path / "a.onnx", (3, 1))
    written = translate_to(transparent_png, tmp_path / f"out{suffix}", model, background="black")
    if suffix != ".webp":  # it has no gray
        assert written.ndim == 2
    green = to_rgb(colorful_image(4), (0, 0, 0))[..., 1]
    gray = written if written.ndim == 2 else written[..., 0]
    assert np.abs(gray.astype(int) - green).mean() <= MAX_ERROR
    if suffix == ".png":
        kept = translate_to(transparent_png, tmp_path / "kept.png", model, keep_alpha=True)
        assert np.array_equal(kept[..., 3], colorful_image(4)[..., 3])


def test_a_model_with_alpha_gets_and_gives_alpha(tmp_path: Path, transparent_png: Path) -> None:
    model, rgba = write_channel_model(tmp_path / "a.onnx", (4, 4)), colorful_image(4)
    written = translate_to(transparent_png, tmp_path / "out.png", model)
    assert np.abs(written.astype(int) - rgba).max() <= MAX_ERROR
    flat = translate_to(transparent_png, tmp_path / "out.bmp", model, background="blue")
    assert np.abs(flat.astype(int) - to_rgb(rgba, (0, 0, 255))).max() <= MAX_ERROR
    # The hidden colors reach the network, not their composite.
    alpha = translate_to(
        transparent_png, tmp_path / "b.png", write_channel_model(tmp_path / "b.onnx", (4, 3))
    )
    assert np.abs(alpha.astype(int) - rgba[..., 3:]).max() <= MAX_ERROR


def test_frames_without_alpha_are_opaque() -> None:
    frame = Frame(colorful_image(), Fraction(0))
    assert frame.pixels(4) is frame.image
    assert TranslatedFrame(frame, colorful_image(1)).image.shape == (64, 96, 3)


def read_planes(path: Path) -> list[np.ndarray]:
    """Return Y, U and V of the first frame of a video."""
    with av.open(str(path)) as container:
        frame = next(container.decode(video=0))
        return [
            np.frombuffer(plane, np.uint8).reshape(plane.height, plane.line_size)[:, : plane.width]
            for plane in frame.planes
        ]


@pytest.mark.parametrize("channels", [(1, 1), (3, 1), (1, 3), (4, 4), (3, 4)])
def test_videos_of_any_channels(channels: tuple[int, int], clip: Path, tmp_path: Path) -> None:
    model = write_channel_model(tmp_path / "a.onnx", channels)
    chosen = {"model": model, "engine": "onnxruntime", "frames": 3}
    target = tmp_path / "out.mp4"
    translate_file(clip, target, **chosen)
    if 1 in channels:
        _, *chroma = read_planes(target)
        assert all(np.abs(plane.astype(int) - 128).max() <= 1 for plane in chroma)
    for name, options in (
        ("side.mp4", {"view": "side-by-side"}),
        ("split.mp4", {"view": "split"}),
        ("calm.mp4", {"deflicker": 0.8}),
        ("tiles.mp4", {"tile": 32}),
        ("frames", {"batch": 2}),
    ):
        translate_file(clip, tmp_path / name, **chosen, **options)
        assert (tmp_path / name).exists()
    for frame in translate(clip, **chosen):
        assert frame.shape[2] == 3
    options = TranslateOptions(**chosen)  # type: ignore[arg-type]
    run_batch(BatchOptions((str(clip),), str(tmp_path / "batch"), 1, None, False), options)
    assert (tmp_path / "batch" / clip.name).is_file()


def test_bench_runs_any_channels(tmp_path: Path) -> None:
    for channels in ((1, 1), (4, 3)):
        model = write_channel_model(tmp_path / "a.onnx", channels)
        done = run_cgt(
            "bench", "--model", model, "--engine", "onnxruntime", "--seconds", "0.1", "--size", "64"
        )
        assert done.returncode == 0, done.stderr


def test_gray_file_reads_back(tmp_path: Path, transparent_png: Path) -> None:
    model = write_channel_model(tmp_path / "a.onnx", (1, 1))
    target = tmp_path / "out.png"
    translate_to(transparent_png, target, model)
    read = read_image(target)
    assert read is not None
    assert np.array_equal(read[..., 0], read[..., 2])
