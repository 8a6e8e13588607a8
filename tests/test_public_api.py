"""Names that others script against: flags, keywords and exported functions."""

from __future__ import annotations

import dataclasses
import importlib
import inspect
import re
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

import cgt.runtime
from cgt.cli._options import _REMOVED, _RENAMED
from cgt.cli.main import cgt as commands
from cgt.runtime.api import TranslateOptions
from cgt.runtime.errors import UsageError
from cgt.runtime.models.checkpoint_options import CheckpointOptions
from cgt.runtime.utils.options import options_of

VERBS = commands.list_commands(click.Context(commands))


def command_of(verb: str) -> click.Command:
    command: click.Command = importlib.import_module(f"cgt.cli.{verb}").command
    return command


def flags_of(name: str, command: click.Command) -> Iterator[str]:
    """Yield "verb flag" for each flag of a command and of its own commands."""
    found = [f for p in command.params for f in (*p.opts, *p.secondary_opts) if f.startswith("-")]
    yield from [f"{name} {flag}" for flag in found] or [name]
    for sub, inner in getattr(command, "commands", {}).items():
        yield from flags_of(f"{name} {sub}", inner)


def test_flags_are_recorded() -> None:
    """Compare with cli_flags.txt, which has one "verb flag" a line."""
    recorded = (Path(__file__).parent / "cli_flags.txt").read_text().splitlines()
    found = [line for verb in VERBS for line in flags_of(verb, command_of(verb))]
    assert sorted(found) == sorted(recorded)


@pytest.mark.parametrize("verb", VERBS)
def test_every_option_has_a_heading_and_a_full_phrase(verb: str) -> None:
    for param in command_of(verb).params:
        if isinstance(param, click.Option):
            assert getattr(param, "group", ""), param.opts
            assert param.help, param.opts
            assert len(param.help.split("  [")[0].split()) >= 2, param.opts


@pytest.mark.parametrize(
    ("verb", "old", "new"),
    [(verb, old, new) for verb, names in _RENAMED.items() for old, new in names.items()],
)
def test_an_old_flag_names_the_new_one(verb: str, old: str, new: str) -> None:
    done = CliRunner().invoke(commands, [verb, old, "x"], standalone_mode=False)
    assert isinstance(done.exception, click.UsageError)
    assert done.exception.format_message() == f"{old} is now {new}"
    if new.startswith("--"):
        assert f"{verb} {new}" in list(flags_of(verb, command_of(verb)))
    assert f"{verb} {old}" not in list(flags_of(verb, command_of(verb)))


def test_a_removed_flag_says_why() -> None:
    for verb, names in _REMOVED.items():
        for old in names:
            done = CliRunner().invoke(commands, [verb, old, "x"], standalone_mode=False)
            assert isinstance(done.exception, click.UsageError)
            assert "was removed" in done.exception.format_message()


def test_train_flags_are_the_settings_of_a_run() -> None:
    pytest.importorskip("torch")
    from cgt.trainer.config import TrainConfig

    fields = {field.name: field for field in dataclasses.fields(TrainConfig)}
    options = {p.name: p for p in command_of("train").params if isinstance(p, click.Option)}
    of_init_from = {field.name for field, _ in options_of(CheckpointOptions)}
    not_settings = {"output", "resume", "init_from"} | of_init_from
    assert set(options) - not_settings == set(fields) - {"generator_json"}
    for name, option in options.items():
        stated = re.search(r"\[default: ([^;\]]+)", option.help or "")
        if stated and name in fields:
            default = fields[name].default
            value = {"on": True, "off": False}.get(stated[1], stated[1])
            assert value == default or float(str(value)) == default, name


def test_keywords_and_flags_have_one_definition() -> None:
    flags = set(flags_of("translate", command_of("translate")))
    keywords = inspect.signature(cgt.runtime.translate).parameters
    for field in dataclasses.fields(TranslateOptions):
        assert field.name in keywords
        assert field.name in inspect.signature(cgt.runtime.translate_file).parameters
        flag = f"translate --{field.name.replace('_', '-')}"
        assert flag in flags or field.name == "view"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"deflicker": 2.0}, "--deflicker 2 is out of range; give a number from 0 to 1"),
        ({"batch": 0}, "--batch 0 is out of range; give a number from 1 to 64"),
        ({"max_fps": 0.0}, "--max-fps 0 is out of range; give a number above 0"),
        ({"frames": 1.5}, "--frames must be a whole number, not 1.5"),
        ({"overlap": 8}, "--overlap is the overlap of tiles; give --tile too"),
        ({"size": "3x"}, "--size 3x is not a size"),
    ],
)
def test_wrong_keywords_are_refused(options: dict, message: str) -> None:
    with pytest.raises(UsageError) as error:
        TranslateOptions(**options)
    assert str(error.value).startswith(message)


def test_sizes_are_read_from_text() -> None:
    assert TranslateOptions(size="512x256").size == (256, 512)
    assert TranslateOptions(size=256, output_size="source").size == (256, 256)


def test_the_public_surface() -> None:
    assert sorted(cgt.runtime.__all__) == [
        *("Stats", "TranslateOptions", "Translator", "Upsampler", "YUV", "pack", "resize"),
        *("run_pipeline", "to_yuv", "translate", "translate_file", "unpack", "upsample_guided"),
    ]
    for name in cgt.runtime.__all__:
        assert inspect.getdoc(getattr(cgt.runtime, name))
    with pytest.raises(AttributeError):
        cgt.runtime.nonsense  # noqa: B018
