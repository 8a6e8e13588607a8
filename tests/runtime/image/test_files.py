"""Color of image files: ICC profiles, deep values, transparency, orientation, and labels."""

from __future__ import annotations

import io
import struct
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
import pytest
from PIL import Image, ImageCms
from support.heic import write_heic

from cgt.runtime import translate_file
from cgt.runtime.errors import UsageError
from cgt.runtime.image.color import parse_color, srgb_profile
from cgt.runtime.image.files import encode_image, read_image
from cgt.runtime.sinks import StreamFormat, TranslatedFrame, open_sink
from cgt.runtime.sources import Frame, open_source
from cgt.runtime.utils import log
from cgt.serve.api.image_codec import decode_upload, encode_as
from cgt.trainer.data.folders import read_rgb
from conftest import make_image

IMAGE = make_image(3, 24, 40)
P3_RED = (234, 51, 35)  # the red of sRGB in Display P3
LOSSLESS = {"PNG": {}, "WEBP": {"lossless": True}, "TIFF": {}}


@pytest.fixture(autouse=True)
def forget_printed_notes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(log, "_logged_topics", set())


def make_profile(
    space: bytes, tags: dict[bytes, bytes], kind: bytes = b"mntr", connection: bytes = b"XYZ "
) -> bytes:
    """Return an ICC profile (version 2), by default of a display."""
    head, body = struct.pack(">I", len(tags)), b""
    start = 128 + 4 + 12 * len(tags)
    for name, content in tags.items():
        content += bytes(-len(content) % 4)
        head += struct.pack(">4sII", name, start + len(body), len(content))
        body += content
    size = start + len(body)
    header = struct.pack(">I4sI4s4s4s", size, b"\0" * 4, 0x02400000, kind, space, connection)
    header += bytes(12) + b"acsp" + bytes(28) + xyz(0.9642, 1.0, 0.8249)[8:]
    return header + bytes(128 - len(header)) + head + body


def xyz(x: float, y: float, z: float) -> bytes:
    return b"XYZ \0\0\0\0" + struct.pack(">3i", *(round(65536 * v) for v in (x, y, z)))


def gamma_curve(gamma: float) -> bytes:
    return b"curv\0\0\0\0" + struct.pack(">IH", 1, round(256 * gamma)) + bytes(2)


def srgb_curve() -> bytes:
    x = np.linspace(0, 1, 1024)
    y = np.where(x <= 0.04045, x / 12.92, ((x + 0.055) / 1.055) ** 2.4)
    return b"curv\0\0\0\0" + struct.pack(">I1024H", 1024, *np.rint(65535 * y).astype(int))


WHITE_POINT = {b"wtpt": xyz(0.9642, 1.0, 0.8249), b"desc": b"desc" + bytes(90)}
P3 = make_profile(
    b"RGB ",
    WHITE_POINT
    | {
        b"rXYZ": xyz(0.51512, 0.2412, -0.00105),
        b"gXYZ": xyz(0.29198, 0.69225, 0.04189),
        b"bXYZ": xyz(0.1571, 0.06657, 0.78407),
    }
    | {name: srgb_curve() for name in (b"rTRC", b"gTRC", b"bTRC")},
)
GRAY_GAMMA_1 = make_profile(b"GRAY", WHITE_POINT | {b"kTRC": gamma_curve(1.0)})


def save(path: Path, pixels: np.ndarray, **settings: Any) -> Path:
    Image.fromarray(pixels).save(path, **settings)
    return path


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".webp", ".tif"])
def test_profile_is_converted_to_srgb(suffix: str, tmp_path: Path) -> None:
    red = np.full((16, 16, 3), P3_RED, np.uint8)
    path = save(tmp_path / f"p3{suffix}", red, icc_profile=P3)
    for image in (read_image(path), read_rgb(path)):
        assert np.abs(image.astype(int) - (255, 0, 0)).max() <= 6
    if suffix != ".tif":
        assert np.abs(decode_upload(path.read_bytes()).astype(int) - (255, 0, 0)).max() <= 6


