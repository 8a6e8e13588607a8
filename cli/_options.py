"""Click building blocks of the verbs: grouped help, flags of dataclasses, renamed flags."""

from __future__ import annotations

import dataclasses
import glob
import importlib.util
import itertools
import tempfile
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, TypeVar

import click
from click.core import ParameterSource

from cgt.runtime.errors import CgtError, MissingDependency, SinkError, UsageError
from cgt.runtime.models.checkpoint_options import NO_OPTIONS, CheckpointOptions
from cgt.runtime.models.third_party import ModelFormat
from cgt.runtime.utils.atomic import atomic_write
from cgt.runtime.utils.options import OptionInfo, flag_of, options_of
from cgt.runtime.utils.overwrite import refuse_overwriting

T = TypeVar("T")
PATH = click.Path(path_type=Path)
STDOUT = Path("-")
OTHER = "Other"

# What people may still type, by verb; see `Verb.parse_args`.
_RENAMED = {
    "train": {"--out": "--output", "--broken": "--on-corrupt"},
    "demo": {"--out": "--output"},
    "translate": {"--stats": "--json", "--calm": "--deflicker"},
    "eval": {"--images": "--max-images"},
    "export": {"--pictures": "--eval-images"},
    "distill": {
        "--domain": "--target-images",
        "--targets": "--teacher-cache",
        "--views": "--crops-per-image",
        "--list": "--list-candidates",
        "--broken": "--on-corrupt",
    },
    "bench": {"--candidates": "a command of its own: cgt bench students"},
}
_REMOVED = {
    "bench": {"--device": "it projected from datasheets and measured nothing"},
    "export": {"--dla": "each norm and reflection padding would end its part of the network"},
}


