"""The table of a teacher and its students: what is put together, and drawn."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
from click.testing import CliRunner

from cgt.benchmarks.peers import Duel
from cgt.benchmarks.student_figures import MOVED, Row, moved
from cgt.benchmarks.student_plot import plot
from cgt.benchmarks.students import by_film, main, markdown, quickest, ratios, steadiness
from cgt.runtime.images import read_image

ROW = Row(
    network="small",
    precision="int8",
    engine="openvino",
    p50=10.0,
    p99=12.0,
    macs=2_000_000_000,
    parameters=500_000,
    bytes=600_000,
    explained_photos=0.7,
    psnr=24.0,
    warping=4e-4,
    frechet=100.0,
    films={"bunny": 0.9, "street": 0.8},
)
EXACT = replace(ROW, precision="fp32", p50=30.0)
TEACHER = replace(ROW, network="teacher", p50=300.0, films={"bunny": 1.0, "street": 1.0})


def test_a_row_has_a_cell_for_each_head() -> None:
    bare = replace(ROW, warping=None, frechet=None, films={})
    lines = markdown([TEACHER, ROW, bare])
    assert {line.count("|") for line in lines} == {14}
    assert "| small | int8 | openvino | 10.00 | 12.00 | 2.00 | 0.500 | 0.60 | 0.700 |" in lines[3]
    assert lines[4].endswith("| 0.700 | - | 24.0 | - | - |")


def test_each_film_has_its_figure_once_whatever_the_engine() -> None:
    lines = by_film([ROW, replace(ROW, engine="onnxruntime"), EXACT])
    assert lines[1:] == [
        "| explained | | bunny | street |",
        "|---|---|---|---|",
        "| small | int8 | 0.900 | 0.800 |",
        "| small | fp32 | 0.900 | 0.800 |",
    ]
    assert by_film([replace(ROW, films={})]) == []


def test_a_teacher_that_looks_at_single_pixels_is_steady() -> None:
    image = np.random.default_rng(0).integers(0, 256, (6, 9, 3), dtype=np.uint8)
    steady, other = moved(lambda x: 255 - x)(image), moved(lambda x: x - x[:, :1])(image)
    assert np.array_equal(steady[:, :-1], 255 - image[:, :-1])
    assert steady.shape == image.shape
    assert not np.array_equal(other[:, :-1], (image - image[:, :1])[:, :-1])
    found = {"photos": {MOVED: {"explained": 0.79}}, "videos": {"bunny": {MOVED: {"explained": 1}}}}
    assert steadiness(found).endswith("by a pixel: photos 0.790, bunny 1.000.")


def test_the_quickest_way_is_taken() -> None:
    assert quickest([TEACHER, EXACT, ROW], "small") == ROW


def test_a_ratio_is_the_median_of_turns() -> None:
    found = Duel("eager", [0.9, 0.8, 1.2], [0.02, 0.02, 0.02])
    assert ratios({"small": found})[-1] == "| small | 45.0 | 40.0 to 60.0 |"


def test_the_picture(tmp_path: Path) -> None:
    out = tmp_path / "plot.png"
    plot([TEACHER, EXACT, ROW, replace(ROW, engine="onnxruntime", p50=20.0)], out)
    image = read_image(out)
    assert image is not None
    assert image.std() > 5


def test_two_networks_of_one_name_are_refused() -> None:
    for students in (["a/small.pth", "b/small.pth"], ["a/teacher.pth"]):
        done = CliRunner().invoke(main, ["big.pth", *students, "--photos", "."])
        assert done.exit_code == 2
        assert "rename a file" in done.output
