"""The command line as a user meets it: one line for a mistake, an exit code, no leftovers."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from cgt.runtime import errors
from cgt.runtime.sources import open_source
from conftest import run_cgt


@pytest.mark.parametrize(
    "what", ["cgt.runtime", "cgt.cli.main", "cgt.cli.translate", "cgt.serve.server"]
)
def test_no_torch_is_imported(what: str) -> None:
    """Keep torch out: a machine that translates may lack it, and it takes seconds to load."""
    code = f"import {what}, sys, json; print(json.dumps(sorted(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    loaded = {name.split(".")[0] for name in json.loads(done.stdout)}
    assert not loaded & {"torch", "onnx", "onnxruntime", "onnxscript"}
    if what == "cgt.runtime":
        assert not loaded & {"openvino", "cv2", "av", "rich"}


def test_a_whole_translation_needs_no_torch(clip: Path, tiny_model: Path) -> None:
    code = (
        "import sys; from cgt.cli.main import cgt\n"
        f"cgt(['translate', {str(clip)!r}, '-o', 'null:', '--model', {str(tiny_model)!r}],"
        " standalone_mode=False)\n"
        "assert not {'torch', 'onnx'} & set(sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_a_second_translation_loads_only_what_it_needs(clip: Path, tiny_model: Path) -> None:
    """Start-up time: no second engine, no model converter, no parser of package metadata."""
    assert run_cgt("translate", clip, "-o", "null:", "--model", tiny_model).returncode == 0
    code = (
        "import sys; from cgt.cli.main import cgt\n"
        f"cgt(['translate', {str(clip)!r}, '-o', 'null:', '--model', {str(tiny_model)!r}],"
        " standalone_mode=False)\n"
        "unused = {'openvino.tools.ovc', 'importlib.metadata', 'numpy.random', 'PIL', 'onnx'}\n"
        "print(unused & set(sys.modules), {'onnxruntime', 'openvino'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout in ("set() {'openvino'}\n", "set() {'onnxruntime'}\n"), done.stderr


def test_output_is_complete_when_the_process_ends(clip: Path, tiny_model: Path) -> None:
    """The process skips the unloading of libraries, but not the end of its output."""
    done = run_cgt("translate", clip, "-o", "null:", "--model", tiny_model, "--json")
    assert done.returncode == 0
    assert json.loads(done.stdout)["frames"] == 20
    assert "latency" in done.stderr


def test_help_names_every_verb() -> None:
    done = run_cgt("--help")
    assert done.returncode == 0
    for verb in ("train", "export", "translate", "serve", "bench", "doctor", "demo"):
        assert re.search(rf"^  {verb} ", done.stdout, re.MULTILINE)
        assert run_cgt(verb, "--help").returncode == 0


def test_the_summary_has_the_figures(clip: Path, tiny_model: Path) -> None:
    done = run_cgt(
        "translate", clip, "-o", "null:", "--model", tiny_model, "--engine", "onnxruntime"
    )
    assert done.returncode == 0
    for fact in ("onnxruntime on CPU, fp32", "20 in", "times real time", "at 56x32", "p99 ms"):
        assert fact in done.stderr
    for stage in ("decode", "preprocess", "inference", "upsample", "encode", "latency"):
        assert stage in done.stderr


def test_doctor_prints_what_is_installed() -> None:
    from importlib.metadata import version

    from cgt.runtime.image.preprocess import simd_instruction_set

    done = run_cgt("doctor", env={"COLUMNS": "200", "PATH": "/usr/bin"})
    assert done.returncode == 0, done.stderr
    for fact in (
        simd_instruction_set(),
        version("openvino"),
        version("av"),
        version("torch"),
        "libx264",
    ):
        assert fact in done.stdout
    assert "[gpu]" in done.stdout
    forced = run_cgt("doctor", env={"COLUMNS": "200", "PATH": "/usr/bin", "CGT_SIMD": "scalar"})
    assert "scalar" in forced.stdout
    wrong = run_cgt("doctor", env={"PATH": "/usr/bin", "CGT_SIMD": "mmx"})
    assert wrong.returncode == 2
    assert "CGT_SIMD" in wrong.stderr


MISTAKES = [
    (("translate", "none.mp4", "-o", "o.mp4"), 1, "none.mp4 is missing"),
    (("translate", "text.txt", "-o", "o.mp4"), 1, "not a video"),
    (("translate", "empty", "-o", "o"), 1, "no image"),
    (("translate", "CLIP", "-o", "none/o.mp4"), 1, "the folder none is missing"),
    (("translate", "CLIP", "-o", "text.txt/o.mp4"), 1, "cannot write"),
    (("translate", "CLIP", "-o", "text.txt/"), 1, "cannot create folder"),
    (("translate", "CLIP", "-o", "o.xyz"), 2, "cannot tell what to write"),
    (("translate", "CLIP", "-o", "o.mp4", "--model", "text.txt"), 1, "not an ONNX model"),
    (("translate", "CLIP", "-o", "o.mp4", "--model", "none.onnx"), 1, "missing"),
    (("translate", "CLIP", "-o", "o.mp4", "--wrong"), 2, "--wrong"),
    (("translate", "CLIP"), 2, "--output"),
    (("translate", "CLIP", "-o", "o.mp4", "--size", "7"), 2, "too small"),
    (("translate", "CLIP", "-o", "o.mp4", "--size", "big"), 2, "not a size"),
    (("translate", "CLIP", "-o", "o.mp4", "--engine", "warp"), 2, "openvino, onnxruntime"),
    (("translate", "77", "-o", "o.mp4"), 1, "camera 77 does not open"),
    (("translate", "CLIP", "-o", "o.png"), 1, "holds one image"),
    (("wrong",), 2, "wrong"),
    (("train",), 2, "--data DIR --output RUN"),
    (("train", "--data", "empty", "--output", "run"), 1, "trainA is missing"),
    (("train", "--data", "empty", "--output", "run", "--crop-size", "50"), 2, "--crop-size"),
    (("train", "--resume", "empty"), 1, "latest.pth is missing"),
    (("train", "--resume", "empty", "--output", "o"), 2, "leave out --output"),
    (("train", "--data", "empty", "--output", "run", "--device", "abacus"), 2, "--device abacus"),
    (("export", "--ckpt", "text.txt"), 1, "is a text file"),
    (("export", "--ckpt", "none.pth"), 1, "missing"),
    (("export", "--ckpt", "text.txt", "--fp16", "--fp32"), 2, "exclude each other"),
    (("bench", "--model", "text.txt"), 1, "not an ONNX model"),
    (("bench", "--size", "source"), 2, "--size source"),
    (("bench", "--size", "7"), 2, "too small"),
    (("bench", "--batch", "1,many"), 2, "--batch: 'many' is not a count"),
    (("bench", "--streams", "0"), 2, "--streams"),
    (("bench", "--engine", "warp"), 2, "warp is unknown"),
    (("bench", "--seconds", "0"), 2, "--seconds"),
    (("bench", "--json", "none/a.json"), 1, "the folder none is missing"),
    (("bench", "--min-psnr", "40"), 2, "for --matrix"),
    (("bench", "--matrix", "--ckpt", "none.pth"), 1, "none.pth is missing"),
    (("bench", "compare", "text.txt", "text.txt"), 2, "not a report"),
    (("bench", "compare", "none.json", "none.json"), 2, "cannot be read"),
    (("demo", "none.mp4"), 1, "none.mp4 is missing"),
]


@pytest.mark.parametrize(("args", "code", "words"), MISTAKES, ids=lambda value: str(value)[:50])
def test_a_mistake_is_one_line(
    args: tuple[str, ...], code: int, words: str, clip: Path, tmp_path: Path
) -> None:
    (tmp_path / "text.txt").write_text("hello")
    (tmp_path / "empty").mkdir()
    done = run_cgt(*(str(clip) if arg == "CLIP" else arg for arg in args), cwd=tmp_path)
    assert done.returncode == code, done.stderr
    printed = [line for line in done.stderr.splitlines() if not line.startswith("note: measured")]
    assert len(printed) == 1, done.stderr
    assert printed[0].startswith("cgt: ")
    assert words in printed[0]
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["empty", "text.txt"]


def test_exit_codes_are_the_documented_ones() -> None:
    kinds = [value for value in vars(errors).values() if isinstance(value, type)]
    codes = {kind.__name__: kind.exit_code for kind in kinds if issubclass(kind, errors.CgtError)}
    assert {name: code for name, code in codes.items() if code != 1} == {
        "UsageError": 2,
        "MissingDependency": 3,
        "QualityError": 4,
        "GuessError": 4,
        "Interrupted": 5,
    }
    assert all(f"{name} " in errors.__doc__ for name in codes)


def start_translation(folder: Path, clip: Path, model: Path) -> subprocess.Popen[str]:
    """Translate at a size that takes long."""
    command = [str(Path(sys.executable).with_name("cgt")), "translate", str(clip)]
    return subprocess.Popen(
        [*command, "-o", "out.mp4", "--model", str(model), "--size", "640x480"],
        cwd=folder,
        stderr=subprocess.PIPE,
        text=True,
    )


@pytest.fixture(scope="module")
def long_clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a clip of 2000 frames of 320x180."""
    import av

    from conftest import make_image

    path = tmp_path_factory.mktemp("long") / "long.mp4"
    with av.open(str(path), "w") as out:
        video = out.add_stream("libx264", rate=25, options={"preset": "ultrafast"})
        video.width, video.height, video.pix_fmt = 320, 180, "yuv420p"
        for index in range(2000):
            image = make_image(index % 50, 180, 320)
            out.mux(video.encode(av.VideoFrame.from_ndarray(image, format="rgb24")))
        out.mux(video.encode(None))
    return path


