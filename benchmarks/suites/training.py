"""Training step of `cgt train` against the reference implementation's.

    python -m benchmarks.suites.training [--size 128 --size 256] [--rounds 5] [--json FILE]
    python -m benchmarks.suites.training --curves DATA --output FOLDER [--seeds 3] [--steps 300]

The reference step follows the order of pytorch-CycleGAN-and-pix2pix: plain PyTorch layers in fp32,
one pass for each translation, cycle and identity, one pass each for real and fake, plain Adam. It
is compared with `cgt train` at its default settings: ResNet-9, 64 channels, batch 1. Rounds
alternate. The ratio is the median of the rounds' ratios, in CPU seconds (which other programs
disturb least) and in seconds.

--curves trains both on the same images, from the same initial weights, and plots their losses. A
stopped run resumes at the first missing seed.
"""

from __future__ import annotations

import csv
import itertools
import json
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import click
import torch
from rich.console import Console
from rich.table import Table
from torch import Tensor, nn

from cgt.runtime.utils.progress import progress_bar
from cgt.trainer.config import TrainConfig
from cgt.trainer.data.dataset import open_dataset
from cgt.trainer.methods.cyclegan import CycleGAN
from cgt.trainer.methods.image_pool import ImagePool
from cgt.trainer.networks import PatchDiscriminator, build_generator, init_generator, init_weights
from cgt.trainer.precision import Precision

from ._cli import run_command

StepFn = Callable[[Tensor, Tensor], dict[str, Tensor]]
CPU = torch.device("cpu")


class ReferenceStep:
    """One optimizer step of the reference on float32 (N, 3, S, S) images in [-1, 1]."""

    def __init__(self, config: TrainConfig) -> None:
        torch.manual_seed(config.seed)
        self.G, self.F = (build_generator(config.generator_config) for _ in range(2))
        for generator in (self.G, self.F):
            init_generator(generator)
        self.D_Y, self.D_X = PatchDiscriminator(config.ndf), PatchDiscriminator(config.ndf)
        for discriminator in (self.D_Y, self.D_X):
            init_weights(discriminator)
        self.discriminator_parameters = [*self.D_Y.parameters(), *self.D_X.parameters()]
        generator_parameters = itertools.chain(self.G.parameters(), self.F.parameters())
        self.optimizer_G = torch.optim.Adam(generator_parameters, lr=config.lr, betas=(0.5, 0.999))
        self.optimizer_D = torch.optim.Adam(
            self.discriminator_parameters, lr=config.lr, betas=(0.5, 0.999)
        )
        self.pool_A, self.pool_B = ImagePool(50, config.seed), ImagePool(50, config.seed + 1)
        self.l1, self.mse = nn.L1Loss(), nn.MSELoss()

    def _gan_loss(self, prediction: Tensor, real: bool) -> Tensor:
        loss: Tensor = self.mse(prediction, torch.tensor(float(real)).expand_as(prediction))
        return loss

    def __call__(self, a: Tensor, b: Tensor) -> dict[str, Tensor]:
        fake_b = self.G(a)
        cycle_a = self.F(fake_b)
        fake_a = self.F(b)
        cycle_b = self.G(fake_a)
        for p in self.discriminator_parameters:
            p.requires_grad_(False)
        self.optimizer_G.zero_grad()
        losses = {
            "identity_B": 5 * self.l1(self.G(b), b),
            "identity_A": 5 * self.l1(self.F(a), a),
            "G_A": self._gan_loss(self.D_Y(fake_b), True),
            "G_B": self._gan_loss(self.D_X(fake_a), True),
            "cycle_A": 10 * self.l1(cycle_a, a),
            "cycle_B": 10 * self.l1(cycle_b, b),
        }
        torch.stack(list(losses.values())).sum().backward()  # type: ignore[no-untyped-call]
        self.optimizer_G.step()
        for p in self.discriminator_parameters:
            p.requires_grad_(True)
        self.optimizer_D.zero_grad()
        for name, discriminator, real, fake in (
            ("D_A", self.D_Y, b, self.pool_B.query(fake_b)),
            ("D_B", self.D_X, a, self.pool_A.query(fake_a)),
        ):
            loss = 0.5 * (
                self._gan_loss(discriminator(real), True)
                + self._gan_loss(discriminator(fake.detach()), False)
            )
            loss.backward()  # type: ignore[no-untyped-call]
            losses[name] = loss
        self.optimizer_D.step()
        return losses


def make_steps(config: TrainConfig) -> dict[str, StepFn]:
    """Return the steps of both implementations, with the same initial weights."""
    ours = CycleGAN(config, CPU, Precision.from_name(config.precision, CPU).autocast_dtype)
    reference = ReferenceStep(config)
    reference_networks = (reference.G, reference.F, reference.D_Y, reference.D_X)
    for network, same in zip(reference_networks, ours.networks.values(), strict=True):
        network.load_state_dict(same.state_dict())
    return {"reference": reference, "cgt": lambda a, b: ours.step(a, b, 0)}


