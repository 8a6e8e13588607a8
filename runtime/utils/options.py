"""Dataclass fields that describe an option once: its flag, keyword, help, default and range.

A dataclass whose fields are made by `option` defines the keywords of a Python function and, through
`cgt.cli`, the flags of a verb. Both check values with `check_options`.
"""

from __future__ import annotations

import dataclasses
import inspect
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from ..errors import UsageError


@dataclass(frozen=True)
class OptionInfo:
    """What a field says about its flag.

    Args:
        help: one phrase with unit; the default is added from the field.
        group: heading of the flag in `--help`.
        kind: type of the value: str, int, float or bool; tuple for texts that may be repeated.
        flags: spellings; empty for `--field-name`. Of a bool "--on/--off".
        values: flags without a value and what each of them stands for.
        minimum, maximum: limits of a number, both included unless `above` is set.
        above: whether the number must be larger than `minimum`.
        parse: makes the value from the text of the flag; raises UsageError.
        metavar: what stands for the value in the help.
        default_text: what the help says of the default where the field does not tell.
    """

    help: str
    group: str
    kind: type = str
    flags: tuple[str, ...] = ()
    values: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    minimum: float | None = None
    maximum: float | None = None
    above: bool = False
    parse: Callable[[str], Any] | None = None
    metavar: str | None = None
    default_text: str | None = None


_KEY = "option"


def option(default: Any, help: str, group: str, **info: Any) -> Any:
    """Return a dataclass field with an OptionInfo; `info` holds its other arguments."""
    return dataclasses.field(default=default, metadata={_KEY: OptionInfo(help, group, **info)})


def options_of(cls: type) -> Iterator[tuple[dataclasses.Field[Any], OptionInfo]]:
    """Yield the fields of a dataclass that are options; those of base classes come last."""
    own = inspect.get_annotations(cls)
    for field in sorted(dataclasses.fields(cls), key=lambda field: field.name not in own):
        if _KEY in field.metadata:
            yield field, field.metadata[_KEY]


def flag_of(name: str) -> str:
    """Return the flag of a field: "max_fps" is "--max-fps"."""
    return f"--{name.replace('_', '-')}"


def check_options(options: Any) -> None:
    """Raise UsageError for a number of a dataclass instance that is out of its range."""
    for field, info in options_of(type(options)):
        value = getattr(options, field.name)
        if value is None or isinstance(value, bool) or info.kind not in (int, float):
            continue
        if info.kind is int and not isinstance(value, int):
            raise UsageError(f"{flag_of(field.name)} must be a whole number, not {value!r}")
        too_small = info.minimum is not None and (
            value <= info.minimum if info.above else value < info.minimum
        )
        if too_small or (info.maximum is not None and value > info.maximum):
            raise UsageError(f"{flag_of(field.name)} {value:g} is out of range; {_range(info)}")


def _range(info: OptionInfo) -> str:
    low = "above" if info.above else "from"
    if info.maximum is None:
        return f"give a number {low} {info.minimum:g}" + ("" if info.above else " on")
    return f"give a number {low} {info.minimum:g} to {info.maximum:g}"


def signature_with(function: Callable[..., Any], cls: type) -> inspect.Signature:
    """Return the signature of a function with its `**options` replaced by the fields of `cls`."""
    signature = inspect.signature(function)
    named = [p for p in signature.parameters.values() if p.kind is not p.VAR_KEYWORD]
    keywords = [
        inspect.Parameter(
            field.name, inspect.Parameter.KEYWORD_ONLY, default=field.default, annotation=field.type
        )
        for field, _ in options_of(cls)
    ]
    return signature.replace(parameters=[*named, *keywords])
