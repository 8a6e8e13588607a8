"""Training and evaluation on well-known datasets, within two hours of two CPU cores.

    python -m examples.recipes.train_datasets horse2zebra DATA --output FOLDER [--steps N]

DATA contains horse2zebra/, monet2photo/ or facades/. FOLDER/NAME contains the run, and after
training eval.json, montage.png and metrics.png. The same command resumes an interrupted run.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click

from benchmarks.suites._cli import run_command
from cgt.runtime.utils.atomic import atomic_write
from cgt.trainer.config import TrainConfig
from cgt.trainer.evaluation.evaluate import evaluate, save_montage
from cgt.trainer.evaluation.subject import open_subject
from cgt.trainer.logs.plot import plot_runs
from cgt.trainer.train import TrainingRun

# Within this time, discriminators from scratch do not learn enough, and transposed convolutions
# leave a checkerboard pattern.
CONFIGS: dict[str, dict[str, Any]] = {
    "horse2zebra": {
        **{"method": "cyclegan", "generator": "resnet9", "ngf": 32, "ema": 0.999},
        **{"upsampling": "resize", "discriminator": "projected", "ndf": 64},
        **{"lambda_cycle": 4.0, "lambda_identity": 0.5},
        **{"load_size": 144, "crop_size": 128, "steps": 4500, "decay_steps": 3500},
    },
    # The settings of the bundled model monet, with a wider network.
    "monet2photo": {
        **{"method": "cyclegan", "generator": "resnet9", "ngf": 32, "ema": 0.999},
        **{"upsampling": "resize", "norm": "none", "learn_residual": True},
        **{"discriminator": "projected", "ndf": 64, "lambda_cycle": 0.7, "lambda_identity": 0.0},
        **{"load_size": 256, "crop_size": 128, "steps": 3500, "decay_steps": 2500},
    },
    "facades": {
        **{"method": "pix2pix", "direction": "BtoA", "generator": "unet128", "ngf": 32},
        **{"ndf": 32, "load_size": 144, "crop_size": 128, "steps": 9000, "decay_steps": 6000},
    },
}
ZEBRA_CLASS = 340  # index of ImageNet's class


@click.command()
@click.argument("name", type=click.Choice(tuple(CONFIGS)))
@click.argument("data", type=click.Path(exists=True, path_type=Path))
@click.option("--output", type=click.Path(path_type=Path), default=Path("runs"), show_default=True)
@click.option(
    "--steps",
    type=click.IntRange(2),
    help="Total steps; three fifths run at the full learning rate.",
)
def main(name: str, data: Path, output: Path, steps: int | None) -> None:
    """Train a network or resume its run, then evaluate it."""
    folder, config = output / name, CONFIGS[name]
    if steps:
        config = config | {"steps": steps * 3 // 5, "decay_steps": steps - steps * 3 // 5}
    if (folder / "latest.pth").exists():
        run = TrainingRun.resume(
            folder, {k: config[k] for k in ("steps", "decay_steps")}, click.echo
        )
    else:
        run = TrainingRun.create(
            folder, TrainConfig.for_method(data=str(data / name), **config), log=click.echo
        )
    click.echo(run.summarize())
    run.train()
    subject = open_subject(folder / "latest.pth", None, None, None)
    imagenet_class = ZEBRA_CLASS if name == "horse2zebra" else None
    report, rows = evaluate(subject, imagenet_class=imagenet_class, log=click.echo)
    with atomic_write(folder / "eval.json") as temporary:
        temporary.write_text(json.dumps(report, indent=1) + "\n")
    save_montage(rows, folder / "montage.png")
    plot_runs([folder], folder / "metrics.png")
    click.echo(json.dumps(report["directions"], indent=1))


if __name__ == "__main__":
    run_command(main)
