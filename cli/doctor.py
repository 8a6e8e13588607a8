"""cgt doctor"""

from __future__ import annotations

import dataclasses
import json as json_format

import click


@click.command("doctor")
@click.option("--json", is_flag=True, help="For programs.")
def command(json: bool) -> None:
    """Say what this machine can do, and what to install for what it cannot yet."""
    from cgt.runtime.doctor import run_checks

    checks = run_checks()
    if json:
        click.echo(json_format.dumps([dataclasses.asdict(f) for f in checks], indent=1))
        return
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    table = Table.grid(padding=(0, 2))
    for check in checks:
        mark = "[green]yes[/]" if check.available else "[yellow]no[/]"
        install = f"to have it: {check.install}" if check.install else ""
        text = "; ".join(part for part in (check.details, install) if part)
        table.add_row(mark, check.name, escape(text))
    Console(highlight=False).print(table)
