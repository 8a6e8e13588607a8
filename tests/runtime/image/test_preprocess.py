"""Resizing, packing and unpacking, compared with Pillow and with formulas in float64."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from cgt.runtime.errors import UsageError
from cgt.runtime.image import preprocess
from cgt.runtime.image.preprocess import (
    FILTERS,
    U8,
    YUV,
    Filter,
    Packer,
    pack,
    resize,
    round_up_to_multiple,
    simd_instruction_set,
    to_yuv,
    unpack,
)

F64 = NDArray[np.float64]
Case = tuple[U8, tuple[int, int], Filter, preprocess.Box | None]


# ---- References ----------------------------------------------------------------------------------


def filter_value(filter: Filter, x: F64) -> F64:
    x = np.abs(x)
    if filter == "bilinear":
        return np.maximum(1 - x, 0)
    if filter == "bicubic":
        near = 1.5 * x**3 - 2.5 * x**2 + 1
        far = -0.5 * x**3 + 2.5 * x**2 - 4 * x + 2
        return np.where(x < 1, near, np.where(x < 2, far, 0))
    if filter == "box":
        return (x <= 0.5).astype(np.float64)
    assert filter == "lanczos"
    return np.where(x < 3, np.sinc(x) * np.sinc(x / 3), 0)


SUPPORT = {"bilinear": 1, "bicubic": 2, "box": 0.5, "lanczos": 3}


def weights(count: int, out: int, filter: Filter, low: float, high: float) -> F64:
    """Return the weight of each input sample in each output, float64 (out, count)."""
    scale = (high - low) / out
    stretch = max(1.0, scale)
    matrix = np.zeros((out, count))
    for o in range(out):
        center = low + (o + 0.5) * scale
        reach = SUPPORT[filter] * stretch
        first = max(0, int(center - reach + 0.5))
        last = min(count, int(center + reach + 0.5))
        values = filter_value(filter, (np.arange(first, last) - center + 0.5) / stretch)
        matrix[o, first:last] = values / values.sum()
    return matrix


def resized(image: U8, size: tuple[int, int], filter: Filter, box: preprocess.Box | None) -> F64:
    """Resize in float64 without rounding or clamping; HWC."""
    height, width = image.shape[:2]
    left, upper, right, lower = box or (0, 0, width, height)
    down = weights(height, size[0], filter, upper, lower)
    across = weights(width, size[1], filter, left, right)
    return np.einsum("yh,hwc,xw->yxc", down, image.astype(np.float64), across, optimize=True)


def pillow_resized(
    image: U8, size: tuple[int, int], filter: Filter, box: preprocess.Box | None
) -> U8:
    pil = pytest.importorskip("PIL.Image", minversion=None)
    if int(pil.__version__.split(".")[0]) < 13:
        pytest.skip("Pillow before version 13 has another order of passes")
    height, width, channels = image.shape
    # CMYK: four channels that Pillow does not multiply by alpha.
    mode = {1: "L", 3: "RGB", 4: "CMYK"}[channels]
    pil_image = pil.frombytes(mode, (width, height), np.ascontiguousarray(image).tobytes())
    resampling = getattr(pil.Resampling, filter.upper())
    out = pil_image.resize((size[1], size[0]), resampling, box)
    return np.frombuffer(out.tobytes(), np.uint8).reshape(*size, channels)


def random_image(random: np.random.Generator, height: int, width: int, channels: int) -> U8:
    """Return noise, extreme values, or a ramp with an edge."""
    shape = (height, width, channels)
    kind = random.integers(3)
    if kind == 0:
        return random.integers(0, 256, shape, dtype=np.uint8)
    if kind == 1:
        return (random.integers(0, 2, shape) * 255).astype(np.uint8)
    y, x, c = np.indices(shape)
    return ((y * 3 + x * 5 + c * 40 + (x > width // 2) * 128) % 256).astype(np.uint8)


def random_cases(count: int, seed: int, filters: tuple[Filter, ...]) -> list[Case]:
    random = np.random.default_rng(seed)
    cases: list[Case] = []
    for i in range(count):
        height, width = (int(side) for side in random.integers(1, 140, 2))
        size = tuple(int(side) for side in random.integers(1, 200, 2))
        if i % 10 == 0:
            height, width = (1, width) if i % 20 else (height, 1)
        if i % 10 == 1:
            size = (1, size[1]) if i % 20 else (size[0], 1)
        if i % 10 == 2:
            size = (height * 4, width * 4)
        if i % 10 == 3:
            size = (height, size[1])
        box = None
        if i % 3 == 0:
            corners = random.uniform(0, 1, (2, 2))
            low, high = corners.min(0), corners.max(0)
            high = np.minimum(high + 0.05, 1)
            edges = (low[0] * width, low[1] * height, high[0] * width, high[1] * height)
            box = tuple(float(np.float32(edge)) for edge in edges)
        if i % 3 == 1:
            left, upper = int(random.integers(width)), int(random.integers(height))
            right = int(random.integers(left, width)) + 1
            lower = int(random.integers(upper, height)) + 1
            box = (left, upper, right, lower)
        image = random_image(random, height, width, int(random.choice([1, 3, 4])))
        cases.append((image, size, filters[i % len(filters)], box))  # type: ignore[arg-type]
    return cases


# ---- Resize --------------------------------------------------------------------------------------


def test_resize_equals_pillow() -> None:
    for image, size, filter, box in random_cases(800, 1, FILTERS):
        expected = pillow_resized(image, size, filter, box)
        output = resize(image, size, filter, box=box)
        max_error = np.abs(expected.astype(int) - output).max()
        assert max_error == 0, f"{image.shape} to {size}, {filter}, box {box}: {max_error} levels"


def test_resize_of_a_full_frame_equals_pillow() -> None:
    image = random_image(np.random.default_rng(0), 720, 1280, 3)
    for filter in FILTERS:
        assert np.array_equal(
            resize(image, (256, 256), filter), pillow_resized(image, (256, 256), filter, None)
        )


def test_resize_of_long_strips_equals_pillow() -> None:
    """Sum thousands of samples per output, near the limits of 32 bits."""
    random = np.random.default_rng(0)
    for filter in FILTERS:
        for shape in ((30000, 2, 1), (2, 30000, 1), (9000, 7, 3), (7, 9000, 3)):
            image = (random.integers(0, 2, shape) * 255).astype(np.uint8)
            assert np.array_equal(
                resize(image, (2, 3), filter), pillow_resized(image, (2, 3), filter, None)
            )


def test_resize_to_the_same_size_is_a_copy() -> None:
    image = random_image(np.random.default_rng(0), 31, 17, 3)
    for filter in FILTERS:
        assert np.array_equal(resize(image, (31, 17), filter), image)
        assert np.array_equal(resize(image, (9, 5), filter, box=(3, 2, 8, 11)), image[2:11, 3:8])


def test_rows_of_input_and_output_may_be_apart() -> None:
    image = random_image(np.random.default_rng(0), 90, 120, 3)
    cut = image[3:80, 5:77]
    canvas = np.full((64, 64, 3), 7, np.uint8)
    corner = canvas[10:50, 20:53]
    assert resize(cut, (40, 33), out=corner) is corner
    assert np.array_equal(corner, resize(np.ascontiguousarray(cut), (40, 33)))
    canvas[10:50, 20:53] = 7
    assert (canvas == 7).all()


# ---- Pack ----------------------------------------------------------------------------------------


def test_pack_is_within_a_thousandth_of_float64() -> None:
    for image, size, filter, box in random_cases(500, 2, FILTERS[:4]):
        height, width, channels = image.shape
        output = Packer((height, width), size, filter, channels=channels, box=box)(image)
        exact = np.clip(resized(image, size, filter, box), 0, 255) / 127.5 - 1
        max_error = np.abs(exact.transpose(2, 0, 1) - output).max()
        assert max_error < 1e-3, f"{image.shape} to {size}, {filter}, box {box}: {max_error}"
        assert output.min() >= -1
        assert output.max() <= 1


@pytest.mark.parametrize("filter", FILTERS[:4])
def test_pack_with_strong_downscaling_is_within_a_thousandth(filter: Filter) -> None:
    random = np.random.default_rng(5)
    for kind in range(3):
        image = random_image(np.random.default_rng(kind), 1000, 700, 3)
        size = (int(random.integers(1, 30)), int(random.integers(1, 30)))
        exact = np.clip(resized(image, size, filter, None), 0, 255) / 127.5 - 1
        assert np.abs(exact.transpose(2, 0, 1) - pack(image, size, filter)).max() < 1e-3


@pytest.mark.parametrize("filter", FILTERS)
def test_flat_areas_stay_flat(filter: Filter) -> None:
    for level in (0, 1, 127, 255):
        image = np.full((37, 91, 3), level, np.uint8)
        for size in ((5, 7), (80, 200), (37, 50)):
            tensor = pack(image, size, filter)
            assert (tensor == np.float32(level) * np.float32(1 / 127.5) - 1).all()


def test_same_size_pack_is_the_formula() -> None:
    for width in (1, 7, 8, 15, 16, 17, 33, 256):
        for channels in (1, 3, 4):
            image = random_image(np.random.default_rng(width), 5, width, channels)
            exact = image.astype(np.float32) * np.float32(1 / 127.5) - np.float32(1)
            assert np.array_equal(pack(image), exact.transpose(2, 0, 1))


def reflected(tensor: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Pad a CHW tensor right and below with NumPy."""
    rows, columns = size[0] - tensor.shape[1], size[1] - tensor.shape[2]
    return np.pad(tensor, ((0, 0), (0, rows), (0, columns)), mode="reflect")


