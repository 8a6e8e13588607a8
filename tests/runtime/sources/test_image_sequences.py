"""Image sequences: order, frame rate, animations, HEIC and the names of the outputs."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
import pytest
from PIL import Image
from support.heic import write_heic

from cgt.runtime import translate_file
from cgt.runtime.errors import SourceError, UsageError
from cgt.runtime.image.files import encode_image, read_image
from cgt.runtime.sources import Frame, open_source
from conftest import make_image, run_cgt, write_inverse_model

DURATIONS_MS = [40, 100, 60]


@pytest.fixture(scope="module")
def inverse(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Write a model that takes any size and returns 255 - image."""
    return write_inverse_model(tmp_path_factory.mktemp("model") / "inverse.onnx")


@pytest.fixture
def numbered(tmp_path: Path) -> Path:
    """Write 1.png, 2.png and 10.png of 64x48; their gray value is ten times their number."""
    folder = tmp_path / "numbered"
    folder.mkdir()
    for number in (1, 2, 10):
        write_gray(folder / f"{number}.png", 10 * number)
    return folder


def write_gray(path: Path, value: int, size: tuple[int, int] = (48, 64)) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(encode_image(np.full((*size, 3), value, np.uint8), path.suffix))


def write_animation(path: Path, values: list[int]) -> None:
    animation = cv2.Animation()
    animation.frames = [np.full((48, 64, 3), value, np.uint8) for value in values]
    animation.durations = np.array(DURATIONS_MS[: len(values)])
    assert cv2.imwriteanimation(str(path), animation, [cv2.IMWRITE_WEBP_QUALITY, 101])


def frames_of(*args: Any, **options: Any) -> list[Frame]:
    with open_source(*args, **options) as source:
        return [item for item in source if isinstance(item, Frame)]


def gray_values(video: Path) -> list[int]:
    """Return the mean of each frame."""
    return [round(float(frame.image.mean())) for frame in frames_of(str(video))]


def output_names(folder: Path) -> list[str]:
    return sorted(str(p.relative_to(folder)) for p in folder.rglob("*") if p.is_file())


@pytest.mark.parametrize("pattern", ["", "*.png", "%d.png", "*"])
def test_numbered_files_are_ordered_by_number(numbered: Path, pattern: str) -> None:
    (numbered / "more").mkdir()
    frames = frames_of(f"{numbered}/{pattern}")
    assert [frame.name for frame in frames] == ["1.png", "2.png", "10.png"]


def test_numbers_in_folders_are_ordered_too(tmp_path: Path) -> None:
    for name in ("take10/a2.png", "take9/a10.png", "take9/a2b1.png", "take9/a2.png"):
        write_gray(tmp_path / name, 0)
    in_order = ["take9/a2.png", "take9/a2b1.png", "take9/a10.png", "take10/a2.png"]
    assert [frame.name for frame in frames_of(str(tmp_path))] == in_order
    assert [frame.name for frame in frames_of(f"{tmp_path}/*/*.png")] == in_order


def test_a_number_pattern_matches_numbers_only(numbered: Path) -> None:
    write_gray(numbered / "3b.png", 0)
    write_gray(numbered / "0004.png", 0)
    names = [frame.name for frame in frames_of(f"{numbered}/%05d.png")]
    assert names == ["1.png", "2.png", "0004.png", "10.png"]


def test_images_that_a_shell_lists_are_one_sequence(
    numbered: Path, inverse: Path, tmp_path: Path
) -> None:
    files = [numbered / name for name in ("1.png", "10.png", "2.png")]  # as *.png expands
    done = run_cgt("translate", *files, "-o", tmp_path / "out", "--model", inverse)
    assert done.returncode == 0, done.stderr
    assert output_names(tmp_path / "out") == ["1.png", "10.png", "2.png"]
    video = tmp_path / "out.mp4"
    done = run_cgt("translate", *files, "-o", video, "--model", inverse, "--framerate", "10")
    assert done.returncode == 0, done.stderr
    assert gray_values(video) == pytest.approx([245, 235, 155], abs=3)
    assert [frame.time for frame in frames_of(str(video))] == [Fraction(n, 10) for n in range(3)]


