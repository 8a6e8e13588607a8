"""Benchmark of the quality of upsampling: each method against the network at full size.

    python -m benchmarks.suites.upsampling --model vintage --model monet [--photos DIR]
        [--video FILE ...] [--frames 8] [--start 2.0] [--json FILE]

It prints the table of docs/results/upsampling.md. PSNR, SSIM and gradient energy compare with the
network at full size. The warping error is that of consecutive frames.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import click

from cgt.runtime.image.files import list_images, read_image
from cgt.runtime.image.preprocess import U8
from cgt.runtime.sources import Frame, open_source
from cgt.trainer.evaluation.full_size import METHODS, FullSizeComparison

from ._cli import run_command

_PATH = click.Path(exists=True, path_type=Path)


@click.command()
@click.option("--model", "models", multiple=True, required=True)
@click.option("--photos", type=_PATH)
@click.option("--video", "videos", multiple=True, type=_PATH)
@click.option("--frames", default=8, show_default=True)
@click.option("--start", default=2.0, show_default=True, help="Seconds to skip in videos.")
@click.option("--json", "json_path", type=click.Path(path_type=Path))
def main(
    models: tuple[str, ...],
    photos: Path | None,
    videos: tuple[Path, ...],
    frames: int,
    start: float,
    json_path: Path | None,
) -> None:
    """Compare the methods of upsampling with the network at full size."""
    rows: list[dict[str, Any]] = []
    for model in models:
        for path in [*([photos] if photos else []), *videos]:
            comparison = FullSizeComparison(model)
            errors: dict[str, float] = {}
            if path.is_dir():
                for file in list_images(path):
                    image = read_image(file)
                    if image is not None:
                        comparison.measure(image)
            else:
                errors = comparison.measure_video(islice(_frames(path, start), frames))
            comparison.close()
            report = comparison.report() | {"warping_error": errors}
            rows.append({"model": Path(model).stem, "data": path.name} | report)
            click.echo("\n".join(_table_rows(rows[-1])))
            if json_path:
                json_path.write_text(json.dumps(rows, indent=1))


def _frames(path: Path, start: float) -> Iterator[U8]:
    with open_source(str(path), audio=False, start=start) as source:
        for item in source:
            if isinstance(item, Frame):
                yield item.image


def _table_rows(row: dict[str, Any]) -> list[str]:
    """Return lines of a Markdown table, one per method, and those of the references."""
    errors = row["warping_error"]
    lines = []
    for method in METHODS:
        values = row["methods"][method]
        error = f"{errors[method]:.2e}" if errors else ""
        lines.append(
            f"| {row['model']} | {row['data']} ({row['count']}) | {method} | {values['psnr']:.2f} "
            f"| {values['psnr_gain_worst']:+.2f} | {values['ssim']:.3f} | {values['gradient']:.2f} "
            f"| {error} |"
        )
    if errors:
        start = f"| {row['model']} | {row['data']} ({row['count']})"
        lines += [
            f"{start} | {name} | | | | | {errors[key]:.2e} |"
            for name, key in (("network at full size", "full"), ("the video itself", "input"))
        ]
    return lines


if __name__ == "__main__":
    run_command(main)
