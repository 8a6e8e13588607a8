"""Shared fixtures: a clip with audio, images, a data set, a tiny model and its training run."""

from __future__ import annotations

import atexit
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

CLIP_FRAMES = 20

# Tests neither use nor change the cache of this machine.
os.environ["XDG_CACHE_HOME"] = tempfile.mkdtemp(prefix="cgt-tests-cache-")
atexit.register(shutil.rmtree, os.environ["XDG_CACHE_HOME"], ignore_errors=True)

# A shell that runs pytest in the background makes it ignore SIGINT, which child processes inherit.
signal.signal(signal.SIGINT, signal.default_int_handler)


_left_out: Counter[str] = Counter()


def pytest_deselected(items: list[pytest.Item]) -> None:
    for item in items:
        if item.get_closest_marker("slow"):
            _left_out[item.nodeid.partition("::")[0]] += 1


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print which slow tests were left out."""
    if _left_out:
        files = ", ".join(f"{name} ({count})" for name, count in sorted(_left_out.items()))
        terminalreporter.write_line(
            f"left out {_left_out.total()} slow tests; `make test-all` runs them: {files}"
        )


def run_cgt(*args: object, **options: object) -> subprocess.CompletedProcess[str]:
    """Run the installed command as a user does."""
    command = [str(Path(sys.executable).with_name("cgt")), *map(str, args)]
    settings = {"capture_output": True, "text": True, "timeout": 300} | options
    return subprocess.run(command, **settings)  # type: ignore[call-overload]


def wait_for(condition: Callable[[], object], process: subprocess.Popen[str] | None = None) -> None:
    """Wait for the condition, for a minute at most and while the process runs."""
    end = time.monotonic() + 60
    while not condition():
        assert process is None or process.poll() is None, process.communicate()
        assert time.monotonic() < end
        time.sleep(0.02)


def make_image(index: int, height: int, width: int) -> np.ndarray:
    """Return a smooth image with a bright square whose position depends on the index."""
    y, x = np.mgrid[:height, :width]
    image = np.stack([x * 255 // width, y * 255 // height, (x + y + 8 * index) % 256], -1)
    top, left = (7 * index) % (height - 16), (11 * index) % (width - 16)
    image[top : top + 16, left : left + 16] = 250
    return image.astype(np.uint8)


def write_inverse_model(
    path: Path, height: int | str = "h", width: int | str = "w", statistics: int = 0
) -> Path:
    """Write a model for uint8 N,H,W,3: 255 - image, and statistics_out = statistics_in + 1."""
    import onnx
    from onnx import TensorProto, helper

    image = [
        helper.make_tensor_value_info(name, TensorProto.UINT8, ["n", height, width, 3])
        for name in ("image", "translated")
    ]
    statistics_tensors = [
        helper.make_tensor_value_info(name, TensorProto.FLOAT, ["n", statistics])
        for name in ("statistics_in", "statistics_out")
    ][: 2 if statistics else 0]
    nodes = [
        helper.make_node("Cast", ["image"], ["float"], to=TensorProto.FLOAT),
        helper.make_node("Sub", ["white", "float"], ["inverse"]),
        helper.make_node("Cast", ["inverse"], ["translated"], to=TensorProto.UINT8),
        helper.make_node("Add", ["statistics_in", "one"], ["statistics_out"]),
    ][: 4 if statistics else 3]
    graph = helper.make_graph(
        nodes,
        "inverse",
        [image[0], *statistics_tensors[:1]],
        [image[1], *statistics_tensors[1:]],
        [helper.make_tensor("white", TensorProto.FLOAT, [], [255.0])]
        + [helper.make_tensor("one", TensorProto.FLOAT, [], [1.0])] * bool(statistics),
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
    onnx.save(model, path)
    return path


@pytest.fixture(scope="session")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Write 20 frames of 160x90 at 12.5 frames/s with 1.6 s of AAC."""
    path = tmp_path_factory.mktemp("clip") / "clip.mp4"
    with av.open(str(path), "w") as out:
        video = out.add_stream("libx264", rate=Fraction(25, 2), options={"crf": "10"})
        video.width, video.height, video.pix_fmt = 160, 90, "yuv420p"
        audio = out.add_stream("aac", rate=48000, layout="stereo")
        for index in range(CLIP_FRAMES):
            frame = av.VideoFrame.from_ndarray(make_image(index, 90, 160), format="rgb24")
            out.mux(video.encode(frame))
        out.mux(video.encode(None))
        sine = np.sin(np.arange(76800) / 20).astype(np.float32)
        for start in range(0, 76800, 1024):
            samples = np.stack([sine[start : start + 1024]] * 2)
            audio_frame = av.AudioFrame.from_ndarray(samples, format="fltp", layout="stereo")
            audio_frame.sample_rate, audio_frame.pts = 48000, start
            out.mux(audio.encode(audio_frame))
        out.mux(audio.encode(None))
    return path


