"""Combinations of networks, precisions, norms and tensor types in which every choice occurs.

`python -m tests.export.precision_matrix` runs all combinations.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from .precision_matrix import (
    IOS,
    NETWORKS,
    NORMS,
    PRECISIONS,
    measure_combination,
    random_generator,
    write_dead_leaves,
)

CASES = [
    (network, precision, NORMS[(i + j) % 2], IOS[(i // 2 + j) % 2])
    for i, network in enumerate(NETWORKS)
    for j, precision in enumerate(PRECISIONS)
]
MIN_AGREEMENT_DB = {"fp32": 80, "fp16": 50, "int8": 35}


def test_every_choice_occurs() -> None:
    for axis, choices in enumerate((NETWORKS, PRECISIONS, NORMS, IOS)):
        assert {case[axis] for case in CASES} == set(choices)


@pytest.mark.slow
@pytest.mark.parametrize(("network", "precision", "norm", "io"), CASES)
def test_engines_agree(network: str, precision: str, norm: str, io: str, tmp_path: Path) -> None:
    pytest.importorskip("tensorrt_rtx", exc_type=ImportError)
    images = tmp_path / "images"
    images.mkdir()
    options = {"precision": precision, "norm": norm, "io": io}
    row = measure_combination(
        network, random_generator(network), options, write_dead_leaves(images), tmp_path
    )
    assert row.agreement_db > MIN_AGREEMENT_DB[precision]
    assert row.engine_kb > 0
    if norm == "instance":
        assert row.psnr_db > {"fp32": 80, "fp16": 45, "int8": 20}[precision]
