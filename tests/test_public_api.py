"""Names that others script against: they do not change unnoticed."""

from __future__ import annotations

import importlib
import inspect
from pathlib import Path

import click
import pytest

import cgt.runtime
from cgt.cli.main import cgt as commands


def test_flags() -> None:
    """cli_flags.txt has one "verb flag" a line."""
    recorded = (Path(__file__).parent / "cli_flags.txt").read_text().splitlines()
    found = []
    for verb in commands.list_commands(click.Context(commands)):
        command = importlib.import_module(f"cgt.cli.{verb}").command
        flags = [opt for param in command.params for opt in param.opts if opt.startswith("-")]
        found += [f"{verb} {flag}" for flag in flags] or [verb]
    assert sorted(found) == sorted(recorded)


def test_the_public_surface() -> None:
    assert cgt.runtime.__all__ == [
        *("Stats", "TranslateOptions", "Translator"),
        *("pack", "resize", "run_pipeline", "translate", "unpack"),
    ]
    for name in cgt.runtime.__all__:
        assert inspect.getdoc(getattr(cgt.runtime, name))
    with pytest.raises(AttributeError):
        cgt.runtime.nonsense  # noqa: B018
