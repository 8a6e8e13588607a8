"""RESULTS.md: a section per benchmark, each rewritten by its own command, never by hand."""

from __future__ import annotations

import re
import sys
from collections.abc import Sequence
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from cgt.benchmarks.harness.environment import machine_summary
from cgt.runtime.errors import SinkError
from cgt.runtime.utils.atomic import atomic_write

_FILE_HEADER = """# Results

Written by the commands that stand in each section, on the machine that it names; not by hand.
`docs/benchmarks.md` says how each figure is taken.
"""
_LISTED_PACKAGES = ("cyclegan-toolkit", "openvino", "onnxruntime", "torch")


def write_section(
    path: Path,
    name: str,
    lines: Sequence[str],
    machine: dict[str, Any],
    before: dict[str, Any],
    after: dict[str, Any],
    title: str | None = None,
) -> None:
    """Replace the section called `name`, or append it. Raises SinkError."""
    begin, end = f"<!-- {name}: begin -->", f"<!-- {name}: end -->"
    section = "\n".join(
        [
            begin,
            f"## {title or name.capitalize()}",
            "",
            *lines,
            "",
            *_conditions_lines(machine, before, after),
            end,
        ]
    )
    try:
        old = path.read_text(encoding="utf-8") if path.exists() else _FILE_HEADER
        pattern = re.compile(re.escape(begin) + ".*?" + re.escape(end), re.DOTALL)
        found = pattern.search(old)
        if found:
            new = old[: found.start()] + section + old[found.end() :]
        else:
            new = f"{old.rstrip()}\n\n{section}\n"
        with atomic_write(path) as temporary:
            temporary.write_text(new, encoding="utf-8")
    except OSError as error:
        raise SinkError(f"cannot write {path}: {error.strerror}") from None


def _conditions_lines(
    machine: dict[str, Any], before: dict[str, Any], after: dict[str, Any]
) -> list[str]:
    """The machine, the date, the load, the versions and the command."""
    versions = machine.get("versions", {})
    version_list = ", ".join(
        f"{name} {versions[name]}" for name in _LISTED_PACKAGES if name in versions
    )
    command = " ".join(
        [f"python -m cgt.benchmarks.{Path(sys.argv[0]).stem}", *map(_strip_folder, sys.argv[1:])]
    )
    loads = f"{before['load_average'][0]:.1f} before, {after['load_average'][0]:.1f} after"
    when = datetime.now(timezone.utc).strftime("%Y-%m-%d %H:%M UTC")
    return [
        f"<sub>{machine_summary(machine)}; {when}; load {loads}; {version_list}; "
        f"commit {machine.get('commit', 'unknown')}; `{command}`</sub>"
    ]


def _strip_folder(argument: str) -> str:
    """Files by their names: where they lie on this machine is nobody's business."""
    return Path(argument).name if Path(argument).is_absolute() else argument
