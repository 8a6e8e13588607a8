"""cgt eval"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from cgt.runtime.errors import UsageError
from cgt.runtime.models.metadata import DIRECTIONS, Direction

from ._options import require_extra

if TYPE_CHECKING:
    from rich.table import Table


@click.command("eval")
@click.option("--ckpt", type=click.Path(path_type=Path), help="latest.pth, or other weights.")
@click.option("--model", type=click.Path(path_type=Path), help="Instead: an ONNX model.")
@click.option("--data", type=click.Path(path_type=Path), help="Folder with testA/ and testB/.")
@click.option("--direction", type=click.Choice(DIRECTIONS), help="All that there are by default.")
@click.option("--network", metavar="NAME", help="One of several generators in the file.")
@click.option("--size", type=click.IntRange(32), help="Side of the pictures; as trained.")
@click.option("--max-images", type=click.IntRange(2), help="At most so many of each folder.")
@click.option("--class", "imagenet_class", type=int, help="Also count who passes as this class.")
@click.option("--inception", type=click.Path(path_type=Path), help="Weights of FID's Inception.")
@click.option("--video", type=click.Path(path_type=Path), help="Also: the warping error on it.")
@click.option("--frames", default=100, show_default=True, help="Of the video.")
@click.option("--json", "json_path", type=click.Path(path_type=Path), help="Everything, to a file.")
@click.option("--montage", type=click.Path(path_type=Path), help="Some pictures, to a PNG.")
def command(
    ckpt: Path | None,
    model: Path | None,
    data: Path | None,
    direction: Direction | None,
    network: str | None,
    json_path: Path | None,
    montage: Path | None,
    **settings: Any,
) -> None:
    """Measure translations of test images against real images, and against doing nothing."""
    if (ckpt is None) == (model is None):
        raise UsageError("give either --ckpt FILE or --model FILE")
    if network is not None and ckpt is None:
        raise UsageError("--network goes with --ckpt; a model file is one network")
    require_extra("train", "torch")
    from rich.console import Console

    from cgt.trainer.evaluation.evaluate import evaluate, save_montage
    from cgt.trainer.evaluation.subject import open_subject

    subject = open_subject(ckpt, model, direction, settings.pop("size"), network)
    report, rows = evaluate(subject, data, log=click.echo, **settings)
    for name, values in report["directions"].items():
        Console().print(_result_table(f"{name}: {values['from']} to {values['to']}", values))
    if "video" in report:
        click.echo(
            f"warping error on {report['video']['frames']} frames: {report['video']['error']:.2e}"
            f" (the video itself {report['video']['input']:.2e})"
        )
    if json_path is not None:
        from cgt.runtime.utils.atomic import atomic_write

        with atomic_write(json_path) as temporary:
            temporary.write_text(json.dumps(report, indent=1) + "\n")
    if montage is not None:
        save_montage(rows, montage)


def _result_table(title: str, values: dict[str, Any]) -> Table:
    from rich.table import Table

    columns = {"translated": "translated", "no_translation": "left as it is", "real": "real"}
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
        found = (f"{shares[n]:.0%}" for n in ("translated", "no_translation", "target"))
        table.add_row(f"called class {number}, {network}", *found)
    return table