def test_swap_rb_layout_dtype_scale_and_padding() -> None:
    random = np.random.default_rng(8)
    scale, offset = (0.017, 0.0175, 0.0174), (-2.1, -2.0, -1.8)
    for size in ((24, 24), (9, 13), (30, 41)):
        image = random_image(random, 30, 41, 3)
        base = Packer((30, 41), size, scale=1.0, offset=0.0)(image)
        padded_size = round_up_to_multiple(size, 8)
        inner = base[::-1] * np.float32(scale)[:, None, None] + np.float32(offset)[:, None, None]
        expected = reflected(inner, padded_size)
        for dtype in (np.float32, np.float16):
            for layout in preprocess.LAYOUTS:
                packer = Packer(
                    (30, 41),
                    size,
                    swap_rb=True,
                    dtype=dtype,
                    layout=layout,
                    scale=scale,
                    offset=offset,
                    multiple=8,
                )
                output = packer(image)
                assert output.dtype == dtype
                assert output.shape == packer.shape
                if layout == "HWC":
                    output = output.transpose(2, 0, 1)
                tolerance = 2e-6 if dtype is np.float32 else 1e-3
                np.testing.assert_allclose(output, expected, rtol=tolerance, atol=tolerance)
                # Padding equals the packed values, to the bit.
                again = reflected(output[:, : size[0], : size[1]], padded_size)
                assert np.array_equal(again, output)


