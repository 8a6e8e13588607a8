"""Crops and augmentations of distillation photos."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cgt.distill import data
from cgt.distill.augment import MAX_COLOR_CAST, ColorJitter, CutMix
from cgt.distill.data import DistillData
from cgt.distill.train import DistillRun
from cgt.runtime.image.preprocess import pack, resize, unpack
from cgt.trainer.data.transforms import CropParams, Preprocess

Pixels = set[tuple[int, ...]]


def pixels_of(image: np.ndarray) -> list[tuple[int, ...]]:
    return [tuple(pixel) for pixel in image.reshape(-1, 3)]


class PhotoPixels:
    """Finds the photo that the pixels of a crop come from."""

    def __init__(self, data: DistillData) -> None:
        self.data = data
        count = data.images_per_epoch
        self.photos: list[Pixels] = [set(pixels_of(data.load_image(0, i))) for i in range(count)]

    def shares(self, draw: int, augment: bool) -> tuple[int, float, float]:
        """Return a crop's photo and the shares of pixels with its colors and with any photo's."""
        crop, index, _ = self.data.augmented_crop(draw, augment)
        pixels = pixels_of(unpack(np.ascontiguousarray(crop)))
        any_photo: Pixels = set().union(*self.photos)
        own = np.mean([pixel in self.photos[index] for pixel in pixels])
        return index, float(own), float(np.mean([pixel in any_photo for pixel in pixels]))


@pytest.fixture
def photo_pixels(make_config: Any, tmp_path: Path) -> PhotoPixels:
    config = make_config(crop_size=48, load_size=54, crops_per_image=0)
    data = DistillRun.create(tmp_path / "run", config).data.train
    assert isinstance(data, DistillData)
    return PhotoPixels(data)


@pytest.fixture
def without_zoom(monkeypatch: pytest.MonkeyPatch) -> None:
    """Disable zoom, which interpolates between the colors of a photo."""
    monkeypatch.setattr(data, "ZOOM_SHARE", 0.0)


@pytest.mark.usefixtures("without_zoom")
def test_every_second_crop_has_other_colors(photo_pixels: PhotoPixels) -> None:
    """Check that crops with jitter have colors of no photo, and the others those of their photo."""
    count = photo_pixels.data.images_per_epoch
    seen: dict[int, list[bool]] = {}
    for draw in range(2 * count):
        index, _, of_any = photo_pixels.shares(draw, True)
        seen.setdefault(index, []).append(of_any > 0.5)
        plain, own, _ = photo_pixels.shares(draw, False)
        assert (plain, own) == (index, 1)
    assert all(sorted(unchanged) == [False, True] for unchanged in seen.values())
    assert len({unchanged[0] for unchanged in seen.values()}) == 2  # even with one crop per photo


@pytest.mark.usefixtures("without_zoom")
def test_a_third_of_the_crops_is_partly_of_another_photo(photo_pixels: PhotoPixels) -> None:
    shares = [
        photo_pixels.shares(draw, True) for draw in range(40 * photo_pixels.data.images_per_epoch)
    ]
    plain = [own for _, own, of_any in shares if of_any == 1]
    pasted = [own for own in plain if own < 1]
    # Some photos are pasted onto themselves.
    assert 0.2 < len(pasted) / len(plain) < 0.45
    assert min(pasted) < 0.4 < 0.6 < max(pasted)


def test_half_of_the_crops_is_enlarged(
    photo_pixels: PhotoPixels, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(data, "CUTMIX_SHARE", 0.0)
    shares = [
        photo_pixels.shares(draw, True) for draw in range(40 * photo_pixels.data.images_per_epoch)
    ]
    # Half of all have other colors.
    assert 0.15 < np.mean([of_any == 1 for *_, of_any in shares]) < 0.35


def test_an_enlarged_crop_is_part_of_an_enlarged_image() -> None:
    image = np.random.default_rng(0).integers(0, 256, (60, 80, 3), np.uint8)
    preprocess = Preprocess("shrink-short", 64, 48)
    crop = preprocess.apply(image, CropParams(0.5, 0.25, False, 2.0))
    large = pack(resize(image, (120, 160)))
    assert np.array_equal(crop, large[:, 36:84, 28:76])


def test_cutmix_covers_its_share() -> None:
    under, over = np.zeros((3, 20, 40), np.float32), np.ones((3, 20, 40), np.float32)
    crop = CropParams(0, 0, False)
    right = CutMix(0, crop, False, 0.25).apply(under, over)
    below = CutMix(0, crop, True, 0.25).apply(under, over)
    assert (right[:, :, :30] == 0).all()
    assert (right[:, :, 30:] == 1).all()
    assert (below[:, :15] == 0).all()
    assert (below[:, 15:] == 1).all()


def test_crops_depend_on_seed_and_draw_only(photo_pixels: PhotoPixels) -> None:
    for draw in range(12):
        one, two = photo_pixels.data.augmented_crop(draw), photo_pixels.data.augmented_crop(draw)
        assert np.array_equal(one[0], two[0])
        assert one[1:] == two[1:]
    names = [photo_pixels.data.augmented_crop(draw)[2] for draw in range(12)]
    assert len(set(names)) == len(names)


def test_cached_outputs_of_0_1_0_stay_valid() -> None:
    """Check the spelling of augmentations in the keys of cached teacher outputs."""
    crop = CropParams(0.5, 0.25, False, 1.5)
    draw = "Draw(down=0.5, right=0.25, mirror=False, zoom=1.5)"
    assert crop.cache_name == draw
    cutmix = CutMix(3, crop, True, 0.75)
    assert cutmix.cache_name == f"Paste(other=3, draw={draw}, below=True, share=0.75)"
    jitter = ColorJitter((1.0, 0.5, 0.25), 0.75, 1.25)
    assert jitter.cache_name == "Colours(gains=(1.0, 0.5, 0.25), saturation=0.75, contrast=1.25)"
    assert str(Preprocess("shrink-short", 72, 64)) == (
        "Preprocess(mode='shrink-short', load_size=72, crop_size=64, flip=True, multiple=4)"
    )


def test_color_jitter_stays_in_range() -> None:
    image = 2 * np.random.default_rng(0).random((3, 8, 8), np.float32) - 1
    means, casts = [], []
    for seed in range(200):
        jitter = ColorJitter.sample(np.random.default_rng(seed))
        output = jitter.apply(image)
        assert output.dtype == np.float32
        assert -1 <= output.min() < output.max() <= 1
        means.append(output.mean())
        casts.append(np.log(max(jitter.gains) / min(jitter.gains)) / np.log(MAX_COLOR_CAST))
    assert np.std(means) > 0.1
    # Weak casts are more frequent than strong ones. The largest and smallest of three uniform draws
    # within the cast differ by one cast on average, and the average cast is half of the maximum.
    assert 0.4 < np.mean(casts) < 0.6
    assert np.mean(np.array(casts) < 0.3) > 0.25
    assert max(casts) > 1.2


@pytest.mark.parametrize(
    ("size", "scaled"),
    [
        ((256, 256), (256, 256)),
        ((270, 400), (270, 400)),
        ((100, 200), (256, 512)),
        ((576, 1152), (288, 576)),
    ],
)
def test_small_images_are_enlarged_only_to_the_crop_size(
    size: tuple[int, int], scaled: tuple[int, int]
) -> None:
    assert Preprocess("shrink-short", 288, 256).scaled_size(*size) == scaled
