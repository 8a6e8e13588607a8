"""Errors of `cgt export`: one line, an exit code, no file left."""

from __future__ import annotations

import resource
from pathlib import Path

import pytest

from cgt.runtime.image.files import encode_image
from conftest import make_image, run_cgt

MISTAKES = [
    (("--int8", "--calib", "three"), 2, "three has 3 readable images; give at least 10"),
    (("--int8", "--calib", "none"), 1, "none has no readable image"),
    (("--int8", "--calib", "texts"), 1, "texts has no readable image"),
    (("--int8", "--calib", "texts/a.txt"), 1, "a.txt"),
    (("--int8", "--calib", "nothing"), 1, "--calib nothing is missing; give a folder of images"),
    (("--calib-frames", "8"), 2, "--calib-frames goes with --int8, --mixed or --norm frozen"),
    (("--format", "tensorrt-rtx"), 2, "give the GPUs to build for"),
    (("--size", "7"), 2, "too small; the minimum is 16"),
    (("--opset", "99"), 2, "--opset 99 is not in 11 to 23"),
    (("--int8", "--bf16"), 2, "excludes --bf16"),
]


@pytest.mark.slow
@pytest.mark.parametrize(("args", "code", "words"), MISTAKES, ids=lambda value: str(value)[:40])
def test_error_is_one_line(
    args: tuple[str, ...], code: int, words: str, run_folder: Path, tmp_path: Path
) -> None:
    for folder in ("three", "none", "texts"):
        (tmp_path / folder).mkdir()
    for index in range(3):
        (tmp_path / "three" / f"{index}.png").write_bytes(
            encode_image(make_image(index, 32, 32), ".png")
        )
    (tmp_path / "texts" / "a.txt").write_text("not an image")
    (tmp_path / "texts" / "b.png").write_text("nor is this")
    done = run_cgt(
        *("export", "--ckpt", run_folder / "latest.pth", *args, "-o", "m.onnx"), cwd=tmp_path
    )
    assert done.returncode == code, done.stderr
    assert done.stderr.startswith("cgt: ")
    assert words in done.stderr
    assert done.stderr.count("\n") == 1
    assert not list(tmp_path.glob("*.onnx")) + list(tmp_path.glob(".*"))


@pytest.mark.slow
def test_failed_write_keeps_the_old_file(run_folder: Path, tmp_path: Path) -> None:
    """A write fails in the middle, here at a limit of 10 kB, as on a full disk."""

    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, 10_000))

    (tmp_path / "m.onnx").write_text("old content")
    done = run_cgt(
        *("export", "--ckpt", run_folder / "latest.pth", "-o", tmp_path / "m.onnx"),
        preexec_fn=limit,
    )
    assert done.returncode == 1, done.stderr
    assert done.stderr.count("\n") == 1
    assert "cannot write" in done.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["m.onnx"]
    assert (tmp_path / "m.onnx").read_text() == "old content"
