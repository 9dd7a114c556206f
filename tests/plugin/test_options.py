"""Options, their ini twins, and what is said of values that cannot be meant."""

from __future__ import annotations

import re
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from pytest_llamakey import options
from tools.tiny_app import table

if TYPE_CHECKING:
    from conftest import Bench

PAGE = Path(__file__).parents[2] / "docs/options.md"
MISTAKES = [
    (["--llamakey-checks", "wires"], "*--llamakey-checks*'wires'*keyed, wire*"),
    (["-o", "llamakey_runtime=podman"], "*llamakey_runtime*'podman'*auto, docker, process*"),
    (["-o", "llamakey_timeout=soon"], "*llamakey_timeout*'soon'*seconds*"),
    (["--llamakey-timeout", "0"], "*llamakey_timeout*positive*"),
    (["LLAMAKEY_KEEP=perhaps"], "*LLAMAKEY_KEEP*'perhaps'*yes*no*"),
    (["LLAMAKEY_BUILD_ARGS=A=it's"], "*LLAMAKEY_BUILD_ARGS: no closing quotation*quoted*as in a shell*"),
    (["--llamakey-build-arg", "PYTHON_IMAGE"], "*--llamakey-build-arg takes NAME=VALUE*'PYTHON_IMAGE'*"),
]


@pytest.mark.parametrize(("arguments", "message"), MISTAKES)
def test_a_value_that_cannot_be_meant_is_a_usage_error(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, arguments: list[str], message: str
) -> None:
    bench.app()
    if arguments[0].startswith("LLAMAKEY_"):
        monkeypatch.setenv(*arguments[0].split("=", 1))
        arguments = []
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


def test_the_environment_wins_over_the_ini_file(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    (bench.root / "pytest.ini").write_text(
        "[pytest]\nllamakey_runtime = podman\nllamakey_timeout = 300\nllamakey_report = r.json\n"
        "llamakey_codequality = q.json\nllamakey_build_args =\n    ONE=1\n    TWO=2\n"
    )
    for name, text in {
        "RUNTIME": "process", "CHECKS": "wire, gate", "REPORT": "here.json", "HTML": "h.html", "TIMEOUT": "7",
        "BUILD_ARGS": "TWO=zwei 'THREE=a b'", "KEEP": "yes", "SARIF": "r.sarif",
    }.items():  # fmt: skip
        monkeypatch.setenv(f"LLAMAKEY_{name}", text)
    config = bench.pytester.parseconfig("-p", "pytest_llamakey.plugin", "--llamakey-timeout", "9")
    read = options.read(config)
    assert read == options.Options(
        runtime="process",
        checks=("wire", "gate"),
        report=config.invocation_params.dir / "here.json",
        html=config.invocation_params.dir / "h.html",
        sarif=config.invocation_params.dir / "r.sarif",
        codequality=config.rootpath / "q.json",
        build_args={"ONE": "1", "TWO": "zwei", "THREE": "a b"},
        timeout=9.0,
        keep=True,
    )


def test_an_option_has_its_twins_and_help_names_them(bench: Bench) -> None:
    told = bench.run("--help", llamakey=False).stdout.str()
    names = set(re.findall(r"--llamakey-([a-z-]+)", told))
    twins = {{"build-arg": "build_args"}.get(name, name) for name in names}
    assert twins == {field.name for field in fields(options.Options)}
    for name in twins:
        assert re.search(rf"^  llamakey_{name} \(", told, re.MULTILINE)
        assert options.variable(name) in told


def test_what_is_kept_is_said_in_help_and_page(bench: Bench) -> None:
    (told,) = re.findall(r"--llamakey-keep\s+(.*?)--", " ".join(bench.run("--help", llamakey=False).outlines))
    (row,) = re.findall(r"^\| `--llamakey-keep`.*", PAGE.read_text(), re.MULTILINE)
    for text in (" ".join(told.split()), row):
        assert "of collected deployments" in text
        assert re.search(r"fixture\S* has started ends with its test", text)


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
    result.stdout.fnmatch_lines(
        "JSON report: *server.py/r.json cannot be written: * Name a file that can be written with --llamakey-report."
    )
    assert result.ret == pytest.ExitCode.USAGE_ERROR


FULL = Path("/dev/full")
"""Each write to it fails for want of room (full(4))."""
REPORTS = {
    "--llamakey-report": "JSON report",
    "--llamakey-html": "HTML report",
    "--llamakey-sarif": "SARIF report",
    "--llamakey-codequality": "Code quality report",
    "--junit-xml": "JUnit report",
}


@pytest.mark.skipif(not FULL.exists(), reason="Linux")
@pytest.mark.parametrize("wrong", [False, True], ids=["passes", "fails"])
def test_where_there_is_no_room_for_reports_each_is_told_and_the_verdict_stands(bench: Bench, *, wrong: bool) -> None:
    bench.app(text=table(mode="wrong" if wrong else ""))
    result = bench.run(*(word for option in REPORTS for word in (option, str(FULL))))
    said = " cannot be written: No space left on device. Make room there, or name another place with "
    lines = [f"{kind}: {FULL}{said}{option}." for option, kind in REPORTS.items()]
    result.stdout.fnmatch_lines(["FAIL *" if wrong else "PASS *", *lines])
    assert "Traceback" not in result.stdout.str() + result.stderr.str()
    assert result.ret == (pytest.ExitCode.TESTS_FAILED if wrong else pytest.ExitCode.USAGE_ERROR)


OWN = """
import errno, pytest
@pytest.hookimpl(trylast=True)
def pytest_sessionfinish():
    raise OSError(errno.{name}, "of another plugin", "own.txt")
"""


def test_a_report_of_another_plugin_for_which_there_is_no_room_is_told(bench: Bench) -> None:
    bench.app()
    (bench.root / "conftest.py").write_text(OWN.format(name="ENOSPC"))
    result = bench.run("-k", "keyed")
    result.stdout.fnmatch_lines(["PASS *", "own.txt cannot be written: of another plugin. Make room there."])
    assert result.ret == pytest.ExitCode.USAGE_ERROR


def test_another_error_of_another_plugin_is_its_own(bench: Bench) -> None:
    bench.app()
    (bench.root / "conftest.py").write_text(OWN.format(name="EACCES"))
    result = bench.run("-k", "keyed")
    assert "of another plugin" in result.stderr.str()
    result.stdout.no_fnmatch_line("*cannot be written*")


def test_looking_leaves_the_last_report_alone(bench: Bench) -> None:
    bench.app()
    (bench.root / "r.json").write_text("kept")
    bench.run("--collect-only", "--llamakey-report", "r.json")
    assert (bench.root / "r.json").read_text() == "kept"


def test_every_option_and_twin_is_documented() -> None:
    page = PAGE.read_text()
    for field in fields(options.Options):
        option = f"--llamakey-{'build-arg' if field.name == 'build_args' else field.name}"
        (row,) = re.findall(rf"^\| `{option}[ `].*", page, re.MULTILINE)
        assert options.variable(field.name) in row
        assert f"`llamakey_{field.name}`" in row
