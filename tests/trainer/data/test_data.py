import shutil
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
from cgt.trainer.data.loader import Shard, TrainingData, UnpairedData
from cgt.trainer.data.transforms import CropParams, Preprocess
from cgt.trainer.logs.samples import load_sample
from conftest import make_image

SMALL = {"generator": "resnet1", "load_size": 36, "crop_size": 32, "seed": 3}


def opened(root: Path, paired: bool = False, share: Shard | None = None, **more: object) -> Dataset:
    lines: list[str] = []
    return open_dataset(TrainConfig(data=str(root), **(SMALL | more)), paired, share, lines.append)


def data(root: Path, **more: object) -> TrainingData:
    return opened(root, **more).train


def write(path: Path, image: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(encode_image(image, path.suffix))


def test_batches_depend_on_seed_and_step_alone(dataset: Path) -> None:
    first, again, other = data(dataset), data(dataset, cache_mb=0), data(dataset, seed=4)
    later = [a for a, _ in again.batches(5, 9, workers=3)]
    straight = [a for a, _ in first.batches(0, 9, workers=0)][5:]
    assert all(torch.equal(p, q) for p, q in zip(later, straight, strict=True))
    assert not torch.equal(first.batch(0)[0], other.batch(0)[0])


def test_an_epoch_shows_each_image_of_the_larger_side_once(dataset: Path) -> None:
    pairs = data(dataset, load_size=32)  # no crop: only flips differ
    assert pairs.steps_per_epoch == 6
    for epoch in range(3):
        steps = range(6 * epoch, 6 * epoch + 6)
        views = [pairs.batch(step)[0][0] for step in steps]
        assert len({round(view.sum().item(), 1) for view in views}) == 6
    assert data(dataset, batch_size=4).steps_per_epoch == 2
    assert data(dataset, batch_size=4).batch(1)[1].shape == (4, 3, 32, 32)
    assert data(dataset, batch_size=2, accumulate=2).batch(0)[0].shape == (4, 3, 32, 32)


def test_processes_share_what_one_would_see(dataset: Path) -> None:
    """Batch by batch, in the order of ranks."""
    settings = {"batch_size": 2, "accumulate": 2}
    whole = data(dataset, **settings).batch(3)[0]
    parts = [opened(dataset, share=Shard(r, 2), **settings).train.batch(3)[0] for r in (0, 1)]
    assert torch.equal(whole, torch.stack(parts, 1).flatten(0, 1))


def test_training_and_serving_prepare_the_same_pixels(dataset: Path) -> None:
    domain = opened(dataset).sample_folders[0]
    tensor = load_sample(domain, dataset / "testA" / "1.png", 32, squash=True)
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
    for down, right, mirror in ((0.0, 0.0, False), (0.999, 0.999, True)):
        view = preprocess.apply(image, CropParams(down, right, mirror))
        top, left = (0, 0) if down == 0 else (scaled[0] - height, scaled[1] - width)
        wanted = sized[:, top : top + height, left : left + width]
        np.testing.assert_array_equal(view, wanted[:, :, ::-1] if mirror else wanted)
    unmirrored = Preprocess(mode, 36, 32, flip=False, multiple=4)
    a, b = (unmirrored.apply(image, CropParams(0.3, 0.3, mirror)) for mirror in (True, False))
    np.testing.assert_array_equal(a, b)


def test_images_smaller_than_the_networks_need_are_refused() -> None:
    with pytest.raises(DataError, match="side of 3 pixels"):
        Preprocess("none", 36, 32).apply(make_image(0, 48, 48)[:3], CropParams(0, 0, False))


def test_kinds_of_files(tmp_path: Path) -> None:
    """16 bits, grayscale, transparency, folders within; wanted gray or in colour."""
    image = make_image(2, 48, 48)
    bgr = cv2.cvtColor(image, cv2.COLOR_RGB2BGR)
    gray = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)
    (tmp_path / "trainA" / "deep").mkdir(parents=True)
    cv2.imwrite(str(tmp_path / "trainA" / "deep" / "a.png"), bgr.astype(np.uint16) * 257)
    cv2.imwrite(str(tmp_path / "trainA" / "b.tif"), gray)
    cv2.imwrite(str(tmp_path / "trainA" / "c.webp"), bgr, [cv2.IMWRITE_WEBP_QUALITY, 101])
    cv2.imwrite(str(tmp_path / "trainA" / "d.png"), np.dstack([bgr, gray]))
    write(tmp_path / "trainB" / "1.png", image)
    pairs = data(tmp_path)
    assert len(pairs.folders[0].files) == 4
    for index, path in enumerate(pairs.folders[0].files):
        wanted = np.repeat(gray[..., None], 3, 2) if path.name == "b.tif" else image
        np.testing.assert_array_equal(pairs.load_image(0, index), wanted)
    one = data(tmp_path, channels_a=1, lambda_identity=0.0)
    assert one.batch(0)[0].shape == (1, 1, 32, 32)
    assert one.batch(0)[1].shape == (1, 3, 32, 32)


