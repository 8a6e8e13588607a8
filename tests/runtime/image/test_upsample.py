"""Guided upsampling, compared with the formulas of the papers in float64."""

from __future__ import annotations

import tracemalloc
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

import cgt.runtime
from cgt.runtime.errors import UsageError
from cgt.runtime.image.preprocess import COLOR_MATRICES, U8, YUV, ColorMatrix, pack, resize, to_yuv
from cgt.runtime.image.upsample import GuidanceMethod, Upsampler, upsample_guided
from conftest import make_image

F64 = NDArray[np.float64]

# ---- The reference -------------------------------------------------------------------------------


def box_mean(values: F64, radius: int) -> F64:
    """Return the mean over square windows, clipped at the borders; the first two axes are y, x."""
    for axis in (0, 1):
        values = np.moveaxis(values, axis, 0)
        count = len(values)
        sums = np.concatenate([np.zeros((1, *values.shape[1:])), np.cumsum(values, 0)])
        first = np.maximum(np.arange(count) - radius, 0)
        end = np.minimum(np.arange(count) + radius + 1, count)
        area = (end - first).reshape(-1, *[1] * (values.ndim - 1))
        values = np.moveaxis((sums[end] - sums[first]) / area, 0, axis)
    return values


def coefficients(
    guide: F64, output: F64, method: str, radius: int, eps: F64, detail: float
) -> tuple[F64, F64]:
    """Return A (y, x, output, input) and b (y, x, output). `eps` is a matrix; levels are 0..255.

    He, Sun & Tang 2013: equations 19 (the color guide's a), 15 (b) and 16 (their means).
    """
    if method == "detail":
        slopes = np.broadcast_to(np.eye(3) * detail, (*guide.shape[:2], 3, 3))
        return slopes, output - detail * guide
    mean_i, mean_p = box_mean(guide, radius), box_mean(output, radius)
    variance = box_mean(guide[..., :, None] * guide[..., None, :], radius)
    variance -= mean_i[..., :, None] * mean_i[..., None, :]
    covariance = box_mean(output[..., :, None] * guide[..., None, :], radius)
    covariance -= mean_p[..., :, None] * mean_i[..., None, :]
    a = np.clip(np.linalg.solve(variance + eps, covariance.swapaxes(-1, -2)), -8, 8)
    a = a.swapaxes(-1, -2)
    b = mean_p - np.einsum("yxoi,yxi->yxo", a, mean_i)
    mean_a, mean_b = box_mean(a, radius), box_mean(b, radius)
    return detail * mean_a, detail * mean_b + (1 - detail) * output


def bilinear(values: F64, size: tuple[int, int]) -> F64:
    """Interpolate between the centers of pixels; the outermost values extend to the borders."""
    for axis, target in enumerate(size):
        values = np.moveaxis(values, axis, 0)
        count = len(values)
        position = np.clip((np.arange(target) + 0.5) * count / target - 0.5, 0, count - 1)
        first = np.floor(position).astype(int)
        weight = (position - first).reshape(-1, *[1] * (values.ndim - 1))
        after = values[np.minimum(first + 1, count - 1)]
        values = np.moveaxis(values[first] * (1 - weight) + after * weight, 0, axis)
    return values


def upsample(
    image: F64,
    guide: U8,
    output: U8,
    method: str = "guided",
    radius: int = 4,
    eps: float = 1e-4,
    detail: float = 1.0,
) -> F64:
    """Upsample without rounding, but clipped."""
    regularization = eps * 255**2 * np.eye(3)
    a, b = coefficients(
        guide.astype(np.float64), output.astype(np.float64), method, radius, regularization, detail
    )
    size = image.shape[:2]
    result = np.einsum("yxoi,yxi->yxo", bilinear(a, size), image) + bilinear(b, size)
    return np.clip(result, 0, 255)