def test_float16_rounds_like_numpy() -> None:
    image = random_image(np.random.default_rng(2), 50, 60, 3)
    for scale, offset in ((1 / 127.5, -1), (1e-7, 0), (300, -5), (1e-9, 1e-8)):
        one = Packer((50, 60), (31, 37), scale=scale, offset=offset)(image)
        half = Packer((50, 60), (31, 37), scale=scale, offset=offset, dtype=np.float16)(image)
        with np.errstate(over="ignore"):
            assert np.array_equal(half, one.astype(np.float16))


def test_pack_into_a_slot_of_a_batch() -> None:
    image = random_image(np.random.default_rng(0), 64, 80, 3)
    batch = np.zeros((3, 3, 20, 40), np.float32)
    slot = batch[1, :, :16, :32]
    assert pack(image, (16, 32), out=slot) is slot
    assert np.array_equal(slot, pack(image, (16, 32)))
    batch[1, :, :16, :32] = 0
    assert not batch.any()


def test_downscaling_antialiases() -> None:
    """Downscale stripes of one pixel to their mean."""
    stripes = np.zeros((64, 64, 3), np.uint8)
    stripes[:, ::2] = 255
    assert np.abs(pack(stripes, (16, 16))[..., 2:-2]).max() <= 0.01


def test_padding_reflects() -> None:
    assert round_up_to_multiple((239, 427), 4) == (240, 428)
    image = random_image(np.random.default_rng(0), 5, 9, 3)
    assert np.array_equal(Packer((5, 9), multiple=4)(image), reflected(pack(image), (8, 12)))
    with pytest.raises(UsageError, match="too large"):
        Packer((2, 2), multiple=8)


@pytest.mark.parametrize("filter", FILTERS)
def test_bytes_are_the_rounded_levels(filter: Filter) -> None:
    random = np.random.default_rng(14)
    for channels in (1, 3, 4):
        for source, size in (((40, 60), (21, 33)), ((40, 60), (40, 60)), ((9, 7), (30, 41))):
            image = random_image(random, *source, channels)
            exact = (
                resize(image, size, filter).astype(np.float64)
                if filter == "nearest"
                else np.clip(resized(image, size, filter, None), 0, 255)
            )
            swap = channels > 1
            order = [2, 1, 0, 3][:channels] if swap else [0]
            for layout in preprocess.LAYOUTS:
                packer = Packer(
                    source,
                    size,
                    filter,
                    swap,
                    channels=channels,
                    dtype=np.uint8,
                    layout=layout,
                    multiple=4,
                    threads=2,
                )
                result = packer(image)
                assert result.dtype == np.uint8
                hwc = result if layout == "HWC" else result.transpose(1, 2, 0)
                inside = hwc[: size[0], : size[1]][..., order]
                assert np.abs(inside - exact).max() <= 0.6
                chw = np.ascontiguousarray(hwc[: size[0], : size[1]].transpose(2, 0, 1))
                assert np.array_equal(
                    hwc.transpose(2, 0, 1), reflected(chw, round_up_to_multiple(size, 4))
                )
        assert np.array_equal(
            Packer((9, 7), channels=channels, dtype=np.uint8, layout="HWC")(image), image
        )


def test_bytes_of_yuv_equal_those_of_its_rgb() -> None:
    yuv = random_yuv(np.random.default_rng(15), 41, 57, nv12=True)
    for size in ((41, 57), (20, 31)):
        packer = Packer((41, 57), size, dtype=np.uint8, layout="HWC")
        assert np.array_equal(packer(yuv), packer(resize(yuv, (41, 57))))


# ---- YUV -----------------------------------------------------------------------------------------


