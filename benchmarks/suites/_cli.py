"""Shared command-line options and error handling of `python -m benchmarks.suites.NAME`."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from cgt.runtime.errors import CgtError, Interrupted

results_option: Callable[..., Any] = click.option(
    "--results",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="File (RESULTS.md) whose section of this suite to replace.",
)


def run_command(command: click.Command) -> None:
    """Run a suite's command; print an expected failure as one line and exit with its code."""
    try:
        command.main(standalone_mode=False)
    except click.ClickException as error:
        print(f"cgt: {' '.join(error.format_message().split())}", file=sys.stderr)
        sys.exit(error.exit_code)
    except CgtError as error:
        print(f"cgt: {error}", file=sys.stderr)
        sys.exit(error.exit_code)
    except (click.Abort, KeyboardInterrupt):
        print("cgt: stopped", file=sys.stderr)
        sys.exit(Interrupted.exit_code)