def restyle(image: U8) -> U8:
    """Return what a network might make of an image: other colors, contrast and texture."""
    matrix = np.array([[0.9, 0.3, -0.2], [0.1, 0.7, 0.1], [-0.1, 0.2, 1.1]])
    x = image.astype(np.float64) @ matrix.T
    x = 255 * np.clip(x / 255, 0, 1) ** 0.8 + 12 * np.sin(np.arange(image.shape[1]) / 3)[:, None]
    return np.clip(np.rint(x), 0, 255).astype(np.uint8)


def small_pair(image: U8, size: tuple[int, int]) -> tuple[U8, U8]:
    small = resize(image, size)
    return small, restyle(small)


def noise(number: int, height: int, width: int) -> U8:
    return np.random.default_rng(number).integers(0, 256, (height, width, 3), np.uint8)


SIZES = [  # of the source and of the network
    ((90, 160), (32, 57)),
    ((91, 161), (33, 58)),  # odd
    ((64, 1100), (16, 301)),  # longer than a chunk of columns
    ((48, 50), (48, 50)),  # scale 1
    ((40, 60), (47, 71)),  # above 1
    ((30, 40), (90, 150)),
    ((47, 61), (41, 54)),  # just below 1
    ((5, 3), (2, 1)),
    ((1, 1), (1, 1)),
    ((50, 2), (3, 9)),
    ((33, 700), (1, 20)),
]


@pytest.mark.parametrize("method", ["guided", "detail"])
@pytest.mark.parametrize(("source", "size"), SIZES)
def test_upsampling_equals_the_formulas(
    source: tuple[int, int], size: tuple[int, int], method: GuidanceMethod
) -> None:
    for number, make in enumerate((make_image, noise)):
        image = make(number, *source)
        guide, output = small_pair(image, size)
        expected = upsample(image.astype(np.float64), guide, output, method)
        error = np.abs(upsample_guided(image, guide, output, method=method) - expected)
        assert error.max() <= 0.75  # 0.5 is rounding
        assert error.mean() <= 0.28  # 0.25 is rounding


@pytest.mark.parametrize("radius", [1, 2, 3, 7, 8, 20, 64])
@pytest.mark.parametrize("eps", [1e-6, 1e-4, 1.0])
def test_every_radius_and_eps(radius: int, eps: float) -> None:
    image = make_image(3, 60, 90)
    guide, output = small_pair(image, (25, 39))
    expected = upsample(image.astype(np.float64), guide, output, radius=radius, eps=eps)
    error = np.abs(upsample_guided(image, guide, output, radius=radius, eps=eps) - expected)
    assert error.max() <= 1.0


@pytest.mark.parametrize("detail", [0.0, 0.3, 1.0])
@pytest.mark.parametrize("method", ["guided", "detail"])
def test_detail_blends_with_bilinear_upsampling(method: GuidanceMethod, detail: float) -> None:
    image = make_image(4, 70, 110)
    guide, output = small_pair(image, (24, 40))
    expected = upsample(image.astype(np.float64), guide, output, method, detail=detail)
    result = upsample_guided(image, guide, output, method=method, detail=detail)
    assert np.abs(result - expected).max() <= 1.0
    if detail == 0:
        plain = bilinear(output.astype(np.float64), (70, 110))
        assert np.abs(result - plain).max() <= 0.6


@pytest.mark.parametrize("method", ["guided", "detail"])
def test_an_unchanged_image_stays_unchanged(method: GuidanceMethod) -> None:
    """Upsample the output of a network that does nothing: the source, but for what eps smooths."""
    image = noise(5, 90, 130)
    small = resize(image, (30, 43))
    result = upsample_guided(image, small, small, method=method, eps=1e-6)
    assert np.abs(result.astype(int) - image).max() <= 1


def test_gray_and_constant_guides_are_stable() -> None:
    """Solve where the covariance is singular: one color, or only grays of full contrast."""
    gray = np.repeat(noise(6, 40, 60)[..., :1], 3, 2)
    gray[:, 20:] = np.where(gray[:, 20:] < 128, 0, 255)
    gray[:, 50:] = 77
    output = noise(7, 40, 60)
    expected = upsample(gray.astype(np.float64), gray, output)
    assert np.abs(upsample_guided(gray, gray, output) - expected).max() <= 1.0