def wait_for_bytes(process: subprocess.Popen[str], folder: Path) -> None:
    """Wait until some frames are in the temporary file."""
    deadline = time.monotonic() + 60
    while not any(path.stat().st_size > 2000 for path in folder.glob(".out.*.mp4")):
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_a_killed_translation_leaves_nothing_under_the_name(
    long_clip: Path, tiny_model: Path, tmp_path: Path
) -> None:
    process = start_translation(tmp_path, long_clip, tiny_model)
    wait_for_bytes(process, tmp_path)
    process.kill()
    process.communicate()
    assert not (tmp_path / "out.mp4").exists()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_translation_is_a_shorter_video(
    long_clip: Path, tiny_model: Path, tmp_path: Path, number: signal.Signals
) -> None:
    process = start_translation(tmp_path, long_clip, tiny_model)
    wait_for_bytes(process, tmp_path)
    process.send_signal(number)
    _, printed = process.communicate(timeout=60)
    assert process.returncode == 5
    assert [path.name for path in tmp_path.iterdir()] == ["out.mp4"]
    with open_source(str(tmp_path / "out.mp4")) as source:
        frames = sum(1 for _ in source)
    assert 0 < frames < 2000
    assert f"the first {frames} frames are in" in printed


def test_memory_does_not_grow_with_the_length(long_clip: Path, tiny_model: Path) -> None:
    code = (
        "import resource, sys; from cgt.cli.main import cgt\n"
        "cgt(['translate', sys.argv[1], '-o', sys.argv[2], '--model', sys.argv[3],"
        " '--frames', sys.argv[4]], standalone_mode=False)\n"
        "print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)"
    )
    peaks = []
    for frames in ("100", "1500"):
        args = [str(long_clip), "null:", str(tiny_model), frames]
        done = subprocess.run(
            [sys.executable, "-c", code, *args], capture_output=True, text=True, check=True
        )
        peaks.append(int(done.stdout))
    assert peaks[1] < 1.1 * peaks[0]


def test_the_demo(clip: Path, tmp_path: Path) -> None:
    import cv2

    done = run_cgt("demo", clip, "--output", tmp_path / "demo")
    assert done.returncode == 0, done.stderr
    assert sorted(path.name for path in (tmp_path / "demo").iterdir()) == ["out.mp4", "preview.png"]
    preview = cv2.imread(str(tmp_path / "demo" / "preview.png"))
    with open_source(str(tmp_path / "demo" / "out.mp4")) as source:
        height, width = source.size
    assert preview.shape == (4 * height + 12, 2 * width + 4, 3)
    before, after = preview[:height, :width], preview[:height, width + 4 :]
    assert (before != after).mean() > 0.5