def test_profile_of_heic_is_converted_once(tmp_path: Path) -> None:
    path = tmp_path / "p3.heic"
    write_heic(path, np.full((64, 64, 3), (200, 60, 60), np.uint8), icc_profile=P3)
    other = save(tmp_path / "p3.png", np.full((8, 8, 3), (200, 60, 60), np.uint8), icc_profile=P3)
    expected = read_image(other)[0, 0].astype(int)
    assert np.abs(expected - (200, 60, 60)).max() > 10
    assert np.abs(read_image(path)[32, 32] - expected).max() <= 4


def test_profile_of_gray_is_converted(tmp_path: Path) -> None:
    path = save(tmp_path / "g.png", np.full((8, 8), 55, np.uint8), icc_profile=GRAY_GAMMA_1)
    expected = 255 * (1.055 * (55 / 255) ** (1 / 2.4) - 0.055)
    assert np.abs(read_image(path) - expected).max() <= 2


def test_profile_of_cmyk_is_converted(tmp_path: Path) -> None:
    """Convert by a table in which each of cyan, magenta and yellow is a gray of L = 66.7."""
    ramp = bytes(range(256))
    lab = b"".join(
        bytes([round(255 * (1 - k) * (1 - (c + m + y) / 3)), 128, 128])
        for c, m, y, k in np.ndindex(2, 2, 2, 2)
    )
    unit = struct.pack(">9i", *(65536 * np.eye(3, dtype=int)).ravel())
    table = b"mft1\0\0\0\0" + bytes([4, 3, 2, 0]) + unit + 4 * ramp + lab + 3 * ramp
    profile = make_profile(b"CMYK", WHITE_POINT | {b"A2B0": table}, b"prtr", b"Lab ")
    pixels = np.zeros((16, 48, 4), np.uint8)
    pixels[:, 16:32, 0], pixels[:, 32:, 3] = 255, 255
    for suffix in (".jpg", ".tif"):
        path = tmp_path / f"cmyk{suffix}"
        Image.fromarray(pixels, "CMYK").save(path, icc_profile=profile)
        found = read_image(path)[8, [4, 24, 44]].astype(int)
        assert np.abs(found - np.array([255, 161, 0])[:, None]).max() <= 4


@pytest.mark.parametrize("deep", [False, True])
def test_transparent_and_deep_files_have_profiles_too(deep: bool, tmp_path: Path) -> None:
    pixels = np.full((8, 8, 4), (*P3_RED, 255), np.uint8)
    pixels[:4] = (0, 0, 0, 0)
    path = save(tmp_path / "a.png", pixels, icc_profile=P3)
    if deep:  # Pillow cannot write it: move the profile into OpenCV's file
        bgra = cv2.cvtColor(pixels, cv2.COLOR_RGBA2BGRA).astype(np.uint16) * 257
        data, labeled = cv2.imencode(".png", bgra)[1].tobytes(), path.read_bytes()
        start = labeled.index(b"iCCP") - 4
        length = int.from_bytes(labeled[start : start + 4], "big") + 12
        path.write_bytes(data[:33] + labeled[start : start + length] + data[33:])
    image = read_image(path, (0, 0, 255))
    assert np.abs(image[6, 6].astype(int) - (255, 0, 0)).max() <= 2
    assert image[1, 1].tolist() == [0, 0, 255]


def test_images_with_the_profile_of_srgb_stay_as_they_are(tmp_path: Path) -> None:
    path = save(tmp_path / "s.png", IMAGE, icc_profile=srgb_profile())
    np.testing.assert_array_equal(read_image(path), IMAGE)


def test_bad_profiles_are_named_and_left_out(tmp_path: Path, caplog: Any) -> None:
    for name, profile in (("broken.png", b"no profile" * 20), ("gray.png", None)):
        lab = ImageCms.ImageCmsProfile(ImageCms.createProfile("LAB")).tobytes()
        path = save(tmp_path / name, IMAGE, icc_profile=profile or lab)
        np.testing.assert_array_equal(read_image(path), IMAGE)
        assert f"{name} has an ICC profile that" in caplog.text


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".webp", ".tif", ".bmp"])
@pytest.mark.parametrize("alpha", [False, True])
def test_written_images_are_labeled_as_srgb(suffix: str, alpha: bool, tmp_path: Path) -> None:
    if alpha and suffix in (".jpg", ".bmp"):
        return
    plane = np.arange(24 * 40, dtype=np.uint8).reshape(24, 40) if alpha else None
    data = encode_image(IMAGE, suffix, plane, label=True)
    plain = encode_image(IMAGE, suffix, plane)
    with Image.open(io.BytesIO(data)) as image:
        image.load()
        assert image.info.get("icc_profile") == (None if suffix == ".bmp" else srgb_profile())
        assert image.mode == ("RGBA" if alpha else "RGB")
    for flag in (cv2.IMREAD_COLOR, cv2.IMREAD_UNCHANGED):
        decoded = [cv2.imdecode(np.frombuffer(d, np.uint8), flag) for d in (data, plain)]
        np.testing.assert_array_equal(*decoded)


