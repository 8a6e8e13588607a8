"""Flags of a run: what is not given is as the run's own configuration has it.

Optional packages, asked for before anything else is done.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Sequence
from typing import Any

import click
from click.core import ParameterSource

from cgt.runtime.errors import MissingDependency


def require_extra(extra: str, *packages: str) -> None:
    """Raises MissingDependency naming the extra unless all packages are installed."""
    missing = [name for name in packages if importlib.util.find_spec(name) is None]
    if missing:
        raise MissingDependency(
            f"{', '.join(missing)} is not installed; install the extra: "
            f"pip install 'cyclegan-toolkit[{extra}]'"
        )


def config_option(name: str, value_type: Any, help: str = "") -> Any:
    """A flag with a value and without a default; its help tells the configuration's."""
    return click.option(name, type=value_type, help=help or None)


def add_options(command: click.Command, options: Sequence[Any]) -> click.Command:
    """The command, with these flags before its others."""
    for option in reversed(options):
        command = option(command)
    return command


def explicit_options(ctx: click.Context) -> dict[str, Any]:
    """The flags that stand on the command line, by name."""
    return {
        name: value
        for name, value in ctx.params.items()
        if ctx.get_parameter_source(name) is ParameterSource.COMMANDLINE
    }
