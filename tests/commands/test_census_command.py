"""``census`` on the command line: what it makes of its words."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Any

import pytest

from pytest_llamakey.census.containers import compose_places
from pytest_llamakey.census.visits import Wish
from pytest_llamakey.commands import census
from pytest_llamakey.runtimes.base import RuntimeFault

if TYPE_CHECKING:
    from pathlib import Path


def test_a_secret_bears_the_name_that_places_have_for_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / ".env").write_text("")
    monkeypatch.chdir(tmp_path)
    asked: list[Wish] = []
    monkeypatch.setattr(census, "_places", lambda _target, wish, _namespace: asked.append(wish) or [])
    words = {"target": "pid:1", "secret": [".env"], "variable": [], "unit": "", "namespace": "", "json": True}
    assert census.run(argparse.Namespace(**words)) == 0
    assert [one.source for one in asked[0].secrets] == [str((tmp_path / ".env").resolve())]


class Engine:
    """A container engine in which nothing runs."""

    containers: Any
    list = staticmethod(lambda **_: ())

    def __init__(self) -> None:
        self.containers = self


def test_a_bare_word_may_have_been_meant_for_a_container() -> None:
    told = "No container called 'nosuch' runs, and none of a Compose project of that name; none runs."
    with pytest.raises(RuntimeFault, match=f"^{told}$"):
        compose_places(Engine(), "nosuch", Wish("salt"))  # type: ignore[arg-type]