def test_the_server_labels_its_images() -> None:
    for media_type in ("image/png", "image/jpeg", "image/webp"):
        with Image.open(io.BytesIO(encode_as(IMAGE, media_type))) as image:
            assert image.info["icc_profile"] == srgb_profile()


def pnm(pixels: np.ndarray, maximum: int) -> bytes:
    kind, (height, width) = ("P6" if pixels.ndim == 3 else "P5"), pixels.shape[:2]
    dtype = ">u2" if maximum > 255 else "u1"
    return (
        f"{kind}\n# a comment\n{width} {height}\n{maximum}\n".encode()
        + pixels.astype(dtype).tobytes()
    )


@pytest.mark.parametrize("maximum", [15, 1023, 4095, 65535])
@pytest.mark.parametrize("channels", [1, 3])
def test_netpbm_is_scaled_by_its_maximum(maximum: int, channels: int, tmp_path: Path) -> None:
    ramp = np.linspace(0, maximum, 16).round()[None].repeat(8, axis=0)
    pixels = ramp if channels == 1 else ramp[..., None].repeat(3, axis=2)
    path = tmp_path / "ramp.ppm"
    path.write_bytes(pnm(pixels, maximum))
    expected = np.rint(ramp[0] * 255 / maximum)
    np.testing.assert_array_equal(read_image(path)[4, :, 1], expected)


def make_tiff(values: bytes, width: int, **tags: int) -> bytes:
    """Return a TIFF of one gray row; tags by their numbers as t258=12."""
    entries = {256: width, 257: 1, 258: 16, 259: 1, 262: 1, 277: 1, 278: 1, 279: len(values)}
    entries |= {int(name[1:]): value for name, value in tags.items()}
    entries[273] = 8 + 2 + 12 * (len(entries) + 1) + 4
    directory = b"".join(
        struct.pack("<HHII", tag, 4 if tag in (273, 279) else 3, 1, entries[tag])
        for tag in sorted(entries)
    )
    return b"II*\0\x08\0\0\0" + struct.pack("<H", len(entries)) + directory + bytes(4) + values


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (make_tiff(np.array([0, 0x1234, 65535], "<u2").tobytes(), 3), [0, 18, 255]),
        (make_tiff(np.array([0, 2048, 4095], "<u2").tobytes(), 3, t281=4095), [0, 128, 255]),
        (
            make_tiff(np.array([0, 2048, 4000], "<u2").tobytes(), 3, t262=0, t281=4095),
            [255, 127, 6],
        ),
        (make_tiff(bytes([0x00, 0x08, 0x00, 0xFF, 0xFF, 0x00]), 3, t258=12), [0, 128, 255]),
        (make_tiff(np.array([0, 0.5, 1], "<f4").tobytes(), 3, t258=32, t339=3), [0, 128, 255]),
        (make_tiff(np.array([0, 0.5, 1], "<f8").tobytes(), 3, t258=64, t339=3), [0, 128, 255]),
        (make_tiff(np.array([0, 16384, 32767], "<i2").tobytes(), 3, t339=2), [0, 128, 255]),
        (make_tiff(np.array([0, 2**31, 2**32 - 1], "<u4").tobytes(), 3, t258=32), [0, 128, 255]),
    ],
    ids=["16", "12in16", "inverted", "12", "float", "float64", "signed", "32"],
)
def test_deep_tiff_is_scaled_by_its_tags(data: bytes, expected: list[int], tmp_path: Path) -> None:
    path = tmp_path / "deep.tif"
    path.write_bytes(data)
    found = read_image(path)
    assert found.shape == (1, 3, 3)
    assert np.abs(found[0].astype(int) - np.array(expected)[:, None]).max() <= 1


