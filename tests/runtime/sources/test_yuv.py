"""Frames in the decoder's YUV planes: which frames have them, and their exact colors."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from cgt.runtime.image.preprocess import U8, YUV, pack
from cgt.runtime.sources import Frame, open_source
from cgt.runtime.sources.frame_convert import has_yuv_planes, to_rgb, yuv_planes

BT709, SMPTE170M, BT470BG, UNSPECIFIED, BT2020 = 1, 6, 5, 2, 9  # H.273
PQ = 16
KR_KB = {"bt601": (0.299, 0.114), "bt709": (0.2126, 0.0722)}
SIZES = [(96, 160), (95, 161), (50, 38), (1, 1), (720, 1280)]


def random_planes(size: tuple[int, int], seed: int = 0) -> tuple[U8, U8, U8]:
    random = np.random.default_rng(seed)
    half = ((size[0] + 1) // 2, (size[1] + 1) // 2)
    y = random.integers(16, 236, size, np.uint8)
    u, v = (random.integers(96, 160, half, np.uint8) for _ in range(2))
    return y, u, v


def make_frame(
    planes: tuple[U8, U8, U8], format: str = "yuv420p", matrix: int = UNSPECIFIED, range: int = 0
) -> av.VideoFrame:
    y, u, v = planes
    frame = av.VideoFrame(y.shape[1], y.shape[0], format)
    sources = [y, np.stack((u, v), 2).reshape(u.shape[0], -1)] if format == "nv12" else [y, u, v]
    for plane, source in zip(frame.planes, sources, strict=True):
        rows = np.frombuffer(memoryview(plane), np.uint8).reshape(-1, plane.line_size)
        rows[: source.shape[0], : source.shape[1]] = source
    frame.colorspace, frame.color_range = matrix, range
    return frame


def reference_rgb(planes: tuple[U8, U8, U8], matrix: str, full_range: bool) -> np.ndarray:
    """Convert by the equations of BT.601 and BT.709 in float64; chroma belongs to 2x2 blocks."""
    height, width = planes[0].shape
    y, u, v = (
        plane if i == 0 else plane.repeat(2, 0).repeat(2, 1)[:height, :width]
        for i, plane in enumerate(plane.astype(np.float64) for plane in planes)
    )
    y, u, v = (
        (y / 255, (u - 128) / 255, (v - 128) / 255)
        if full_range
        else ((y - 16) / 219, (u - 128) / 224, (v - 128) / 224)
    )
    kr, kb = KR_KB[matrix]
    red, blue = y + 2 * (1 - kr) * v, y + 2 * (1 - kb) * u
    green = (y - kr * red - kb * blue) / (1 - kr - kb)
    return np.clip(np.stack((red, green, blue), 2) * 255, 0, 255)


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize(
    ("format", "tag", "range", "matrix", "full_range"),
    [
        ("yuv420p", BT709, 1, "bt709", False),
        ("yuv420p", SMPTE170M, 0, "bt601", False),
        ("nv12", BT470BG, 2, "bt601", True),
        ("nv12", BT709, 1, "bt709", False),
        ("yuvj420p", SMPTE170M, 0, "bt601", True),
        ("yuv420p", UNSPECIFIED, 0, None, False),
    ],
)
def test_rgb_is_exact(
    size: tuple[int, int], format: str, tag: int, range: int, matrix: str | None, full_range: bool
) -> None:
    planes = random_planes(size)
    frame = make_frame(planes, format, tag, range)
    assert has_yuv_planes(frame)
    matrix = matrix or ("bt709" if size == (720, 1280) else "bt601")  # untagged, by its size
    yuv = yuv_planes(frame)
    assert (yuv.matrix, yuv.full_range) == (matrix, full_range)
    np.testing.assert_array_equal(yuv.y, planes[0])
    error = to_rgb(frame) - reference_rgb(planes, matrix, full_range)
    assert np.abs(error).max() <= 0.6  # 0.5 is rounding; FFmpeg is up to 3 levels off


@pytest.mark.parametrize(
    ("format", "matrix", "transfer"),
    [
        ("yuv422p", BT709, BT709),
        ("yuv444p", BT709, BT709),
        ("yuv420p10le", BT709, BT709),
        ("yuva420p", BT709, BT709),
        ("gray", BT709, BT709),
        ("rgb24", UNSPECIFIED, UNSPECIFIED),
        ("yuv420p", BT2020, BT709),
        ("yuv420p", 4, BT709),
        ("yuv420p", BT709, PQ),
    ],
)
def test_other_frames_are_converted_by_ffmpeg(format: str, matrix: int, transfer: int) -> None:
    frame = av.VideoFrame(64, 64, format)
    frame.colorspace, frame.color_trc = matrix, transfer
    assert not has_yuv_planes(frame)


def write_h264(path: Path, images: list[av.VideoFrame], **options: str) -> None:
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=25, options={"qp": "0", **options})
        stream.width, stream.height, stream.pix_fmt = images[0].width, images[0].height, "yuv420p"
        for index, image in enumerate(images):
            image.pts, image.time_base = index, Fraction(1, 25)
            container.mux(stream.encode(image))
        container.mux(stream.encode(None))


def read_frames(path: Path) -> list[Frame]:
    with open_source(str(path)) as source:
        return [item for item in source if isinstance(item, Frame)]


def test_cropped_frames_are_used_in_place(tmp_path: Path) -> None:
    """H.264 codes 50x38 as 64x48; the decoder crops by an offset into its planes."""
    path = tmp_path / "cropped.mp4"
    planes = [random_planes((38, 50), seed) for seed in range(3)]
    write_h264(path, [make_frame(each) for each in planes])
    for frame, (y, u, v) in zip(read_frames(path), planes, strict=True):
        yuv = frame.pixels
        assert isinstance(yuv, YUV)
        assert yuv.v is not None
        for plane, expected in ((yuv.y, y), (yuv.u, u), (yuv.v, v)):
            np.testing.assert_array_equal(plane, expected)
        assert frame.alpha is None


def test_planes_outlive_the_decoder(tmp_path: Path) -> None:
    path = tmp_path / "long.mp4"
    planes = [random_planes((64, 64), seed) for seed in range(60)]
    write_h264(path, [make_frame(each) for each in planes], g="10")
    yuvs = [frame.pixels for frame in read_frames(path)]
    for yuv, (y, *_) in zip(yuvs, planes, strict=True):
        assert isinstance(yuv, YUV)
        np.testing.assert_array_equal(yuv.y, y)


def test_both_forms_of_a_frame_give_the_same_tensor(tmp_path: Path) -> None:
    path = tmp_path / "smooth.mp4"
    y, x = np.mgrid[:96, :160]
    planes = ((40 + x + y // 3).astype(np.uint8), *random_planes((96, 160))[1:])
    write_h264(path, [make_frame(planes)])
    (frame,) = read_frames(path)
    assert isinstance(frame.pixels, YUV)
    # The RGB image is rounded to levels before it is resized; a tensor has 127.5 of them per unit.
    difference = pack(frame.pixels, (48, 80)) - pack(frame.image, (48, 80))
    assert np.abs(difference).max() <= 0.6 / 127.5


def test_interlaced_frames_have_the_planes_of_the_filter(tmp_path: Path) -> None:
    path = tmp_path / "interlaced.mp4"
    frames = [make_frame(random_planes((96, 160), seed)) for seed in range(4)]
    write_h264(path, frames, x264opts="interlaced=1", flags="+ildct")
    for frame in read_frames(path):
        yuv = frame.pixels
        assert isinstance(yuv, YUV)
        expected = reference_rgb((yuv.y, yuv.u, yuv.v), "bt601", False)  # type: ignore[arg-type]
        assert np.abs(frame.image - expected).max() <= 0.6


def test_rotated_and_letterboxed_frames_are_rgb(tmp_path: Path) -> None:
    path = tmp_path / "sizes.ts"
    write_h264(path, [make_frame(random_planes((96, 160)))])
    other = tmp_path / "other.ts"
    write_h264(other, [make_frame(random_planes((160, 96)))])
    path.write_bytes(path.read_bytes() + other.read_bytes())
    first, second = read_frames(path)
    assert isinstance(first.pixels, YUV)
    assert isinstance(second.pixels, np.ndarray)
    assert second.pixels.shape == first.pixels.shape == (96, 160, 3)


def test_a_frame_without_planes_returns_its_image() -> None:
    image = np.zeros((4, 6, 3), np.uint8)
    assert Frame(image, Fraction(0)).pixels is image
