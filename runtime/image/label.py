"""ICC profile of sRGB in encoded image files, without encoding them again."""

from __future__ import annotations

import struct
import zlib

from .color import srgb_profile

_TIFF_ICC_PROFILE, _TIFF_UNDEFINED = 34675, 7  # tag and type
_WEBP_HAS_PROFILE, _WEBP_HAS_ALPHA = 0x20, 0x10


def label_as_srgb(data: bytes) -> bytes:
    """Return an image file with the profile of sRGB.

    Args:
        data: A PNG, JPEG, WebP or TIFF file as OpenCV writes it. Any other is returned as it is,
            because its format has no place for a profile.
    """
    if data.startswith(b"\x89PNG"):
        return _label_png(data)
    if data.startswith(b"\xff\xd8"):
        return _label_jpeg(data)
    if data.startswith(b"RIFF"):
        return _label_webp(data)
    return _label_tiff(data) if data.startswith(b"II*\0") else data


def _label_png(data: bytes) -> bytes:
    chunk = b"iCCP" + b"sRGB\0\0" + zlib.compress(srgb_profile(), 9)
    end_of_header = 8 + 25  # the signature and IHDR
    return (
        data[:end_of_header]
        + struct.pack(">I", len(chunk) - 4)
        + chunk
        + struct.pack(">I", zlib.crc32(chunk))
        + data[end_of_header:]
    )


def _label_jpeg(data: bytes) -> bytes:
    segment = b"ICC_PROFILE\0\x01\x01" + srgb_profile()
    start = 4 + int.from_bytes(data[4:6], "big")  # after JFIF, which has to be the first segment
    return data[:start] + b"\xff\xe2" + struct.pack(">H", len(segment) + 2) + segment + data[start:]


def _label_webp(data: bytes) -> bytes:
    image = data[12:]
    if image.startswith(b"VP8X"):  # the extended format, whose header lists the other chunks
        header, image = bytearray(image[8:18]), image[18:]
    else:
        header = bytearray(10)
        if image.startswith(b"VP8L"):
            (bits,) = struct.unpack("<I", image[9:13])
            width_1, height_1 = bits & 0x3FFF, bits >> 14 & 0x3FFF
            header[0] |= _WEBP_HAS_ALPHA if bits >> 28 & 1 else 0
        else:
            width, height = struct.unpack("<HH", image[14:18])
            width_1, height_1 = (width & 0x3FFF) - 1, (height & 0x3FFF) - 1
        header[4:7], header[7:10] = width_1.to_bytes(3, "little"), height_1.to_bytes(3, "little")
    header[0] |= _WEBP_HAS_PROFILE
    chunks = _riff_chunk(b"VP8X", bytes(header)) + _riff_chunk(b"ICCP", srgb_profile()) + image
    return b"RIFF" + struct.pack("<I", 4 + len(chunks)) + b"WEBP" + chunks


def _riff_chunk(name: bytes, content: bytes) -> bytes:
    return name + struct.pack("<I", len(content)) + content + bytes(len(content) % 2)


def _label_tiff(data: bytes) -> bytes:
    """Append the profile, and a copy of the directory that refers to it."""
    (directory,) = struct.unpack_from("<I", data, 4)
    (count,) = struct.unpack_from("<H", data, directory)
    entries = data[directory + 2 : directory + 2 + 12 * count]  # sorted by tag; this is the highest
    data += bytes(len(data) % 2)
    profile = srgb_profile()
    entry = struct.pack("<HHII", _TIFF_ICC_PROFILE, _TIFF_UNDEFINED, len(profile), len(data))
    new_directory = struct.pack("<I", len(data) + len(profile))
    return (
        data[:4]
        + new_directory
        + data[8:]
        + profile
        + struct.pack("<H", count + 1)
        + entries
        + entry
        + bytes(4)  # no further directory
    )
