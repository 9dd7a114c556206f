"""What is remembered from run to run."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from pytest_llamakey import cache

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture(autouse=True)
def kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    return cache.folder("kind")


def test_what_was_written_is_read_and_nothing_else_is_there(kept: Path) -> None:
    assert cache.read("kind", "a") is None
    cache.write("kind", "a", {"b": [1]})
    cache.write("kind", "a", {"b": [2]})
    assert cache.read("kind", "a") == {"b": [2]}
    assert [path.name for path in kept.iterdir()] == ["a.json"]


@pytest.mark.parametrize("half", ["", '{"b": [', "\udcff"])
def test_what_a_run_that_was_killed_had_not_written_whole_is_as_good_as_nothing(kept: Path, half: str) -> None:
    cache.write("kind", "a", {"b": [1]})
    (kept / "a.json").write_bytes(half.encode(errors="surrogateescape"))
    assert cache.read("kind", "a") is None


def test_the_oldest_make_room(kept: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cache, "KEPT", 2)
    for age, name in enumerate("abc"):
        cache.write("kind", name, 0)
        os.utime(kept / f"{name}.json", (age, age))
    (kept / "older").mkdir()
    (kept / "dangling.json").symlink_to("nowhere")
    os.utime(kept / "dangling.json", (0, 0), follow_symlinks=False)
    cache.write("kind", "d", 0)
    assert sorted(path.stem for path in kept.glob("*.json")) == ["c", "d"]


def test_without_a_folder_nothing_is_remembered(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    cache.write("kind", "a", 0)
    assert cache.read("kind", "a") is None


def test_a_user_without_a_home_keeps_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.delenv("HOME", raising=False)
    monkeypatch.setattr("pwd.getpwuid", dict[int, None]().__getitem__)
    cache.write("kind", "a", 0)
    assert cache.read("kind", "a") is None
    with pytest.raises(OSError, match=os.devnull):
        cache.folder("kind").mkdir(parents=True)
