from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from pytest_llamakey.xdist_scope import scheduler, scope


@pytest.mark.parametrize(
    ("nodeid", "expected"),
    [
        ("shop/llamakey.toml::api::wire", "shop/llamakey.toml::api"),
        ("Dockerfile::shop::keyed", "Dockerfile::shop"),
        ("llamakey.toml::a::b::rollcall", "llamakey.toml::a::b"),
        ("test_app.py::TestApp::wire", ""),
        ("test_app.py::test_it", ""),
        ("test_app.py::test_it[a::wire]", ""),
        ("other.yaml::case", ""),
        ("other.yaml::suite::case", ""),
    ],
)
def test_scope(nodeid: str, expected: str) -> None:
    assert scope(nodeid) == expected


def config(dist: str) -> Any:
    options = {"dist": dist, "numprocesses": 2, "verbose": 0, "debug": False}
    return SimpleNamespace(getoption=lambda name, default=None: options.get(name, default), getvalue=options.get)


@pytest.mark.parametrize("dist", ["no", "each", "loadscope", "loadfile"])
def test_other_ways_of_distributing_are_left_alone(dist: str) -> None:
    assert scheduler(config(dist), None) is None


@pytest.mark.parametrize("dist", ["load", "worksteal", "loadgroup"])
def test_a_users_own_groups_are_kept(dist: str, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("xdist")
    from xdist.scheduler.loadscope import LoadScopeScheduling

    monkeypatch.setattr(LoadScopeScheduling, "__init__", lambda *_arguments: None)
    split = scheduler(config(dist), None)._split_scope
    assert split("a/llamakey.toml::api::wire") == split("a/llamakey.toml::api::keyed")
    assert split("test_a.py::test_a@group") == split("test_b.py::test_b@group") == "group"
    assert split("test_a.py::test_a") != split("test_a.py::test_b")
