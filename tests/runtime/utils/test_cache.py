"""The cache folder: persistent, private, and optional."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest

from cgt.runtime.utils.cache import MAX_ENTRIES, JsonCache, cache_dir, cached_sha256, short_hash


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    return tmp_path


def test_folders_are_private(home: Path) -> None:
    folder = cache_dir("openvino", "abc")
    assert folder == home / "cgt" / "openvino" / "abc"
    assert stat.S_IMODE((home / "cgt").stat().st_mode) == 0o700


def test_the_default_is_in_the_home_folder(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", str(home))
    assert cache_dir() == home / ".cache" / "cgt"


def test_least_recently_used_models_are_deleted(home: Path) -> None:
    for index in range(MAX_ENTRIES + 3):
        folder = cache_dir("openvino", f"{index:02d}")
        assert folder is not None
        (folder / "blob").write_text("x")
        cache_dir("openvino", "00")  # used each time
    left = sorted(path.name for path in (home / "cgt" / "openvino").iterdir())
    assert len(left) == MAX_ENTRIES
    assert "00" in left
    assert f"{MAX_ENTRIES + 2:02d}" in left


def test_values_persist(home: Path) -> None:
    assert JsonCache("a.json").get("key") is None
    assert JsonCache("a.json").put("key", [1, 2])
    assert JsonCache("a.json").put("other", "x")
    assert JsonCache("a.json").get("key") == [1, 2]
    (home / "cgt" / "a.json").write_text("[]")
    assert JsonCache("a.json").get("key") is None


def test_hashes_depend_on_the_parts(tmp_path: Path) -> None:
    assert short_hash("ab", "c") != short_hash("a", "bc")
    file = tmp_path / "f"
    file.write_text("one")
    first = cached_sha256(file)
    file.write_text("other")
    assert cached_sha256(file) != first