def test_the_summary(dataset: Path, tmp_path: Path) -> None:
    root = tmp_path / "set"
    shutil.copytree(dataset, root)
    shutil.copy(root / "trainA" / "3.png", root / "testA" / "copy.png")
    write(root / "trainB" / "large.png", make_image(9, 60, 40))
    lines = opened(root).summary
    assert f"{root / 'trainA'}: 6 images, 6 of 48x48" in lines
    assert f"{root / 'trainB'}: 5 images, 4 of 48x48, 1 of other sizes" in lines
    # The data set repeats its first pictures in its test folders.
    assert lines[-1].startswith("pictures that are in several folders: 5 (trainA/0.png = testA/0.")
    assert "trainA/3.png = testA/copy.png" in lines[-1]


@pytest.mark.parametrize("kind", ["text", "empty", "cut"])
def test_broken_files_are_named_or_skipped(dataset: Path, tmp_path: Path, kind: str) -> None:
    root = tmp_path / "set"
    shutil.copytree(dataset, root)
    whole = encode_image(make_image(0, 48, 48), ".jpg")
    content = {"text": b"nothing", "empty": b"", "cut": whole[: len(whole) // 2]}[kind]
    (root / "trainA" / "broken.jpg").write_bytes(content)
    with pytest.raises(DataError, match=r"broken\.jpg is not a readable image"):
        opened(root)
    skipped = opened(root, broken="skip")
    assert len(skipped.train.folders[0].files) == 6
    assert any("broken.jpg" in line for line in skipped.summary)


def test_missing_data_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="trainA is missing"):
        opened(tmp_path)
    for side in ("trainA", "trainB"):
        (tmp_path / side).mkdir()
    with pytest.raises(DataError, match="has no image"):
        opened(tmp_path)
    (tmp_path / "trainA" / "x.png").write_bytes(b"nothing")
    write(tmp_path / "trainB" / "x.png", make_image(0, 48, 48))
    with pytest.raises(DataError, match="has no readable image"):
        opened(tmp_path, broken="skip")


def test_images_of_several_sizes_make_no_batch(dataset: Path, tmp_path: Path) -> None:
    root = tmp_path / "set"
    shutil.copytree(dataset, root)
    write(root / "trainA" / "wide.png", make_image(1, 48, 80))
    pairs = data(root, batch_size=7, preprocess="none")
    with pytest.raises(DataError, match="--batch-size 1"):
        pairs.batch(0)


def halves(root: Path, count: int = 3) -> None:
    for part in ("train", "test"):
        for index in range(count):
            left, right = make_image(index, 48, 48), 255 - make_image(index, 48, 48)
            write(root / part / f"{index}.png", np.concatenate([left, right], 1))


@pytest.mark.parametrize("layout", ["names", "side by side"])
def test_pairs_stay_pairs(tmp_path: Path, layout: str) -> None:
    """Whatever the crop and the mirror: B is the negative of A here."""
    if layout == "side by side":
        halves(tmp_path)
    else:
        for index in range(3):
            write(tmp_path / "trainA" / f"{index}.png", make_image(index, 48, 48))
            write(tmp_path / "trainB" / f"{index}.bmp", 255 - make_image(index, 48, 48))
    pairs = data(tmp_path, paired=True, preprocess="crop")
    assert pairs.steps_per_epoch == 3
    seen = set()
    for step in range(12):
        a, b = pairs.batch(step)
        torch.testing.assert_close(a, -b, atol=1e-6, rtol=0)
        seen.add(a.sum().item())
    assert len(seen) == 12  # crops and mirrors differ


def test_pairs_without_a_partner_are_named(tmp_path: Path) -> None:
    for name in ("1", "2"):
        write(tmp_path / "trainA" / f"{name}.png", make_image(0, 48, 48))
    write(tmp_path / "trainB" / "1.png", make_image(0, 48, 48))
    with pytest.raises(DataError, match="2 is in one of them only"):
        opened(tmp_path, paired=True)


def test_a_broken_half_takes_its_partner_along(tmp_path: Path) -> None:
    for side in "AB":
        for index in range(3):
            write(tmp_path / f"train{side}" / f"{index}.png", make_image(index, 48, 48))
    (tmp_path / "trainB" / "1.png").write_bytes(b"")
    pairs = data(tmp_path, paired=True, broken="skip")
    assert [p.stem for p in pairs.folders[0].files] == ["0", "2"]


def test_the_cache_keeps_what_fits(dataset: Path) -> None:
    kept, none = data(dataset), data(dataset, cache_mb=0)
    assert isinstance(kept, UnpairedData)
    paths = kept.folders[0].files
    assert kept.cache.get(paths[0]) is kept.cache.get(paths[0])
    assert none.cache.get(paths[0]) is not none.cache.get(paths[0])
