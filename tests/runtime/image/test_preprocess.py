"""Pixels to tensors and back: against Pillow's bytes, and against the formulas in float64."""

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
    """(out, count): how much of each sample each output is made of, in float64."""
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
    """The resize in float64, nothing rounded or clamped in between; HWC."""
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
        pytest.skip("before version 13 Pillow had another order of passes")
    height, width, channels = image.shape
    # CMYK: four channels that Pillow does not multiply by alpha.
    mode = {1: "L", 3: "RGB", 4: "CMYK"}[channels]
    picture = pil.frombytes(mode, (width, height), np.ascontiguousarray(image).tobytes())
    resampling = getattr(pil.Resampling, filter.upper())
    out = picture.resize((size[1], size[0]), resampling, box)
    return np.frombuffer(out.tobytes(), np.uint8).reshape(*size, channels)


def random_image(random: np.random.Generator, height: int, width: int, channels: int) -> U8:
    """Noise, extremes or a ramp with an edge: what overshoots, and what pictures are like."""
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


def test_resize_gives_pillows_bytes() -> None:
    for image, size, filter, box in random_cases(800, 1, FILTERS):
        wanted = pillow_resized(image, size, filter, box)
        got = resize(image, size, filter, box=box)
        worst = np.abs(wanted.astype(int) - got).max()
        assert worst == 0, f"{image.shape} to {size}, {filter}, box {box}: {worst} levels"


def test_resize_of_a_real_frame_size_gives_pillows_bytes() -> None:
    image = random_image(np.random.default_rng(0), 720, 1280, 3)
    for filter in FILTERS:
        assert np.array_equal(
            resize(image, (256, 256), filter), pillow_resized(image, (256, 256), filter, None)
        )


def test_resize_of_long_strips_gives_pillows_bytes() -> None:
    """Thousands of samples an output, at both ends of 32-bit sums."""
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


def test_rows_and_results_may_lie_apart() -> None:
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
        got = Packer((height, width), size, filter, channels=channels, box=box)(image)
        exact = np.clip(resized(image, size, filter, box), 0, 255) / 127.5 - 1
        worst = np.abs(exact.transpose(2, 0, 1) - got).max()
        assert worst < 1e-3, f"{image.shape} to {size}, {filter}, box {box}: {worst}"
        assert got.min() >= -1
        assert got.max() <= 1


@pytest.mark.parametrize("filter", FILTERS[:4])
def test_pack_shrinks_a_lot_within_a_thousandth(filter: Filter) -> None:
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
            plain = image.astype(np.float32) * np.float32(1 / 127.5) - np.float32(1)
            assert np.array_equal(pack(image), plain.transpose(2, 0, 1))


