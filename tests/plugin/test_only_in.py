"""A deployment that means something in one runtime only."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tools.tiny_app import table

if TYPE_CHECKING:
    from conftest import Bench


def test_elsewhere_it_is_skipped_with_the_line(bench: Bench) -> None:
    bench.app(text=table(only_in="docker"), files={"Dockerfile": "FROM x\n"})
    result = bench.run("-rs", "--llamakey-runtime", "process", "--llamakey-checks", "keyed")
    result.assert_outcomes(skipped=1)
    result.stdout.fnmatch_lines(['*shop/llamakey.toml:6: only_in = "docker", and the process runtime was asked for'])


def test_where_no_engine_answers_it_does_not_run_as_processes(bench: Bench) -> None:
    bench.app(text=table(only_in="docker"), files={"Dockerfile": "FROM x\n"})
    bench.pytester._monkeypatch.setenv("DOCKER_HOST", "unix:///nowhere/docker.sock")
    result = bench.run("--llamakey-checks", "keyed")
    result.assert_outcomes(failed=1)


@pytest.mark.parametrize("only", ["compose", "systemd"])
def test_where_containers_are_asked_for_other_kinds_of_them_are_run(bench: Bench, only: str) -> None:
    keys = {"compose": "service = 'web'", "systemd": "unit = 'app.service'"}[only]
    bench.app(
        text=f"[[deployment]]\nonly_in = '{only}'\n{keys}\nport = 8000\n",
        files={"compose.yaml": "services: {web: {build: .}}\n", "app.service": "[Service]\nExecStart=/bin/true\n"},
    )
    bench.pytester._monkeypatch.setenv("DOCKER_HOST", "unix:///nowhere/docker.sock")
    for runtime, outcome in {"docker": "failed", "process": "skipped"}.items():
        result = bench.run("--llamakey-runtime", runtime, "--llamakey-checks", "keyed")
        result.assert_outcomes(**{outcome: 1})


def test_it_is_the_runtime_that_is_taken(bench: Bench) -> None:
    bench.app(text=table(only_in="process"), files={"Dockerfile": "FROM x\n"})
    bench.run("--llamakey-checks", "keyed").assert_outcomes(passed=1)
