"""The C library against NumPy and Pillow."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from cgt.runtime import pack, resize, unpack
from cgt.runtime.errors import UsageError
from cgt.runtime.preprocess import pad_reflect, padded

RANDOM = np.random.default_rng(0)


def weights(n_in: int, n_out: int, filter: str) -> np.ndarray:
    """Rows of a resampling matrix in float64: the definition, as Pillow documents it."""
    scale = n_in / n_out
    stretch = max(scale, 1.0)

    def kernel(x: np.ndarray) -> np.ndarray:
        x = np.abs(x)
        if filter == "bilinear":
            return np.clip(1 - x, 0, None)
        a = -0.5
        near = ((a + 2) * x - (a + 3)) * x * x + 1
        far = ((a * x - 5 * a) * x + 8 * a) * x - 4 * a
        return np.where(x < 1, near, np.where(x < 2, far, 0.0))

    centres = (np.arange(n_out) + 0.5) * scale
    matrix = kernel((np.arange(n_in)[None] + 0.5 - centres[:, None]) / stretch)
    return matrix / matrix.sum(1, keepdims=True)


def reference(image: np.ndarray, size: tuple[int, int], filter: str) -> np.ndarray:
    """float64 HWC in 0..255."""
    rows = weights(image.shape[0], size[0], filter)
    columns = weights(image.shape[1], size[1], filter)
    return np.einsum("yh,hwc,xw->yxc", rows, image.astype(np.float64), columns)


def noise(*shape: int) -> np.ndarray:
    return RANDOM.integers(0, 256, shape, dtype=np.uint8)


SIZES = [
    ((1, 1), (5, 7)),
    ((7, 5), (1, 1)),
    ((33, 57), (16, 16)),
    ((16, 16), (33, 57)),
    ((120, 213), (64, 113)),
    ((40, 40), (40, 40)),
]


@pytest.mark.parametrize("filter", ["bilinear", "bicubic"])
@pytest.mark.parametrize("channels", [1, 3, 4])
@pytest.mark.parametrize(("before", "after"), SIZES)
def test_pack_is_the_definition(
    before: tuple[int, int], after: tuple[int, int], channels: int, filter: str
) -> None:
    image = noise(*before, channels)
    expected = np.clip(reference(image, after, filter), 0, 255) / 127.5 - 1
    got = pack(image, after, filter)
    assert got.dtype == np.float32
    np.testing.assert_allclose(got, expected.transpose(2, 0, 1), atol=1e-3)


@pytest.mark.parametrize(("before", "after"), SIZES)
def test_resize_is_pillows(before: tuple[int, int], after: tuple[int, int]) -> None:
    image = noise(*before, 3)
    pillow = Image.fromarray(image).resize(after[::-1], Image.Resampling.BILINEAR)
    difference = resize(image, after).astype(int) - np.asarray(pillow)
    assert np.abs(difference).max() <= 1


def test_shrinking_antialiases() -> None:
    """One-pixel stripes become their mean, not one of them."""
    stripes = np.zeros((64, 64, 3), np.uint8)
    stripes[:, ::2] = 255
    assert np.abs(resize(stripes, (16, 16)).astype(int)[:, 2:-2] - 127.5).max() <= 1


def test_unpack_is_the_definition() -> None:
    tensor = RANDOM.uniform(-1.2, 1.2, (3, 19, 23)).astype(np.float32)
    expected = np.clip(np.rint((tensor + np.float32(1)) * np.float32(127.5)), 0, 255)
    np.testing.assert_array_equal(unpack(tensor), expected.transpose(1, 2, 0))
    bgr = unpack(tensor, swap_rb=True)
    np.testing.assert_array_equal(bgr, expected.transpose(1, 2, 0)[..., ::-1])


def test_unpack_clamps_and_forgives() -> None:
    values = np.array([np.nan, np.inf, -np.inf, -1, 1, 0, 2, -3], np.float32)
    assert unpack(values[None, None])[0, :, 0].tolist() == [0, 255, 0, 0, 255, 128, 255, 0]


def test_bytes_survive_the_round_trip() -> None:
    image = np.arange(256, dtype=np.uint8).repeat(3).reshape(16, 16, 3)
    np.testing.assert_array_equal(unpack(pack(image)), image)


def test_swapping_red_and_blue() -> None:
    image = noise(20, 30, 3)
    np.testing.assert_array_equal(pack(image, (8, 8), swap_rb=True), pack(image, (8, 8))[::-1])


def test_any_stride_in_and_any_place_out() -> None:
    image = noise(50, 60, 3)
    part = image[5:45, 7:50]
    whole = np.full((2, 3, 32, 40), 9, np.float32)
    pack(part, (30, 37), out=whole[1, :, :30, :37])
    np.testing.assert_array_equal(whole[1, :, :30, :37], pack(part.copy(), (30, 37)))
    assert (whole[0] == 9).all()
    assert (whole[1, :, 30:] == 9).all()
    assert (whole[1, :, :, 37:] == 9).all()
    np.testing.assert_array_equal(unpack(whole[1, :, :30, :37]), unpack(pack(part, (30, 37))))
    mirrored = image[:, ::-1]
    np.testing.assert_array_equal(pack(mirrored), pack(mirrored.copy()))


def test_padding_reflects() -> None:
    assert padded((239, 427), 4) == (240, 428)
    tensor = np.zeros((1, 3, 8, 12), np.float32)
    inner = RANDOM.normal(size=(1, 3, 5, 9)).astype(np.float32)
    tensor[..., :5, :9] = inner
    pad_reflect(tensor, (5, 9))
    expected = np.pad(inner, ((0, 0), (0, 0), (0, 3), (0, 3)), mode="reflect")
    np.testing.assert_array_equal(tensor, expected)
    with pytest.raises(UsageError, match="too small"):
        pad_reflect(np.zeros((1, 1, 4, 4)), (2, 2))


def test_bad_arguments_are_named() -> None:
    image, tensor = noise(8, 8, 3), np.zeros((3, 8, 8), np.float32)
    frozen = np.zeros((8, 8, 3), np.uint8)
    frozen.flags.writeable = False
    for call, name in (
        (lambda: pack(image.astype(np.float32)), "image"),
        (lambda: pack(image[..., 0]), "image"),
        (lambda: pack(np.zeros((8, 8, 2), np.uint8)), "image"),
        (lambda: pack(np.zeros((0, 8, 3), np.uint8)), "image"),
        (lambda: pack([[1]]), "image"),
        (lambda: pack(image, (0, 8)), "side"),
        (lambda: pack(image, (-4, 8)), "side|negative"),
        (lambda: pack(image, (8, 1 << 20)), "side"),
        (lambda: pack(image, (4, 4), "nearly"), "filter"),
        (lambda: pack(image, out=np.zeros((3, 4, 4), np.float32)), "out"),
        (lambda: pack(image, out=np.zeros((3, 8, 8))), "out"),
        (lambda: pack(image[..., :1], swap_rb=True), "channels"),
        (lambda: unpack(tensor.astype(np.float64)), "tensor"),
        (lambda: unpack(tensor[0]), "tensor"),
        (lambda: unpack(tensor, out=frozen), "out"),
        (lambda: unpack(tensor, out=np.zeros((8, 16, 3), np.uint8)[:, ::2]), "out"),
        (lambda: resize(image, (4, 4), out=np.zeros((4, 4, 3), np.int8)), "out"),
    ):
        with pytest.raises(UsageError, match=name):
            call()
