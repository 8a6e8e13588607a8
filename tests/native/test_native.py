"""C tests of libcgt, compiled for and run on this machine and an emulated aarch64.

The programs also run by hand. Each prints what is wrong and exits with a nonzero status:
    cc -D_GNU_SOURCE -Iruntime/native runtime/native/*.c tests/native/rows.c -lm && ./a.out
"""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from cgt.runtime.image.preprocess import pack, unpack

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
LIBRARY = ROOT / "runtime" / "native"
FLAGS = ("-std=c11", "-D_GNU_SOURCE", "-Wall", "-Wextra", "-Werror", "-ffp-contract=off")
INSTRUCTION_SETS = {"x86_64": ("scalar", "avx2", "avx512"), "aarch64": ("scalar", "neon")}


def require_program(program: str, package: str) -> str:
    found = shutil.which(program)
    if found is None:
        pytest.skip(f"{program} is missing (apt-get install {package})")
    return found


def run(command: Sequence[str | Path], **environment: str) -> str:
    done = subprocess.run(
        [str(argument) for argument in command],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert done.returncode == 0, f"{command}\n{done.stdout[-2000:]}\n{done.stderr[-4000:]}"
    return done.stdout


def build(folder: Path, name: str, compiler: str, *flags: str) -> Path:
    program = folder / name
    sources = [*sorted(LIBRARY.glob("*.c")), HERE / f"{name}.c"]
    run([compiler, *FLAGS, *flags, f"-I{LIBRARY}", *sources, "-lm", "-o", program])
    return program


def available_instruction_sets() -> list[str]:
    """Return the instruction sets of this CPU, slowest first, from /proc/cpuinfo."""
    flags = set(Path("/proc/cpuinfo").read_text(encoding="utf-8").split())
    missing = {
        "avx2": "avx2" not in flags,
        "avx512": not {"avx512bw", "avx512vl", "avx512vbmi"} <= flags,
    }
    return [
        name
        for name in INSTRUCTION_SETS.get(platform.machine(), ("scalar",))
        if not missing.get(name)
    ]


@pytest.fixture(scope="module")
def cc() -> str:
    return require_program("cc", "gcc")


@pytest.fixture(scope="module")
def expected(tmp_path_factory: pytest.TempPathFactory, cc: str) -> str:
    """Return the output of the random calls with the scalar functions on this machine."""
    return run([build(tmp_path_factory.mktemp("c"), "vectors", cc, "-O2")], CGT_SIMD="scalar")


@pytest.mark.slow
@pytest.mark.parametrize("flags", [("-O3",), ("-O1", "-g", "-fsanitize=address,undefined")])
def test_row_functions_match_scalar(tmp_path: Path, cc: str, flags: tuple[str, ...]) -> None:
    program = build(tmp_path, "rows", cc, *flags, "-fno-sanitize-recover=all")
    lines = run([program]).splitlines()
    assert lines == [f"{name} equals scalar" for name in reversed(available_instruction_sets())]


@pytest.mark.slow
@pytest.mark.parametrize("flags", [("-O3",), ("-O1", "-g", "-fsanitize=address,undefined")])
def test_instruction_sets_return_the_same_bits(
    tmp_path: Path, cc: str, expected: str, flags: tuple[str, ...]
) -> None:
    assert len(expected.splitlines()) == 2002
    program = build(tmp_path, "vectors", cc, *flags, "-fno-sanitize-recover=all")
    for name in available_instruction_sets():
        assert run([program], CGT_SIMD=name) == expected, name


@pytest.mark.slow
def test_error_codes(tmp_path: Path, cc: str) -> None:
    run([build(tmp_path, "errors", cc, "-O1", "-fsanitize=address,undefined")])


def test_unknown_instruction_set_fails(tmp_path: Path, cc: str) -> None:
    program = build(tmp_path, "vectors", cc)
    done = subprocess.run([program], env={**os.environ, "CGT_SIMD": "altivec"}, capture_output=True)
    assert done.returncode == 1
    assert b"cgt_simd() is false" in done.stderr


@pytest.mark.slow
def test_neon_under_qemu(tmp_path: Path, expected: str) -> None:
    compiler = require_program("aarch64-linux-gnu-gcc", "gcc-aarch64-linux-gnu")
    qemu = require_program("qemu-aarch64", "qemu-user")
    rows = build(tmp_path, "rows", compiler, "-O3", "-static")
    assert run([qemu, rows]).splitlines() == ["neon equals scalar", "scalar equals scalar"]
    vectors = build(tmp_path, "vectors", compiler, "-O3", "-static")
    for name in INSTRUCTION_SETS["aarch64"]:
        assert run([qemu, vectors], CGT_SIMD=name) == expected, name


@pytest.mark.slow
def test_short_fuzzing_run(tmp_path: Path) -> None:
    """CONTRIBUTING.md has the command for a longer run."""
    clang = require_program("clang", "clang libclang-rt-14-dev")
    program = build(tmp_path, "fuzz", clang, "-O1", "-g", "-fsanitize=fuzzer,address,undefined")
    run([program, "-runs=20000", "-seed=1"], UBSAN_OPTIONS="halt_on_error=1")


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory, cc: str) -> Path:
    """Install the library by `cmake --install` and move it to another folder."""
    cmake = require_program("cmake", "cmake")
    folder = tmp_path_factory.mktemp("install")
    run([cmake, "-S", ROOT, "-B", folder / "build", f"-DCMAKE_INSTALL_PREFIX={folder / 'first'}"])
    run([cmake, "--build", folder / "build"])
    run([cmake, "--install", folder / "build"])
    return (folder / "first").rename(folder / "moved")


