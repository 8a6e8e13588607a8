"""Execution of another project's code: imports the module and builds the network.

Only `--code` leads here. A checkpoint never does.
"""

from __future__ import annotations

import contextlib
import importlib
import importlib.util
import inspect
import sys
import traceback
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NoReturn

import torch
from torch import nn

from cgt.runtime.errors import CgtError, CheckpointError, MissingDependency, UsageError
from cgt.runtime.models.model_code import ModelCode
from cgt.runtime.utils.log import warn_user


def build_network(code: ModelCode) -> nn.Module:
    """Execute the code and return its network, in eval mode on the CPU.

    Weights that the code initializes at random are the same in every call.

    Args:
        code: What to import and to call.

    Returns:
        The network, whose parameters need no gradient.

    Raises:
        UsageError: The name or the arguments do not fit the code.
        MissingDependency: The code imports a package that is not installed.
        CheckpointError: The code fails.
    """
    roots = _import_roots(code)
    warn_user(f"--code executes {code.file or code.module}, as you asked")
    with (
        _import_paths(roots),
        contextlib.redirect_stdout(sys.stderr),
        warnings.catch_warnings(),
    ):
        warnings.simplefilter("ignore")
        module = _import_module(code, roots)
        target = _find_name(module, code)
        network = target if isinstance(target, nn.Module) else _call(target, code, roots)
    if not isinstance(network, nn.Module):
        raise UsageError(
            f"--code {code.label} is a {type(network).__name__}, not an nn.Module; name a class or "
            "a function that returns one"
        )
    if isinstance(target, nn.Module) and code.arguments:
        raise UsageError(f"--code {code.label} is a network already; leave out --code-args")
    return network.cpu().eval().requires_grad_(False)


@contextlib.contextmanager
def their_errors(code: ModelCode, action: str) -> Iterator[None]:
    """Turn any exception of their code into one line with its file and line.

    Args:
        code: The code that runs.
        action: What it does, for the message: "running on a 256x256 image".
    """
    try:
        yield
    except CgtError:
        raise
    except Exception as error:
        _raise_one_line(error, code, _import_roots(code), action)


def describe_error(error: BaseException, roots: list[Path]) -> str:
    """Return "FILE:LINE: TYPE: message" of the innermost frame that lies in a folder."""
    text = " ".join(str(error).split())[:200]
    message = f"{type(error).__name__}: {text}" if text else type(error).__name__
    if isinstance(error, SyntaxError) and error.filename:
        return f"{error.filename}:{error.lineno}: SyntaxError: {error.msg}"
    frames = [
        frame
        for frame in traceback.extract_tb(error.__traceback__)
        if any(Path(frame.filename).is_relative_to(root) for root in roots)
    ]
    return f"{frames[-1].filename}:{frames[-1].lineno}: {message}" if frames else message


def _import_roots(code: ModelCode) -> list[Path]:
    """Return the folders that imports start from: --code-path, and the folder of the package."""
    roots = [code.search_path.resolve()] if code.search_path else []
    if code.file is not None and not any(code.file.resolve().is_relative_to(r) for r in roots):
        folder = code.file.resolve().parent
        while (folder / "__init__.py").is_file():
            folder = folder.parent
        roots.append(folder)
    if code.file is not None and code.file.resolve().parent not in roots:
        roots.append(code.file.resolve().parent)
    return roots


def _module_name(code: ModelCode, roots: list[Path]) -> str:
    """Return the dotted name of the module, relative to the outermost folder."""
    if code.file is None:
        return code.module
    relative = code.file.resolve().relative_to(roots[0]).with_suffix("")
    parts = relative.parts if relative.name != "__init__" else relative.parts[:-1]
    if all(part.isidentifier() for part in parts):
        return ".".join(parts)
    return relative.name