def test_tiff_of_half_floats_is_refused(tmp_path: Path) -> None:
    """No decoder that cgt uses reads it; scaled as integers, it would be wrong."""
    path = tmp_path / "half.tif"
    path.write_bytes(make_tiff(np.array([0, 0.5, 1], "<f2").tobytes(), 3, t258=16, t339=3))
    assert read_image(path) is None


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_float_tiff_in_color(dtype: Any, tmp_path: Path) -> None:
    path = tmp_path / "f.tif"
    path.write_bytes(cv2.imencode(".tif", IMAGE[..., ::-1].astype(dtype) / 255)[1].tobytes())
    np.testing.assert_array_equal(read_image(path), IMAGE)


def test_notes_on_the_range_of_deep_images(tmp_path: Path, caplog: Any) -> None:
    full, dark = np.uint16(65535), np.uint16(4080)
    ramp = np.linspace(0, 1, 32)[None].repeat(8, axis=0)
    cv2.imwrite(str(tmp_path / "full.png"), (ramp * full).astype(np.uint16))
    read_image(tmp_path / "full.png")
    cv2.imwrite(str(tmp_path / "black8.png"), np.full((8, 8), 3, np.uint8))
    read_image(tmp_path / "black8.png")
    assert not caplog.text
    cv2.imwrite(str(tmp_path / "dark.png"), (ramp * dark).astype(np.uint16))
    read_rgb(tmp_path / "dark.png")
    assert "dark.png has values of at most 4080 where white is 65535" in caplog.text
    cv2.imwrite(str(tmp_path / "over.tif"), (ramp * 200).astype(np.float32))
    assert read_image(tmp_path / "over.tif").max() == 255
    assert "over.tif has values from 0 to 200 where white is 1: clipping them" in caplog.text


@pytest.mark.parametrize("format", LOSSLESS)
@pytest.mark.parametrize("mode", ["RGBA", "LA", "P"])
def test_transparency_is_composited(format: str, mode: str, tmp_path: Path, caplog: Any) -> None:
    rgba = np.full((8, 8, 4), (255, 0, 255, 0), np.uint8)
    rgba[4:] = (100, 100, 100, 255)
    image, settings = Image.fromarray(rgba), dict(LOSSLESS[format])
    if mode == "LA":
        image = image.convert("LA")
    if mode == "P":
        if format != "PNG":
            return
        image = Image.fromarray(rgba[..., :3]).convert("P", palette=Image.Palette.ADAPTIVE)
        settings["transparency"] = image.getpixel((0, 0))
    path = tmp_path / f"{mode}.{format.lower()}"
    image.save(path, format, **settings)
    assert (read_image(path)[:4] == 255).all()
    found = read_image(path, (10, 20, 30))
    assert found[1, 1].tolist() == [10, 20, 30]
    assert found[6, 6].tolist() == [100, 100, 100]
    assert caplog.text.count("is transparent in parts: compositing it on #ffffff") == 1


def test_half_transparent_pixels_are_mixed(tmp_path: Path) -> None:
    for suffix in (".png", ".webp", ".tif"):
        rgba = np.full((8, 8, 4), (200, 100, 50, 51), np.uint8)
        path = tmp_path / f"half{suffix}"
        Image.fromarray(rgba).save(path, lossless=True)
        assert np.abs(read_image(path, (0, 0, 0))[2, 2].astype(int) - (40, 20, 10)).max() <= 1


def test_opaque_alpha_is_not_worth_a_note(tmp_path: Path, caplog: Any) -> None:
    path = save(tmp_path / "o.png", np.dstack([IMAGE, np.full(IMAGE.shape[:2], 255, np.uint8)]))
    np.testing.assert_array_equal(read_image(path), IMAGE)
    assert not caplog.text


