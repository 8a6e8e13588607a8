"""Writer of HEIC files of one tile, for machines without libheif."""

from __future__ import annotations

import io
import struct
from pathlib import Path
from typing import Any

import av

from cgt.runtime.image.preprocess import U8


def write_heic(
    path: Path, image: U8, quarter_turns: int = 0, icc_profile: bytes | None = None
) -> None:
    """Write a uint8 RGB image with even sides, to be shown turned to the left."""
    config, data = _encode_hevc(image)
    height, width, _ = image.shape
    properties = [config, _full_box(b"ispe", 0, struct.pack(">II", width, height))]
    if icc_profile:
        properties.append(_box(b"colr", b"prof", icc_profile))
    if quarter_turns:
        properties.append(_box(b"irot", bytes([quarter_turns])))
    links = bytes(range(1, len(properties) + 1))
    ftyp = _box(b"ftyp", b"heic", bytes(4), b"mif1heic")

    def meta(offset: int) -> bytes:
        location = struct.pack(">HHHHII", 1, 1, 0, 1, offset, len(data))
        return _full_box(
            b"meta",
            0,
            _full_box(b"hdlr", 0, bytes(4), b"pict", bytes(13)),
            _full_box(b"pitm", 0, struct.pack(">H", 1)),
            _full_box(b"iloc", 0, bytes((0x44, 0)), location),
            _full_box(
                b"iinf",
                0,
                struct.pack(">H", 1),
                _full_box(b"infe", 2, struct.pack(">HH", 1, 0), b"hvc1", b"\0"),
            ),
            _box(
                b"iprp",
                _box(b"ipco", *properties),
                _full_box(b"ipma", 0, struct.pack(">IHB", 1, 1, len(links)), links),
            ),
        )

    offset = len(ftyp) + len(meta(0)) + 8
    path.write_bytes(ftyp + meta(offset) + _box(b"mdat", data))


def _encode_hevc(image: U8) -> tuple[bytes, bytes]:
    """Return the box hvcC and the packet of an image, as an MP4 holds them."""
    buffer = io.BytesIO()
    with av.open(buffer, "w", format="mp4") as out:
        options = {"crf": "4", "x265-params": "log-level=none:bframes=0"}
        stream: Any = out.add_stream("libx265", rate=1, options=options)
        stream.height, stream.width, stream.pix_fmt = *image.shape[:2], "yuv420p"
        frame = av.VideoFrame.from_ndarray(image, format="rgb24")
        frame.pts = 0
        out.mux(stream.encode(frame))
        out.mux(stream.encode(None))
    mp4 = buffer.getvalue()
    start = mp4.index(b"hvcC") - 4
    config = mp4[start : start + int.from_bytes(mp4[start : start + 4], "big")]
    container: Any = av.open(io.BytesIO(mp4))
    with container:
        return config, bytes(next(packet for packet in container.demux(video=0) if packet.size))


def _box(kind: bytes, *parts: bytes) -> bytes:
    body = b"".join(parts)
    return struct.pack(">I", 8 + len(body)) + kind + body


def _full_box(kind: bytes, version: int, *parts: bytes) -> bytes:
    return _box(kind, bytes((version, 0, 0, 0)), *parts)
