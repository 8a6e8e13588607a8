"""cgt doctor"""

from __future__ import annotations

import dataclasses
import json as json_format

import click


@click.command("doctor")
@click.option("--json", is_flag=True, help="For programs.")
def command(json: bool) -> None:
    """Say what this machine can do, and what to install for what it cannot yet."""
    from .examination import examine

    findings = examine()
    if json:
        click.echo(json_format.dumps([dataclasses.asdict(f) for f in findings], indent=1))
        return
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    table = Table.grid(padding=(0, 2))
    for finding in findings:
        mark = "[green]yes[/]" if finding.works else "[yellow]no[/]"
        install = f"to have it: {finding.install}" if finding.install else ""
        text = "; ".join(part for part in (finding.found, install) if part)
        table.add_row(mark, finding.what, escape(text))
    Console(highlight=False).print(table)
