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
    from rich.table import Table
    from rich.text import Text

    from cgt.runtime.utils.progress import open_console

    table = Table.grid(padding=(0, 2))
    for check in checks:
        mark = Text("yes", "green") if check.available else Text("no", "yellow")
        install = f"to get it: {check.install}" if check.install else ""
        text = "; ".join(part for part in (check.details, install) if part)
        table.add_row(mark, check.name, text)
    open_console().print(table)
