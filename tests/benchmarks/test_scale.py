"""The arithmetic of docs/scale.md."""

from __future__ import annotations

import pytest

from cgt.benchmarks.scale_model import Costs, Machine, machine_table, transport_table

COSTS = Costs((256, 456), 0.010, 0.002, 0.037, 0.001, 88e3, 10e3)


def test_cores_share_everything_and_a_gpu_takes_the_network() -> None:
    alone = Machine("two", 2)
    assert alone.rate(COSTS) == pytest.approx(40)
    assert alone.limit(COSTS) == "network, on the cores"
    fast, slow = Machine("fast", 13, gpu=5000), Machine("slow", 13, gpu=100)
    assert fast.rate(COSTS) == pytest.approx(1000)
    assert fast.limit(COSTS) == "decode, on the cores"
    assert slow.rate(COSTS) == 100
    assert slow.limit(COSTS) == "network, on the GPU"


def test_tables() -> None:
    row = machine_table([Machine("two", 2)], COSTS, 30)[-1]
    # 1 h at 30 frames/s by 40 frames/s; 24 h; 1000 h in 31.25 days, or on as many machines in one.
    assert [cell.strip() for cell in row.split("|")[4:-1]] == [
        "45 min",
        "18.0 h",
        "31.2 days",
        "32",
    ]
    row = transport_table([COSTS], 30)[-1]
    assert "9.50, 1.08" in row
    assert "| 321 |" in row  # 112.5 MB/s of pictures of 350 kB