# ---- Inputs and outputs --------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", [np.float32, np.float16])
def test_tensors_are_rounded_to_bytes(dtype: type) -> None:
    image = make_image(8, 60, 80)
    guide, output = small_pair(image, (20, 27))
    padded = np.full((2, 3, 24, 32), 9, dtype)
    padded[0, :, :20, :27], padded[1, :, :20, :27] = pack(guide), pack(output)
    tensors = padded[:, :, :20, :27]
    expected = upsample_guided(image, guide, output)
    assert np.array_equal(upsample_guided(image, tensors[0], tensors[1]), expected)
    assert np.array_equal(upsample_guided(image, guide, tensors[1]), expected)


def test_rows_may_be_apart_and_threads_change_nothing() -> None:
    image = noise(9, 61, 83)
    guide, output = small_pair(image, (23, 31))
    expected = upsample_guided(image, guide, output)
    wide = [np.zeros((a.shape[0], a.shape[1] + 5, 3), np.uint8) for a in (image, guide, output)]
    for target, array in zip(wide, (image, guide, output), strict=True):
        target[:, 2:-3] = array
    out = np.full((63, 90, 3), 7, np.uint8)
    views = [array[:, 2:-3] for array in wide]
    for threads in (1, 2, 5, 23):
        out[:] = 7
        window = out[1:62, 3:86]
        upsample_guided(views[0], views[1], views[2], out=window, threads=threads)
        assert np.array_equal(window, expected)
        window[:] = 7
        assert (out == 7).all()


def test_a_stream_allocates_nothing() -> None:
    image = noise(10, 240, 320)
    guide, output = small_pair(image, (120, 160))
    upsampler, out = Upsampler((240, 320), (120, 160)), np.empty_like(image)
    upsampler(image, guide, output, out)
    tracemalloc.start()
    upsampler(image, guide, output, out)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 20_000


# ---- YUV -----------------------------------------------------------------------------------------


def as_nv12(yuv: YUV) -> YUV:
    assert yuv.v is not None
    return YUV(yuv.y, np.stack([yuv.u, yuv.v], -1), None, yuv.matrix, yuv.full_range)


def planes_of(yuv: YUV) -> list[U8]:
    return [yuv.y, *((yuv.u[..., 0], yuv.u[..., 1]) if yuv.v is None else (yuv.u, yuv.v))]


def assert_equal_planes(a: YUV, b: YUV) -> None:
    for plane, other in zip(planes_of(a), planes_of(b), strict=True):
        assert np.array_equal(plane, other)


