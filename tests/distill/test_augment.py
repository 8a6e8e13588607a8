"""What a student is shown of its photos."""

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


class Known:
    """Whose pixels the views of a run have."""

    def __init__(self, data: DistillData) -> None:
        self.data = data
        count = data.images_per_epoch
        self.photos: list[Pixels] = [set(pixels_of(data.load_image(0, i))) for i in range(count)]

    def share(self, draw: int, changed: bool) -> tuple[int, float, float]:
        """Of which photo a view is, how much of it has colours of that, how much of any."""
        view, index, _ = self.data.augmented_crop(draw, changed)
        pixels = pixels_of(unpack(np.ascontiguousarray(view)))
        any_photo: Pixels = set().union(*self.photos)
        own = np.mean([pixel in self.photos[index] for pixel in pixels])
        return index, float(own), float(np.mean([pixel in any_photo for pixel in pixels]))


@pytest.fixture
def photo_pixels(make_config: Any, tmp_path: Path) -> Known:
    config = make_config(crop_size=48, load_size=54, views=0)
    views = DistillRun.create(tmp_path / "run", config).data.train
    assert isinstance(views, DistillData)
    return Known(views)


@pytest.fixture
def without_zoom(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is enlarged has colours that are between those of a photo."""
    monkeypatch.setattr(data, "ZOOM_SHARE", 0.0)


@pytest.mark.usefixtures("as_large")
def test_every_second_view_is_in_other_colours(photo_pixels: Known) -> None:
    """As they are, views differ in where they are cut; in other colours, they do not have those
    of any part of any photo."""
    count = photo_pixels.data.images_per_epoch
    seen: dict[int, list[bool]] = {}
    for draw in range(2 * count):
        index, _, of_any = photo_pixels.share(draw, True)
        seen.setdefault(index, []).append(of_any > 0.5)
        plain, own, _ = photo_pixels.share(draw, False)
        assert (plain, own) == (index, 1)
    assert all(sorted(views) == [False, True] for views in seen.values())
    assert len({views[0] for views in seen.values()}) == 2  # also where each has one view


@pytest.mark.usefixtures("as_large")
def test_a_third_of_the_views_is_partly_of_another_photo(photo_pixels: Known) -> None:
    shares = [
        photo_pixels.share(draw, True) for draw in range(40 * photo_pixels.data.images_per_epoch)
    ]
    plain = [own for _, own, of_any in shares if of_any == 1]
    pasted = [own for own in plain if own < 1]
    # One in so many covers itself.
    assert 0.2 < len(pasted) / len(plain) < 0.45
    assert min(pasted) < 0.4 < 0.6 < max(pasted)


def test_half_of_the_views_is_enlarged(
    photo_pixels: Known, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(data, "CUTMIX_SHARE", 0.0)
    shares = [
        photo_pixels.share(draw, True) for draw in range(40 * photo_pixels.data.images_per_epoch)
    ]
    # Half of all are in other colours.
    assert 0.15 < np.mean([of_any == 1 for *_, of_any in shares]) < 0.35


def test_an_enlarged_view_is_a_part_of_a_larger_picture() -> None:
    image = np.random.default_rng(0).integers(0, 256, (60, 80, 3), np.uint8)
    preprocess = Preprocess("shrink-short", 64, 48)
    view = preprocess.apply(image, CropParams(0.5, 0.25, False, 2.0))
    large = pack(resize(image, (120, 160)))
    assert np.array_equal(view, large[:, 36:84, 28:76])


def test_what_lies_over_a_view_covers_its_share() -> None:
    under, over = np.zeros((3, 20, 40), np.float32), np.ones((3, 20, 40), np.float32)
    draw = CropParams(0, 0, False)
    right = CutMix(0, draw, False, 0.25).apply(under, over)
    below = CutMix(0, draw, True, 0.25).apply(under, over)
    assert (right[:, :, :30] == 0).all()
    assert (right[:, :, 30:] == 1).all()
    assert (below[:, :15] == 0).all()
    assert (below[:, 15:] == 1).all()


def test_views_follow_from_seed_and_draw(photo_pixels: Known) -> None:
    for draw in range(12):
        one, two = photo_pixels.data.augmented_crop(draw), photo_pixels.data.augmented_crop(draw)
        assert np.array_equal(one[0], two[0])
        assert one[1:] == two[1:]
    names = [photo_pixels.data.augmented_crop(draw)[2] for draw in range(12)]
    assert len(set(names)) == len(names)


def test_other_colours_stay_colours() -> None:
    view = 2 * np.random.default_rng(0).random((3, 8, 8), np.float32) - 1
    means, casts = [], []
    for seed in range(200):
        colours = ColorJitter.sample(np.random.default_rng(seed))
        made = colours.apply(view)
        assert made.dtype == np.float32
        assert -1 <= made.min() < made.max() <= 1
        means.append(made.mean())
        casts.append(np.log(max(colours.gains) / min(colours.gains)) / np.log(MAX_COLOR_CAST))
    assert np.std(means) > 0.1
    # Weak ones more often than strong ones: of three even draws within the cast the largest
    # differs from the smallest by one cast in the mean, and casts are half of the most.
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
def test_what_is_small_is_enlarged_no_more_than_it_must(
    size: tuple[int, int], scaled: tuple[int, int]
) -> None:
    assert Preprocess("shrink-short", 288, 256).scaled_size(*size) == scaled
