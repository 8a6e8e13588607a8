"""The verb `cgt eval`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from cgt.runtime.errors import UsageError
from cgt.runtime.models.checkpoint_options import CheckpointOptions
from cgt.runtime.models.metadata import DIRECTIONS, Direction
from cgt.runtime.models.third_party import ModelFormat

from ._options import (
    PATH,
    STDOUT,
    Verb,
    check_output_paths,
    json_option,
    opt,
    options_from,
    opts,
    pop_model_options,
    require_extra,
    save_json,
)

if TYPE_CHECKING:
    from rich.table import Table

_WHAT = "Essentials"


@click.command("eval", cls=Verb)
@opts(
    _WHAT,
    ("--ckpt", PATH, "Checkpoint of cgt (latest.pth) or of another trainer."),
    ("--model", PATH, "ONNX model, engine, monet or vintage instead of a checkpoint."),
    ("--data", PATH, "Folder with testA/, testB/ or both.  [default: the dataset of the run]"),
    ("--direction", click.Choice(DIRECTIONS), "Direction to evaluate.  [default: all]"),
)
@json_option()
@opt(
    "--full-size",
    is_flag=True,
    group=_WHAT,
    help="Compare the methods of upsampling with --model at the full size of the images in any "
    "folder --data, and of --video.",
)
@opts("Output", ("--montage", PATH, "Write some images and their translations to this PNG."))
@opts(
    "Settings",
    ("--network", str, "Name of the generator, if the file has several."),
    ("--size", click.IntRange(32), "Side of the images in pixels.  [default: as trained]"),
    ("--max-images", click.IntRange(2), "Maximum number of images of each folder.  [default: all]"),
    ("--inception", PATH, "Weights of FID's Inception network, extra [inception]."),
)
@opt(
    "--class",
    "imagenet_class",
    type=int,
    group="Settings",
    help="ImageNet class (340: zebra); also count the translations predicted as it.",
)
@opts("Video", ("--video", PATH, "Also measure the warping error on this video."))
@opt(
    "--frames",
    default=100,
    group="Video",
    help="Maximum number of frames of --video.  [default: 100]",
)
@options_from(ModelFormat, CheckpointOptions)
def command(
    ckpt: Path | None,
    model: Path | None,
    data: Path | None,
    direction: Direction | None,
    network: str | None,
    full_size: bool,
    json_path: Path | None,
    montage: Path | None,
    **settings: Any,
) -> None:
    """Compare translations of test images with real images, and with the untranslated images."""
    if (ckpt is None) == (model is None):
        raise UsageError("give either --ckpt FILE or --model FILE")
    checkpoint_options, model_format = pop_model_options(settings, ckpt)
    if network is not None and ckpt is None:
        raise UsageError("--network goes with --ckpt; a model file is one network")
    from cgt.runtime.inference.translator import resolve_model

    model = resolve_model(model) if model is not None else None
    inputs = (ckpt, model, settings["inception"], settings["video"])
    check_output_paths(json_path, montage, inputs=inputs)
    if full_size:
        unused = {"--ckpt": ckpt, "--direction": direction, "--montage": montage}
        unused |= {f"--{name.replace('_', '-')}": settings[name] for name in ("size", "inception")}
        unused |= {"--class": settings["imagenet_class"]}
        for flag, value in unused.items():
            if value is not None:
                raise UsageError(f"{flag} does not go with --full-size; leave it out")
        assert model is not None
        _compare_with_full_size(model, data, json_path, settings)
        return
    require_extra("train", "torch")
    from cgt.runtime.utils.progress import open_console
    from cgt.trainer.data.folders import IMAGE_FOLDER_NAMES
    from cgt.trainer.evaluation.evaluate import evaluate, save_montage
    from cgt.trainer.evaluation.subject import open_subject

    console = open_console(stderr=json_path == STDOUT)
    subject = open_subject(
        ckpt, model, direction, settings.pop("size"), network, model_format, checkpoint_options
    )
    data = data or subject.data
    if data is not None:
        check_output_paths(json_path, montage, inputs=(data / name for name in IMAGE_FOLDER_NAMES))
    report, rows = evaluate(subject, data, log=console.print, **settings)
    for name, values in report["directions"].items():
        console.print(_result_table(f"{name}: {values['from']} to {values['to']}", values))
    if "video" in report:
        console.print(
            f"warping error on {report['video']['frames']} frames: {report['video']['error']:.2e}"
            f" (the video itself {report['video']['input']:.2e})"
        )
    if json_path is not None:
        save_json(json.dumps(report, indent=1), json_path)
    if montage is not None:
        save_montage(rows, montage)


def _compare_with_full_size(
    model: Path, data: Path | None, json_path: Path | None, settings: dict[str, Any]
) -> None:
    from cgt.runtime.utils.progress import open_console
    from cgt.trainer.evaluation.full_size import compare_with_full_size

    report = compare_with_full_size(
        model,
        data,
        settings["video"],
        max_images=settings["max_images"],
        frames=settings["frames"],
    )
    console = open_console(stderr=json_path == STDOUT)
    for kind in ("images", "video"):
        if kind in report:
            console.print(_full_size_table(report[kind]))
    if json_path is not None:
        save_json(json.dumps(report, indent=1), json_path)


def _full_size_table(values: dict[str, Any]) -> Table:
    from rich.table import Table

    title = f"{values['path']}: {values['count']} images against the network at full size"
    table = Table("", "PSNR dB", "SSIM", "gradient energy", "worst PSNR gain dB", title=title)
    errors = values.get("warping_error", {})
    if errors:
        table.add_column("warping error")
    for column in table.columns[1:]:
        column.justify = "right"
    for method, m in values["methods"].items():
        found = [f"{m['psnr']:.2f}", f"{m['ssim']:.3f}", f"{m['gradient']:.2f}"]
        found.append(f"{m['psnr_gain_worst']:+.2f}")
        table.add_row(method, *found, *([f"{errors[method]:.2e}"] if errors else []))
    for name in ("full", "input"):
        if errors:
            table.add_row(name, "", "", "", "", f"{errors[name]:.2e}")
    return table


def _result_table(title: str, values: dict[str, Any]) -> Table:
    from rich.table import Table

    columns = {"translated": "translated", "no_translation": "untranslated", "real": "real"}
    table = Table("", *columns.values(), title=f"{title}, {values['images']} images")
    for column in table.columns[1:]:
        column.justify = "right"
    for backbone, sets in values["distances"].items():
        for kind in ("frechet", "kernel"):
            found = (f"{sets[name][kind]:.4g}" if name in sets else "-" for name in columns)
            table.add_row(f"{kind} distance, {backbone}", *found)
    for group in ("cycle", "paired"):
        for name, value in values.get(group, {}).items():
            table.add_row(f"{group} {name}", f"{value:.4g}")
    counted = dict(values.get("imagenet_class", {}))
    number = counted.pop("class", None)
    for network, shares in counted.items():
        names = ("translated", "no_translation", "target")
        found = (f"{shares[name]:.0%}" if name in shares else "-" for name in names)
        table.add_row(f"predicted as class {number}, {network}", *found)
    return table
