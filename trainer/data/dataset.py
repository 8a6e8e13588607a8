"""Data set of a run: validated images, training batches and test folders."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from cgt.runtime.errors import DataError
from cgt.runtime.utils.log import LogFn as LogFn

from ..config import TrainConfig
from .folders import ImageFolder, find_image_folders
from .image_cache import ImageCache
from .loader import PairedData, Shard, TrainingData, UnpairedData
from .transforms import Preprocess
from .validate import validate_images


@dataclass(frozen=True)
class Dataset:
    """Training and test images of a run.

    Attributes:
        train: The training batches.
        test: Test folders of A and B; None if they are missing.
        summary: Lines that describe the images, for the user.
    """

    train: TrainingData
    test: tuple[ImageFolder, ImageFolder] | None
    summary: tuple[str, ...]

    @property
    def sample_folders(self) -> tuple[ImageFolder, ImageFolder]:
        """Return the folders of the sample images: test images, or else training images."""
        return self.test or self.train.folders


def open_dataset(
    config: TrainConfig,
    paired: bool,
    shard: Shard | None = None,
    log: LogFn = lambda line: None,
) -> Dataset:
    """Find, decode and count all images of a data set.

    Args:
        config: Settings of the run.
        paired: Whether images of A and B form pairs.
        shard: This process's part of each batch; by default everything.
        log: Receives each line of the summary.

    Raises:
        DataError: If folders or images are missing, if files do not decode (with `on_corrupt`
            "fail"), or if images of a paired data set have no partner or another size than it.
    """
    root, channels = Path(config.data), (config.channels_a, config.channels_b)
    cache = ImageCache(config.cache_mb)
    train = find_image_folders(root, "train", paired, channels)
    try:
        tests = find_image_folders(root, "test", paired, channels)
        without_tests = []
    except DataError as error:
        tests = None
        problem = str(error).partition("; ")[0] if _has_test_images(root) else "no test images"
        without_tests = [f"{problem}; samples show training images"]
    report = validate_images([*train, *(tests or ())], cache, config.num_workers())
    lines = report.summary_lines() + without_tests
    for line in lines:
        log(line)
    if corrupt := report.files_to_skip(config.on_corrupt):
        excluded = corrupt | _files_of_corrupt_pairs(train, corrupt) if paired else corrupt
        train = (train[0].excluding(excluded), train[1].excluding(excluded))
        if tests:
            excluded = corrupt | _files_of_corrupt_pairs(tests, corrupt) if paired else corrupt
            tests = (tests[0].excluding(excluded), tests[1].excluding(excluded))
    preprocess = Preprocess(
        config.preprocess,
        config.load_size,
        config.crop_size,
        config.flip,
        config.generator_config.multiple,
    )
    if paired:
        report.check_pair_sizes(train, preprocess.scaled_size)
    data_class = PairedData if paired else UnpairedData
    data = data_class(
        train,
        preprocess,
        cache,
        batch_size=config.batch_size,
        accumulate=config.accumulate,
        seed=config.seed,
        shard=shard,
    )
    return Dataset(data, tests, tuple(lines))


def _has_test_images(root: Path) -> bool:
    return any((root / name).is_dir() for name in ("testA", "testB", "test"))


def _files_of_corrupt_pairs(
    pair: tuple[ImageFolder, ImageFolder], corrupt: frozenset[Path]
) -> frozenset[Path]:
    """Return all files of pairs with at least one corrupt file."""
    pairs = zip(pair[0].files, pair[1].files, strict=True)
    return frozenset(path for files in pairs if corrupt & set(files) for path in files)
