"""A data set, opened for a run: looked at, cleaned, ready to give batches."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from cgt.runtime.errors import DataError

from ..config import TrainConfig
from .folders import ImageFolder, find_image_folders
from .image_cache import ImageCache
from .loader import PairedData, Shard, TrainingData, UnpairedData
from .transforms import Preprocess
from .validate import validate_images


@dataclass(frozen=True)
class Dataset:
    """What a run learns from, and what it is judged on."""

    train: TrainingData
    test: tuple[ImageFolder, ImageFolder] | None  # None where there is no test folder
    summary: tuple[str, ...]

    @property
    def sample_folders(self) -> tuple[ImageFolder, ImageFolder]:
        """Where sample pictures come from."""
        return self.test or self.train.folders


def open_dataset(
    config: TrainConfig,
    paired: bool,
    shard: Shard | None = None,
    log: Callable[[str], None] = lambda line: None,
) -> Dataset:
    """Find, decode once and count all images. say: is given a line for each thing found.

    Raises DataError for what is missing, for files that do not decode (config.broken "fail"), and
    for pairs of different sizes.
    """
    root, channels = Path(config.data), (config.channels_a, config.channels_b)
    cache = ImageCache(config.cache_mb)
    train = find_image_folders(root, "train", paired, channels)
    try:
        tests = find_image_folders(root, "test", paired, channels)
    except DataError:
        tests = None
    report = validate_images([*train, *(tests or ())], cache, config.workers)
    lines = report.summary_lines() + (
        [] if tests else ["there are no test images: samples show training"]
    )
    for line in lines:
        log(line)
    if corrupt := report.files_to_skip(config.on_corrupt):
        excluded = corrupt | _files_of_corrupt_pairs(train, corrupt) if paired else corrupt
        train = (train[0].excluding(excluded), train[1].excluding(excluded))
        if tests:
            excluded = corrupt | _files_of_corrupt_pairs(tests, corrupt) if paired else corrupt
            tests = (tests[0].excluding(excluded), tests[1].excluding(excluded))
    data_class = PairedData if paired else UnpairedData
    data = data_class(
        train,
        Preprocess(
            config.preprocess,
            config.load_size,
            config.crop_size,
            config.flip,
            config.generator_config.multiple,
        ),
        cache,
        batch_size=config.batch_size,
        accumulate=config.accumulate,
        seed=config.seed,
        shard=shard,
    )
    return Dataset(data, tests, tuple(lines))


def _files_of_corrupt_pairs(
    pair: tuple[ImageFolder, ImageFolder], corrupt: frozenset[Path]
) -> frozenset[Path]:
    """The other halves of broken files."""
    both = zip(pair[0].files, pair[1].files, strict=True)
    return frozenset(path for files in both if corrupt & set(files) for path in files)
