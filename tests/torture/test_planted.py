"""What the search for planted keys finds: any sixteen characters in a row, in whatever they are wrapped."""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING

import pytest

from tools.torture.planted import WINDOW, Planted, azure_key, project_key, service_key

if TYPE_CHECKING:
    from collections.abc import Callable


@pytest.mark.parametrize("make", [project_key, service_key, azure_key])
def test_every_window_of_a_key_is_found(make: Callable[[], str]) -> None:
    key = make()
    planted = Planted({"other": project_key()}, {"this": key})
    windows = [key[start : start + WINDOW] for start in range(len(key) - WINDOW + 1)]
    assert [planted.found(f'x "{window}",') for window in windows] == [["this"]] * len(windows)


@pytest.mark.parametrize("encode", [base64.b64encode, base64.urlsafe_b64encode])
@pytest.mark.parametrize("before", ["", "Bearer ", "user:", "me:"])
@pytest.mark.parametrize("make", [project_key, azure_key])
def test_base64_is_found_at_every_alignment(
    make: Callable[[], str], before: str, encode: Callable[[bytes], bytes]
) -> None:
    key = make()
    for after in ("", "\n", "\r\n"):
        encoded = encode(f"{before}{key}{after}".encode())
        assert Planted(inside={"this": key}).found(b'{"auth": "' + encoded + b'"}') == ["this"]


def test_a_piece_of_base64_is_found() -> None:
    key = project_key()
    encoded = base64.b64encode(f"Bearer {key}".encode())[12:-4]
    for start in range(len(encoded) - WINDOW + 1):
        assert Planted(inside={"this": key}).found(encoded[start : start + WINDOW]) == ["this"]


def test_what_gives_nothing_away_is_not_found() -> None:
    key = project_key()
    planted = Planted({"outside": service_key()}, {"this": key})
    assert planted.found(f"{key[:15]}\n{key[20:35]} sk-proj-… T3BlbkFJ") == []
    assert planted.found(key, outside_only=True) == []