def reflected(tensor: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """A CHW tensor, padded right and below by NumPy."""
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
        wanted = reflected(inner, padded_size)
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
                got = packer(image)
                assert got.dtype == dtype
                assert got.shape == packer.shape
                if layout == "HWC":
                    got = got.transpose(2, 0, 1)
                tolerance = 2e-6 if dtype is np.float32 else 1e-3
                np.testing.assert_allclose(got, wanted, rtol=tolerance, atol=tolerance)
                # Padding repeats what was packed, to the bit.
                again = reflected(got[:, : size[0], : size[1]], padded_size)
                assert np.array_equal(again, got)


def test_float16_is_numpys_rounding() -> None:
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


def test_shrinking_antialiases() -> None:
    """One-pixel stripes become their mean, not one of them."""
    stripes = np.zeros((64, 64, 3), np.uint8)
    stripes[:, ::2] = 255
    assert np.abs(pack(stripes, (16, 16))[..., 2:-2]).max() <= 0.01


def test_padding_reflects() -> None:
    assert round_up_to_multiple((239, 427), 4) == (240, 428)
    image = random_image(np.random.default_rng(0), 5, 9, 3)
    assert np.array_equal(Packer((5, 9), multiple=4)(image), reflected(pack(image), (8, 12)))
    with pytest.raises(UsageError, match="too large"):
        Packer((2, 2), multiple=8)


# ---- YUV -----------------------------------------------------------------------------------------


def yuv_to_rgb(picture: YUV) -> F64:
    """BT.601 / BT.709 in float64, not rounded; HWC."""
    red, blue = {"bt601": (0.299, 0.114), "bt709": (0.2126, 0.0722)}[picture.matrix]
    height, width = picture.y.shape
    if picture.v is None:
        u, v = picture.u[..., 0], picture.u[..., 1]
    else:
        u, v = picture.u, picture.v
    planes = [picture.y, *(c.repeat(2, 0).repeat(2, 1)[:height, :width] for c in (u, v))]
    y, u, v = (plane.astype(np.float64) for plane in planes)
    if picture.full_range:
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
def test_yuv_is_its_rgb(nv12: bool) -> None:
    random = np.random.default_rng(4)
    for _ in range(60):
        height, width = (int(side) for side in random.integers(1, 90, 2))
        picture = random_yuv(random, height, width, nv12)
        rgb = resize(picture, (height, width))
        assert np.abs(rgb - yuv_to_rgb(picture)).max() <= 0.6  # 0.5 is rounding
        # What follows is what follows from the RGB, whatever is done with it.
        size = (int(random.integers(1, 99)), int(random.integers(1, 99)))
        left, upper = int(random.integers(width)), int(random.integers(height))
        for box in (None, (left, upper, width, height)):
            for filter in FILTERS:
                assert np.array_equal(
                    resize(picture, size, filter, box=box), resize(rgb, size, filter, box=box)
                )
                packer = Packer((height, width), size, filter, True, box=box)
                assert np.array_equal(packer(picture), packer(rgb))
        assert np.array_equal(pack(picture), pack(rgb))


def test_yuv_agrees_with_opencv() -> None:
    """Its NV12 is BT.601 of limited range; it rounds coarser."""
    cv2 = pytest.importorskip("cv2")
    random = np.random.default_rng(1)
    picture = random_yuv(random, 48, 64, nv12=True)
    picture = YUV(np.clip(picture.y, 16, 235), picture.u)  # OpenCV takes blacker for black
    together = np.concatenate([picture.y, picture.u.reshape(24, 64)])
    rgb = cv2.cvtColor(together, cv2.COLOR_YUV2RGB_NV12)
    assert np.abs(rgb.astype(int) - resize(picture, (48, 64))).max() <= 2


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
            wanted = exact_bytes(tensor, truncate)
            assert np.array_equal(unpack(tensor, truncate=truncate), wanted)
            if channels > 1:
                swapped = wanted.copy()
                swapped[..., [0, 2]] = wanted[..., [2, 0]]
                assert np.array_equal(unpack(tensor, True, truncate=truncate), swapped)
            big = np.zeros((channels, 9, width + 3), dtype)
            big[:, 1:8, 2:-1] = tensor
            assert np.array_equal(unpack(big[:, 1:8, 2:-1], truncate=truncate), wanted)


def test_unpack_clamps_and_forgives() -> None:
    values = np.array([np.nan, np.inf, -np.inf, -1, 1, 0, 2, -3], np.float32)
    assert unpack(values[None, None])[0, :, 0].tolist() == [0, 255, 0, 0, 255, 128, 255, 0]


def test_half_way_values_go_to_even() -> None:
    levels = np.arange(255)
    tensor = ((levels + 0.5) / 127.5 - 1).astype(np.float32).reshape(1, 1, -1)
    values = (tensor + np.float32(1)) * np.float32(127.5)
    half_way = values[0, 0] == levels + 0.5
    assert half_way.sum() > 50  # float32 does not hold them all
    assert (unpack(tensor)[0, half_way, 0] % 2 == 0).all()
    assert np.array_equal(unpack(tensor, truncate=True)[0, half_way, 0], levels[half_way])


def test_bytes_come_back() -> None:
    image = np.arange(256, dtype=np.uint8).repeat(3).reshape(1, 256, 3)
    assert np.array_equal(unpack(pack(image)), image)
    half = Packer((1, 256), dtype=np.float16)(image)
    assert np.array_equal(unpack(half), image)


# ---- Threads, memory, instruction sets -----------------------------------------------------------


def test_threads_change_nothing() -> None:
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
    wanted = [packer(image) for image in images]
    wrong: list[int] = []

    def work(index: int) -> None:
        out = np.empty_like(wanted[index])
        for _ in range(50):
            if not np.array_equal(packer(images[index], out), wanted[index]):
                wrong.append(index)

    threads = [threading.Thread(target=work, args=(i,)) for i in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


def test_a_call_keeps_no_memory() -> None:
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
    assert peak < 16384  # a few small Python objects; a row of the picture has 3,840 bytes


def test_cgt_simd_chooses() -> None:
    """C tests compare the bits of all sets (tests/native)."""
    code = "from cgt.runtime.image import preprocess; print(preprocess.simd_instruction_set())"

    def ask(name: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-c", code],
            env={**os.environ, "CGT_SIMD": name},
            capture_output=True,
            text=True,
        )

    assert ask("scalar").stdout == "scalar\n"
    assert ask("").stdout.strip() in ("scalar", "avx2", "avx512", "neon")
    refused = ask("altivec")
    assert refused.returncode == 1
    assert "CGT_SIMD names no instruction set of this CPU (it is 'altivec')" in refused.stderr


def test_simd_path() -> None:
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
    (
        "matrix",
        lambda: resize(YUV(IMAGE[..., 0], IMAGE, matrix="bt2020"), (4, 4)),  # type: ignore[arg-type]
    ),
]


@pytest.mark.parametrize(
    ("argument", "call"), BAD, ids=[f"{i}-{a}" for i, (a, _) in enumerate(BAD)]
)
def test_a_bad_argument_is_named(argument: str, call: Callable[[], object]) -> None:
    with pytest.raises(UsageError, match=argument):
        call()


def test_a_single_row_or_column_may_have_any_stride() -> None:
    """NumPy gives axes of length 1 whatever stride it likes."""
    image = random_image(np.random.default_rng(0), 6, 9, 3)
    assert np.array_equal(pack(image[::-1][:1]), pack(image[5:].copy()))
    assert np.array_equal(pack(image[:, ::4][:, :1]), pack(image[:, :1].copy()))


# ---- Training and serving ------------------------------------------------------------------------


def test_the_trainer_sees_what_the_runtime_sees(tmp_path: Path) -> None:
    """The data set's tensor of an image file, and the runtime's of the same frame."""
    views = pytest.importorskip("cgt.trainer.data.transforms")
    domain = pytest.importorskip("cgt.trainer.data.folders")
    cv2 = pytest.importorskip("cv2")
    image = random_image(np.random.default_rng(0), 331, 499, 3)
    path = tmp_path / "image.png"
    assert cv2.imwrite(str(path), image[:, :, ::-1])
    wanted = pack(image, (256, 256))
    assert np.array_equal(views.squash_square(domain.read_rgb(path), 256)[0], wanted)
    # From a camera in BGR, into the slot of a batch, as it streams.
    bgr = np.ascontiguousarray(image[:, :, ::-1])
    batch = np.empty((2, 3, 256, 256), np.float32)
    Packer((331, 499), (256, 256), swap_rb=True)(bgr, batch[1])
    assert np.array_equal(batch[1], wanted)


def test_the_trainers_view_is_the_runtimes_pixels(tmp_path: Path) -> None:
    """A training view is a crop of the resized picture, converted by the same kernel."""
    views = pytest.importorskip("cgt.trainer.data.transforms")
    domain = pytest.importorskip("cgt.trainer.data.folders")
    cv2 = pytest.importorskip("cv2")
    image = random_image(np.random.default_rng(1), 200, 310, 3)
    path = tmp_path / "image.png"
    assert cv2.imwrite(str(path), image[:, :, ::-1])
    draw = views.CropParams.sample(np.random.default_rng(0))
    view = views.Preprocess("resize-and-crop", 64, 64).apply(domain.read_rgb(path), draw)
    wanted = pack(resize(image, (64, 64)))
    assert any(np.array_equal(view, side) for side in (wanted, wanted[:, :, ::-1]))


def test_real_frames_give_pillows_bytes() -> None:
    folder = os.environ.get("CGT_DATA")
    if not folder:
        pytest.skip("CGT_DATA names no folder of data sets")
    cv2 = pytest.importorskip("cv2")
    files = sorted(Path(folder).glob("horse2zebra/testA/*.jpg"))[:8]
    if not files:
        pytest.skip("no horse2zebra/testA in CGT_DATA")
    for file in files:
        image = cv2.imread(str(file))
        for filter in FILTERS:
            got = resize(image, (143, 286), filter)
            assert np.array_equal(got, pillow_resized(image, (143, 286), filter, None))
