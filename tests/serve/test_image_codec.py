"""Tests of the codec for uploads, with valid files of Pillow and with malicious ones."""

from __future__ import annotations

import io
import zlib

import numpy as np
import pytest
from PIL import Image, ImageFile

from cgt.serve.api import image_codec
from cgt.serve.api.errors import HttpError
from cgt.serve.api.image_codec import (
    IMAGE_FORMATS,
    MAX_IMAGE_BYTES,
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
        bytes(MAX_IMAGE_BYTES + 1),
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


@pytest.mark.parametrize("size", [(6000, 4000), (5712, 4284), (4284, 5712)])
def test_photos_of_phones_are_accepted(size: tuple[int, int]) -> None:
    """24 megapixels, with the orientation that a phone stores."""
    file, exif = io.BytesIO(), Image.Exif()
    exif[274] = 6
    Image.new("RGB", size, (200, 40, 90)).save(file, "JPEG", exif=exif)
    image = decode_upload(file.getvalue())
    assert image.shape == (size[0], size[1], 3)
    assert np.abs(image[::999, ::999].astype(int) - (200, 40, 90)).max() <= 2


def test_large_images_are_decoded_one_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    held: list[bool] = []

    def record(image: Image.Image, data: bytes, keep_alpha: bool) -> np.ndarray:
        held.append(image_codec._large_slot.locked())
        return np.zeros((1, 1, 3), np.uint8)

    monkeypatch.setattr(image_codec, "_decode", record)
    for size in ((2048, 2048), (2049, 2048)):
        decode_upload(encode_image("PNG", np.zeros((*size, 3), np.uint8)))
    assert held == [False, True]
    assert not image_codec._large_slot.locked()


def test_deep_pixels_count_twice() -> None:
    header = bytearray(make_png_bomb(6000, 4000, rows=0))
    header[24] = 16  # bits per sample
    header[29:33] = zlib.crc32(header[12:29]).to_bytes(4, "big")
    assert error_status(bytes(header)) == 413
