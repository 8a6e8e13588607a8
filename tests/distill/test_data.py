"""Split of photos into training and held-out ones."""

from __future__ import annotations

from pathlib import Path

import pytest

from cgt.distill.data import find_photos, subsample_evenly
from cgt.runtime.errors import DataError


def folder(path: Path, count: int) -> Path:
    path.mkdir(parents=True)
    for index in range(count):
        (path / f"{index:02}.png").write_bytes(b"")
    return path


def test_a_data_set_provides_the_source_domain(tmp_path: Path) -> None:
    for name, count in (("trainA", 3), ("testA", 2), ("trainB", 4)):
        folder(tmp_path / name, count)
    photos = find_photos([tmp_path], "AtoB")
    assert {p.parent.name for p in photos.train.files} == {"trainA"}
    assert {p.parent.name for p in photos.test.files} == {"testA"}
    assert photos.test_folder == tmp_path / "testA"


def test_test_folders_next_to_training_folders_are_held_out(tmp_path: Path) -> None:
    folders = [folder(tmp_path / name / "trainB", 3) for name in ("one", "two")]
    for name in ("one", "two"):
        folder(tmp_path / name / "testB", 2)
    photos = find_photos(folders, "AtoB")
    assert (len(photos.train.files), len(photos.test.files)) == (6, 4)


def test_a_subsample_covers_all_folders(tmp_path: Path) -> None:
    folders = [folder(tmp_path / name / "trainB", 21) for name in "abc"]
    photos = find_photos(folders, "AtoB").train
    files = subsample_evenly(photos, 7).files
    assert [path.parent.parent.name for path in files] == list("aaabbcc")
    assert subsample_evenly(photos, 60) == subsample_evenly(photos, 100) == photos


def test_other_folders_hold_some_images_out(tmp_path: Path) -> None:
    photos = find_photos([folder(tmp_path / "holiday", 45)], "AtoB")
    assert (len(photos.train.files), len(photos.test.files)) == (43, 2)
    assert not set(photos.train.files) & set(photos.test.files)


def test_too_few_images_are_rejected(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="too few images"):
        find_photos([folder(tmp_path / "few", 5)], "AtoB")
    with pytest.raises(DataError, match="missing"):
        find_photos([tmp_path / "none"], "AtoB")


@pytest.mark.parametrize(("name", "counts"), [("trainA", (38, 2)), ("testA", (38, 2))])
def test_one_domain_is_enough(name: str, counts: tuple[int, int], tmp_path: Path) -> None:
    folder(tmp_path / name, 40)
    photos = find_photos([tmp_path], "AtoB")
    assert (len(photos.train.files), len(photos.test.files)) == counts
    with pytest.raises(DataError, match="trainB is missing; BtoA translates its images"):
        find_photos([tmp_path], "BtoA")
