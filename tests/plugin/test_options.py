"""Options, their ini twins, and what is said of values that cannot be meant."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from plugin_apps import table

if TYPE_CHECKING:
    from conftest import Bench

MISTAKES = [
    (["--llamakey-checks", "wires"], "*--llamakey-checks*'wires'*keyed, wire*"),
    (["-o", "llamakey_runtime=podman"], "*llamakey_runtime*'podman'*auto, docker, process*"),
    (["-o", "llamakey_timeout=soon"], "*llamakey_timeout*'soon'*seconds*"),
    (["--llamakey-timeout", "0"], "*llamakey_timeout*positive*"),
    (["--llamakey-build-arg", "PYTHON_IMAGE"], "*--llamakey-build-arg takes NAME=VALUE*'PYTHON_IMAGE'*"),
]


@pytest.mark.parametrize(("arguments", "message"), MISTAKES)
def test_a_value_that_cannot_be_meant_is_a_usage_error(bench: Bench, arguments: list[str], message: str) -> None:
    bench.app()
    result = bench.run(*arguments)
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(message)
    result.stderr.no_fnmatch_line("*Traceback*")


def test_nobody_asked_so_nothing_is_said_of_them(bench: Bench) -> None:
    bench.pytester.makepyfile("def test_theirs(): pass")
    bench.run("-o", "llamakey_runtime=podman", llamakey=False).assert_outcomes(passed=1)


def test_the_command_line_wins_over_the_ini_file(bench: Bench) -> None:
    bench.app(text=table(ready="/nowhere"))
    (bench.root / "pytest.ini").write_text("[pytest]\nllamakey_timeout = 300\nllamakey_checks = wire\n")
    result = bench.run("--llamakey-timeout", "0.5")
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines("*not ready after 0.5 s*")


def test_the_report_is_written_where_the_ini_file_says(bench: Bench) -> None:
    bench.app()
    (bench.root / "pytest.ini").write_text("[pytest]\nllamakey_report = out/r.json\n")
    bench.pytester.chdir()
    bench.run("-k", "keyed").stdout.fnmatch_lines("JSON report: out/r.json")
    assert (bench.root / "out" / "r.json").is_file()


def test_a_report_that_cannot_be_written_is_told_and_fails_the_run(bench: Bench) -> None:
    bench.app()
    result = bench.run("-k", "keyed", "--llamakey-report", "shop/server.py/r.json")
    result.assert_outcomes(passed=1)
    result.stdout.fnmatch_lines("JSON report: *server.py/r.json cannot be written: *")
    assert result.ret == pytest.ExitCode.USAGE_ERROR


def test_looking_leaves_the_last_report_alone(bench: Bench) -> None:
    bench.app()
    (bench.root / "r.json").write_text("kept")
    bench.run("--collect-only", "--llamakey-report", "r.json")
    assert (bench.root / "r.json").read_text() == "kept"
