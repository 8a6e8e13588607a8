"""Tests of training data: folders, validation, crops, order and batches."""

import contextlib
import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch

from cgt.runtime import pack, resize
from cgt.runtime.errors import DataError
from cgt.runtime.image.files import encode_image
from cgt.runtime.image.opencv import cv2
from cgt.trainer.config import TrainConfig
from cgt.trainer.data.dataset import Dataset, open_dataset
from cgt.trainer.data.loader import Shard, TrainingData, UnpairedData, prefetch_to_device
from cgt.trainer.data.transforms import CropParams, Preprocess
from cgt.trainer.logs.samples import load_sample
from conftest import make_image

SETTINGS = {"generator": "resnet1", "load_size": 36, "crop_size": 32, "seed": 3}


def open_test_dataset(
    root: Path, paired: bool = False, shard: Shard | None = None, **changes: object
) -> Dataset:
    config = TrainConfig(data=str(root), **(SETTINGS | changes))
    return open_dataset(config, paired, shard)


def open_training_data(root: Path, **changes: object) -> TrainingData:
    return open_test_dataset(root, **changes).train


def write_image(path: Path, image: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(encode_image(image, path.suffix))


def test_batches_depend_on_seed_and_step_only(dataset: Path) -> None:
    data = open_training_data(dataset)
    uncached = open_training_data(dataset, cache_mb=0)
    other_seed = open_training_data(dataset, seed=4)
    resumed = [a for a, _ in uncached.batches(5, 9, workers=3)]
    uninterrupted = [a for a, _ in data.batches(0, 9, workers=0)][5:]
    assert all(torch.equal(p, q) for p, q in zip(resumed, uninterrupted, strict=True))
    assert not torch.equal(data.batch(0)[0], other_seed.batch(0)[0])


def test_epoch_has_each_image_of_the_larger_domain_once(dataset: Path) -> None:
    data = open_training_data(dataset, load_size=32)  # no crop: only flips differ
    assert data.steps_per_epoch == 6
    for epoch in range(3):
        steps = range(6 * epoch, 6 * epoch + 6)
        crops = [data.batch(step)[0][0] for step in steps]
        assert len({round(crop.sum().item(), 1) for crop in crops}) == 6
    assert open_training_data(dataset, batch_size=4).steps_per_epoch == 2
    assert open_training_data(dataset, batch_size=4).batch(1)[1].shape == (4, 3, 32, 32)
    assert open_training_data(dataset, batch_size=2, accumulate=2).batch(0)[0].shape == (
        4,
        3,
        32,
        32,
    )


def test_shards_divide_the_batches_of_one_process(dataset: Path) -> None:
    """Interleave the shards by rank and compare with the undivided batches."""
    settings = {"batch_size": 2, "accumulate": 2}
    whole = open_training_data(dataset, **settings).batch(3)[0]
    shards = [
        open_test_dataset(dataset, shard=Shard(rank, 2), **settings).train.batch(3)[0]
        for rank in (0, 1)
    ]
    assert torch.equal(whole, torch.stack(shards, 1).flatten(0, 1))


def test_training_and_runtime_preprocess_equally(dataset: Path) -> None:
    folder = open_test_dataset(dataset).sample_folders[0]
    tensor = load_sample(folder, dataset / "testA" / "1.png", 32, squash=True)
    np.testing.assert_array_equal(tensor[0].numpy(), pack(make_image(1, 48, 48), (32, 32)))


@pytest.mark.parametrize(
    ("mode", "scaled", "shape"),
    [
        ("resize-and-crop", (36, 36), (32, 32)),
        ("crop", (50, 70), (32, 32)),
        ("scale-width", (26, 36), (24, 32)),
        ("scale-short", (36, 50), (32, 32)),
        ("none", (50, 70), (48, 68)),
    ],
)
def test_preprocess_modes(mode: str, scaled: tuple[int, int], shape: tuple[int, int]) -> None:
    image = make_image(3, 50, 70)
    preprocess = Preprocess(mode, 36, 32, flip=True, multiple=4)
    assert preprocess.scaled_size(50, 70) == scaled
    sized = pack(image if scaled == (50, 70) else resize(image, scaled))
    height, width = shape
    for y, x, flip in ((0.0, 0.0, False), (0.999, 0.999, True)):
        crop = preprocess.apply(image, CropParams(y, x, flip))
        top, left = (0, 0) if y == 0 else (scaled[0] - height, scaled[1] - width)
        expected = sized[:, top : top + height, left : left + width]
        np.testing.assert_array_equal(crop, expected[:, :, ::-1] if flip else expected)
    without_flips = Preprocess(mode, 36, 32, flip=False, multiple=4)
    a, b = (without_flips.apply(image, CropParams(0.3, 0.3, flip)) for flip in (True, False))
    np.testing.assert_array_equal(a, b)


def test_crop_names_keep_old_caches_valid() -> None:
    """Keep the text that was hashed before version 0.1.0 for the file names of teacher outputs."""
    crop = CropParams(0.25, 0.5, True, zoom=1.5)
    assert crop.cache_name == "Draw(down=0.25, right=0.5, mirror=True, zoom=1.5)"
    assert str(Preprocess("shrink-short", 72, 64)) == (
        "Preprocess(mode='shrink-short', load_size=72, crop_size=64, flip=True, multiple=4)"
    )


def test_too_small_images_are_rejected() -> None:
    with pytest.raises(DataError, match="side of 3 pixels"):
        Preprocess("none", 36, 32).apply(make_image(0, 48, 48)[:3], CropParams(0, 0, False))


def test_file_formats(tmp_path: Path) -> None:
    """Read 16-bit, gray and transparent images and subfolders as RGB and as gray."""
    image = make_image(2, 48, 48)
    bgr = cv2.cvtColor(image, cv2.COLOR_RGB2BGR)
    gray = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)
    (tmp_path / "trainA" / "deep").mkdir(parents=True)
    cv2.imwrite(str(tmp_path / "trainA" / "deep" / "a.png"), bgr.astype(np.uint16) * 257)
    cv2.imwrite(str(tmp_path / "trainA" / "b.tif"), gray)
    cv2.imwrite(str(tmp_path / "trainA" / "c.webp"), bgr, [cv2.IMWRITE_WEBP_QUALITY, 101])
    cv2.imwrite(str(tmp_path / "trainA" / "d.png"), np.dstack([bgr, gray]))
    write_image(tmp_path / "trainB" / "1.png", image)
    data = open_training_data(tmp_path)
    assert len(data.folders[0].files) == 4
    for index, path in enumerate(data.folders[0].files):
        expected = np.repeat(gray[..., None], 3, 2) if path.name == "b.tif" else image
        if path.name == "d.png":  # on white
            alpha = gray[..., None].astype(int)
            expected = (image * alpha + 255 * (255 - alpha) + 127) // 255
        np.testing.assert_array_equal(data.load_image(0, index), expected)
    gray_data = open_training_data(tmp_path, channels_a=1, lambda_identity=0.0)
    assert gray_data.batch(0)[0].shape == (1, 1, 32, 32)
    assert gray_data.batch(0)[1].shape == (1, 3, 32, 32)


