"""Optional packages, asked for before anything else is done."""

from __future__ import annotations

import importlib.util

from cgt.runtime.errors import MissingDependency


def require_extra(extra: str, *packages: str) -> None:
    """Raises MissingDependency naming the extra unless all packages are installed."""
    missing = [name for name in packages if importlib.util.find_spec(name) is None]
    if missing:
        raise MissingDependency(
            f"{', '.join(missing)} is not installed; install the extra: "
            f"pip install 'cyclegan-toolkit[{extra}]'"
        )
