"""Names that are too long for a table."""

from __future__ import annotations

import pytest

from pytest_llamakey.report.short_names import short_names


def test_names_that_fit_stay() -> None:
    assert short_names(["web-1", "web-2"], 8) == {"web-1": "web-1", "web-2": "web-2"}


def test_pods_are_named_by_their_end() -> None:
    names = ["shop-web-7c9d5b4f6-x2x4z", "shop-web-7c9d5b4f6-abcde"]
    assert list(short_names(names, 8).values()) == ["x2x4z", "abcde"]


def test_as_many_parts_are_kept_as_there_is_room_for() -> None:
    assert list(short_names(["shop-web-7c9d5b4f6-x2x4z"], 20).values()) == ["web-7c9d5b4f6-x2x4z"]


@pytest.mark.parametrize("width", [8, 20])
@pytest.mark.parametrize(
    "names",
    [
        [f"0123456789ab{n:02}" for n in range(20)],
        [f"{n:02}0123456789abcdefghijk" for n in range(20)],
        [f"project-{name}-1" for name in ("worker-of-the-shop", "worker-of-the-ship", "api")],
        ["a" * 30, "a" * 31],
    ],
)
def test_each_fits_and_is_told_apart(names: list[str], width: int) -> None:
    short = short_names(names, width)
    assert list(short) == names
    assert max(map(len, short.values())) <= width
    if "a" * 30 not in names:
        assert len(set(short.values())) == len(names)
