"""Color of videos: tags and their absence, HDR, orientation next to side data that PyAV lacks."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
import pytest

from cgt.runtime.sinks import StreamFormat, TranslatedFrame, open_sink
from cgt.runtime.sources import Frame, Source, open_source

HD, SD = (720, 1280), (96, 160)  # (height, width)
BT709, BT601 = 1, 6  # H.273
RED = (200, 41, 41)


def read_first(path: Path) -> np.ndarray:
    with open_source(str(path)) as source:
        return next(item.image for item in source if isinstance(item, Frame))


def stream_format(source: Source) -> StreamFormat:
    return StreamFormat(source.size, source.rate, source.time_base, color_space=source.color_space)


def write_frame(path: Path, frame: av.VideoFrame, codec: str, **tags: int) -> None:
    """Write one frame losslessly, with these color tags and no others."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=25)
        stream.width, stream.height, stream.pix_fmt = frame.width, frame.height, frame.format.name
        for name, value in tags.items():
            setattr(stream.codec_context, name, value)
        frame.pts, frame.time_base = 0, Fraction(1, 25)
        container.mux(stream.encode(frame))
        container.mux(stream.encode(None))


def write_untagged(path: Path, size: tuple[int, int], matrix: int) -> None:
    rgb = av.VideoFrame.from_ndarray(np.full((*size, 3), RED, np.uint8), format="rgb24")
    swscale = {BT709: 1, BT601: 5}[matrix]
    yuv = rgb.reformat(format="yuv420p", dst_colorspace=swscale, dst_color_range=1)
    untagged = av.VideoFrame.from_ndarray(yuv.to_ndarray(), format="yuv420p")
    write_frame(path, untagged, "ffv1")


@pytest.mark.parametrize(("size", "matrix"), [(HD, BT709), (SD, BT601), ((600, 800), BT709)])
def test_untagged_videos_are_read_and_written_by_their_size(
    size: tuple[int, int], matrix: int, tmp_path: Path
) -> None:
    path, out = tmp_path / "untagged.mkv", tmp_path / "out.mp4"
    write_untagged(path, size, matrix)
    with open_source(str(path)) as source:
        frame = next(item for item in source if isinstance(item, Frame))
        assert np.abs(frame.image.astype(int) - RED).max() <= 3
        with open_sink(str(out), stream_format(source)) as sink:
            sink.write(TranslatedFrame(frame, frame.image))
            sink.finish()
    with av.open(str(out)) as container:
        decoded = next(container.decode(video=0))
    assert (decoded.colorspace, decoded.color_primaries, decoded.color_trc) == (matrix,) * 3
    assert np.abs(read_first(out).astype(int) - RED).max() <= 4


@pytest.mark.parametrize("size", [HD, SD])
def test_y4m_has_no_tags_and_goes_by_its_size(
    size: tuple[int, int], tmp_path: Path, capfdbinary: Any
) -> None:
    image = np.full((*size, 3), RED, np.uint8)
    with open_sink("-", StreamFormat(size, Fraction(25), Fraction(1, 25))) as sink:
        sink.write(TranslatedFrame(Frame(image, Fraction(0)), image))
        sink.finish()
    path = tmp_path / "out.y4m"
    path.write_bytes(capfdbinary.readouterr().out)
    assert np.abs(read_first(path).astype(int) - RED).max() <= 3


def pq_signal(nits: float) -> float:
    """Return the signal of SMPTE ST 2084."""
    m1, m2, c1, c2, c3 = 0.1593017578125, 78.84375, 0.8359375, 18.8515625, 18.6875
    y = (nits / 10000) ** m1
    return float(((c1 + c2 * y) / (1 + c3 * y)) ** m2)


def hlg_signal(nits: float) -> float:
    """Return the signal of gray on a display of 1000 nits (ITU-R BT.2100)."""
    scene = (nits / 1000) ** (1 / 1.2)
    if scene <= 1 / 12:
        return float(np.sqrt(3 * scene))
    return float(0.17883277 * np.log(12 * scene - 0.28466892) + 0.55991073)


def srgb_to_nits(code: int) -> float:
    value = code / 255
    return 203 * (value / 12.92 if value <= 0.04045 else ((value + 0.055) / 1.055) ** 2.4)


