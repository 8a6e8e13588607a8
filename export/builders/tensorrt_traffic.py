"""Memory traffic of a TensorRT engine: the activations that its kernels read and write.

An InstanceNorm has few operations and reads whole images, so a generator's speed on a GPU depends
on its traffic as much as on its convolutions.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable
from dataclasses import dataclass

_TENSORS_RE = re.compile(r", Inputs: \[(.*)\], Constants: \[.*\], Outputs: \[(.*)\], ")
_TENSOR_RE = re.compile(r"Dimensions: \[([-\d,]*)\].*?Datatype: (\w+)")
_ITEM_BYTES = {
    **{"float": 4, "half": 2, "bfloat16": 2, "fp8": 1},
    **{"int64": 8, "int32": 4, "int8": 1, "uint8": 1, "bool": 1},
}


@dataclass(frozen=True)
class EngineTraffic:
    """Kernels of an engine, and the bytes of activations that they read and write in a run.

    Weights are not included, because they stay in a cache.
    """

    kernels: int
    activation_bytes: int

    def __str__(self) -> str:
        return f"{self.kernels} kernels move {self.activation_bytes / 1e6:.0f} MB of activations"


def sum_traffic(messages: Iterable[str]) -> EngineTraffic | None:
    """Sum the layer table in the builder's VERBOSE messages, with DETAILED profiling.

    Args:
        messages: Messages of the builder; each layer is a line.

    Returns:
        The traffic; None without a table, with sizes that vary, or with unknown types.
    """
    kernels = total = 0
    for line in (line for message in messages for line in message.splitlines()):
        match = _TENSORS_RE.search(line) if line.lstrip().startswith("Name: ") else None
        if match is None:
            continue
        kernels += 1
        for dims, datatype in _TENSOR_RE.findall(f"{match[1]} {match[2]}"):
            sides = [int(side) for side in dims.split(",") if side]
            item_bytes = _ITEM_BYTES.get(datatype.lower())
            if min(sides, default=1) < 0 or item_bytes is None:
                return None
            total += math.prod(sides) * item_bytes
    return EngineTraffic(kernels, total) if kernels else None