@contextlib.contextmanager
def _import_paths(roots: list[Path]) -> Iterator[None]:
    """Put folders in front of sys.path for a while, and forget the modules imported from there.

    Modules of the environment that have the name of one of theirs, such as `utils`, are set aside.
    """
    path, argv, before = list(sys.path), list(sys.argv), dict(sys.modules)
    names = {
        entry.stem for root in roots for entry in root.iterdir() if entry.suffix in ("", ".py")
    }
    for name in before:
        top = name.partition(".")[0]
        if top in names and top not in {*sys.stdlib_module_names, "cgt", "torch", "numpy", "onnx"}:
            del sys.modules[name]
    sys.path[:0] = [str(root) for root in roots]
    sys.argv[1:] = []  # for code that parses arguments when it is imported
    importlib.invalidate_caches()
    try:
        yield
    finally:
        sys.path[:], sys.argv[:] = path, argv
        # All are found before one is forgotten: a package without a file looks up its parent.
        theirs = [
            name
            for name, module in list(sys.modules.items())
            if module is not before.get(name) and any(map(_location(module).is_relative_to, roots))
        ]
        for name in theirs:
            del sys.modules[name]
        for name, module in before.items():
            sys.modules.setdefault(name, module)


def _location(module: Any) -> Path:
    """Return the file of a module, or the folder of a package without a file."""
    folders = list(getattr(module, "__path__", None) or ())
    return Path(getattr(module, "__file__", None) or (folders[0] if folders else ""))


def _import_module(code: ModelCode, roots: list[Path]) -> Any:
    name = _module_name(code, roots)
    writes_bytecode, sys.dont_write_bytecode = sys.dont_write_bytecode, True
    try:
        if code.file is None or all(part.isidentifier() for part in name.split(".")):
            module = importlib.import_module(name)
        else:  # a file name that is no identifier, such as "my-models.py"
            spec = importlib.util.spec_from_file_location(name.replace("-", "_"), code.file)
            assert spec is not None
            assert spec.loader is not None
            module = importlib.util.module_from_spec(spec)
            sys.modules[spec.name] = module
            spec.loader.exec_module(module)
        return module
    except (Exception, SystemExit) as error:
        _raise_one_line(error, code, roots, "the import")
    finally:
        sys.dont_write_bytecode = writes_bytecode


def _raise_one_line(
    error: BaseException, code: ModelCode, roots: list[Path], action: str
) -> NoReturn:
    where = describe_error(error, roots)
    if isinstance(error, ModuleNotFoundError) and error.name:
        raise MissingDependency(
            f"--code needs the module {error.name} ({where.partition(': ')[0]}), which is not "
            "installed; install it, or give the folder that has it with --code-path"
        ) from None
    if isinstance(error, ImportError) and "relative import" in str(error):
        raise UsageError(
            f"--code {code.label} imports relative to a package ({where}); give the folder above "
            "the package with --code-path"
        ) from None
    if isinstance(error, SystemExit):
        raise CheckpointError(
            f"--code {code.label}: {action} ends the program, as a script does ({where}); put the "
            "class into a file of its own"
        ) from None
    raise CheckpointError(f"--code {code.label}: {action} failed in their code: {where}") from None


def _find_name(module: Any, code: ModelCode) -> Any:
    target = module
    for part in code.name.split("."):
        if not hasattr(target, part):
            found = [
                name
                for name, value in vars(module).items()
                if isinstance(value, type)
                and issubclass(value, nn.Module)
                and value.__module__ == module.__name__
            ]
            listed = ", ".join(found[:8]) or "no nn.Module"
            raise UsageError(f"--code {code.label}: there is no {part}; the file has {listed}")
        target = getattr(target, part)
    return target


def _call(target: Any, code: ModelCode, roots: list[Path]) -> Any:
    positional, named = code.call_arguments()
    if not callable(target):
        return target
    try:
        inspect.signature(target).bind(*positional, **named)
    except TypeError as error:
        signature = " ".join(str(inspect.signature(target)).split())
        raise UsageError(
            f"--code {code.label}: {error}; --code-args must fit {code.name}{signature}"
        ) from None
    except ValueError:  # a callable without a signature
        pass
    torch.manual_seed(0)
    try:
        with torch.no_grad():
            return target(*positional, **named)
    except (Exception, SystemExit) as error:
        _raise_one_line(error, code, roots, "building the network")