def yuv_to_rgb(yuv: YUV) -> F64:
    """Convert by BT.601 or BT.709 in float64 without rounding; HWC."""
    red, blue = {"bt601": (0.299, 0.114), "bt709": (0.2126, 0.0722)}[yuv.matrix]
    height, width = yuv.y.shape
    if yuv.v is None:
        u, v = yuv.u[..., 0], yuv.u[..., 1]
    else:
        u, v = yuv.u, yuv.v
    planes = [yuv.y, *(c.repeat(2, 0).repeat(2, 1)[:height, :width] for c in (u, v))]
    y, u, v = (plane.astype(np.float64) for plane in planes)
    if yuv.full_range:
        y, u, v = y / 255, (u - 128) / 255, (v - 128) / 255
    else:
        y, u, v = (y - 16) / 219, (u - 128) / 224, (v - 128) / 224
    r = y + 2 * (1 - red) * v
    b = y + 2 * (1 - blue) * u
    g = (y - red * r - blue * b) / (1 - red - blue)
    return np.clip(np.stack([r, g, b], -1) * 255, 0, 255)


def random_yuv(random: np.random.Generator, height: int, width: int, nv12: bool) -> YUV:
    half = ((height + 1) // 2, (width + 1) // 2)
    y = random.integers(0, 256, (height, width), dtype=np.uint8)
    matrix = preprocess.COLOR_MATRICES[int(random.integers(2))]
    full = bool(random.integers(2))
    chroma = random.integers(0, 256, (*half, 2), dtype=np.uint8)
    if nv12:
        return YUV(y, chroma, None, matrix, full)
    u, v = (np.ascontiguousarray(chroma[..., i]) for i in (0, 1))
    return YUV(y, u, v, matrix, full)


@pytest.mark.parametrize("nv12", [True, False])
def test_yuv_equals_its_rgb(nv12: bool) -> None:
    random = np.random.default_rng(4)
    for _ in range(60):
        height, width = (int(side) for side in random.integers(1, 90, 2))
        yuv = random_yuv(random, height, width, nv12)
        rgb = resize(yuv, (height, width))
        assert np.abs(rgb - yuv_to_rgb(yuv)).max() <= 0.6  # 0.5 is rounding
        # All operations give the same result as on the RGB image.
        size = (int(random.integers(1, 99)), int(random.integers(1, 99)))
        left, upper = int(random.integers(width)), int(random.integers(height))
        for box in (None, (left, upper, width, height)):
            for filter in FILTERS:
                assert np.array_equal(
                    resize(yuv, size, filter, box=box), resize(rgb, size, filter, box=box)
                )
                packer = Packer((height, width), size, filter, True, box=box)
                assert np.array_equal(packer(yuv), packer(rgb))
        assert np.array_equal(pack(yuv), pack(rgb))


def test_yuv_agrees_with_opencv() -> None:
    """Compare with OpenCV, whose NV12 is limited-range BT.601 with coarser rounding."""
    cv2 = pytest.importorskip("cv2")
    random = np.random.default_rng(1)
    yuv = random_yuv(random, 48, 64, nv12=True)
    yuv = YUV(np.clip(yuv.y, 16, 235), yuv.u)  # OpenCV clips luma below 16
    together = np.concatenate([yuv.y, yuv.u.reshape(24, 64)])
    rgb = cv2.cvtColor(together, cv2.COLOR_YUV2RGB_NV12)
    assert np.abs(rgb.astype(int) - resize(yuv, (48, 64))).max() <= 2


def rgb_to_yuv(rgb: F64, matrix: str, full_range: bool) -> list[F64]:
    """Convert by BT.601 or BT.709 in float64 without rounding; y, u, v."""
    red, blue = {"bt601": (0.299, 0.114), "bt709": (0.2126, 0.0722)}[matrix]
    luma = rgb @ np.array([red, 1 - red - blue, blue])
    height, width = luma.shape
    odd = ((0, height % 2), (0, width % 2))
    planes = [luma, (rgb[..., 2] - luma) / (2 - 2 * blue), (rgb[..., 0] - luma) / (2 - 2 * red)]
    for i in (1, 2):  # the last row and column count twice
        padded = np.pad(planes[i], odd, mode="edge")
        planes[i] = padded.reshape((height + 1) // 2, 2, (width + 1) // 2, 2).mean((1, 3))
    y, u, v = planes
    if full_range:
        return [y, u + 128, v + 128]
    return [y * 219 / 255 + 16, u * 224 / 255 + 128, v * 224 / 255 + 128]


@pytest.mark.parametrize("nv12", [True, False])
def test_to_yuv_rounds_the_exact_value(nv12: bool) -> None:
    random = np.random.default_rng(5)
    for number in range(60):
        height, width = (int(side) for side in random.integers(1, 90, 2))
        kind = random.integers(0, 2)  # random bytes, or extremes
        image = random_image(random, height, width, 3) if kind else random_extremes(height, width)
        out = random_yuv(random, height, width, nv12)
        assert to_yuv(image, out=out, threads=number % 3 + 1) is out
        exact = rgb_to_yuv(image.astype(np.float64), out.matrix, out.full_range)
        for plane, value in zip(planes_of(out), exact, strict=True):
            # Rounding is 0.5. Full-range chroma reaches 255.5, which is clamped.
            assert np.abs(plane - np.minimum(value, 255.02)).max() <= 0.53
        new = to_yuv(image, matrix=out.matrix, full_range=out.full_range)
        for a, b in zip(planes_of(new), planes_of(out), strict=True):
            assert np.array_equal(a, b)


def random_extremes(height: int, width: int) -> U8:
    return np.random.default_rng(height).integers(0, 2, (height, width, 3), np.uint8) * np.uint8(
        255
    )


@pytest.mark.parametrize("matrix", preprocess.COLOR_MATRICES)
@pytest.mark.parametrize("full_range", [False, True])
def test_gray_survives_yuv(matrix: preprocess.ColorMatrix, full_range: bool) -> None:
    """Convert all grays to YUV and back: a lost level would show as banding or a darker video."""
    image = np.repeat(np.arange(256, dtype=np.uint8), 6).reshape(32, 48)[..., None].repeat(3, 2)
    yuv = to_yuv(image, matrix=matrix, full_range=full_range)
    assert yuv.v is not None
    assert (yuv.y.min(), yuv.y.max()) == ((0, 255) if full_range else (16, 235))
    assert np.abs(yuv.u.astype(int) - 128).max() == np.abs(yuv.v.astype(int) - 128).max() == 0
    back = resize(yuv, image.shape[:2]).astype(int)
    assert np.abs(back - image).max() <= (0 if full_range else 1)
    assert abs((back - image).mean()) < 0.1


def planes_of(yuv: YUV) -> list[U8]:
    return [yuv.y, *((yuv.u[..., 0], yuv.u[..., 1]) if yuv.v is None else (yuv.u, yuv.v))]


@pytest.mark.parametrize("dtype", [np.float32, np.float16])
def test_unpacking_to_yuv_equals_converting_the_bytes(dtype: type) -> None:
    random = np.random.default_rng(6)
    for number in range(30):
        height, width = (int(side) for side in random.integers(1, 90, 2))
        padded = random.uniform(-1.1, 1.1, (3, height + 3, width + 5)).astype(dtype)
        tensor = padded[:, 1 : height + 1, 2 : width + 2]
        truncate, out = number % 3 == 0, random_yuv(random, height, width, nv12=bool(number % 2))
        image = unpack(tensor, True, truncate=truncate)
        expected = to_yuv(image, matrix=out.matrix, full_range=out.full_range)
        assert unpack(tensor, True, out=out, truncate=truncate, threads=number % 4 + 1) is out
        for a, b in zip(planes_of(expected), planes_of(out), strict=True):
            assert np.array_equal(a, b)


# ---- Unpack --------------------------------------------------------------------------------------


def exact_bytes(tensor: NDArray[Any], truncate: bool) -> U8:
    values = (tensor.astype(np.float32) + np.float32(1)) * np.float32(127.5)
    values = np.clip(np.nan_to_num(values, nan=0, posinf=255, neginf=0), 0, 255)
    return (np.trunc(values) if truncate else np.rint(values)).astype(np.uint8).transpose(1, 2, 0)


@pytest.mark.parametrize("dtype", [np.float32, np.float16])
@pytest.mark.parametrize("truncate", [False, True])
def test_unpack_is_the_formula(dtype: type, truncate: bool) -> None:
    random = np.random.default_rng(3)
    for width in (1, 5, 16, 31, 32, 33, 100, 1024, 1031):
        for channels in (1, 3, 4):
            tensor = random.uniform(-1.2, 1.2, (channels, 7, width)).astype(dtype)
            tensor.flat[:: max(1, tensor.size // 9)] = random.choice(
                [np.nan, np.inf, -np.inf, -1, 1, 0, 1 / 255],
                len(tensor.flat[:: max(1, tensor.size // 9)]),
            ).astype(dtype)
            expected = exact_bytes(tensor, truncate)
            assert np.array_equal(unpack(tensor, truncate=truncate), expected)
            if channels > 1:
                swapped = expected.copy()
                swapped[..., [0, 2]] = expected[..., [2, 0]]
                assert np.array_equal(unpack(tensor, True, truncate=truncate), swapped)
            big = np.zeros((channels, 9, width + 3), dtype)
            big[:, 1:8, 2:-1] = tensor
            assert np.array_equal(unpack(big[:, 1:8, 2:-1], truncate=truncate), expected)


def test_unpack_clamps_and_accepts_nan() -> None:
    values = np.array([np.nan, np.inf, -np.inf, -1, 1, 0, 2, -3], np.float32)
    assert unpack(values[None, None])[0, :, 0].tolist() == [0, 255, 0, 0, 255, 128, 255, 0]


def test_half_way_values_go_to_even() -> None:
    levels = np.arange(255)
    tensor = ((levels + 0.5) / 127.5 - 1).astype(np.float32).reshape(1, 1, -1)
    values = (tensor + np.float32(1)) * np.float32(127.5)
    half_way = values[0, 0] == levels + 0.5
    assert half_way.sum() > 50  # float32 cannot represent all of them
    assert (unpack(tensor)[0, half_way, 0] % 2 == 0).all()
    assert np.array_equal(unpack(tensor, truncate=True)[0, half_way, 0], levels[half_way])


def test_pack_and_unpack_are_inverse() -> None:
    image = np.arange(256, dtype=np.uint8).repeat(3).reshape(1, 256, 3)
    assert np.array_equal(unpack(pack(image)), image)
    half = Packer((1, 256), dtype=np.float16)(image)
    assert np.array_equal(unpack(half), image)


# ---- Threads, memory, instruction sets -----------------------------------------------------------


def test_results_do_not_depend_on_threads() -> None:
    image = random_image(np.random.default_rng(0), 301, 211, 3)
    tensor = pack(image, (97, 64))
    for threads in (2, 3, 7):
        for filter in ("bilinear", "lanczos"):
            assert np.array_equal(
                resize(image, (97, 64), filter, threads=threads), resize(image, (97, 64), filter)
            )
        packer = Packer((301, 211), (97, 64), multiple=64, threads=threads)
        assert np.array_equal(packer(image), Packer((301, 211), (97, 64), multiple=64)(image))
        assert np.array_equal(unpack(tensor, threads=threads), unpack(tensor))


def test_one_packer_serves_many_threads() -> None:
    packer = Packer((120, 160), (64, 64))
    images = [random_image(np.random.default_rng(i), 120, 160, 3) for i in range(4)]
    expected = [packer(image) for image in images]
    wrong: list[int] = []

    def work(index: int) -> None:
        out = np.empty_like(expected[index])
        for _ in range(50):
            if not np.array_equal(packer(images[index], out), expected[index]):
                wrong.append(index)

    threads = [threading.Thread(target=work, args=(i,)) for i in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


def test_a_call_allocates_no_memory() -> None:
    packer = Packer((720, 1280), (256, 256))
    image = np.zeros((720, 1280, 3), np.uint8)
    out = np.empty(packer.shape, packer.dtype)
    packer(image, out)
    tracemalloc.start()
    try:
        for _ in range(20):
            packer(image, out)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 16384  # a few small Python objects; a row of the image has 3,840 bytes


def test_cgt_simd_selects_the_instruction_set() -> None:
    """Only check the selection; tests/native compares the bits of all instruction sets."""
    code = "from cgt.runtime.image import preprocess; print(preprocess.simd_instruction_set())"

    def run_with(name: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-c", code],
            env={**os.environ, "CGT_SIMD": name},
            capture_output=True,
            text=True,
        )

    assert run_with("scalar").stdout == "scalar\n"
    assert run_with("").stdout.strip() in ("scalar", "avx2", "avx512", "neon")
    refused = run_with("altivec")
    assert refused.returncode == 1
    assert "CGT_SIMD names no instruction set of this CPU (it is 'altivec')" in refused.stderr


def test_simd_instruction_set() -> None:
    assert simd_instruction_set() in ("scalar", "avx2", "avx512", "neon")


# ---- Arguments -----------------------------------------------------------------------------------

IMAGE = np.zeros((8, 10, 3), np.uint8)
TENSOR = np.zeros((3, 8, 10), np.float32)


def read_only(array: NDArray[Any]) -> NDArray[Any]:
    array = array.copy()
    array.flags.writeable = False
    return array


def overlapping(array: NDArray[Any]) -> NDArray[Any]:
    return np.lib.stride_tricks.as_strided(array, strides=(1, *array.strides[1:]))


LUMA, CHROMA = np.zeros((8, 10), np.uint8), np.zeros((4, 5), np.uint8)
SHARED = np.zeros((8, 10, 3), np.uint8)

BAD: list[tuple[str, Callable[[], object]]] = [
    ("image", lambda: resize(None, (4, 4))),  # type: ignore[arg-type]
    ("image", lambda: resize([[1]], (4, 4))),  # type: ignore[arg-type]
    ("image", lambda: pack(IMAGE.astype(np.float32))),  # type: ignore[arg-type]
    ("image", lambda: pack(IMAGE[..., 0])),
    ("image", lambda: pack(np.zeros((4, 4, 2), np.uint8))),
    ("image", lambda: pack(np.zeros((0, 4, 3), np.uint8))),
    ("image", lambda: resize(np.zeros((4, 0, 3), np.uint8), (4, 4))),
    ("image", lambda: resize(np.zeros((1, 40000, 1), np.uint8), (4, 4))),
    ("image", lambda: resize(IMAGE[::-1], (4, 4))),
    ("image", lambda: resize(IMAGE[:, ::-1], (4, 4))),
    ("image", lambda: pack(IMAGE[:, :, ::-1])),
    ("image", lambda: pack(IMAGE[:, ::2])),
    ("image", lambda: resize(overlapping(IMAGE), (4, 4))),
    ("image", lambda: resize(np.broadcast_to(IMAGE[:1], IMAGE.shape), (4, 4))),
    ("image", lambda: Packer((9, 10))(IMAGE)),
    ("image", lambda: Packer((8, 10), channels=4)(IMAGE)),
    ("size", lambda: resize(IMAGE, (0, 4))),
    ("size", lambda: resize(IMAGE, (4, -4))),
    ("size", lambda: pack(IMAGE, (4, 1 << 40))),
    ("size", lambda: pack(IMAGE, (4.5, 4))),  # type: ignore[arg-type]
    ("size", lambda: pack(IMAGE, 4)),  # type: ignore[arg-type]
    ("size", lambda: Packer((8, 10), box=(0, 0, 4, 4))),
    ("source", lambda: Packer((8, 0))),
    ("filter", lambda: resize(IMAGE, (4, 4), "cubic")),  # type: ignore[arg-type]
    ("box", lambda: resize(IMAGE, (4, 4), box=(0, 0, 11, 8))),
    ("box", lambda: resize(IMAGE, (4, 4), box=(3, 0, 3, 8))),
    ("box", lambda: resize(IMAGE, (4, 4), box=(float("nan"), 0, 3, 8))),
    ("box", lambda: resize(IMAGE, (4, 4), box=(1, 2, 3))),  # type: ignore[arg-type]
    ("box", lambda: resize(IMAGE, (4, 4), box=(1, 1, 1.0001, 2))),
    ("out", lambda: resize(IMAGE, (4, 4), out=np.zeros((4, 4, 4), np.uint8))),
    ("out", lambda: resize(IMAGE, (4, 4), out=np.zeros((3, 4, 3), np.uint8))),
    ("out", lambda: resize(IMAGE, (4, 4), out=read_only(np.zeros((4, 4, 3), np.uint8)))),
    ("out", lambda: resize(IMAGE, (4, 4), out=np.zeros((4, 4, 3), np.uint8)[::-1])),
    ("out", lambda: resize(IMAGE, (4, 4), out=np.zeros((4, 8, 3), np.uint8)[:, ::2])),
    ("out", lambda: resize(IMAGE, (4, 4), out=overlapping(np.zeros((4, 4, 3), np.uint8)))),
    ("out", lambda: resize(SHARED, (4, 4), out=SHARED[:4, :4])),
    ("out", lambda: pack(IMAGE, out=np.zeros((3, 8, 10)))),  # type: ignore[arg-type]
    ("out", lambda: pack(IMAGE, out=np.zeros((8, 10, 3), np.float32))),
    ("out", lambda: pack(IMAGE, out=np.zeros((8, 10, 3), np.float32).transpose(2, 0, 1))),
    ("out", lambda: pack(IMAGE, out=read_only(TENSOR))),
    ("out", lambda: pack(IMAGE, out=overlapping(TENSOR.copy()))),
    ("out", lambda: unpack(TENSOR, out=np.zeros((8, 9, 3), np.uint8))),
    ("out", lambda: unpack(TENSOR, out=TENSOR.view(np.uint8).reshape(-1)[:240].reshape(8, 10, 3))),
    ("swap_rb", lambda: pack(IMAGE[..., :1].copy(), swap_rb=True)),
    ("channels", lambda: Packer((8, 10), channels=2)),
    ("dtype", lambda: Packer((8, 10), dtype=np.float64)),
    ("layout", lambda: Packer((8, 10), layout="NHWC")),  # type: ignore[arg-type]
    ("scale", lambda: Packer((8, 10), scale=float("inf"))),
    ("scale", lambda: Packer((8, 10), dtype=np.uint8, scale=2.0)),
    ("scale", lambda: Packer((8, 10), scale=(1, 2))),
    ("offset", lambda: Packer((8, 10), offset=(1, 2, float("nan")))),
    ("multiple", lambda: Packer((8, 10), multiple=0)),
    ("multiple", lambda: Packer((8, 10), multiple=17)),
    ("size", lambda: Packer((8, 10), (30000, 30000), multiple=29999)),
    ("box", lambda: resize(IMAGE, (4, 4), box=7)),  # type: ignore[arg-type]
    ("filter", lambda: pack(IMAGE, (4, 4), [])),  # type: ignore[arg-type]
    ("scale", lambda: Packer((8, 10), scale="x")),  # type: ignore[arg-type]
    ("scale", lambda: Packer((8, 10), scale=[[1], [2]])),  # type: ignore[list-item]
    ("multiple", lambda: Packer((8, 10), multiple=2.5)),  # type: ignore[arg-type]
    ("threads", lambda: resize(IMAGE, (4, 4), threads=0)),
    ("threads", lambda: Packer((8, 10), threads=-1)),
    ("threads", lambda: unpack(TENSOR, threads=0)),
    ("tensor", lambda: unpack(IMAGE)),  # type: ignore[arg-type]
    ("tensor", lambda: unpack(TENSOR.astype(np.float64))),  # type: ignore[arg-type]
    ("tensor", lambda: unpack(TENSOR[0])),
    ("tensor", lambda: unpack(TENSOR[:2])),
    ("tensor", lambda: unpack(TENSOR[:, :0])),
    ("tensor", lambda: unpack(TENSOR[:, :, ::-1])),
    ("tensor", lambda: unpack(TENSOR[::-1])),
    ("tensor", lambda: unpack(TENSOR[:, :, ::2])),
    ("tensor", lambda: unpack(overlapping(TENSOR))),
    ("image.y", lambda: resize(YUV(IMAGE, IMAGE), (4, 4))),
    ("image.y", lambda: pack(YUV(TENSOR, IMAGE))),  # type: ignore[arg-type]
    ("image.u", lambda: resize(YUV(IMAGE[..., 0].copy(), IMAGE), (4, 4))),
    (
        "image.v",
        lambda: resize(
            YUV(IMAGE[..., 0].copy(), *(np.zeros((4, n), np.uint8) for n in (5, 4))), (4, 4)
        ),
    ),
    ("image", lambda: to_yuv(IMAGE[..., :1].copy())),
    ("image", lambda: to_yuv(YUV.empty((8, 10)))),  # type: ignore[arg-type]
    ("matrix", lambda: to_yuv(IMAGE, matrix="bt2020")),  # type: ignore[arg-type]
    ("out must be 10x8", lambda: to_yuv(IMAGE, out=YUV.empty((8, 9)))),
    ("out.v", lambda: to_yuv(IMAGE, out=YUV(LUMA, CHROMA, LUMA))),
    ("out.y is read-only", lambda: to_yuv(IMAGE, out=YUV(read_only(LUMA), CHROMA, CHROMA))),
    (
        "out.u overlaps",
        lambda: to_yuv(IMAGE, out=YUV(LUMA, IMAGE.reshape(-1)[:20].reshape(4, 5), CHROMA)),
    ),
    ("3 channels", lambda: unpack(TENSOR[:1], out=YUV.empty((8, 10)))),
    ("threads", lambda: to_yuv(IMAGE, threads=0)),
    (
        "matrix",
        lambda: resize(YUV(IMAGE[..., 0], IMAGE, matrix="bt2020"), (4, 4)),  # type: ignore[arg-type]
    ),
]


@pytest.mark.parametrize(
    ("argument", "call"), BAD, ids=[f"{i}-{a}" for i, (a, _) in enumerate(BAD)]
)
def test_an_invalid_argument_is_named(argument: str, call: Callable[[], object]) -> None:
    with pytest.raises(UsageError, match=argument):
        call()


def test_a_single_row_or_column_may_have_any_stride() -> None:
    """Accept the arbitrary strides that NumPy gives to axes of length 1."""
    image = random_image(np.random.default_rng(0), 6, 9, 3)
    assert np.array_equal(pack(image[::-1][:1]), pack(image[5:].copy()))
    assert np.array_equal(pack(image[:, ::4][:, :1]), pack(image[:, :1].copy()))


# ---- Training and serving ------------------------------------------------------------------------


def test_training_and_runtime_tensors_are_equal(tmp_path: Path) -> None:
    """Compare the tensor of an image file in a data set with that of the same frame."""
    transforms = pytest.importorskip("cgt.trainer.data.transforms")
    folders = pytest.importorskip("cgt.trainer.data.folders")
    cv2 = pytest.importorskip("cv2")
    image = random_image(np.random.default_rng(0), 331, 499, 3)
    path = tmp_path / "image.png"
    assert cv2.imwrite(str(path), image[:, :, ::-1])
    expected = pack(image, (256, 256))
    assert np.array_equal(transforms.squash_square(folders.read_rgb(path), 256)[0], expected)
    # A BGR frame of a camera, packed into a slot of a batch.
    bgr = np.ascontiguousarray(image[:, :, ::-1])
    batch = np.empty((2, 3, 256, 256), np.float32)
    Packer((331, 499), (256, 256), swap_rb=True)(bgr, batch[1])
    assert np.array_equal(batch[1], expected)


def test_a_training_crop_has_the_pixels_of_the_runtime(tmp_path: Path) -> None:
    """Compare a crop of the training with a resized and packed image."""
    transforms = pytest.importorskip("cgt.trainer.data.transforms")
    folders = pytest.importorskip("cgt.trainer.data.folders")
    cv2 = pytest.importorskip("cv2")
    image = random_image(np.random.default_rng(1), 200, 310, 3)
    path = tmp_path / "image.png"
    assert cv2.imwrite(str(path), image[:, :, ::-1])
    params = transforms.CropParams.sample(np.random.default_rng(0))
    crop = transforms.Preprocess("resize-and-crop", 64, 64).apply(folders.read_rgb(path), params)
    expected = pack(resize(image, (64, 64)))
    assert any(np.array_equal(crop, tensor) for tensor in (expected, expected[:, :, ::-1]))


def test_resize_of_real_images_equals_pillow() -> None:
    folder = os.environ.get("CGT_DATA")
    if not folder:
        pytest.skip("CGT_DATA is not set to a folder of data sets")
    cv2 = pytest.importorskip("cv2")
    files = sorted(Path(folder).glob("horse2zebra/testA/*.jpg"))[:8]
    if not files:
        pytest.skip("no horse2zebra/testA in CGT_DATA")
    for file in files:
        image = cv2.imread(str(file))
        for filter in FILTERS:
            output = resize(image, (143, 286), filter)
            assert np.array_equal(output, pillow_resized(image, (143, 286), filter, None))
