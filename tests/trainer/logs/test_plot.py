"""Tests of metrics.csv and its plots."""

from pathlib import Path

import numpy as np
import pytest

from cgt.runtime.image.opencv import cv2
from cgt.trainer.logs.best_checkpoint import BestMetric
from cgt.trainer.logs.metrics_csv import MetricsLogger, read_metrics
from conftest import run_cgt


def test_plot_shows_all_runs(run_folder: Path, tmp_path: Path) -> None:
    """Check the lines of two runs by their colors, and the formats PNG and SVG."""
    other = tmp_path / "other"
    other.mkdir()
    rows = [f"{50 * i},{i / 10},{1 / i},{i}" for i in range(1, 40)]
    (other / "metrics.csv").write_text("\n".join(["step,epoch,G_A,frechet", *rows]) + "\n")
    done = run_cgt("plot", run_folder, other, "-o", tmp_path / "both.png")
    assert done.returncode == 0, done.stderr
    image = cv2.imread(str(tmp_path / "both.png"))
    colors = {tuple(c) for c in image.reshape(-1, 3)[::7]}
    assert (180, 119, 31) in colors, "the first run's blue"
    assert (14, 127, 255) in colors, "the second run's orange"
    done = run_cgt("plot", other, "-o", tmp_path / "one.svg")
    assert done.returncode == 0, done.stderr
    assert "<svg" in (tmp_path / "one.svg").read_text()
    assert np.ptp(image) == 255


@pytest.mark.parametrize(
    ("args", "message"),
    [(("none",), "missing"), (("RUN", "-o", "x.xyz"), "ends in .png"), (("EMPTY",), "no row yet")],
)
def test_invalid_arguments_are_rejected(
    run_folder: Path, tmp_path: Path, args: tuple[str, ...], message: str
) -> None:
    (tmp_path / "metrics.csv").write_text("")
    paths = {"RUN": run_folder, "EMPTY": tmp_path, "x.xyz": tmp_path / "x.xyz"}
    done = run_cgt("plot", *(paths.get(arg, arg) for arg in args), cwd=tmp_path)
    assert done.returncode == 1
    assert message in done.stderr
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "x.xyz").exists()


def test_old_column_names_are_renamed(tmp_path: Path) -> None:
    """Resume a log from before version 0.1.0, whose column `explained` is now `mse_skill`."""
    path = tmp_path / "metrics.csv"
    path.write_text("step,epoch,explained,psnr,lr\n50,1,0.5,20,\n50,1,,,0.001\n")
    log = MetricsLogger(tmp_path, 50, [])
    log.write_row(100, 2.0, {"mse_skill": 0.75, "psnr": 21.0})
    log.close()
    assert path.read_text().splitlines() == [
        *("step,epoch,mse_skill,psnr,lr", "50,1,0.5,20,", "50,1,,,0.001", "100,2,0.75,21,")
    ]
    assert [row.get("mse_skill") for row in read_metrics(path)] == [0.5, None, 0.75]


def test_old_metric_names_are_restored() -> None:
    """Resume the best value of a checkpoint from before version 0.1.0."""
    best = BestMetric("mse_skill")
    best.load_state_dict({"metric": "explained", "value": 0.5, "epoch": 3})
    assert best == BestMetric("mse_skill", 0.5, 3)
    assert not best.update(0.4, 4)
    best = BestMetric("psnr")
    best.load_state_dict({"metric": "explained", "value": 0.5, "epoch": 3})
    assert best == BestMetric("psnr")