@pytest.mark.parametrize("orientation", range(1, 9))
def test_every_kind_of_file_is_upright(orientation: int, tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[274] = orientation
    plain = read_image(save(tmp_path / "plain.png", IMAGE, exif=exif))
    opaque = np.dstack([IMAGE, np.full(IMAGE.shape[:2], 255, np.uint8)])
    np.testing.assert_array_equal(read_image(save(tmp_path / "a.png", opaque, exif=exif)), plain)
    labeled = save(tmp_path / "l.png", IMAGE, exif=exif, icc_profile=srgb_profile())
    np.testing.assert_array_equal(read_image(labeled), plain)
    deep = cv2.imencode(".png", IMAGE[..., ::-1].astype(np.uint16) * 257)[1].tobytes()
    source = (tmp_path / "plain.png").read_bytes()
    start = source.index(b"eXIf") - 4
    length = int.from_bytes(source[start : start + 4], "big") + 12
    (tmp_path / "deep.png").write_bytes(deep[:33] + source[start : start + length] + deep[33:])
    np.testing.assert_array_equal(read_image(tmp_path / "deep.png"), plain)


@pytest.fixture
def identity_model(tmp_path: Path) -> Path:
    import onnx
    from onnx.parser import parse_model

    model = parse_model(
        '<ir_version: 9, opset_import: ["" : 18]>'
        "identity (float[n,3,h,w] a) => (float[n,3,h,w] b) { b = Identity (a) }"
    )
    onnx.save(model, tmp_path / "identity.onnx")
    return tmp_path / "identity.onnx"


def transparent_image(path: Path) -> np.ndarray:
    alpha = np.zeros((64, 64), np.uint8)
    alpha[16:48, 16:48], alpha[30:34] = 255, 90
    save(path, np.dstack([np.full((64, 64, 3), (255, 0, 255), np.uint8), alpha]))
    return alpha


@pytest.mark.parametrize("suffix", [".png", ".webp", ".tif"])
def test_transparency_is_kept_on_request(suffix: str, identity_model: Path, tmp_path: Path) -> None:
    source, out = tmp_path / "in.png", tmp_path / f"out{suffix}"
    alpha = transparent_image(source)
    options: dict[str, Any] = {"model": identity_model, "size": "source", "engine": "openvino"}
    translate_file(source, out, keep_alpha=True, background="#00ff00", **options)
    with Image.open(out) as image:
        found = np.asarray(image.convert("RGBA"))
    np.testing.assert_array_equal(found[..., 3], alpha)
    assert found[40, 40, :3].tolist() == [255, 0, 255]
    translate_file(source, out, background="#00ff00", **options)
    with Image.open(out) as image:
        assert image.mode == "RGB"
        assert image.getpixel((2, 2)) == (0, 255, 0)
        assert image.getpixel((40, 40)) == (255, 0, 255)


@pytest.mark.parametrize("suffix", [".jpg", ".mp4"])
def test_lost_transparency_is_named(suffix: str, tmp_path: Path, caplog: Any) -> None:
    out = tmp_path / f"out{suffix}"
    transparent_image(tmp_path / "in.png")
    with open_source(str(tmp_path / "in.png")) as source:
        frame = next(iter(source))
    assert isinstance(frame, Frame)
    frame.keep_alpha = True
    with open_sink(str(out), StreamFormat((64, 64), Fraction(25), Fraction(1, 25))) as sink:
        sink.write(TranslatedFrame(frame, frame.image))
        sink.finish()
    assert f"out{suffix} cannot hold transparency" in caplog.text


def test_options_of_transparency_are_checked() -> None:
    assert parse_color("black") == (0, 0, 0)
    for options in (
        {"background": "no color"},
        {"keep_alpha": True, "view": "side-by-side"},
    ):
        with pytest.raises(UsageError):
            translate_file("in.png", "out.png", **options)


def test_transparent_videos_are_composited(tmp_path: Path, caplog: Any) -> None:
    path, rgba = tmp_path / "alpha.mkv", np.full((32, 64, 4), (255, 0, 255, 0), np.uint8)
    rgba[:, 32:] = (100, 150, 200, 255)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("ffv1", rate=25)
        stream.width, stream.height, stream.pix_fmt = 64, 32, "bgra"
        frame = av.VideoFrame.from_ndarray(rgba, format="rgba").reformat(format="bgra")
        frame.pts = 0
        container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    with open_source(str(path)) as source:
        image = next(item.image for item in source if isinstance(item, Frame))
    assert image.flags.c_contiguous
    assert image[8, 8].tolist() == [255, 255, 255]
    assert image[8, 40].tolist() == [100, 150, 200]
    assert "alpha.mkv is transparent in parts" in caplog.text
