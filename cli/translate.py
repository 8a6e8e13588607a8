"""The verb `cgt translate`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click

from cgt.runtime.api import ESSENTIALS, TranslateOptions
from cgt.runtime.batch.inputs import is_batch_input
from cgt.runtime.errors import UsageError

from ._options import (
    OTHER,
    STDOUT,
    Verb,
    check_output_paths,
    given_options,
    json_option,
    opt,
    options_from,
    save_json,
)

_BATCH = "Batches of videos"


@click.command("translate", cls=Verb)
@click.argument("sources", nargs=-1, required=True, metavar="SOURCE...")
@opt(
    "-o",
    "--output",
    "sinks",
    required=True,
    multiple=True,
    group=ESSENTIALS,
    help="Video, folder, image, out/{name}.jpg, window, URL, - (a pipe) or null:. Repeat it for "
    "several outputs.",
)
@options_from(TranslateOptions)
@json_option()
@opt(
    "--jobs",
    type=click.IntRange(1),
    metavar="N",
    group=_BATCH,
    help="Number of worker processes.  [default: 1]",
)
@opt(
    "--ray",
    is_flag=False,
    flag_value="",
    metavar="[ADDRESS]",
    group=_BATCH,
    help="Use the workers of a Ray cluster; without ADDRESS, start a cluster on this machine.",
)
@opt("--resume", is_flag=True, group=_BATCH, help="Skip the videos that are already finished.")
@opt(
    "--verbose",
    is_flag=True,
    group=OTHER,
    help="Print sizes, workers and the cache folder at the start.",
)
def command(
    sources: tuple[str, ...],
    sinks: tuple[str, ...],
    json_path: Path | None,
    jobs: int | None,
    ray: str | None,
    resume: bool,
    verbose: bool,
    **params: Any,
) -> None:
    """Translate SOURCE: a video, an image, a folder of images, a camera, a stream, - or test://.

    Here - is a pipe and test:// a test pattern. The output has the size of SOURCE.
    The network sees a smaller copy, whose short side has the model's size; --size sets another.

    Several images, and a folder or a quoted wildcard of images, are a sequence.

    Several videos, a folder or a quoted wildcard of videos, --jobs and --ray translate a batch.
    Each video goes into the folder -o under its own name. The result does not depend on the number
    of workers.
    """
    given = given_options(TranslateOptions, params)
    if json_path == STDOUT and any(sink == "-" or sink.startswith("pipe:") for sink in sinks):
        raise UsageError("--json and -o - both write to standard output; give --json a FILE")
    check_output_paths(json_path, inputs=(*sources, given.get("model")), outputs=sinks)
    if jobs is None and ray is None and not is_batch_input(sources):
        if resume:
            raise UsageError("--resume is for several videos, --jobs and --ray")
        from ._report import translate_with_progress

        source = sources[0] if len(sources) == 1 else sources
        translate_with_progress(source, sinks, json_path=json_path, verbose=verbose, **given)
        return
    for flag, value in (
        ("--live", given.get("live")),
        ("--reconnect", given.get("reconnect")),
        ("--verbose", verbose),
    ):
        if value:
            raise UsageError(f"{flag} is not for several videos, --jobs or --ray")
    if len(sinks) > 1:
        raise UsageError("several videos, --jobs and --ray take one -o")
    from cgt.runtime.batch.report import BatchReport
    from cgt.runtime.batch.run import BatchOptions, run_batch

    from ._report import print_batch_summary

    def on_done(report: BatchReport) -> None:
        print_batch_summary(report)
        if json_path is not None:
            save_json(json.dumps(report.to_json(), indent=1), json_path)

    run_batch(
        BatchOptions(sources, sinks[0], jobs, ray, resume), TranslateOptions(**given), on_done
    )