def check_example(program: Path, prefix: Path, folder: Path) -> None:
    image = np.random.default_rng(3).integers(0, 256, (300, 411, 3), np.uint8)
    (folder / "in.ppm").write_bytes(b"P6 411 300 255\n" + image.tobytes())
    lib = next(prefix.rglob("libcgt.so")).parent
    run([program, folder / "in.ppm", folder / "out.ppm"], LD_LIBRARY_PATH=str(lib))
    header, pixels = (folder / "out.ppm").read_bytes().split(b"255\n", 1)
    assert header == b"P6 256 256 "
    assert pixels == unpack(pack(image, (256, 256))).tobytes()


def test_example_with_pkg_config(installed: Path, tmp_path: Path, cc: str) -> None:
    pkg_config = require_program("pkg-config", "pkg-config")
    folder = next(installed.rglob("cgt.pc")).parent
    flags = run([pkg_config, "--cflags", "--libs", "cgt"], PKG_CONFIG_PATH=str(folder)).split()
    program = tmp_path / "shrink"
    run([cc, "-Wall", "-Werror", ROOT / "examples" / "shrink.c", *flags, "-o", program])
    check_example(program, installed, tmp_path)


def test_example_with_cmake(installed: Path, tmp_path: Path) -> None:
    (tmp_path / "CMakeLists.txt").write_text(
        "cmake_minimum_required(VERSION 3.18)\nproject(example C)\n"
        "find_package(cgt 0.1 REQUIRED)\n"
        f"add_executable(shrink {ROOT / 'examples' / 'shrink.c'})\n"
        "target_link_libraries(shrink PRIVATE cgt::cgt)\n",
        encoding="utf-8",
    )
    cmake = require_program("cmake", "cmake")
    run([cmake, "-S", tmp_path, "-B", tmp_path / "b", f"-DCMAKE_PREFIX_PATH={installed}"])
    run([cmake, "--build", tmp_path / "b"])
    check_example(tmp_path / "b" / "shrink", installed, tmp_path)


def test_header_compiles_as_cplusplus(tmp_path: Path) -> None:
    compiler = require_program("c++", "g++")
    source = tmp_path / "a.cpp"
    source.write_text(
        '#include "cgt.h"\nint main() { cgt_packing p = CGT_PACKING; return p.swap_rb; }\n',
        encoding="utf-8",
    )
    run([compiler, "-Wall", "-Werror", f"-I{LIBRARY}", "-fsyntax-only", source])
