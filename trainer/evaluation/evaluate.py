"""Evaluation of checkpoints and models on a data set (`cgt eval`)."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import islice
from pathlib import Path
from typing import Any

from cgt.runtime.errors import DataError, UsageError
from cgt.runtime.image.channels import convert_channels, to_rgb
from cgt.runtime.image.compose import make_grid
from cgt.runtime.image.files import encode_image
from cgt.runtime.image.preprocess import U8, resize
from cgt.runtime.inference.optical_flow import WarpingErrorMeter
from cgt.runtime.models.metadata import Direction
from cgt.runtime.sources import Frame, open_source
from cgt.runtime.utils.atomic import atomic_write
from cgt.runtime.utils.progress import progress_bar

from ..config import reverse_direction
from ..data.dataset import LogFn
from ..data.folders import ImageFolder, find_available_folders
from ..logs.best_checkpoint import load_eval_images
from ..networks.efficientnet import INPUT_SIDES_PX
from .features import FeatureExtractor, efficientnet_extractor, inception_extractor
from .report import EvaluationImages, TranslateFn, measure_translation
from .subject import EvaluationSubject

MAX_MONTAGE_ROWS = 8  # per direction
VIDEO_SIZE_MULTIPLE = 32  # video frames are resized to a multiple of it, in pixels

ImageRows = list[list[U8]]
_SIDES: dict[Direction, tuple[int, int]] = {"AtoB": (0, 1), "BtoA": (1, 0)}  # source, target


def evaluate(
    subject: EvaluationSubject,
    data: Path | None = None,
    *,
    max_images: int | None = None,
    imagenet_class: int | None = None,
    inception: Path | None = None,
    video: Path | None = None,
    frames: int = 100,
    log: LogFn = lambda line: None,
) -> tuple[dict[str, Any], dict[str, ImageRows]]:
    """Evaluate a subject on a data set.

    A direction needs the test images of its source domain. Without those of its target domain,
    its training images stand in for them, and cgt prints this.

    Args:
        subject: The checkpoint or model.
        data: Data set; by default the one that the checkpoint was trained on.
        max_images: Maximum number of images per folder; by default all.
        imagenet_class: ImageNet class whose predicted share the report includes.
        inception: Weights of FID's Inception; by default those in torch-fidelity's download folder.
        video: Video on which to measure the warping error of the first direction.
        frames: Number of frames of the video.
        log: Receives remarks for the user.

    Returns:
        A report in plain JSON types, and rows of images by direction.

    Raises:
        DataError: If the test images of all directions are missing.
        UsageError: If there is no data set, or the Inception weights are missing.
        MissingDependency: If the extra [projected] is not installed.
    """
    root = data or subject.data
    if root is None:
        raise UsageError(
            "the data set is unknown; use --data with a folder that has testA/ and testB/"
        )
    tests = find_available_folders(root, "test", subject.paired, subject.channels)
    directions = _available_directions(subject, tests, root, log)
    extractors = _open_extractors(inception, log)
    side_by_side = subject.paired and not (root / "trainA").is_dir()  # other pairs do not matter
    try:
        training = find_available_folders(root, "train", side_by_side, subject.channels)
    except DataError:  # an empty folder
        training = None, None
    image_limit = max_images or max(len(folder.files) for folder in tests if folder)

    def load(folder: ImageFolder | None, limit: int) -> list[U8]:
        if folder is None:
            return []
        return load_eval_images(folder, subject.size, subject.squash, limit)

    sets = [load(folder, image_limit) for folder in tests]
    training_images = [
        load(folder, len(real) or image_limit) for folder, real in zip(training, sets, strict=True)
    ]
    report: dict[str, Any] = {
        "subject": subject.name,
        "data": str(root),
        "size": subject.size,
        "directions": {},
    }
    rows: dict[str, ImageRows] = {}
    translate_fns = {name: make((subject.size,) * 2) for name, make in subject.translators.items()}
    with progress_bar("translating", None, unit="image") as bar:

        def counted(translate: TranslateFn | None) -> TranslateFn | None:
            if translate is None:
                return None

            def call(image: U8) -> U8:
                bar.advance()
                return translate(image)

            return call

        for direction in directions:
            x, y = _SIDES[direction]
            target, other_real = sets[y], training_images[y]
            if not target:
                missing, target, other_real = root / f"test{'AB'[y]}", other_real, []
                distances_to = "distances are to training images" if target else "no distances"
                log(f"{missing} is missing; {direction}: {distances_to}")
            elif not other_real:
                log(f"{root} has no training images of {'AB'[y]}; no distance between real images")
            forward = counted(translate_fns[direction])
            assert forward is not None
            values, rows[direction] = measure_translation(
                EvaluationImages(sets[x], target, other_real),
                forward,
                counted(translate_fns.get(reverse_direction(direction))),
                extractors,
                paired=subject.paired and bool(sets[y]),
                imagenet_class=imagenet_class,
            )
            names = {"from": subject.domains[x], "to": subject.domains[y]}
            report["directions"][direction] = names | values
    if video is not None:
        report["video"] = temporal_stability(subject, directions[0], video, frames)
    return report, rows


def _available_directions(
    subject: EvaluationSubject,
    tests: Sequence[ImageFolder | None],
    root: Path,
    log: LogFn,
) -> list[Direction]:
    """Return the directions whose source domain has test images; print the others."""
    missing = {
        direction: root / f"test{'AB'[_SIDES[direction][0]]}"
        for direction in subject.directions
        if tests[_SIDES[direction][0]] is None
    }
    directions = [name for name in subject.directions if name not in missing]
    if not directions:
        needed = " and ".join(map(str, missing.values()))
        raise DataError(
            f"{needed} {'is' if len(missing) == 1 else 'are'} missing; "
            f"{' and '.join(missing)} translates the test images there"
        )
    for direction, folder in missing.items():
        log(f"{folder} is missing; {direction} is left out")
    return directions


def _open_extractors(inception: Path | None, log: LogFn) -> list[FeatureExtractor]:
    if inception is not None and not inception.is_file():
        raise UsageError(f"--inception {inception} is missing")
    found = inception_extractor(inception)
    if found is None:
        log(
            "no distances with Inception features; install the extra [inception], and pass its "
            "weights by --inception or let torch-fidelity download them"
        )
    return [*map(efficientnet_extractor, INPUT_SIDES_PX), *([found] if found else [])]


def temporal_stability(
    subject: EvaluationSubject, direction: Direction, video: Path, frames: int
) -> dict[str, Any]:
    """Measure the warping error of a translated video and of the video itself.

    Args:
        subject: The checkpoint or model; its size is the short side of the frames.
        direction: Direction of the translation.
        video: The video.
        frames: Maximum number of frames.

    Returns:
        A report in plain JSON types: "error" of the translation, "input" of the video itself.
    """
    translated_error, input_error = WarpingErrorMeter(), WarpingErrorMeter()
    count = 0
    translate: TranslateFn | None = None
    channels = subject.channels[0 if direction == "AtoB" else 1]
    with open_source(str(video), audio=False) as source:
        frame_images = (item.image for item in source if isinstance(item, Frame))
        for frame_image in islice(frame_images, frames):
            factor = subject.size / min(frame_image.shape[:2])
            height, width = (
                max(1, round(s * factor / VIDEO_SIZE_MULTIPLE)) * VIDEO_SIZE_MULTIPLE
                for s in frame_image.shape[:2]
            )
            image = resize(frame_image, (height, width))
            translate = translate or subject.translators[direction]((height, width))
            translated_error.update(image, to_rgb(translate(convert_channels(image, channels))))
            input_error.update(image, image)
            count += 1
    return {
        "file": str(video),
        "direction": direction,
        "frames": count,
        "error": translated_error.mean,
        "input": input_error.mean,
    }


def save_montage(rows: dict[str, ImageRows], path: Path) -> None:
    """Write a PNG file with evenly spaced rows of each direction. Raises UsageError otherwise."""
    selected = [
        row
        for each in rows.values()
        for row in each[:: max(1, len(each) // MAX_MONTAGE_ROWS)][:MAX_MONTAGE_ROWS]
    ]
    data = encode_image(
        make_grid([[to_rgb(image) for image in row] for row in selected]), path.suffix
    )
    if data is None:
        raise UsageError(f"--montage {path} must end in .png")
    with atomic_write(path) as temporary:
        temporary.write_bytes(data)