class GroupedOption(click.Option):
    """A click option with the heading that `--help` lists it under."""

    def __init__(self, *args: Any, group: str, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.group = group


class _HelpInGroups(click.Command):
    """Lists options by group, in the order in which the groups were first used."""

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        groups: dict[str, list[tuple[str, str]]] = {}
        for param in self.get_params(ctx):
            record = param.get_help_record(ctx)
            if record is not None and isinstance(param, click.Option):
                groups.setdefault(getattr(param, "group", OTHER), []).append(record)
        groups[OTHER] = groups.pop(OTHER)  # last; --help is always there
        for name, records in groups.items():
            with formatter.section(name):
                formatter.write_dl(records)
        if isinstance(self, click.Group):
            self.format_commands(ctx, formatter)

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        verb = ctx.info_name or ""
        for arg in args:
            name = arg.partition("=")[0]
            if new := _RENAMED.get(verb, {}).get(name):
                raise click.UsageError(f"{name} is now {new}", ctx)
            if why := _REMOVED.get(verb, {}).get(name):
                raise click.UsageError(f"{name} was removed: {why}", ctx)
        return super().parse_args(ctx, args)


class Verb(_HelpInGroups):
    """A verb of `cgt`."""


class VerbGroup(_HelpInGroups, click.Group):
    """A verb of `cgt` that also has commands of its own."""


def opt(*names: str, group: str, **settings: Any) -> Callable[..., Any]:
    """Return a decorator for an option under a heading; `settings` are those of click.option."""
    return click.option(*names, cls=GroupedOption, group=group, **settings)


def opts(group: str, *rows: tuple[Any, ...]) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Return a decorator that adds options without defaults under a heading.

    Args:
        group: the heading.
        *rows: (flag, type, help) of each; type bool is a flag without a value.
    """

    def add(function: Callable[..., Any]) -> Callable[..., Any]:
        for flag, kind, text in reversed(rows):
            settings = {"is_flag": True} if kind is bool else {"type": kind}
            function = opt(flag, group=group, help=text, **settings)(function)
        return function

    return add


def list_option(
    group: str, *names: str, help: str, parse: Callable[[str], Any] = str
) -> Callable[..., Any]:
    """Return an option that takes commas and may be repeated; its value is a tuple."""
    callback = _list_callback(parse)
    return opt(*names, multiple=True, callback=callback, metavar="LIST", group=group, help=help)


def _list_callback(parse: Callable[[str], T]) -> Callable[..., tuple[T, ...]]:
    def split(_: click.Context, param: click.Parameter, texts: tuple[str, ...]) -> tuple[T, ...]:
        values: list[T] = []
        for text in ",".join(texts).split(",") if texts else ():
            try:
                values.append(parse(text.strip()))
            except ValueError as error:
                reason = str(error) if isinstance(error, CgtError) else f"{text!r} is not a count"
                raise UsageError(
                    reason if "--" in reason else f"{param.opts[0]}: {reason}"
                ) from None
        return tuple(dict.fromkeys(values))

    return split


def pop_checkpoint_options(
    params: dict[str, Any], checkpoint: Path | None, flag: str = "--ckpt"
) -> CheckpointOptions:
    """Remove the options of checkpoints from a command's parameters and return them.

    Args:
        params: parameters of the command.
        checkpoint: the checkpoint of the command; without it the options have no meaning.
        flag: flag of the checkpoint.

    Raises:
        UsageError: an option is invalid or has no meaning.
    """
    options = CheckpointOptions(**given_options(CheckpointOptions, params))
    if options.given and checkpoint is None:
        raise UsageError(f"{options.first_flag} goes with {flag}")
    return options


def pop_model_options(
    params: dict[str, Any], checkpoint: Path | None
) -> tuple[CheckpointOptions, ModelFormat]:
    """Remove the options of a checkpoint or models from a command's parameters and return them.

    Raises UsageError for an option that is invalid or of the other type of file.
    """
    model_format = ModelFormat(**given_options(ModelFormat, dict(params)))
    options = CheckpointOptions(**given_options(CheckpointOptions, params))
    given_options(ModelFormat, params)  # removes them
    if checkpoint is None:
        if flag := options.flag_of_checkpoints:
            raise UsageError(f"{flag} goes with --ckpt")
        return NO_OPTIONS, model_format
    if dataclasses.replace(model_format, model_range=None) != ModelFormat():
        raise UsageError("--model-layout, --model-color and --model-input go with --model")
    return options, ModelFormat()


def json_option(group: str = "Output") -> Callable[..., Any]:
    """Return the option `--json [FILE]`; the parameter is `json_path`, STDOUT without FILE."""
    return opt(
        "--json",
        "json_path",
        group=group,
        is_flag=False,
        flag_value=STDOUT,
        type=PATH,
        metavar="[FILE]",
        help="Write a report as JSON to FILE; without FILE, to standard output.",
    )


def save_json(text: str, path: Path) -> None:
    """Write JSON to a file, whole or not at all, or to standard output. Raises SinkError."""

    def save(path: Path) -> None:
        with atomic_write(path) as temporary:
            temporary.write_text(text + "\n", encoding="utf-8")

    save_with(save, path)


def save_with(save: Callable[[Path], None], path: Path) -> None:
    """Call `save` with a path, for STDOUT with a temporary one that is printed.

    Raises SinkError where `save` raises OSError.
    """
    try:
        if path != STDOUT:
            save(path)
            return
        with tempfile.TemporaryDirectory(prefix="cgt-") as folder:
            temporary = Path(folder, "stdout")
            save(temporary)
            click.echo(temporary.read_text(encoding="utf-8"), nl=False)
    except OSError as error:
        raise SinkError(f"cannot write {error.filename or path}: {error.strerror}") from None


def check_output_paths(
    *paths: Path | None, inputs: Iterable[str | Path | None] = (), outputs: Iterable[str] = ()
) -> None:
    """Check the paths of outputs before anything takes time or is written.

    Args:
        *paths: files to write; None and STDOUT are ignored.
        inputs: files, folders of images and wildcards that the command reads.
        outputs: what else the command writes.

    Raises:
        SinkError: the folder of an output is missing.
        UsageError: an output is also an input, or is given twice.
    """
    files = [path for path in paths if path is not None and path != STDOUT]
    for path in files:
        if not path.parent.is_dir():
            raise SinkError(f"cannot write {path}: the folder {path.parent} is missing")
    names = [path.resolve() for path in (*files, *map(Path, outputs))]
    if repeated := next((name for name in names if names.count(name) > 1), None):
        raise UsageError(f"{repeated} is given twice as an output; give another name")
    refuse_overwriting(files, itertools.chain.from_iterable(map(_expand_wildcard, inputs)))


def _expand_wildcard(text: str | Path | None) -> Iterable[Path]:
    """Return the path, and what it matches as a wildcard."""
    if text is None:
        return ()
    found = glob.glob(str(text), recursive=True)  # noqa: PTH207 (absolute patterns, too)
    return map(Path, (*found, str(text)))


def options_from(*classes: type) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Return a decorator that adds the options of dataclasses, see cgt.runtime.utils.options."""
    options = {field.name: (field, info) for cls in classes for field, info in options_of(cls)}
    decorators = [
        decorator for field, info in options.values() for decorator in _decorators(field, info)
    ]

    def add(function: Callable[..., Any]) -> Callable[..., Any]:
        for decorator in reversed(decorators):
            function = decorator(function)
        return function

    return add


def _decorators(field: Any, info: OptionInfo) -> Iterable[Callable[..., Any]]:
    for flag, (_, phrase) in info.values.items():
        yield opt(flag, group=info.group, is_flag=True, help=_phrase(phrase, None, ""))
    if info.values:
        return
    default = info.default_text
    if default is None and info.kind not in (bool, tuple):
        default = f"{field.default:g}" if info.kind is float else str(field.default)
    settings: dict[str, Any] = {"help": _phrase(info.help, default, field.default)}
    if info.kind is tuple:
        settings |= {"multiple": True, "metavar": info.metavar}
    elif info.kind is bool:
        settings |= {"default": field.default, "is_flag": True}
    elif info.parse is not None:
        settings |= {"callback": _parsed(info.parse), "metavar": info.metavar}
    elif info.kind in (int, float):
        kind = click.IntRange if info.kind is int else click.FloatRange
        settings |= {"type": kind(info.minimum, info.maximum, min_open=info.above)}  # type: ignore[arg-type]
        settings |= {"metavar": info.metavar}
    elif info.metavar:
        settings |= {"metavar": info.metavar}
    names = info.flags or (flag_of(field.name),)
    yield opt(*names, field.name, group=info.group, **settings)


def _phrase(text: str, default: str | None, value: object) -> str:
    phrase = text[0].upper() + text[1:]
    if value is True:
        default = "on"
    return f"{phrase}.  [default: {default}]" if default else f"{phrase}."


def _parsed(parse: Callable[[str], Any]) -> Callable[..., Any]:
    def callback(_ctx: click.Context, _param: click.Parameter, text: str | None) -> Any:
        return None if text is None else parse(text)

    return callback


def given_options(cls: type, params: dict[str, Any]) -> dict[str, Any]:
    """Remove the fields of a dataclass from a command's parameters; return those that were given.

    Raises UsageError for flags that stand for different values of one field.
    """
    given: dict[str, Any] = {}
    for field, info in options_of(cls):
        chosen = [
            value for flag, (value, _) in info.values.items() if params.pop(_name_of(flag), False)
        ]
        if len(chosen) > 1:
            raise UsageError(f"{' and '.join(info.values)} exclude each other")
        value = params.pop(field.name, None) if not info.values else next(iter(chosen), None)
        if value not in (None, ()):
            given[field.name] = value
    return given


def _name_of(flag: str) -> str:
    return flag.lstrip("-").replace("-", "_")


def explicit_options(ctx: click.Context) -> dict[str, Any]:
    """Return the parameters that stand on the command line, by name."""
    return {
        name: value
        for name, value in ctx.params.items()
        if ctx.get_parameter_source(name) is ParameterSource.COMMANDLINE
    }


def require_extra(extra: str, *packages: str) -> None:
    """Raise MissingDependency, which names the extra, unless all packages are installed."""
    missing = [name for name in packages if importlib.util.find_spec(name) is None]
    if missing:
        raise MissingDependency(
            f"{', '.join(missing)} is not installed; install the extra: "
            f"pip install 'cyclegan-toolkit[{extra}]'"
        )