def write_hdr(path: Path, signals: list[tuple[float, float, float]], transfer: int) -> None:
    """Write R'G'B' signals in BT.2020 as squares of 16 pixels side by side, in 10 bits."""
    rgb = np.repeat(np.array(signals), 16, axis=0)[None].repeat(16, axis=0)
    luma = rgb @ (0.2627, 0.6780, 0.0593)
    blue, red = (rgb[..., 2] - luma) / 1.8814, (rgb[..., 0] - luma) / 1.4746
    frame = av.VideoFrame(rgb.shape[1], rgb.shape[0], "yuv444p10le")
    for plane, values in zip(
        frame.planes, (64 + 876 * luma, 512 + 896 * blue, 512 + 896 * red), strict=True
    ):
        rows = np.zeros((frame.height, plane.line_size // 2), np.uint16)
        rows[:, : frame.width] = values.round()
        plane.update(rows.tobytes())
    write_frame(
        path, frame, "ffv1", colorspace=9, color_primaries=9, color_trc=transfer, color_range=1
    )


@pytest.mark.parametrize(
    ("transfer", "signal", "name"), [(16, pq_signal, "PQ"), (18, hlg_signal, "HLG")]
)
def test_hdr_becomes_sdr(
    transfer: int, signal: Any, name: str, tmp_path: Path, caplog: Any
) -> None:
    """SDR in HDR comes back as it was; highlights stay distinct below white."""
    path, out = tmp_path / "hdr.mkv", tmp_path / "out.mp4"
    grays = [0, 32, 64, 128, 200, 225]
    nits = [srgb_to_nits(code) for code in grays] + [203, 500, 1000]
    write_hdr(path, [(signal(n),) * 3 for n in nits], transfer)
    found = read_first(path)[8, 8::16].astype(int)
    assert np.abs(found[: len(grays)] - np.array(grays)[:, None]).max() <= 2
    white, bright, peak = found[len(grays) :, 0]
    assert 235 <= white < bright < peak == 255
    assert f"is HDR ({name}): tone-mapping it to SDR" in caplog.text
    with open_source(str(path)) as source, open_sink(str(out), stream_format(source)) as sink:
        for frame in source:
            assert isinstance(frame, Frame)
            sink.write(TranslatedFrame(frame, frame.image))
        sink.finish()
    with av.open(str(out)) as container:
        decoded = next(container.decode(video=0))
        assert (decoded.colorspace, decoded.color_primaries, decoded.color_trc) == (1, 1, 1)


def test_hdr_colors_get_the_primaries_of_sdr(tmp_path: Path) -> None:
    """The red of BT.709 at 100 nits, in BT.2020, is red without green or blue."""
    path = tmp_path / "red.mkv"
    red = tuple(pq_signal(100 * share) for share in (0.627404, 0.069097, 0.016391))
    write_hdr(path, [red], 16)
    expected = 255 * (1.055 * (100 / 203) ** (1 / 2.4) - 0.055)
    r, g, b = read_first(path)[8, 8].astype(int)
    assert abs(r - expected) <= 2
    assert max(g, b) <= 16  # near black a step of 10 bits is large


def exif(orientation: int) -> bytes:
    """Return an APP1 segment with the maker of the camera and an orientation."""
    entries = b"\x01\x0f\x00\x02\x00\x00\x00\x04Cam\0" + b"\x01\x12\x00\x03\x00\x00\x00\x01"
    tiff = b"MM\x00\x2a\x00\x00\x00\x08\x00\x02" + entries
    tiff += orientation.to_bytes(2, "big") + bytes(6)
    return b"\xff\xe1" + (len(tiff) + 8).to_bytes(2, "big") + b"Exif\0\0" + tiff


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("suffix", [".avi", ".mov"])
def test_motion_jpeg_with_exif_is_upright(orientation: int, suffix: str, tmp_path: Path) -> None:
    path, image = tmp_path / f"exif{suffix}", np.zeros((48, 64, 3), np.uint8)
    image[:24, :32], image[:24, 32:], image[24:, :32] = (255, 0, 0), (0, 255, 0), (0, 0, 255)
    jpeg = cv2.imencode(".jpg", image[..., ::-1])[1].tobytes()
    jpeg = jpeg[:2] + exif(orientation) + jpeg[2:]
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mjpeg", rate=25)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuvj420p"
        for index in range(3):
            packet = av.Packet(jpeg)
            packet.stream, packet.time_base = stream, Fraction(1, 25)
            packet.pts = packet.dts = index
            packet.is_keyframe = True
            container.mux(packet)
    expected = cv2.imdecode(np.frombuffer(jpeg, np.uint8), cv2.IMREAD_COLOR)[..., ::-1]
    found = read_first(path)
    assert found.shape == expected.shape
    assert np.abs(found.astype(int) - expected).mean() < 4


def test_transparency_of_webm_is_named(tmp_path: Path, caplog: Any) -> None:
    path = tmp_path / "alpha.webm"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libvpx-vp9", rate=25)
        stream.width, stream.height, stream.pix_fmt = 64, 64, "yuva420p"
        frame = av.VideoFrame.from_ndarray(np.zeros((64, 64, 4), np.uint8), format="rgba")
        frame.pts = 0
        container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    read_first(path)
    assert "alpha.webm has transparency that FFmpeg does not decode" in caplog.text