@pytest.mark.parametrize("method", ["guided", "detail"])
@pytest.mark.parametrize("matrix", COLOR_MATRICES)
@pytest.mark.parametrize("full_range", [False, True])
def test_yuv_equals_rgb(method: GuidanceMethod, matrix: ColorMatrix, full_range: bool) -> None:
    """Compare coefficients in YUV with coefficients in RGB, whose result is converted.

    They differ by the rounding of the small images, in YUV and in RGB. No color is clipped.
    """
    for size in ((90, 160), (89, 1101)):
        image = (make_image(11, *size) // 3 + 80).astype(np.uint8)
        source = to_yuv(image, matrix=matrix, full_range=full_range)
        rgb = resize(source, size)
        guide, output = small_pair(rgb, (size[0] // 3, size[1] // 3))
        result = upsample_guided(source, guide, output, method=method)
        assert isinstance(result, YUV)
        expected = YUV.empty(size, matrix, full_range)
        upsample_guided(rgb, guide, output, method=method, out=expected)
        for plane, other in zip(planes_of(result), planes_of(expected), strict=True):
            difference = plane.astype(float) - other
            assert np.abs(difference).max() <= 2
            assert np.abs(difference).mean() < 0.35
            assert abs(difference.mean()) < 0.1


def test_yuv_layouts_and_threads_change_nothing() -> None:
    for size in ((60, 82), (61, 83)):
        source = to_yuv(noise(12, *size))
        guide, output = small_pair(resize(source, size), (23, 31))
        expected = upsample_guided(source, guide, output)
        assert isinstance(expected, YUV)
        for image in (source, as_nv12(source)):
            for out in (YUV.empty(size), as_nv12(YUV.empty(size))):
                for threads in (1, 2, 7):
                    upsample_guided(image, guide, output, out=out, threads=threads)
                    assert_equal_planes(out, expected)


def test_formats_may_differ() -> None:
    """Convert between RGB and YUV on the way: as if before and after."""
    size = (61, 83)
    source = to_yuv(make_image(13, *size), matrix="bt709")
    rgb = resize(source, size)
    guide, output = small_pair(rgb, (23, 31))
    expected = upsample_guided(rgb, guide, output)
    out = np.empty_like(rgb)
    assert np.array_equal(upsample_guided(source, guide, output, out=out), expected)
    for image in (rgb, source, as_nv12(source)):
        target = YUV.empty(size, "bt601", True)
        upsample_guided(image, guide, output, out=target)
        assert_equal_planes(target, to_yuv(expected, full_range=True))


# ---- Errors --------------------------------------------------------------------------------------

IMAGE, SMALL = np.zeros((8, 10, 3), np.uint8), np.zeros((4, 5, 3), np.uint8)
TENSOR = np.zeros((3, 4, 5), np.float32)


def call(image: Any = IMAGE, guide: Any = SMALL, output: Any = SMALL, **options: Any) -> object:
    return upsample_guided(image, guide, output, **options)


BAD: list[tuple[str, Callable[[], object]]] = [
    ("image", lambda: call(IMAGE[..., :1].copy())),
    ("image", lambda: call(IMAGE.astype(np.float32))),
    ("guide", lambda: call(guide=SMALL[..., :1].copy())),
    ("guide", lambda: call(guide=7)),
    ("guide", lambda: call(guide=SMALL[:, ::-1])),
    ("guide", lambda: call(guide=SMALL.astype(np.int32))),
    ("guide", lambda: call(guide=TENSOR[:2])),
    ("translated", lambda: call(output=SMALL[:3])),
    ("translated", lambda: call(output=TENSOR[:, :, ::2])),
    ("translated", lambda: call(output=TENSOR.astype(np.float64))),
    ("method", lambda: call(method="bicubic")),
    ("radius", lambda: call(radius=0)),
    ("radius", lambda: call(radius=65)),
    ("radius", lambda: call(radius=1.5)),
    ("eps", lambda: call(eps=0)),
    ("eps", lambda: call(eps=float("nan"))),
    ("eps", lambda: call(eps="x")),
    ("detail", lambda: call(detail=-0.1)),
    ("detail", lambda: call(detail=1.1)),
    ("threads", lambda: call(threads=0)),
    ("out", lambda: call(out=np.zeros((8, 9, 3), np.uint8))),
    ("out", lambda: call(out=IMAGE)),
    ("out must be 10x8", lambda: call(out=YUV.empty((8, 9)))),
    ("size", lambda: Upsampler((8, 10), (0, 5))),
    ("source_size", lambda: Upsampler((8, 70000), (4, 5))),
    ("image must be 10x8", lambda: Upsampler((8, 10), (4, 5))(IMAGE[:7], SMALL, SMALL)),
]


@pytest.mark.parametrize(("argument", "run"), BAD, ids=[f"{i}-{a}" for i, (a, _) in enumerate(BAD)])
def test_an_invalid_argument_is_named(argument: str, run: Callable[[], object]) -> None:
    with pytest.raises(UsageError, match=argument):
        run()


def test_it_is_exported() -> None:
    assert cgt.runtime.upsample_guided is upsample_guided
    assert cgt.runtime.Upsampler is Upsampler
