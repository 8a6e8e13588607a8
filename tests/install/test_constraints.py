"""The pinned versions install on Python 3.10 (Ubuntu 22.04, JetPack 6), by pip's dry run.

pip evaluates markers for the Python that runs it, so the markers of the pins and of the extras are
evaluated here.
"""

from __future__ import annotations

import re
import subprocess
import sys
from functools import lru_cache
from pathlib import Path

import pytest
from packaging.requirements import Requirement

ROOT = Path(__file__).parents[2]
# The oldest system that each has to install on: Ubuntu 22.04 and JetPack 6 have glibc 2.35.
PLATFORMS = ["any", *(f"manylinux_2_{minor}_{{0}}" for minor in range(17, 36)), "manylinux2014_{0}"]
# Not those for which pip has to build something: tensorrt, tensorrt-rtx, inception, demo.
EXTRAS = ("", "ort", "bench", "train", "plot", "heif", "distributed", "projected", "serve")
EXTRAS += ("triton", "ray", "dev")
X86_ONLY = ("gpu", "litert")
JETPACK_LINE = re.compile(r"pip install ('click.*openvino)$", re.MULTILINE)


def environment(machine: str) -> dict[str, str]:
    return {"python_version": "3.10", "python_full_version": "3.10.13", "platform_machine": machine}


def applicable(lines: list[str], machine: str) -> list[str]:
    """Return the requirements that Python 3.10 installs, without their markers."""
    found = []
    for line in lines:
        requirement = Requirement(line)
        if requirement.marker is None or requirement.marker.evaluate(environment(machine)):
            requirement.marker = None
            found.append(str(requirement))
    return found


def read_constraints() -> list[str]:
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    return [line for line in lines if line and not line.startswith("#")]


def read_requirements(extra: str) -> list[str]:
    """Return the dependencies of the package, or of one of its extras."""
    text = (ROOT / "pyproject.toml").read_text()  # tomllib is not in Python 3.10
    key = re.escape(extra) if extra else "dependencies"
    listed = re.search(rf"^{key} = \[(.*?)\]$", text, re.MULTILINE | re.DOTALL)
    assert listed is not None, extra
    return [a or b for a, b in re.findall(r'"([^"]+)"|\'([^\']+)\'', listed[1])]


@lru_cache(maxsize=1)
def skip_reason() -> str:
    """Return why pip cannot look packages up here, or ""."""
    try:
        done = subprocess.run(
            [
                sys.executable,
                "-m",
                "pip",
                "download",
                "--quiet",
                "--no-deps",
                "--retries",
                "0",
                "--timeout",
                "15",
                "--dest",
                "/dev/null/none",
                "click==8.1.8",
            ],
            capture_output=True,
            text=True,
            timeout=60,
        )
    except subprocess.TimeoutExpired:
        return "pip reaches no package index"
    if "No module named pip" in done.stderr:
        return "pip is not installed"
    unreachable = "No matching distribution" in done.stderr or "connection" in done.stderr
    return "pip reaches no package index" if unreachable else ""


def dry_run(tmp_path: Path, machine: str, requirements: list[str], pins: list[str]) -> None:
    if reason := skip_reason():
        pytest.skip(reason)
    constraints = tmp_path / "constraints.txt"
    constraints.write_text("\n".join(pins))
    platforms = [f"--platform={name.format(machine)}" for name in PLATFORMS]
    command = [sys.executable, "-m", "pip", "install", "--dry-run", "--ignore-installed", "--quiet"]
    command += ["--disable-pip-version-check", "--python-version=3.10", "--only-binary=:all:"]
    command += [*platforms, "--target", str(tmp_path / "x"), "-c", str(constraints), *requirements]
    done = subprocess.run(command, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr


def test_pins_have_wheels_for_python_310_where_newer_versions_have_none() -> None:
    """A package that needs Python 3.11 has a second pin; each pin applies to one Python only."""
    names = [Requirement(line).name for line in applicable(read_constraints(), "x86_64")]
    assert len(set(names)) == len(names)
    for name in ("numpy", "av", "pillow", "onnxruntime", "matplotlib", "aiortc"):
        assert name in names


@pytest.mark.slow
@pytest.mark.parametrize(
    ("machine", "extra"),
    [
        *((machine, extra) for machine in ("x86_64", "aarch64") for extra in EXTRAS),
        *(("x86_64", extra) for extra in X86_ONLY),
    ],
)
def test_python_310_installs_the_pins(tmp_path: Path, machine: str, extra: str) -> None:
    requirements = applicable(read_requirements(extra), machine)
    dry_run(tmp_path, machine, requirements, applicable(read_constraints(), machine))


@pytest.mark.slow
def test_the_line_for_jetpack_installs(tmp_path: Path) -> None:
    """Its NumPy is older than 2, as JetPack's OpenCV needs."""
    line = JETPACK_LINE.search((ROOT / "README.md").read_text())
    assert line is not None
    requirements = [text.strip("'") for text in line[1].split()]
    assert "numpy>=1.26,<2" in requirements
    names = {Requirement(text).name for text in requirements}
    base = {Requirement(text).name for text in read_requirements("")}
    assert names == base - {"opencv-python"}  # JetPack has its own
    dry_run(tmp_path, "aarch64", requirements, [])
