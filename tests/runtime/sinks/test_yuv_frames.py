"""Frames in YUV: written to encoders without conversion, the same bytes as from RGB."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from cgt.runtime.api import translate_file
from cgt.runtime.image.preprocess import U8, YUV, to_yuv
from cgt.runtime.image.validation import YUVFormat
from cgt.runtime.inference.translator import Translator
from cgt.runtime.sinks import StreamFormat, TranslatedFrame, open_sink, open_sinks
from cgt.runtime.sinks.codecs import CODECS, CodecSettings
from cgt.runtime.sinks.encoder import VideoEncoder
from cgt.runtime.sources import ColorSpace, Frame
from cgt.runtime.sources import base as sources_base

RAW = CodecSettings("rawvideo", {})
FORMATS = [YUVFormat("bt601"), YUVFormat("bt709"), YUVFormat("bt601", True)]
SIZES = [(64, 48), (50, 38), (63, 49), (1, 1), (2, 3)]  # (height, width)
COLOR_SPACES = {"bt601": ColorSpace(6, 6, 6), "bt709": ColorSpace()}
KR_KB = {"bt601": (0.299, 0.114), "bt709": (0.2126, 0.0722)}


def random_image(size: tuple[int, int], seed: int = 0) -> U8:
    return np.random.default_rng(seed).integers(0, 256, (*size, 3), np.uint8)


def stream_format(size: tuple[int, int], color_space: ColorSpace | None = None) -> StreamFormat:
    return StreamFormat(size, Fraction(25), Fraction(1, 25), color_space=color_space)


def result(pixels: U8 | YUV, index: int = 0) -> TranslatedFrame:
    image = np.zeros((2, 2, 3), np.uint8)
    return TranslatedFrame(Frame(image, Fraction(index, 25)), pixels)


def color_space(format: YUVFormat) -> ColorSpace:
    return replace(COLOR_SPACES[format.matrix], full_range=format.full_range)


def encode(
    frames: list[TranslatedFrame], stream: StreamFormat, codec: CodecSettings = RAW
) -> list[bytes]:
    encoder = VideoEncoder(stream, codec)
    packets = [packet for frame in frames for packet in encoder.encode(frame)]
    return [bytes(packet) for packet in packets + encoder.flush()]


def split_planes(data: bytes, size: tuple[int, int]) -> list[U8]:
    """Return the planes of a raw frame."""
    height, width = (side + side % 2 for side in size)
    pixels = np.frombuffer(data, np.uint8)
    chroma = pixels[height * width :].reshape(2, height // 2, width // 2)
    return [pixels[: height * width].reshape(height, width), *chroma]


def reference_planes(image: U8, format: YUVFormat) -> list[np.ndarray]:
    """Convert in float64; chroma is the mean of 2x2 pixels, the last row and column repeated."""
    height, width = image.shape[:2]
    padded = np.pad(image, ((0, height % 2), (0, width % 2), (0, 0)), mode="edge") / 255
    kr, kb = KR_KB[format.matrix]
    luma = padded @ (kr, 1 - kr - kb, kb)
    blocks = padded.reshape(padded.shape[0] // 2, 2, padded.shape[1] // 2, 2, 3).mean((1, 3))
    block_luma = blocks @ (kr, 1 - kr - kb, kb)
    u = (blocks[..., 2] - block_luma) / (2 * (1 - kb))
    v = (blocks[..., 0] - block_luma) / (2 * (1 - kr))
    if format.full_range:
        return [luma * 255, u * 255 + 128, v * 255 + 128]
    return [luma * 219 + 16, u * 224 + 128, v * 224 + 128]


@pytest.mark.parametrize("format", FORMATS)
@pytest.mark.parametrize("size", SIZES)
def test_encoders_get_exact_colors_from_both_forms(
    size: tuple[int, int], format: YUVFormat
) -> None:
    image = random_image(size)
    stream = stream_format(size, color_space(format))
    yuv = to_yuv(image, matrix=format.matrix, full_range=format.full_range)
    from_rgb, from_yuv = encode([result(image)], stream), encode([result(yuv)], stream)
    assert from_rgb == from_yuv
    for plane, expected in zip(
        split_planes(from_yuv[0], size), reference_planes(image, format), strict=True
    ):
        assert np.abs(plane - np.clip(expected, 0, 255)).max() <= 0.7  # 0.5 is rounding


@pytest.mark.parametrize("codec", [name for name in CODECS if name != "prores"])
@pytest.mark.parametrize("height", [64, 66])
def test_every_codec_accepts_planes_without_a_copy(codec: str, height: int, tmp_path: Path) -> None:
    """The encoder must not use a buffer after its frame: each frame has another one."""
    stream = stream_format((height, 64))
    images = [np.full((height, 64, 3), 20 * i, np.uint8) for i in range(10)]
    paths = tmp_path / "rgb.mp4", tmp_path / "yuv.mp4"
    for path, as_yuv in zip(paths, (False, True), strict=True):
        with open_sink(str(path), stream, codec) as sink:
            assert sink.yuv_format == YUVFormat("bt601")
            for index, image in enumerate(images):
                sink.write(result(to_yuv(image) if as_yuv else image, index))
            sink.finish()
    assert paths[0].read_bytes() == paths[1].read_bytes()


def test_sinks_ask_for_yuv_only_where_it_saves_a_conversion(tmp_path: Path) -> None:
    hd = stream_format((64, 48), ColorSpace())
    sd = stream_format((64, 48))
    for uri, stream, view, expected in (
        ("a.mp4", hd, "translated", YUVFormat("bt709")),
        ("b.mkv", sd, "translated", YUVFormat("bt601")),
        ("c.mp4", replace(hd, color_space=ColorSpace(9, 9, 1)), "translated", None),
        ("d.mp4", hd, "split", None),
        ("e.png", hd, "translated", None),
        ("null:", hd, "translated", None),
    ):
        with open_sink(str(tmp_path / uri) if ":" not in uri else uri, stream, view=view) as sink:
            assert sink.yuv_format == expected, uri
    with open_sink(str(tmp_path / "f.mov"), hd, "prores") as sink:
        assert sink.yuv_format is None
    two = [str(tmp_path / "g.mp4"), str(tmp_path / "h.mkv")]
    with open_sinks(two, hd) as sink:
        assert sink.yuv_format == YUVFormat("bt709")
    with open_sinks([*two, str(tmp_path / "i.png")], hd) as sink:
        assert sink.yuv_format is None


def test_the_image_of_a_yuv_result_is_rgb() -> None:
    image = np.full((6, 8, 3), (200, 41, 90), np.uint8)
    frame = result(to_yuv(image, matrix="bt709"))
    assert np.abs(frame.image.astype(int) - image).max() <= 2
    assert frame.image is frame.image
    again = frame.to_yuv(YUVFormat("bt601"))
    assert again.matrix == "bt601"
    assert frame.to_yuv(YUVFormat("bt709")) is frame.pixels


@pytest.mark.parametrize("output_size", [None, (50, 38)])
def test_translations_in_yuv_are_those_in_rgb(
    tiny_model: Path, output_size: tuple[int, int] | None
) -> None:
    images = [random_image((64, 48), seed) for seed in range(2)]
    with Translator(
        tiny_model, size=(32, 32), frame_size=(64, 48), batch=2, output_size=output_size
    ) as translator:
        rgb, _ = translator.translate_batch(images)
        yuv, _ = translator.translate_batch(images, YUVFormat("bt709"))
        again, _ = translator.translate_batch([to_yuv(image) for image in images])
    for image, planes in zip(rgb, yuv, strict=True):
        expected = to_yuv(image, matrix="bt709")
        assert isinstance(planes, YUV)
        assert planes.buffer is not None
        for plane in ("y", "u", "v"):
            np.testing.assert_array_equal(getattr(planes, plane), getattr(expected, plane))
    assert again[0].shape == rgb[0].shape


def test_a_video_is_translated_without_an_rgb_frame(
    clip: Path, tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(self: object) -> None:
        raise AssertionError("converted to RGB")

    monkeypatch.setattr(sources_base.Frame, "image", property(fail))
    monkeypatch.setattr(TranslatedFrame, "image", property(fail))
    report = translate_file(clip, tmp_path / "out.mp4", model=tiny_model, size=(32, 32))
    assert report.stats.frames > 0
    with pytest.raises(AssertionError, match="converted to RGB"):
        translate_file(clip, tmp_path / "split.mp4", model=tiny_model, size=32, view="split")


def test_flow_deflicker_is_upsampled_to_yuv(clip: Path, tiny_model: Path, tmp_path: Path) -> None:
    kinds = set()
    translate_file(
        clip,
        tmp_path / "out.mp4",
        model=tiny_model,
        size=(32, 32),
        deflicker=0.5,
        on_frame=lambda frame: kinds.add(type(frame.pixels)),
    )
    assert kinds == {YUV}
