"""Dependency order of the packages, read from their imports.

runtime <- trainer <- export <- benchmarks <- distill <- cli, and serve <- runtime.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
MAY_IMPORT = {
    "runtime": set(),
    "trainer": {"runtime"},
    "export": {"runtime", "trainer"},
    "benchmarks": {"runtime", "trainer", "export"},
    "distill": {"runtime", "trainer", "export", "benchmarks"},
    "serve": {"runtime"},
    "cli": {"runtime", "trainer", "export", "benchmarks", "distill", "serve"},
}
MAX_MODULES = 15  # per folder, so that it can be read at a glance


def product_files(package: str) -> Iterator[Path]:
    """Yield the modules of a package that are in the wheel."""
    for path in sorted((ROOT / package).rglob("*.py")):
        if "suites" not in path.parts:
            yield path


def imported_packages(path: Path) -> Iterator[tuple[str, int]]:
    """Yield the cgt packages that a module imports, also inside functions, with their lines."""
    for node in ast.walk(ast.parse(path.read_text())):
        names: list[str] = []
        if isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            names = [node.module]
            if node.module == "cgt":
                names = [f"cgt.{alias.name}" for alias in node.names]
        elif isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        for name in names:
            if name.startswith("cgt."):
                yield name.split(".")[1], node.lineno


@pytest.mark.parametrize("package", MAY_IMPORT)
def test_a_package_imports_only_what_is_below_it(package: str) -> None:
    allowed = MAY_IMPORT[package] | {package}
    wrong = [
        f"{path.relative_to(ROOT)}:{line} imports cgt.{found}"
        for path in product_files(package)
        for found, line in imported_packages(path)
        if found not in allowed
    ]
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize("package", MAY_IMPORT)
def test_only_one_module_opens_a_console(package: str) -> None:
    """Rich reads markup in paths unless the console is that of `open_console`."""
    pattern = re.compile(r"\bConsole\(|rich\.markup|(?<!_)TextColumn\((?!.*markup=False)")
    wrong = [
        f"{path.relative_to(ROOT)}: {line.strip()}"
        for path in product_files(package)
        for line in path.read_text().splitlines()
        if pattern.search(line) and "completed" not in line and path.stem != "progress"
    ]
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize("package", MAY_IMPORT)
def test_no_folder_is_crowded(package: str) -> None:
    folders = {path.parent for path in product_files(package)}
    for folder in folders:
        modules = [path.name for path in folder.glob("*.py") if not path.name.startswith("__")]
        assert len(modules) <= MAX_MODULES, f"{folder.relative_to(ROOT)}: {modules}"
