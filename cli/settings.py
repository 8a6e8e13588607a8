"""Flags of a run: what is not given is as the run's own configuration has it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import click
from click.core import ParameterSource


def setting(name: str, kind: Any, help: str = "") -> Any:
    """A flag with a value and without a default; its help tells the configuration's."""
    return click.option(name, type=kind, help=help or None)


def with_settings(command: click.Command, settings: Sequence[Any]) -> click.Command:
    """The command, with these flags before its others."""
    for option in reversed(settings):
        command = option(command)
    return command


def given_in(ctx: click.Context) -> dict[str, Any]:
    """The flags that stand on the command line, by name."""
    return {
        name: value
        for name, value in ctx.params.items()
        if ctx.get_parameter_source(name) is ParameterSource.COMMANDLINE
    }