def time_steps(size: int, rounds: int, ngf: int) -> dict[str, list[float]]:
    """Return seconds and CPU seconds of single steps, by round."""
    config = TrainConfig(data="", load_size=size, crop_size=size, ngf=ngf, ndf=ngf)
    a, b = torch.rand(2, 1, 3, size, size) * 2 - 1
    times: dict[str, list[float]] = {}
    steps = make_steps(config)
    for round_ in range(rounds + 1):
        for name, step in steps.items():
            wall_start, cpu_start = time.perf_counter(), time.process_time()
            step(a, b)
            if round_:  # the first round warms up
                times.setdefault(f"{name} cpu", []).append(time.process_time() - cpu_start)
                times.setdefault(f"{name} wall", []).append(time.perf_counter() - wall_start)
    return times


def median_ratio(times: dict[str, list[float]], clock: str) -> float:
    """Return the median of the rounds' ratios."""
    pairs = zip(times[f"reference {clock}"], times[f"cgt {clock}"], strict=True)
    return statistics.median(theirs / ours for theirs, ours in pairs)


def results_table(results: dict[int, dict[str, list[float]]], ngf: int) -> Table:
    """Return a table with a row for each size and clock."""
    threads = torch.get_num_threads()
    native = Precision.from_name("auto", CPU).name
    title = f"ResNet-9 ngf {ngf}, batch 1, {threads} threads, cgt in {native}: s/step, medians"
    table = Table("size", "clock", "reference fp32", "cgt train", "ratio", title=title)
    for size, times in results.items():
        for clock in ("cpu", "wall"):
            seconds = [statistics.median(times[f"{name} {clock}"]) for name in ("reference", "cgt")]
            cells = [f"{value:.2f}" for value in seconds]
            table.add_row(f"{size}x{size}", clock, *cells, f"{median_ratio(times, clock):.2f}")
    return table


def train_curves(data: Path, output: Path, seeds: int, count: int, size: int, ngf: int) -> None:
    """Train both on the same batches, seed by seed.

    Each run writes OUTPUT/NAME_seedN/metrics.csv; curves.png shows all of them.
    """
    from cgt.trainer.logs.plot import plot_runs

    runs = []
    for seed in range(seeds):
        config = TrainConfig(
            data=str(data), load_size=size + size // 8, crop_size=size, seed=seed, ngf=ngf, ndf=ngf
        )
        batches = open_dataset(config, paired=False).train
        for name in ("reference", "cgt"):
            folder = output / f"{name}_seed{seed}"
            runs.append(folder)
            if (folder / "metrics.csv").exists():
                continue
            step = make_steps(config)[name]
            rows = []
            with progress_bar(folder.name, count, unit="step") as bar:
                for index, (a, b) in enumerate(batches.batches(0, count), 1):
                    losses = {key: value.item() for key, value in step(a, b).items()}
                    rows.append({"step": index, "epoch": index} | losses)
                    bar.advance()
            folder.mkdir(parents=True, exist_ok=True)
            with open(folder / "metrics.csv", "w", newline="") as file:
                writer = csv.DictWriter(file, list(rows[0]))
                writer.writeheader()
                writer.writerows(rows)
    plot_runs(runs, output / "curves.png", x_axis="step")


@click.command()
@click.option("--size", "sizes", type=int, multiple=True, default=(128, 256), show_default=True)
@click.option("--rounds", default=5, show_default=True)
@click.option("--ngf", default=64, show_default=True)
@click.option("--threads", default=0, help="PyTorch threads; 0 is PyTorch's default.")
@click.option("--json", "json_path", type=click.Path(path_type=Path))
@click.option(
    "--curves",
    "data",
    type=click.Path(path_type=Path),
    help="Plot the losses of both on this data set instead.",
)
@click.option("--output", type=click.Path(path_type=Path), default=Path("runs/curves"))
@click.option("--seeds", default=3, show_default=True)
@click.option("--steps", "count", default=300, show_default=True)
def main(
    sizes: tuple[int, ...],
    rounds: int,
    ngf: int,
    threads: int,
    json_path: Path | None,
    data: Path | None,
    output: Path,
    seeds: int,
    count: int,
) -> None:
    """Compare the speed of both, or with --curves their losses."""
    if threads:
        torch.set_num_threads(threads)
    if data is not None:
        train_curves(data, output, seeds, count, sizes[0], ngf)
        click.echo(f"{output / 'curves.png'}: {seeds} seeds, {count} steps")
        return
    results = {size: time_steps(size, rounds, ngf) for size in sizes}
    Console().print(results_table(results, ngf))
    if json_path is not None:
        json_path.write_text(json.dumps(results, indent=1))


if __name__ == "__main__":
    run_command(main)
