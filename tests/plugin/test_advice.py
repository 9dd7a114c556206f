"""Where nothing ran that could have: the line to type, or to add."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from conftest import Bench

DOCKERFILE = "FROM scratch\nEXPOSE 8000\n"


def advice(result: pytest.RunResult) -> list[str]:
    return [line.removeprefix("llamakey: ") for line in result.outlines if line.startswith("llamakey: ")]


def test_a_folder_with_a_dockerfile_only(bench: Bench) -> None:
    (bench.root / "shop").mkdir()
    (bench.root / "shop" / "Dockerfile").write_text(DOCKERFILE)
    result = bench.run("shop")
    assert result.ret == pytest.ExitCode.NO_TESTS_COLLECTED
    assert advice(result) == [
        "shop holds Dockerfile and no llamakey.toml; write one with: python -m pytest_llamakey init shop",
        "or boot it as it is, for every check that needs no request: pytest --llamakey shop/Dockerfile",
    ]


def test_a_folder_with_nothing(bench: Bench) -> None:
    assert advice(bench.run()) == [
        "there is no llamakey.toml below the working folder; write one with: python -m pytest_llamakey init ."
    ]


@pytest.mark.parametrize("named", ["shop/app.py", "shop/tests"])
def test_something_below_a_deployment(bench: Bench, named: str) -> None:
    bench.app(files={"Dockerfile": DOCKERFILE})
    (bench.root / "shop" / "tests").mkdir()
    (bench.root / "shop" / "app.py").touch()
    assert advice(bench.run(named)) == [f"{named} describes no deployment; llamakey.toml does: pytest --llamakey shop"]


@pytest.mark.parametrize(
    ("named", "told"),
    [
        (
            "shop/llamakey.toml",
            "shop/llamakey.toml is run by pytest-llamakey with: pytest --llamakey shop/llamakey.toml",
        ),
        ("shop/Dockerfile", "shop/Dockerfile is run by pytest-llamakey with: pytest --llamakey shop/Dockerfile"),
        ("shop", "shop is run by pytest-llamakey with: pytest --llamakey shop"),
    ],
)
def test_without_the_flag(bench: Bench, named: str, told: str) -> None:
    bench.app(files={"Dockerfile": DOCKERFILE})
    assert advice(bench.run(named, llamakey=False)) == [told]


def test_nothing_is_said_where_something_ran_or_was_deselected(bench: Bench) -> None:
    bench.app(files={"Dockerfile": DOCKERFILE})
    bench.pytester.makepyfile("def test_theirs(): pass")
    assert advice(bench.run(llamakey=False)) == []
    assert advice(bench.run("shop", "-k", "nothing_of_that_name")) == []
    assert advice(bench.run("shop", "-k", "nothing_of_that_name", "-p", "xdist.plugin", "-n", "1")) == []


def test_options_that_do_nothing_without_the_flag(bench: Bench) -> None:
    bench.app()
    (bench.root / "test_own.py").write_text("def test_own(): pass\n")
    told = advice(bench.run("--llamakey-report", "r.json", "--llamakey-timeout", "9", "test_own.py", llamakey=False))
    assert told == ["without --llamakey no deployment is run: --llamakey-report, --llamakey-timeout does nothing"]
    assert advice(bench.run("test_own.py", llamakey=False)) == []