def test_summary_lists_sizes_and_duplicates(dataset: Path, tmp_path: Path) -> None:
    root = tmp_path / "set"
    shutil.copytree(dataset, root)
    shutil.copy(root / "trainA" / "3.png", root / "testA" / "copy.png")
    write_image(root / "trainB" / "large.png", make_image(9, 60, 40))
    lines = open_test_dataset(root).summary
    assert f"{root / 'trainA'}: 6 images, 6 of 48x48" in lines
    assert f"{root / 'trainB'}: 5 images, 4 of 48x48, 1 of other sizes" in lines
    # The data set repeats its first images in its test folders.
    assert lines[-1].startswith("images that are in several folders: 5 (trainA/0.png = testA/0.")
    assert "trainA/3.png = testA/copy.png" in lines[-1]


@pytest.mark.parametrize("kind", ["text", "empty", "truncated"])
def test_corrupt_files_are_reported_or_skipped(dataset: Path, tmp_path: Path, kind: str) -> None:
    root = tmp_path / "set"
    shutil.copytree(dataset, root)
    jpeg = encode_image(make_image(0, 48, 48), ".jpg")
    content = {"text": b"nothing", "empty": b"", "truncated": jpeg[: len(jpeg) // 2]}[kind]
    (root / "trainA" / "corrupt.jpg").write_bytes(content)
    with pytest.raises(DataError, match=r"corrupt\.jpg is not a readable image"):
        open_test_dataset(root)
    skipped = open_test_dataset(root, on_corrupt="skip")
    assert len(skipped.train.folders[0].files) == 6
    assert any("corrupt.jpg" in line for line in skipped.summary)


def test_files_of_other_formats_are_reported(
    dataset: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    root = shutil.copytree(dataset, tmp_path / "data")
    for index in range(5):
        (root / "trainA" / f"moving{index}.gif").write_bytes(b"GIF89a")
    (root / "trainB" / "photo.psd").touch()
    open_test_dataset(root)
    assert "trainA: images of other formats are left out: moving0.gif, moving1.gif" in caplog.text
    assert "and 2 more" in caplog.text
    assert "trainB: images of other formats are left out: photo.psd" in caplog.text
    assert caplog.text.count("left out") == 2


def test_missing_data_is_reported(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="trainA is missing"):
        open_test_dataset(tmp_path)
    for side in ("trainA", "trainB"):
        (tmp_path / side).mkdir()
    with pytest.raises(DataError, match="has no image"):
        open_test_dataset(tmp_path)
    (tmp_path / "trainA" / "x.png").write_bytes(b"nothing")
    write_image(tmp_path / "trainB" / "x.png", make_image(0, 48, 48))
    with pytest.raises(DataError, match="has no readable image"):
        open_test_dataset(tmp_path, on_corrupt="skip")


def test_images_of_different_sizes_do_not_fit_in_a_batch(dataset: Path, tmp_path: Path) -> None:
    root = tmp_path / "set"
    shutil.copytree(dataset, root)
    write_image(root / "trainA" / "wide.png", make_image(1, 48, 80))
    data = open_training_data(root, batch_size=7, preprocess="none")
    with pytest.raises(DataError, match="--batch-size 1"):
        data.batch(0)


def write_side_by_side_pairs(root: Path, count: int = 3) -> None:
    for split in ("train", "test"):
        for index in range(count):
            left, right = make_image(index, 48, 48), 255 - make_image(index, 48, 48)
            write_image(root / split / f"{index}.png", np.concatenate([left, right], 1))


@pytest.mark.parametrize("structure", ["names", "side by side"])
def test_both_images_of_a_pair_get_the_same_crop(tmp_path: Path, structure: str) -> None:
    """Use pairs whose B is the negative of A, and compare their crops."""
    if structure == "side by side":
        write_side_by_side_pairs(tmp_path)
    else:
        for index in range(3):
            write_image(tmp_path / "trainA" / f"{index}.png", make_image(index, 48, 48))
            write_image(tmp_path / "trainB" / f"{index}.bmp", 255 - make_image(index, 48, 48))
    data = open_training_data(tmp_path, paired=True, preprocess="crop")
    assert data.steps_per_epoch == 3
    sums = set()
    for step in range(12):
        a, b = data.batch(step)
        torch.testing.assert_close(a, -b, atol=1e-6, rtol=0)
        sums.add(a.sum().item())
    assert len(sums) == 12  # crops and flips differ


@pytest.mark.parametrize("mode", ["crop", "none", "scale-short"])
def test_pairs_of_unequal_sizes_are_named(tmp_path: Path, mode: str) -> None:
    for index in range(3):
        write_image(tmp_path / "trainA" / f"{index}.png", make_image(index, 64, 64))
        height = 48 if index == 1 else 64
        write_image(tmp_path / "trainB" / f"{index}.png", make_image(index, height, 64))
    message = r"in 1 of 3 pairs: 1.png \(64x64 and 64x48\)"
    with pytest.raises(DataError, match=message):
        open_training_data(tmp_path, paired=True, preprocess=mode)
    a, b = open_training_data(tmp_path, paired=True, preprocess="resize-and-crop").batch(0)
    assert a.shape == b.shape


def test_pairs_of_two_resolutions_train_if_they_are_resized(tmp_path: Path) -> None:
    """Use pairs whose color is the position, which must be equal in both crops."""
    for side, size in (("A", 128), ("B", 96)):
        ramp = np.linspace(0, 255, size)
        x, y = np.meshgrid(ramp, ramp)
        image = np.dstack([x, y, 0 * x]).round().astype(np.uint8)
        write_image(tmp_path / f"train{side}" / "0.png", image)
    with pytest.raises(DataError, match="in 1 of 1 pairs"):
        open_training_data(tmp_path, paired=True, preprocess="crop")
    data = open_training_data(tmp_path, paired=True, preprocess="scale-width")
    for step in range(4):
        a, b = data.batch(step)
        torch.testing.assert_close(a, b, atol=0.03, rtol=0)


def test_images_without_a_partner_are_reported(tmp_path: Path) -> None:
    for name in ("1", "2"):
        write_image(tmp_path / "trainA" / f"{name}.png", make_image(0, 48, 48))
    write_image(tmp_path / "trainB" / "1.png", make_image(0, 48, 48))
    with pytest.raises(DataError, match="2 is in only one of them"):
        open_test_dataset(tmp_path, paired=True)


def test_corrupt_image_excludes_its_partner(tmp_path: Path) -> None:
    for side in "AB":
        for index in range(3):
            write_image(tmp_path / f"train{side}" / f"{index}.png", make_image(index, 48, 48))
    (tmp_path / "trainB" / "1.png").write_bytes(b"")
    data = open_training_data(tmp_path, paired=True, on_corrupt="skip")
    assert [path.stem for path in data.folders[0].files] == ["0", "2"]


def test_cache_is_limited(dataset: Path) -> None:
    cached, uncached = open_training_data(dataset), open_training_data(dataset, cache_mb=0)
    assert isinstance(cached, UnpairedData)
    path = cached.folders[0].files[0]
    assert cached.cache.get(path) is cached.cache.get(path)
    assert uncached.cache.get(path) is not uncached.cache.get(path)


@pytest.mark.parametrize(
    ("settings", "world_size", "workers"),
    [
        ({}, 1, 1),
        ({"batch_size": 16}, 1, 8),
        ({"batch_size": 16, "accumulate": 2}, 4, 4),
        ({"batch_size": 64}, 1, 12),  # not more than there are CPUs
        ({"batch_size": 16, "workers": 0}, 1, 0),
    ],
)
def test_large_batches_get_more_workers(
    monkeypatch: pytest.MonkeyPatch, settings: dict[str, int], world_size: int, workers: int
) -> None:
    monkeypatch.setattr("cgt.trainer.config.available_cpus", lambda: 12)
    assert TrainConfig(data="", **settings).num_workers(world_size) == workers


class _CudaBatch:
    """A stand-in for a tensor that records what happens to it."""

    def __init__(self, events: list[str], name: str) -> None:
        self.events, self.name = events, name

    def to(self, device: torch.device, non_blocking: bool) -> "_CudaBatch":
        assert non_blocking
        self.events.append(f"copy {self.name}")
        return self

    def record_stream(self, stream: object) -> None:
        self.events.append(f"keep {self.name}")


def test_batches_are_copied_on_a_stream_of_their_own(monkeypatch: pytest.MonkeyPatch) -> None:
    events: list[str] = []

    class Steps:
        def wait_stream(self, other: object) -> None:
            events.append("wait")

    @contextlib.contextmanager
    def enter(stream: object) -> Iterator[None]:
        events.append("enter")
        yield
        events.append("leave")

    monkeypatch.setattr(torch.cuda, "Stream", lambda device: object())
    monkeypatch.setattr(torch.cuda, "stream", enter)
    monkeypatch.setattr(torch.cuda, "current_stream", lambda device: Steps())
    batches = [(_CudaBatch(events, f"a{n}"), _CudaBatch(events, f"b{n}")) for n in range(2)]
    for _ in prefetch_to_device(batches, torch.device("cuda")):
        events.append("step")
    per_step = [
        "enter",
        "copy a{0}",
        "copy b{0}",
        "leave",
        "wait",
        "keep a{0}",
        "keep b{0}",
        "step",
    ]
    assert events == [event.format(n) for n in range(2) for event in per_step]
    assert list(prefetch_to_device(batches, torch.device("cpu"))) == batches
