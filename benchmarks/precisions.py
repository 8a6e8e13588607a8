"""In which types the convolutions of ONNX models compute on which cards, as TensorRT-RTX builds
them: `python -m cgt.benchmarks.precisions MODEL.onnx ...`. Needs no GPU and runs nothing."""

from __future__ import annotations

import argparse
import re
import sys
import tempfile
from pathlib import Path

from rich.console import Console
from rich.table import Table

from cgt.export import build_engine
from cgt.export.formats import BuildOptions
from cgt.runtime.errors import CgtError, QualityError
from cgt.runtime.sidecar import read_sidecar

CARDS = (75, 86, 89, 120)


def convolutions(onnx: Path, card: int, folder: Path) -> str:
    """Such as "22 in int8, 2 in fp16", or what stands against it."""
    options = BuildOptions(compute_capabilities=(card,))
    try:
        plan = build_engine(onnx, "tensorrt-rtx", folder / "model.engine", options)
    except QualityError as error:
        found = re.search(r" is (\S+) and not (\S+?);? ", f"{error} ")
        return f"refused: {found[1]}, not {found[2]}" if found else f"refused: {error}"
    counts = read_sidecar(plan).build.convolutions
    return ", ".join(f"{count} {kind}" for kind, count in counts.items())


def main() -> int:
    """Print the table; the exit code is that of the first model that could not be built."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("models", nargs="+", type=Path)
    models = parser.parse_args().models
    table = Table()
    table.add_column("model", no_wrap=True)
    for card in CARDS:
        table.add_column(f"{card / 10:.1f}")
    with tempfile.TemporaryDirectory() as folder:
        for model in models:
            try:
                cells = [convolutions(model, card, Path(folder)) for card in CARDS]
            except CgtError as error:
                print(f"{model.name}: {error}", file=sys.stderr)
                return error.exit_code
            table.add_row(model.stem, *cells)
    Console().print(table)
    return 0


if __name__ == "__main__":
    sys.exit(main())
