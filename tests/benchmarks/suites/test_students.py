"""Student comparison suite: table, plot, and argument checks."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
from click.testing import CliRunner

from benchmarks.suites.students import (
    SHIFTED_TEACHER,
    ComparisonRow,
    fastest_row,
    main,
    markdown_table,
    per_video_table,
    plot_quality_speed,
    shift_consistency,
    speedup_table,
    with_shifted_input,
)
from benchmarks.suites.vs_baselines import PairedRun
from cgt.runtime.image.files import read_image

ROW = ComparisonRow(
    network="small",
    precision="int8",
    engine="openvino",
    p50_ms=10.0,
    p99_ms=12.0,
    macs=2_000_000_000,
    parameters=500_000,
    file_bytes=600_000,
    mse_skill_photos=0.7,
    psnr_db=24.0,
    warping=4e-4,
    frechet=100.0,
    mse_skill_by_video={"bunny": 0.9, "street": 0.8},
)
EXACT = replace(ROW, precision="fp32", p50_ms=30.0)
TEACHER = replace(
    ROW, network="teacher", p50_ms=300.0, mse_skill_by_video={"bunny": 1.0, "street": 1.0}
)


def test_rows_have_a_cell_for_each_column() -> None:
    bare = replace(ROW, warping=None, frechet=None, mse_skill_by_video={})
    lines = markdown_table([TEACHER, ROW, bare])
    assert {line.count("|") for line in lines} == {14}
    assert "| small | int8 | openvino | 10.00 | 12.00 | 2.00 | 0.500 | 0.60 | 0.700 |" in lines[3]
    assert lines[4].endswith("| 0.700 | - | 24.0 | - | - |")


def test_each_video_has_one_value_for_all_engines() -> None:
    lines = per_video_table([ROW, replace(ROW, engine="onnxruntime"), EXACT])
    assert lines[1:] == [
        "| MSE skill | | bunny | street |",
        "|---|---|---|---|",
        "| small | int8 | 0.900 | 0.800 |",
        "| small | fp32 | 0.900 | 0.800 |",
    ]
    assert per_video_table([replace(ROW, mse_skill_by_video={})]) == []


def test_pointwise_teacher_is_shift_consistent() -> None:
    image = np.random.default_rng(0).integers(0, 256, (6, 9, 3), dtype=np.uint8)
    pointwise, other = (
        with_shifted_input(lambda x: 255 - x)(image),
        with_shifted_input(lambda x: x - x[:, :1])(image),
    )
    assert np.array_equal(pointwise[:, :-1], 255 - image[:, :-1])
    assert pointwise.shape == image.shape
    assert not np.array_equal(other[:, :-1], (image - image[:, :1])[:, :-1])
    found = {
        "photos": {SHIFTED_TEACHER: {"mse_skill": 0.79}},
        "videos": {"bunny": {SHIFTED_TEACHER: {"mse_skill": 1}}},
    }
    assert shift_consistency(found).endswith("shifted by a pixel: photos 0.790, bunny 1.000.")


def test_fastest_row_is_selected() -> None:
    assert fastest_row([TEACHER, EXACT, ROW], "small") == ROW


def test_speedup_is_the_median_of_paired_runs() -> None:
    found = PairedRun("eager", [0.9, 0.8, 1.2], [0.02, 0.02, 0.02])
    assert speedup_table({"small": found})[-1] == "| small | 45.0 | 40.0 to 60.0 |"


def test_quality_speed_plot(tmp_path: Path) -> None:
    out = tmp_path / "plot.png"
    plot_quality_speed([TEACHER, EXACT, ROW, replace(ROW, engine="onnxruntime", p50_ms=20.0)], out)
    image = read_image(out)
    assert image is not None
    assert image.std() > 5


def test_duplicate_network_names_are_rejected() -> None:
    for students in (["a/small.pth", "b/small.pth"], ["a/teacher.pth"]):
        done = CliRunner().invoke(main, ["big.pth", *students, "--photos", "."])
        assert done.exit_code == 2
        assert "rename a file" in done.output
