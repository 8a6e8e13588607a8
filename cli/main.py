"""The `cgt` command: a lazy group of verbs, and the exit code of every error.

Each verb is a module of its own, imported when it is called: `cgt --help` and `cgt translate`
load no torch.
"""

from __future__ import annotations

import atexit
import gc
import importlib
import os
import shlex
import sys
import threading
import traceback
from types import TracebackType

import click

from cgt.runtime.errors import CgtError, GuessError, Interrupted
from cgt.runtime.utils.log import mask_passwords

_COMMANDS = {
    "train": "Train a CycleGAN on two folders of images, or pix2pix on pairs.",
    "plot": "Plot the losses and metrics of training runs.",
    "distill": "Train a small, fast generator to reproduce a checkpoint's.",
    "eval": "Measure the quality of a checkpoint or model on test images.",
    "export": "Export a checkpoint to ONNX and to engines.",
    "translate": "Translate videos, images, cameras or streams with a model.",
    "serve": "Translate live in a browser, and over HTTP for programs.",
    "bench": "Measure the latency and throughput of a model on this machine.",
    "inspect": "Describe a checkpoint, a model or an engine.",
    "doctor": "Print what works on this machine, and what to install.",
    "demo": "Translate a clip with a bundled model, and draw a preview.",
}


class _LazyGroup(click.Group):
    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(_COMMANDS)

    def get_command(self, ctx: click.Context, name: str) -> click.Command | None:
        if name not in _COMMANDS:
            return None
        # What modules define is no garbage, and searching for some makes imports slower.
        gc.disable()
        command: click.Command = importlib.import_module(f"cgt.cli.{name}").command
        gc.freeze()
        gc.enable()
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl(list(_COMMANDS.items()))


@click.group(cls=_LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="cyclegan-toolkit", prog_name="cgt")
def cgt() -> None:
    """Train CycleGAN and pix2pix models, export them, and translate video in real time."""


def main() -> None:
    """Run the command line; print an expected failure as one line and exit with its code."""
    sys.excepthook = _print_traceback
    threading.excepthook = lambda args: _print_traceback(
        args.exc_type, args.exc_value, args.exc_traceback
    )
    try:
        cgt.main(standalone_mode=False)
        if sys.argv[1:2] == ["translate"]:
            _end_process()
    except click.exceptions.NoArgsIsHelpError as error:
        click.echo(error.ctx.get_help() if error.ctx else "", err=True)
        sys.exit(2)
    except click.ClickException as error:
        context = error.ctx if isinstance(error, click.UsageError) else None
        hint = f" (see {context.command_path} --help)" if context else ""
        _exit_with_error(" ".join(error.format_message().split()) + hint, error.exit_code)
    except Interrupted as error:
        click.secho(f"cgt: {error}", fg="yellow", err=True)
        sys.exit(error.exit_code)
    except GuessError as error:
        _exit_with_error(f"{error}\n{_commands_for(error)}", error.exit_code)
    except CgtError as error:
        _exit_with_error(str(error), error.exit_code)
    except (click.Abort, KeyboardInterrupt):
        _exit_with_error("stopped", Interrupted.exit_code)
    except BrokenPipeError:
        sys.exit(1)


def _print_traceback(
    kind: type[BaseException], error: BaseException | None, trace: TracebackType | None
) -> None:
    """Print an unexpected exception like Python does, with the passwords of URLs masked."""
    if not issubclass(kind, SystemExit):
        lines = traceback.format_exception(kind, error, trace)
        click.echo("".join(map(mask_passwords, lines)), err=True, nl=False)


def _end_process() -> None:
    """Exit with code 0, but do not unload OpenVINO and FFmpeg, which takes 0.1 s."""
    for stream in (sys.stdout, sys.stderr):
        if stream is not None:  # the shell can close it: >&-
            stream.flush()
    atexit._run_exitfuncs()
    os._exit(0)


def _commands_for(error: GuessError) -> str:
    """Return the commands that settle a guess: the one that was typed, with another flag."""
    typed = shlex.join(["cgt", *sys.argv[1:]])
    return (
        "state what you know with these flags, or type one of:\n"
        f"  {typed} --code {shlex.quote(error.code)}   # builds their network\n"
        f"  {typed} --assume   # accepts the values above"
    )


def _exit_with_error(message: str, code: int) -> None:
    click.secho(f"cgt: {mask_passwords(message)}", fg="red", err=True)
    sys.exit(code)
