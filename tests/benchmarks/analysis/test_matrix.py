"""Precision matrix of two files of one network, measured for real."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from cgt.benchmarks.analysis import matrix
from cgt.benchmarks.analysis.matrix import (
    BenchmarkMatrix,
    export_all_precisions,
    find_sibling_models,
    measure_matrix,
    reference_model,
)
from cgt.benchmarks.analysis.quality import psnr
from cgt.benchmarks.harness.results import Result
from cgt.runtime.inference.translator import DEFAULT_MODEL
from conftest import run_cgt

pytest.importorskip("onnx")


@pytest.fixture(scope="module")
def fp16_model(run_folder: Path, tiny_model: Path) -> Path:
    """Export an fp16 file of the same checkpoint next to the fp32 one."""
    path = run_folder / "tiny_fp16.onnx"
    done = run_cgt("export", "--ckpt", run_folder / "latest.pth", "--fp16", "-o", path)
    assert done.returncode == 0, done.stderr
    return path


@pytest.fixture(scope="module")
def measured(
    fp16_model: Path, tiny_model: Path, clip: Path
) -> tuple[BenchmarkMatrix, list[Result]]:
    return measure_matrix(
        [tiny_model, fp16_model], [(32, 64)], min_psnr=40, seconds=0.05, source=str(clip)
    )


def test_sibling_models_are_found(fp16_model: Path, tiny_model: Path) -> None:
    assert set(find_sibling_models(tiny_model)) == {tiny_model, fp16_model}
    assert find_sibling_models(fp16_model)[0] == fp16_model
    assert reference_model(find_sibling_models(fp16_model)) == tiny_model
    assert find_sibling_models(DEFAULT_MODEL) == [DEFAULT_MODEL]


def test_every_precision_that_runs_has_one_row(
    measured: tuple[BenchmarkMatrix, list[Result]],
) -> None:
    found, results = measured
    ran = {(r.engine, r.file_precision, r.precision) for r in found.rows if r.status == "ok"}
    assert {("openvino", "fp32", "fp32"), ("onnxruntime", "fp32", "fp32")} <= ran
    assert {precision for _, precision, _ in ran} == {"fp32", "fp16"}
    assert len(ran) == len(found.rows) == len(results), "duplicate row"
    assert [r.p50 for r in found.rows] == sorted(r.p50 for r in found.rows)


def test_rows_have_psnr(measured: tuple[BenchmarkMatrix, list[Result]]) -> None:
    found, _ = measured
    psnr_db = {(r.engine, r.file_precision, r.precision): r.psnr_db for r in found.rows}
    assert all(value is not None for value in psnr_db.values())
    exact, half = psnr_db["onnxruntime", "fp32", "fp32"], psnr_db["onnxruntime", "fp16", "fp32"]
    assert exact > 100 > half > 40
    (best,) = [row for row in found.rows if row.best]
    assert best.psnr_db >= 40
    faster = [row for row in found.rows if row.p50 < best.p50]
    assert all(row.psnr_db < 40 for row in faster)


@pytest.mark.slow
def test_unreachable_min_psnr_fails(tiny_model: Path, clip: Path, tmp_path: Path) -> None:
    done = run_cgt(
        *("bench", "--matrix", "--model", tiny_model, "--size", 32, "--engine", "onnxruntime"),
        *("--seconds", 0.1, "--pipeline", clip, "--min-psnr", 500),
        *("--json", tmp_path / "m.json", "--html", tmp_path / "m.html"),
    )
    assert done.returncode == 4
    assert "500 dB" in done.stderr
    assert (tmp_path / "m.json").exists(), "the report was not written"
    assert "Quality against speed" in (tmp_path / "m.html").read_text()


def test_checkpoint_is_exported_once(run_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(matrix, "EXPORTED_PRECISIONS", ("fp32", "fp16", "unknown"))
    messages: list[str] = []
    first = export_all_precisions(run_folder / "latest.pth", log=messages.append)
    assert [path.stem.split("_")[-1] for path in first] == ["fp32", "fp16"]
    assert [line.split(":")[0] for line in messages] == ["no unknown"]
    times = [path.stat().st_mtime_ns for path in first]
    again = export_all_precisions(run_folder / "latest.pth", log=messages.append)
    assert [path.stat().st_mtime_ns for path in again] == times


def test_psnr() -> None:
    black = np.zeros((1, 3, 4, 4), np.float32)
    assert psnr(black, black) == 200
    assert psnr(black + 0.2, black) == pytest.approx(20, abs=0.01)
    assert psnr(black * np.nan, black) == 0
