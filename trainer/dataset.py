"""A data set, opened for a run: looked at, cleaned, ready to give batches."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from cgt.runtime.errors import DataError

from .data import PairedData, Share, TrainingData, UnpairedData
from .domain import Domain, find_domains
from .store import ImageStore
from .survey import survey
from .trainconfig import TrainConfig
from .views import Preprocess


@dataclass(frozen=True)
class Dataset:
    """What a run learns from, and what it is judged on."""

    train: TrainingData
    tests: tuple[Domain, Domain] | None  # None where there is no test folder
    summary: tuple[str, ...]

    @property
    def shown(self) -> tuple[Domain, Domain]:
        """Where sample pictures come from."""
        return self.tests or self.train.domains


def open_dataset(
    config: TrainConfig,
    paired: bool,
    share: Share | None = None,
    say: Callable[[str], None] = lambda line: None,
) -> Dataset:
    """Find, decode once and count all images. say: is given a line for each thing found.

    Raises DataError for what is missing, for files that do not decode (config.broken "fail"), and
    for pairs of different sizes.
    """
    root, channels = Path(config.data), (config.channels_a, config.channels_b)
    store = ImageStore(config.cache_mb)
    train = find_domains(root, "train", paired, channels)
    try:
        tests = find_domains(root, "test", paired, channels)
    except DataError:
        tests = None
    found = survey([*train, *(tests or ())], store, config.workers)
    lines = found.lines() + ([] if tests else ["there are no test images: samples show training"])
    for line in lines:
        say(line)
    if broken := found.unreadable(config.broken):
        partners = broken | _partners(train, broken) if paired else broken
        train = (train[0].without(partners), train[1].without(partners))
        if tests:
            partners = broken | _partners(tests, broken) if paired else broken
            tests = (tests[0].without(partners), tests[1].without(partners))
    kind = PairedData if paired else UnpairedData
    data = kind(
        train,
        Preprocess(
            config.preprocess,
            config.load_size,
            config.crop_size,
            config.flip,
            config.generator_config.multiple,
        ),
        store,
        batch_size=config.batch_size,
        accumulate=config.accumulate,
        seed=config.seed,
        share=share,
    )
    return Dataset(data, tests, tuple(lines))


def _partners(pair: tuple[Domain, Domain], broken: frozenset[Path]) -> frozenset[Path]:
    """The other halves of broken files."""
    both = zip(pair[0].files, pair[1].files, strict=True)
    return frozenset(path for files in both if broken & set(files) for path in files)
