"""Paths with colons, brackets and other signs that FFmpeg, rich and Matplotlib would interpret."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import warnings
from pathlib import Path

import pytest
from support.videos import count_frames

from cgt.runtime.batch.inputs import plan_outputs
from cgt.runtime.inference.translator import DEFAULT_MODEL
from cgt.trainer.logs.plot import plot_runs
from conftest import CLIP_FRAMES, run_cgt, write_inverse_model

NAMES = ["a:b.mp4", "a[/b].mp4", "[red]x.mp4", ":smile: 100%d.mp4", "what?#b.mp4"]


@pytest.fixture
def folder(tmp_path: Path, clip: Path) -> Path:
    """Return a folder of videos with such names, a model in `[bold]m[/]` and an output folder."""
    for name in NAMES:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        shutil.copy(clip, tmp_path / name)
    (tmp_path / "[bold]m[").mkdir()
    write_inverse_model(tmp_path / "[bold]m[/].onnx")
    (tmp_path / "c[").mkdir()
    return tmp_path


@pytest.mark.parametrize("name", NAMES)
def test_translate_and_print_any_name(folder: Path, name: str) -> None:
    out = "c[/d]:smile::e.mp4"
    done = run_cgt(
        *("translate", name, "-o", out, "--model", "[bold]m[/].onnx", "--verbose"),
        *("--engine", "onnxruntime"),
        cwd=folder,
        env=os.environ | {"COLUMNS": "200"},
    )
    assert done.returncode == 0, done.stderr
    lines = [line.split(maxsplit=1) for line in done.stderr.splitlines()]
    rows = {line[0]: line[1].strip() for line in lines if len(line) == 2}
    assert rows["source"].startswith(f"{name}: 160x90")
    assert rows["output"] == out
    assert count_frames(folder / out) == CLIP_FRAMES


@pytest.mark.parametrize("name", ["a:b.mp4", "a[/b].mp4"])
def test_batches_take_any_name(folder: Path, name: str) -> None:
    done = run_cgt(
        *("translate", name, "-o", "c[/d]:e.mkv", "--model", "[bold]m[/].onnx", "--jobs", 1),
        *("--engine", "onnxruntime"),
        cwd=folder,
    )
    assert done.returncode == 0, done.stderr
    assert count_frames(folder / "c[/d]:e.mkv") == CLIP_FRAMES


@pytest.mark.slow
def test_a_colon_is_no_protocol_for_other_verbs(folder: Path) -> None:
    done = run_cgt(
        *("bench", "--model", "[bold]m[/].onnx", "--pipeline", "a:b.mp4", "--seconds", "0.1"),
        *("--engine", "onnxruntime", "--size", 64),
        cwd=folder,
        env=os.environ | {"COLUMNS": "200"},
    )
    assert done.returncode == 0, done.stderr
    assert "a:b.mp4 to H.264" in done.stdout


def test_inspect_and_demo_print_any_name(folder: Path) -> None:
    wide = os.environ | {"COLUMNS": "200"}
    done = run_cgt("inspect", "[bold]m[/].onnx", cwd=folder, env=wide)
    assert done.returncode == 0, done.stderr
    assert "[bold]m[/].onnx" in done.stdout
    done = run_cgt(
        *("demo", "a[/b].mp4", "--model", "[bold]m[/].onnx", "-o", "c[/:smile:"),
        cwd=folder,
        env=wide,
    )
    assert done.returncode == 0, done.stderr
    assert "c[/:smile:/out.mp4 " in done.stderr


def test_long_paths_are_not_shortened(folder: Path) -> None:
    out = f"c[/{'long' * 40}.mp4"
    done = run_cgt(
        *("translate", "a:b.mp4", "-o", out, "--model", "[bold]m[/].onnx"),
        *("--engine", "onnxruntime"),
        cwd=folder,
        env=os.environ | {"COLUMNS": "80"},
    )
    assert done.returncode == 0, done.stderr
    assert out in "".join(done.stderr.split())


def test_a_folder_with_brackets_is_no_wildcard(folder: Path, clip: Path) -> None:
    (folder / "[2020] x").mkdir()
    shutil.copy(clip, folder / "[2020] x" / "a.mp4")
    pairs = plan_outputs([f"{folder}/[2020] x/*.mp4"], str(folder / "out"), None)
    assert [target.relative_to(folder) for _, target in pairs] == [Path("out/a.mp4")]


@pytest.mark.parametrize("name", ["$\\frac$", "_run"])
def test_plot_runs_of_any_name(tmp_path: Path, name: str) -> None:
    pytest.importorskip("matplotlib")
    (tmp_path / name).mkdir()
    rows = "".join(f"{step},{step},0.5\n" for step in range(3))
    (tmp_path / name / "metrics.csv").write_text(f"step,epoch,cycle_a\n{rows}")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        plot_runs([tmp_path / name], tmp_path / "out.png")


@pytest.mark.parametrize(
    "command",
    [
        *("inspect NAME --json", "export NAME --format openvino", "eval --model NAME --data none"),
        "export NAME --format triton",
    ],
)
def test_bundled_models_are_known_by_name(command: str, tmp_path: Path) -> None:
    """Nothing is written beside the bundled file, which may be in a read-only installation."""
    before = sorted(path.name for path in DEFAULT_MODEL.parent.iterdir())
    done = run_cgt(*command.replace("NAME", "monet").split(), cwd=tmp_path)
    if command.startswith("eval"):
        assert "none/testB is missing" in done.stderr  # monet translates from B
    elif "triton" in command:
        assert "of the bundled model monet needs -o FOLDER" in done.stderr
    else:
        assert done.returncode == 0, done.stderr
    if "openvino" in command:
        assert {path.name for path in tmp_path.iterdir()} == {
            *("monet.xml", "monet.bin", "monet.xml.json")
        }
    assert sorted(path.name for path in DEFAULT_MODEL.parent.iterdir()) == before


def test_a_user_file_comes_before_a_bundled_name(tmp_path: Path) -> None:
    write_inverse_model(tmp_path / "m.onnx").rename(tmp_path / "monet")
    done = run_cgt("inspect", "monet", "--json", cwd=tmp_path)
    assert '"nodes"' in done.stdout, done.stderr
    assert "parity" not in done.stdout


def test_tracebacks_mask_passwords() -> None:
    code = """
import sys, threading
from cgt.cli import main
def fail(**_):
    raise KeyError("rtsp://me:secret@host")
def run(**_):
    thread = threading.Thread(target=fail)
    thread.start()
    thread.join()
    fail()
main.cgt.main = run
main.main()
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr.count("KeyError: 'rtsp://me:***@host'") == 2
    assert "secret" not in done.stderr
