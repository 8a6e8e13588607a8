"""Reference to a network in Python code of another project, as `--code` and its flags give it.

This module only parses the text. `cgt.trainer.model_code` executes the code.
"""

from __future__ import annotations

import ast
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..errors import UsageError
from .third_party import BOUNDS, parse_ranges

Range = tuple[float, float]
IMAGE_RANGE: Range = (-1.0, 1.0)
"""Values of black and white in the tensors of cgt."""

_MODULE_RE = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*")


@dataclass(frozen=True)
class ModelCode:
    """A class or function that builds a network, and how to call it.

    Attributes:
        file: Python file; None if `module` is given.
        module: dotted name of a module in `search_path`; empty if `file` is given.
        name: dotted name of the class or function in it, such as "Generator".
        arguments: arguments of the call as text, "3, 3, num_residuals=9".
        search_path: folder that their imports start from, besides the folder of the file.
        input_range: values of black and white that the network expects.
        output_range: values of black and white that it returns; None if the user gave none.
    """

    file: Path | None
    module: str
    name: str
    arguments: str = ""
    search_path: Path | None = None
    input_range: Range = IMAGE_RANGE
    output_range: Range | None = None

    @classmethod
    def parse(
        cls,
        code: str | None,
        arguments: str | None = None,
        search_path: str | Path | None = None,
        ranges: str | None = None,
    ) -> ModelCode | None:
        """Parse the values of `--code`, `--code-args`, `--code-path` and `--model-range`.

        Args:
            code: "FILE.py:NAME", or "package.module:NAME" with a search path.
            arguments: Python literals, separated by commas, with or without names.
            search_path: a folder.
            ranges: "RANGE" or "INPUT:OUTPUT", of `third_party.VALUE_RANGES`.

        Returns:
            None if `code` is None.

        Raises:
            UsageError: a text is invalid, a file is missing, or a flag is given without `--code`.
        """
        if code is None:
            others = {"--code-args": arguments, "--code-path": search_path}
            if given := [flag for flag, value in others.items() if value is not None]:
                raise UsageError(f"{given[0]} goes with --code FILE.py:CLASS")
            return None
        source, _, name = code.rpartition(":")
        if not source or not _MODULE_RE.fullmatch(name):
            raise UsageError(f"--code {code} names no class; write FILE.py:CLASS")
        folder = Path(search_path) if search_path is not None else None
        if folder is not None and not folder.is_dir():
            raise UsageError(f"--code-path {folder} is not a folder")
        file: Path | None = Path(source)
        if source.endswith(".py") or Path(source).exists():
            if not Path(source).is_file():
                raise UsageError(f"--code {source} is not a Python file")
        elif folder is None or not _MODULE_RE.fullmatch(source):
            raise UsageError(
                f"--code {source} is missing; give a Python file, or a module in --code-path"
            )
        else:
            file = None
        input_range, output_range = _parse_bounds(ranges)
        parsed = cls(
            file,
            source if file is None else "",
            name,
            arguments or "",
            folder,
            input_range or IMAGE_RANGE,
            output_range,
        )
        parsed.call_arguments()
        return parsed

    @property
    def label(self) -> str:
        """Text for messages and metadata: "models.py:Generator(3, 3)"."""
        source = self.module if self.file is None else self.file.name
        return f"{source}:{self.name}" + (f"({self.arguments})" if self.arguments else "")

    def call_arguments(self) -> tuple[list[Any], dict[str, Any]]:
        """Return the positional and the named arguments; see `parse` for the error."""
        try:
            call = ast.parse(f"f({self.arguments}\n)", mode="eval").body
        except SyntaxError:
            call = None
        if not isinstance(call, ast.Call) or any(k.arg is None for k in call.keywords):
            raise UsageError(
                f"--code-args {self.arguments!r} are not arguments; write such as '3, 3, blocks=9'"
            )
        positional = [_literal(node) for node in call.args]
        named: dict[str, Any] = {}
        for keyword in call.keywords:
            assert keyword.arg is not None
            named[keyword.arg] = _literal(keyword.value)
        return positional, named


def _literal(node: ast.expr) -> Any:
    try:
        return ast.literal_eval(node)
    except (ValueError, TypeError, MemoryError, RecursionError):
        raise UsageError(
            f"--code-args {ast.unparse(node)} is not a literal (number, text, list, ...); write a "
            "function that passes it, and name that in --code"
        ) from None


def _parse_bounds(text: str | None) -> tuple[Range | None, Range | None]:
    """Return black and white of input and output; None if the user gave none."""
    if text is None:
        return None, None
    first, second = parse_ranges(text)
    if "imagenet" in (first, second):
        raise UsageError(
            f"--model-range {text}: --code takes no imagenet values; write a function that returns "
            "a module which normalizes its input, and name that in --code"
        )
    return BOUNDS[first], BOUNDS[second]
