"""The verb `cgt doctor`."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import click

from ._options import Verb, json_option, save_json


@click.command("doctor", cls=Verb)
@json_option("Options")
def command(json_path: Path | None) -> None:
    """Print what works on this machine, and what to install for the rest."""
    from cgt.runtime.doctor import run_checks

    checks = run_checks()
    if json_path is not None:
        save_json(json.dumps([dataclasses.asdict(check) for check in checks], indent=1), json_path)
        return
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    table = Table.grid(padding=(0, 2))
    for check in checks:
        mark = "[green]yes[/]" if check.available else "[yellow]no[/]"
        install = f"to get it: {check.install}" if check.install else ""
        text = "; ".join(part for part in (check.details, install) if part)
        table.add_row(mark, check.name, escape(text))
    Console(highlight=False).print(table)
