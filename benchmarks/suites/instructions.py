"""Instruction counts of the main calls of the C library, under Valgrind.

    python -m benchmarks.suites.instructions [--record]

Timings drift with the state of the machine, counts do not. The command compares with
`instructions.json`, which `--record` writes, and exits with 1 if a call needs 2 % more than
recorded. It needs a checkout, a C compiler and Valgrind. Valgrind does not support AVX-512, so the
AVX2 code and the scalar reference are counted. Another compiler gives other counts, so its version
is recorded too.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).resolve().parent
LIBRARY_DIR = HERE.parents[1] / "runtime" / "native"
RECORD_FILE = HERE / "instructions.json"
MEASURED_CALLS = {
    "pack-720p": "cgt_pack",
    "pack-same": "cgt_pack",
    "unpack-512": "cgt_unpack",
    "unpack-yuv": "cgt_unpack_yuv",
    "guide-fit": "cgt_guide_fit",
    "guide-rgb": "cgt_guide_apply",
    "guide-i420": "cgt_guide_apply",
}
# As in CMakeLists.txt.
CFLAGS = ("-std=c11", "-O3", "-ffp-contract=off", "-fno-trapping-math")
MAX_RATIO = 1.02


def count_instructions(program: Path, call: str, simd: str) -> int:
    """Return the number of instructions inside one call of the library."""
    command = ["valgrind", "--tool=callgrind", "--callgrind-out-file=/dev/null"]
    completed = subprocess.run(
        [*command, f"--toggle-collect={MEASURED_CALLS[call]}", str(program), call],
        env={**os.environ, "CGT_SIMD": simd},
        capture_output=True,
        text=True,
        check=True,
    )
    match = re.search(r"Collected : (\d+)", completed.stderr)
    if match is None:
        raise RuntimeError(f"callgrind printed no count:\n{completed.stderr}")
    return int(match[1])


def count_all() -> dict[str, object]:
    """Return the compiler's version and the counts by instruction set and call."""
    first_line = subprocess.check_output(["cc", "--version"], text=True).splitlines()[0]
    with tempfile.TemporaryDirectory() as folder:
        program = Path(folder) / "instructions"
        sources = [*sorted(LIBRARY_DIR.glob("*.c")), HERE / "instructions.c"]
        subprocess.run(
            ["cc", *CFLAGS, f"-I{LIBRARY_DIR}", *map(str, sources), "-lm", "-o", str(program)],
            check=True,
        )
        counts = {
            simd: {call: count_instructions(program, call, simd) for call in MEASURED_CALLS}
            for simd in ("avx2", "scalar")
        }
    return {"compiler": first_line, "instructions": counts}


def compare_counts(old: dict[str, object], new: dict[str, object]) -> bool:
    """Print both counts; return True if no count grew by more than the tolerance."""
    if old["compiler"] != new["compiler"]:
        print(f"recorded with {old['compiler']}, this is {new['compiler']}")
    within_tolerance = True
    before, after = old["instructions"], new["instructions"]
    assert isinstance(before, dict)
    assert isinstance(after, dict)
    for simd, calls in after.items():
        for call, instructions in calls.items():
            if call not in before[simd]:
                print(f"{simd:7} {call:11} {instructions:>12,} is not recorded")
                within_tolerance = False
                continue
            ratio = instructions / before[simd][call]
            within_tolerance &= ratio <= MAX_RATIO
            print(
                f"{simd:7} {call:11} {before[simd][call]:>12,} -> {instructions:>12,}  {ratio:.3f}"
            )
    return within_tolerance


def main() -> int:
    """Count instructions, then record or compare them."""
    parser = argparse.ArgumentParser(
        description=__doc__,
        prog="python -m benchmarks.suites.instructions",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--record", action="store_true", help="overwrite instructions.json")
    arguments = parser.parse_args()
    new = count_all()
    if arguments.record:
        RECORD_FILE.write_text(json.dumps(new, indent=2) + "\n", encoding="utf-8")
        return 0
    return 0 if compare_counts(json.loads(RECORD_FILE.read_text(encoding="utf-8")), new) else 1


if __name__ == "__main__":
    sys.exit(main())