@pytest.fixture
def images(tmp_path: Path) -> Path:
    """Write three PNGs of 64x64, one of them in a subfolder."""
    from cgt.runtime.image.files import encode_image

    folder = tmp_path / "images"
    for index, name in enumerate(("a.png", "b with space.png", "more/c.png")):
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(encode_image(make_image(index, 64, 64), ".png"))
    return folder


@pytest.fixture(scope="session")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Write six images of 48x48 to trainA, four to trainB, two to each test folder."""
    from cgt.runtime.image.files import encode_image

    root = tmp_path_factory.mktemp("data") / "ramp2noise"
    for folder, count in (("trainA", 6), ("trainB", 4), ("testA", 2), ("testB", 2)):
        (root / folder).mkdir(parents=True)
        for index in range(count):
            image = make_image(index, 48, 48)
            if folder.endswith("B"):
                image = np.random.default_rng(index).permuted(image, axis=0)
            (root / folder / f"{index}.png").write_bytes(encode_image(image, ".png"))
    return root


@pytest.fixture(scope="session")
def run_folder(dataset: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Train a very small CycleGAN and return its run folder."""
    folder = tmp_path_factory.mktemp("runs") / "tiny"
    done = run_cgt("train", "--data", dataset, "--output", folder, *TINY_TRAIN_FLAGS)
    assert done.returncode == 0, done.stderr
    return folder


TINY_TRAIN_FLAGS = [
    *("--generator", "resnet1", "--ngf", "4", "--ndf", "4", "--load-size", "36"),
    *("--crop-size", "32", "--epochs", "1", "--decay-epochs", "1", "--precision", "fp32"),
    *("--threads", "1"),
]


@pytest.fixture(scope="session")
def tiny_model(run_folder: Path) -> Path:
    """Export the generator from A to B of `run_folder` as fp32 ONNX."""
    path = run_folder / "tiny.onnx"
    done = run_cgt("export", "--ckpt", run_folder / "latest.pth", "-o", path)
    assert done.returncode == 0, done.stderr
    return path


@pytest.fixture(scope="session")
def stream_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Write a network of one norm layer with statistics tensors.

    Each channel becomes (x - mean) / deviation / 4. cgt.runtime.models.metadata explains the
    statistics.
    """
    import onnx
    from onnx.parser import parse_model

    from cgt.runtime.models.metadata import METADATA_KEY, ModelMetadata

    model = parse_model(
        """<ir_version: 9, opset_import: ["" : 18]>
        norm (float[n,3,h,w] image, float[n,7] statistics_in)
         => (float[n,3,h,w] translated, float[n,7] statistics_out)
        <int64[1] zero = {0}, int64[1] one = {1}, int64[1] four = {4}, int64[1] seven = {7},
         int64[2] sides = {2, 3}, int64[4] split = {0, 3, 1, 1}, int64[1] second = {1},
         float unit = {1.0}, float quarter = {0.25}, float least = {0.00001}>
        {
            w = Slice (statistics_in, zero, one, second)
            past = Slice (statistics_in, one, seven, second)
            mean4 = ReduceMean (image, sides)
            from_mean = Sub (image, mean4)
            square = Mul (from_mean, from_mean)
            variance4 = ReduceMean (square, sides)
            mean = Squeeze (mean4, sides)
            variance = Squeeze (variance4, sides)
            own = Concat <axis = 1> (mean, variance)
            rest = Sub (unit, w)
            of_past = Mul (w, past)
            of_own = Mul (rest, own)
            mixed = Add (of_past, of_own)
            statistics_out = Concat <axis = 1> (w, mixed)
            means = Slice (statistics_out, one, four, second)
            variances = Slice (statistics_out, four, seven, second)
            means4 = Reshape <allowzero = 0> (means, split)
            variances4 = Reshape <allowzero = 0> (variances, split)
            centered = Sub (image, means4)
            safe = Add (variances4, least)
            deviation = Sqrt (safe)
            normal = Div (centered, deviation)
            translated = Mul (normal, quarter)
        }"""
    )
    entry = model.metadata_props.add()
    entry.key = METADATA_KEY
    entry.value = ModelMetadata(size=(32, 32), dynamic=True, norm="stream", statistics=7).to_json()
    path = tmp_path_factory.mktemp("stream") / "stream.onnx"
    onnx.save(model, path)
    return path


@pytest.fixture(scope="session")
def cgt_data() -> Path:
    """Return the folder with real images and videos, from the environment."""
    folder = os.environ.get("CGT_DATA")
    if not folder:
        pytest.skip("set CGT_DATA to a folder with real videos and images")
    return Path(folder)


@pytest.fixture(scope="session")
def ffprobe() -> str:
    """Return the path of ffprobe, an independent reader of video files."""
    found = shutil.which("ffprobe")
    if not found:
        pytest.skip("ffprobe is not installed (apt-get install ffmpeg)")
    return found


@pytest.fixture(scope="session")
def long_video(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Write long.mp4, long.mkv and long.mov, each with four segments."""
    from support.videos import write_video

    folder = tmp_path_factory.mktemp("long")
    for suffix in (".mp4", ".mkv", ".mov"):
        write_video(folder / f"long{suffix}", 125, rate=5)
    return folder / "long.mp4"
