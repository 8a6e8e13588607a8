"""Tests of the codec for uploads, with valid files of Pillow and with malicious ones."""

from __future__ import annotations

import io
import zlib

import numpy as np
import pytest
from PIL import Image, ImageFile

from cgt.serve.api.errors import HttpError
from cgt.serve.api.image_codec import (
    IMAGE_FORMATS,
    MAX_JPEG_SCANS,
    decode_upload,
    detect_media_type,
    encode_as,
)
from conftest import make_image

from .factories import decode_image, encode_image, make_png_bomb, make_scan_bomb, png_chunk

IMAGE = make_image(3, 64, 48)


def test_round_trip_of_every_format() -> None:
    np.testing.assert_array_equal(decode_upload(encode_as(IMAGE, "image/png")), IMAGE)
    for media_type in IMAGE_FORMATS:
        data = encode_as(IMAGE, media_type)
        assert detect_media_type(data) == media_type
        np.testing.assert_array_equal(decode_upload(data), decode_image(data))
        assert np.abs(decode_upload(data).astype(int) - IMAGE).mean() < 4


def test_gray_16_bit_and_transparent_images() -> None:
    gray = IMAGE[:, :, 1]
    np.testing.assert_array_equal(
        decode_upload(encode_image("PNG", gray)), np.stack([gray] * 3, -1)
    )
    gray16 = gray.astype(np.uint16) * 257
    np.testing.assert_array_equal(
        decode_upload(encode_image("PNG", gray16)), np.stack([gray] * 3, -1)
    )
    transparent = np.dstack([IMAGE, np.zeros(IMAGE.shape[:2], np.uint8)])
    assert (decode_upload(encode_image("PNG", transparent)) == 255).all()  # white behind it


def test_exif_orientation_is_applied() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # rotate by 90 degrees clockwise
    np.testing.assert_array_equal(
        decode_upload(encode_image("PNG", IMAGE, exif=exif)), np.rot90(IMAGE, -1)
    )


def error_status(data: bytes) -> int:
    with pytest.raises(HttpError) as error:
        decode_upload(data)
    assert "\n" not in str(error.value)
    return error.value.status


@pytest.mark.parametrize(
    "data",
    [
        make_png_bomb(10000, 100),
        make_png_bomb(8192, 8192),
        make_png_bomb(20000, 20000, rows=1),  # Pillow would raise
        make_png_bomb(2**31 - 1, 2**31 - 1, rows=0),
        bytes(16 * 2**20 + 1),
        encode_image("WEBP", np.zeros((4, 8300, 3), np.uint8)),
        encode_image("JPEG", np.zeros((8300, 4, 3), np.uint8)),
    ],
    ids=["wide", "bomb", "huge", "absurd", "bytes", "webp", "jpeg"],
)
def test_size_limits(data: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ImageFile.ImageFile, "load", lambda *_: pytest.exit("pixels were decoded"))
    assert error_status(data) == 413


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP"])
def test_damaged_files(kind: str) -> None:
    data = encode_image(kind)
    assert error_status(data[: len(data) // 2]) == 422
    assert error_status(data[:40]) in (415, 422)


@pytest.mark.parametrize("kind", ["GIF", "BMP", "TIFF", "PPM", "ICO", "AVIF", "JPEG2000"])
def test_unsupported_formats(kind: str) -> None:
    assert error_status(encode_image(kind)) == 415


def test_bombs_in_scans_and_metadata() -> None:
    assert MAX_JPEG_SCANS == 100
    assert decode_upload(make_scan_bomb(20)).shape == (1024, 1024, 3)
    assert error_status(make_scan_bomb(MAX_JPEG_SCANS)) == 422
    bomb = io.BytesIO()
    Image.new("RGB", (8, 8)).save(bomb, "PNG")
    text = png_chunk(b"zTXt", b"a\0\0" + zlib.compress(bytes(200 * 2**20), 9))
    data = bomb.getvalue()
    assert error_status(data[:33] + text + data[33:]) == 422
    second = png_chunk(b"IHDR", make_png_bomb(20000, 20000, rows=0)[16:29])
    assert error_status(data[:33] + second + data[33:]) == 413


def test_random_bytes() -> None:
    random = np.random.default_rng(0)
    for start in (b"", b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff", b"RIFF\0\0\0\0WEBPVP8 "):
        for length in (0, 1, 10, 1000):
            assert error_status(start + random.bytes(length)) in (415, 422)
