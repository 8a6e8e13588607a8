"""Networks, precisions, norms and tensors against one another: some combinations, in which every
choice occurs. `python -m export.precision_matrix` runs all."""

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
AGREEMENT = {"fp32": 80, "fp16": 50, "int8": 35}  # dB between two engines


def test_every_choice_occurs() -> None:
    for axis, choices in enumerate((NETWORKS, PRECISIONS, NORMS, IOS)):
        assert {case[axis] for case in CASES} == set(choices)


@pytest.mark.parametrize(("network", "precision", "norm", "io"), CASES)
def test_it_loads_and_agrees(
    network: str, precision: str, norm: str, io: str, tmp_path: Path
) -> None:
    pytest.importorskip("tensorrt_rtx", exc_type=ImportError)
    pictures = tmp_path / "pictures"
    pictures.mkdir()
    wishes = {"precision": precision, "norm": norm, "io": io}
    row = measure_combination(
        network, random_generator(network), wishes, write_dead_leaves(pictures), tmp_path
    )
    assert row.agreement > AGREEMENT[precision]
    assert row.engine_kb > 0
    if norm == "instance":
        assert row.psnr > {"fp32": 80, "fp16": 45, "int8": 20}[precision]