def test_a_list_in_another_order_keeps_it(numbered: Path) -> None:
    names = ["2.png", "10.png", "1.png"]
    frames = frames_of([str(numbered / name) for name in names])
    assert [frame.name for frame in frames] == names


def test_a_list_of_several_folders_keeps_their_names(numbered: Path, tmp_path: Path) -> None:
    write_gray(tmp_path / "other" / "1.png", 0)
    paths = [f"{tmp_path}/other/../other/1.png", str(numbered / "1.png")]
    assert [frame.name for frame in frames_of(paths)] == ["other/1.png", "numbered/1.png"]


def test_lists_with_other_files_are_refused(numbered: Path, inverse: Path, tmp_path: Path) -> None:
    video, out = tmp_path / "a.mp4", tmp_path / "out"
    translate_file(numbered, video, model=inverse)
    image = numbered / "1.png"
    for sources in ((image, video), (image, "--jobs", "2")):
        done = run_cgt("translate", *sources, "-o", out, "--model", inverse)
        assert done.returncode == 2
        assert f"{image} is an image" in done.stderr
    with pytest.raises(SourceError, match=r"none\.png is missing"):
        open_source([str(image), "none.png"])
    assert not out.exists()


def test_images_of_one_size_become_a_video_without_a_size(
    numbered: Path, inverse: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    translate_file(numbered, tmp_path / "out.mp4", model=inverse, framerate="30000/1001")
    with open_source(str(tmp_path / "out.mp4")) as video:
        assert (video.size, video.rate) == ((48, 64), Fraction(30000, 1001))
    translate_file(numbered, tmp_path / "half.mp4", model=inverse, output_size=(24, 32))
    with open_source(str(tmp_path / "half.mp4")) as video:
        assert (video.size, video.rate) == ((24, 32), Fraction(25))
    assert "note" not in caplog.text


def test_images_of_other_sizes_are_fitted_into_the_first_one(
    numbered: Path, inverse: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    write_gray(numbered / "3.png", 255, (48, 32))
    (numbered / "0.png").write_bytes(b"no image")
    video = tmp_path / "out.mp4"
    with pytest.raises(SourceError, match=r"1 of 5 images failed.*0\.png"):
        translate_file(numbered, video, model=inverse, size="source")
    assert gray_values(video) == pytest.approx([245, 235, 127, 155], abs=3)
    assert "3.png is 32x48" in caplog.text
    (tmp_path / "bad").mkdir()
    (tmp_path / "bad" / "0.png").write_bytes(b"no image")
    with pytest.raises(SourceError, match=r"0\.png is not a readable image"):
        translate_file(tmp_path / "bad", tmp_path / "bad.mp4", model=inverse)
    assert not (tmp_path / "bad.mp4").exists()


@pytest.mark.parametrize("rate", ["0", "-1", "fast", "1/0", "1e9"])
def test_invalid_frame_rates_are_refused(numbered: Path, rate: str) -> None:
    with pytest.raises(UsageError, match="--framerate"):
        translate_file(numbered, "null:", framerate=rate)


def test_the_frame_rate_is_for_images(clip: Path) -> None:
    with pytest.raises(UsageError, match="has its own frame rate"):
        translate_file(clip, "null:", framerate=30)


# ---- Names and formats of outputs ----------------------------------------------------------------


def test_outputs_have_the_names_and_formats_of_the_template(
    inverse: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    folder = tmp_path / "in"
    for name in ("a.jpg", "a.png", "more/B.PNG", "more/c.jfif", "more/d.avif"):
        write_gray(folder / Path(name).with_suffix(Path(name).suffix.lower()), 90)
    (folder / "more" / "B.png").rename(folder / "more" / "B.PNG")
    write_heic(folder / "e.heic", np.full((48, 64, 3), 90, np.uint8))
    translate_file(folder, tmp_path / "jpg/x_{name}.jpg", model=inverse, size="source")
    assert output_names(tmp_path / "jpg") == [
        *("x_a.jpg", "x_a.png.jpg", "x_e.jpg"),
        *("x_more/B.jpg", "x_more/c.jpg", "x_more/d.jpg"),
    ]
    assert "note" not in caplog.text
    translate_file(folder, tmp_path / "same/{name}.{ext}", model=inverse, size="source")
    assert output_names(tmp_path / "same") == [
        *("a.jpg", "a.png", "e.png", "more/B.PNG", "more/c.jfif", "more/d.avif"),
    ]
    assert "does not write .heic" in caplog.text
    for path in (tmp_path / "same").rglob("*.*"):
        assert np.abs(read_image(path).astype(int) - 165).max() <= 4, path
    assert (tmp_path / "same/more/c.jfif").read_bytes()[:2] == b"\xff\xd8"


def test_frames_of_a_video_are_numbered_in_a_template(
    clip: Path, inverse: Path, tmp_path: Path
) -> None:
    translate_file(clip, tmp_path / "f{name}.{ext}", model=inverse, frames=2, size=32)
    assert output_names(tmp_path) == ["f000000.png", "f000001.png"]


def test_a_template_does_not_overwrite_its_source(numbered: Path, inverse: Path) -> None:
    before = {path: path.read_bytes() for path in numbered.iterdir()}
    for template in ("{name}.{ext}", "{name}.png", "../numbered/{name}.png"):
        with pytest.raises(UsageError, match="give another output"):
            translate_file(numbered, numbered / template, model=inverse)
    assert {path: path.read_bytes() for path in numbered.iterdir()} == before


@pytest.mark.parametrize(
    ("template", "message"),
    [
        ("{name}", "image suffix"),
        ("{name}.txt", "image suffix"),
        ("{name}.mp4", "image suffix"),
        ("{name}_{number}.jpg", "fields"),
        ("{ext}/{name}.jpg", "fields"),
    ],
)
def test_invalid_templates_are_refused(
    numbered: Path, inverse: Path, tmp_path: Path, template: str, message: str
) -> None:
    with pytest.raises(UsageError, match=message):
        translate_file(numbered, tmp_path / "out" / template, model=inverse)
    assert not (tmp_path / "out").exists()


# ---- Formats -------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["a.heic", "a.HEIF", "a.jpg"])
def test_heic_is_read_and_turned_upright(tmp_path: Path, name: str) -> None:
    image = np.zeros((64, 96, 3), np.uint8)
    image[:, :48], image[:, 48:] = (200, 40, 40), (40, 40, 200)
    write_heic(tmp_path / name, image, quarter_turns=1)
    [frame] = frames_of(str(tmp_path))
    assert frame.image.shape == (96, 64, 3)
    assert np.abs(frame.image.astype(int) - np.rot90(image)).mean() < 4
    [single] = frames_of(str(tmp_path / name))
    np.testing.assert_array_equal(single.image, frame.image)


def test_jfif_and_avif_are_read_from_folders(tmp_path: Path) -> None:
    if not cv2.haveImageReader("a.avif") and encode_image(make_image(0, 32, 32), ".avif") is None:
        pytest.skip("this OpenCV does not read AVIF")
    for name in ("a.jfif", "b.jpe", "c.avif"):
        write_gray(tmp_path / name, 90)
    frames = frames_of(str(tmp_path))
    assert [frame.name for frame in frames] == ["a.jfif", "b.jpe", "c.avif"]
    assert all(np.abs(frame.image.astype(int) - 90).max() <= 2 for frame in frames)


@pytest.mark.skipif(not hasattr(cv2, "imdecodeanimation"), reason="needs OpenCV 4.11")
def test_all_frames_of_an_animated_webp(inverse: Path, tmp_path: Path) -> None:
    path = tmp_path / "a.webp"
    write_animation(path, [10, 90, 200])
    frames = frames_of(str(path))
    assert [int(frame.image.mean()) for frame in frames] == [10, 90, 200]
    assert [frame.time for frame in frames] == [0, Fraction(40, 1000), Fraction(140, 1000)]
    assert [frame.duration for frame in frames] == [Fraction(ms, 1000) for ms in DURATIONS_MS]
    translate_file(path, tmp_path / "out.mp4", model=inverse, size="source")
    assert gray_values(tmp_path / "out.mp4") == pytest.approx([245, 165, 55], abs=3)
    times = [frame.time for frame in frames_of(str(tmp_path / "out.mp4"))]
    assert times == [0, Fraction(40, 1000), Fraction(140, 1000)]
    translate_file(path, tmp_path / "out", model=inverse)
    assert output_names(tmp_path / "out") == ["000000.png", "000001.png", "000002.png"]


@pytest.mark.skipif(not hasattr(cv2, "imdecodeanimation"), reason="needs OpenCV 4.11")
def test_a_long_animation_is_read_in_order(tmp_path: Path) -> None:
    animation = cv2.Animation()
    values = [2 * number for number in range(70)]
    animation.frames = [np.full((16, 16, 3), value, np.uint8) for value in values]
    animation.durations = np.full(len(values), 20)
    cv2.imwriteanimation(str(tmp_path / "a.webp"), animation, [cv2.IMWRITE_WEBP_QUALITY, 101])
    frames = frames_of(str(tmp_path / "a.webp"))
    assert [int(frame.image.mean()) for frame in frames] == values


@pytest.mark.skipif(not hasattr(cv2, "imdecodeanimation"), reason="needs OpenCV 4.11")
def test_animations_in_a_folder_are_images(inverse: Path, tmp_path: Path) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    write_animation(folder / "b.webp", [10, 90])
    write_gray(folder / "a.webp", 50)
    with av.open(str(folder / "c.gif"), "w") as out:
        stream: Any = out.add_stream("gif", rate=5)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "rgb8"
        for index, value in enumerate((0, 255)):
            frame = av.VideoFrame.from_ndarray(np.full((48, 64, 3), value, np.uint8), "rgb24")
            frame.pts = index
            out.mux(stream.encode(frame))
        out.mux(stream.encode(None))
    (folder / "d.webp").write_bytes((folder / "b.webp").read_bytes()[:120])
    with pytest.raises(SourceError, match=r"d\.webp"):
        translate_file(folder, tmp_path / "out", model=inverse, size="source")
    means = {
        name: int(read_image(tmp_path / "out" / name).mean())
        for name in output_names(tmp_path / "out")
    }
    assert list(means) == [
        *("a.png", "b_00000.png", "b_00001.png", "c_00000.png", "c_00001.png"),
    ]
    assert list(means.values()) == pytest.approx([205, 245, 165, 255, 0], abs=3)


@pytest.mark.parametrize("format", ["webp", "png", "gif"])
def test_transparent_animations_are_composited_or_kept(
    format: str, inverse: Path, tmp_path: Path
) -> None:
    """The left half is transparent; the model inverts."""
    if format == "webp" and not hasattr(cv2, "imdecodeanimation"):
        pytest.skip("needs OpenCV 4.11")
    folder, alpha = tmp_path / "in", np.repeat(np.uint8([0, 255]), 16)[None].repeat(32, axis=0)
    folder.mkdir()
    first, second = (
        Image.fromarray(np.dstack([np.full((32, 32, 3), (255, value, 0), np.uint8), alpha]))
        for value in (0, 255)
    )
    options = {"lossless": True} if format == "webp" else {"disposal": 2} if format == "gif" else {}
    first.save(
        folder / f"a.{format}", save_all=True, append_images=[second], duration=100, **options
    )
    (composited := tmp_path / "composited").mkdir()
    translate_file(folder, composited, model=inverse, background="lime", output_size="source")
    for name, right in (("a_00000.png", (0, 255, 255)), ("a_00001.png", (0, 0, 255))):
        image = read_image(composited / name)
        np.testing.assert_array_equal(image[16, [4, 28]], [(255, 0, 255), right])
    translate_file(folder, tmp_path / "kept", model=inverse, keep_alpha=True, output_size="source")
    for name in ("a_00000.png", "a_00001.png"):
        kept = np.asarray(Image.open(tmp_path / "kept" / name))
        np.testing.assert_array_equal(kept[..., 3], alpha)
    with open_source(str(folder / f"a.{format}")) as source:
        frame = next(item for item in source if isinstance(item, Frame))
    frame.background, frame.keep_alpha = (0, 0, 255), True
    np.testing.assert_array_equal(frame.image[16, [4, 28]], [(0, 0, 255), (255, 0, 0)])
    np.testing.assert_array_equal(frame.alpha, alpha)


def test_images_of_other_formats_are_named(
    numbered: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (numbered / "a.psd").touch()
    (numbered / "b.gif").touch()
    frames_of(str(numbered))
    assert "left out: a.psd;" in caplog.text


# ---- Sizes ---------------------------------------------------------------------------------------


def test_images_keep_their_size_by_output_size_source(inverse: Path, tmp_path: Path) -> None:
    write_gray(tmp_path / "in/a.png", 90, (40, 100))
    write_gray(tmp_path / "in/b.png", 90, (70, 50))
    fixed = write_inverse_model(tmp_path / "fixed.onnx", 32, 32)
    for number, options in enumerate(
        (
            {"model": inverse},
            {"model": inverse, "size": 64},
            {"model": fixed},
            {"model": inverse, "tile": 32},
        )
    ):
        out = tmp_path / str(number)
        translate_file(tmp_path / "in", out, output_size="source", **options)
        assert read_image(out / "a.png").shape == (40, 100, 3), options
        assert read_image(out / "b.png").shape == (70, 50, 3), options


def test_tiles_of_images_of_different_sizes(inverse: Path, tmp_path: Path) -> None:
    for name, size in (("a.png", (40, 100)), ("b.png", (70, 50)), ("c.png", (20, 20))):
        write_gray(tmp_path / "in" / name, 90, size)
    done = run_cgt(
        *("translate", tmp_path / "in", "-o", tmp_path / "out", "--model", inverse, "--tile", 32)
    )
    assert done.returncode == 0, done.stderr
    for name, size in (("a.png", (40, 100)), ("b.png", (70, 50)), ("c.png", (20, 20))):
        image = read_image(tmp_path / "out" / name)
        np.testing.assert_array_equal(image, np.full((*size, 3), 165, np.uint8))


def test_a_fixed_model_keeps_the_aspect_of_videos(clip: Path, tmp_path: Path) -> None:
    fixed = write_inverse_model(tmp_path / "fixed.onnx", 32, 32)
    for name, size in (("guided", (90, 160)), ("none", (32, 56))):
        translate_file(clip, tmp_path / f"{name}.mp4", model=fixed, upsampling=name)
        with open_source(str(tmp_path / f"{name}.mp4")) as video:
            assert video.size == size
            assert Fraction(*size[::-1]) * video.sample_aspect_ratio == Fraction(160, 90)


def test_transparency_is_composited_in_a_video(
    tmp_path: Path, inverse: Path, caplog: pytest.LogCaptureFixture
) -> None:
    folder = tmp_path / "clear"
    folder.mkdir()
    clear = np.zeros((48, 64, 4), np.uint8)
    for name in ("1.png", "2.png"):
        assert cv2.imwrite(str(folder / name), clear)
    video = tmp_path / "out.mp4"
    translate_file(folder, video, model=inverse, background="#c8c8c8", keep_alpha=True)
    assert gray_values(video) == pytest.approx([55, 55], abs=2)
    assert "the video has no transparency" in caplog.text


def test_a_second_run_leaves_out_its_outputs(numbered: Path, inverse: Path) -> None:
    for _ in range(2):
        translate_file(numbered, numbered / "out" / "{name}.png", model=inverse)
    outputs = sorted(path.name for path in (numbered / "out").rglob("*") if path.is_file())
    assert outputs == ["1.png", "10.png", "2.png"]
