from pathlib import Path

import numpy as np
import pytest

from cgt.runtime.image.opencv import cv2
from conftest import run_cgt


def test_runs_are_drawn(run_folder: Path, tmp_path: Path) -> None:
    """As long as there is something to draw, in every format, and more than white."""
    other = tmp_path / "other"
    other.mkdir()
    rows = [f"{50 * i},{i / 10},{1 / i},{i}" for i in range(1, 40)]
    (other / "metrics.csv").write_text("\n".join(["step,epoch,G_A,frechet", *rows]) + "\n")
    done = run_cgt("plot", run_folder, other, "-o", tmp_path / "both.png")
    assert done.returncode == 0, done.stderr
    image = cv2.imread(str(tmp_path / "both.png"))
    colours = {tuple(c) for c in image.reshape(-1, 3)[::7]}
    assert (180, 119, 31) in colours, "the first run's blue"
    assert (14, 127, 255) in colours, "the second run's orange"
    done = run_cgt("plot", other, "-o", tmp_path / "one.svg")
    assert done.returncode == 0, done.stderr
    assert "<svg" in (tmp_path / "one.svg").read_text()
    assert np.ptp(image) == 255


@pytest.mark.parametrize(
    ("args", "words"),
    [(("none",), "missing"), (("RUN", "-o", "x.xyz"), "end the name"), (("EMPTY",), "no line yet")],
)
def test_mistakes(run_folder: Path, tmp_path: Path, args: tuple[str, ...], words: str) -> None:
    (tmp_path / "metrics.csv").write_text("")
    places = {"RUN": run_folder, "EMPTY": tmp_path, "x.xyz": tmp_path / "x.xyz"}
    done = run_cgt("plot", *(places.get(arg, arg) for arg in args), cwd=tmp_path)
    assert done.returncode == 1
    assert words in done.stderr
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "x.xyz").exists()
