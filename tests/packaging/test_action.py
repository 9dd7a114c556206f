"""The GitHub Action and the hooks for pre-commit are what their hosts take, and their commands do what they say."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from markdown_it import MarkdownIt

ROOT = Path(__file__).parents[2]
ACTION = yaml.safe_load((ROOT / "action.yml").read_text())
HOOKS = {hook["id"]: hook for hook in yaml.safe_load((ROOT / ".pre-commit-hooks.yaml").read_text())}
APP = """import os, json, urllib.request
from http.server import BaseHTTPRequestHandler, HTTPServer

class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        if self.path == "/ask":
            body = {"model": "gpt-4o-mini", "messages": [{"role": "user", "content": "ping"}]}
            head = {"Authorization": "Bearer " + os.environ["OPENAI_API_KEY"], "Content-Type": "application/json"}
            url = os.environ["OPENAI_BASE_URL"] + "/chat/completions"
            urllib.request.urlopen(urllib.request.Request(url, json.dumps(body).encode(), head)).read()
        self.send_response(200)
        self.end_headers()

HTTPServer(("127.0.0.1", int(os.environ["PORT"])), Handler).serve_forever()
"""
FILE = """[[deployment]]
command = ["python", "app.py"]
env = { PORT = "{port}" }
ready = "/"
request = { path = "/ask" }
workers = 1
"""


def checked(kind: str, path: Path) -> None:
    command = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", kind, path]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_action_is_one() -> None:
    checked("vendor.github-actions", ROOT / "action.yml")


def blocks() -> list[Any]:
    tokens = [token for page in ("README.md", "docs/ci.md") for token in MarkdownIt().parse((ROOT / page).read_text())]
    return [yaml.safe_load(token.content) for token in tokens if token.type == "fence" and token.info == "yaml"]


@pytest.mark.parametrize("kind", ["github-workflows", "gitlab-ci"])
def test_workflows_in_the_docs_are_valid(tmp_path: Path, kind: str) -> None:
    shown = [block for block in blocks() if ("jobs" in block) == (kind == "github-workflows") and "repos" not in block]
    assert shown
    for block in shown:
        (tmp_path / "ci.yml").write_text(yaml.safe_dump({"on": "push", **block} if "jobs" in block else block))
        checked(f"vendor.{kind}", tmp_path / "ci.yml")


def test_inputs_are_documented() -> None:
    page = (ROOT / "docs/ci.md").read_text()
    for name in ACTION["inputs"]:
        assert f"| `{name}` |" in page


def step(name: str, folder: Path, environment: dict[str, str], **inputs: str) -> subprocess.CompletedProcess[str]:
    """Runs a step of the action as the runner does: inputs put in, in bash that ends at the first failure."""
    (one,) = (each for each in ACTION["runs"]["steps"] if each["name"] == name)
    given = {key: value["default"] for key, value in ACTION["inputs"].items()} | inputs
    filled = {key: given[text.removeprefix("${{ inputs.").removesuffix(" }}")] for key, text in one["env"].items()}
    assert "${{" not in one["run"]
    return subprocess.run(
        ["bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", one["run"]],
        cwd=folder,
        env={**os.environ, **environment, **filled},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


@pytest.fixture
def python(tmp_path: Path) -> str:
    """An interpreter that only tells its arguments, one a line."""
    script = tmp_path / "python"
    script.write_text('#!/bin/sh\nprintf "%s\\n" "$@"\n')
    script.chmod(0o755)
    return str(script)


@pytest.mark.parametrize(
    ("install", "asked"),
    [
        ("", ["the action/of ours"]),
        ("one>=1 two", ["one>=1", "two"]),
        ("one>=1\ntwo\n", ["one>=1", "two"]),
    ],
)
def test_the_first_step_installs(python: str, tmp_path: Path, install: str, asked: list[str]) -> None:
    done = step("Install", tmp_path, {"GITHUB_ACTION_PATH": "the action/of ours"}, python=python, install=install)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == ["-m", "pip", "install", "--quiet", *asked]


COLLECTED = ["deploy/llamakey.toml::deploy::wire", "pyproject.toml::root::wire", "tests/llamakey.toml::tests::wire"]


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """Deployments in three places, and tests of an app whose packages are not here."""
    for name in ("deploy", "tests"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "llamakey.toml").write_text(FILE)
    (tmp_path / "pyproject.toml").write_text(
        '[tool.pytest.ini_options]\ntestpaths = ["tests"]\npython_files = ["test_*.py", "*_test.py"]\n\n'
        + FILE.replace("[[deployment]]", '[[tool.llamakey.deployment]]\nname = "root"')
    )
    for name in ("tests/test_a.py", "tests/b_test.py", "tests/conftest.py", "conftest.py"):
        (tmp_path / name).write_text("import not_here\n")
    return tmp_path


def collected(done: subprocess.CompletedProcess[str]) -> list[str]:
    assert done.returncode == 0, done.stdout + done.stderr
    return sorted(line for line in done.stdout.splitlines() if line.endswith("::wire"))


def test_the_second_step_imports_none_of_the_repositorys_tests(repository: Path) -> None:
    environment = {"GITHUB_OUTPUT": str(repository / "output"), "GITHUB_STEP_SUMMARY": str(repository / "summary.md")}
    done = step("Run", repository, environment, python=sys.executable, arguments="--collect-only --quiet")
    assert collected(done) == COLLECTED


@pytest.mark.parametrize("arguments", ["-k 'x' --quiet", "-k\n'x'\n--quiet\n", "\n -k 'x'\n\n--quiet"])
def test_the_second_step_takes_every_argument_and_path(python: str, tmp_path: Path, arguments: str) -> None:
    environment = {"GITHUB_OUTPUT": str(tmp_path / "output")}
    done = step("Run", tmp_path, environment, python=python, paths="one\n\ntwo words\n", arguments=arguments)
    assert done.stdout.splitlines()[-5:] == ["one", "two words", "-k", "'x'", "--quiet"]


@pytest.fixture
def runner(tmp_path: Path) -> dict[str, str]:
    """What a runner has: a clean interpreter, an action (here its wheel), and files for what steps tell it."""
    uv = [sys.executable, "-m", "uv", "--quiet"]
    subprocess.run([*uv, "venv", "--python", sys.executable, tmp_path / "venv"], check=True, timeout=60)
    subprocess.run([*uv, "build", "--wheel", "--out-dir", tmp_path / "wheels", ROOT], check=True, timeout=120)
    (wheel,) = (tmp_path / "wheels").glob("*.whl")
    python = tmp_path / "venv/bin/python"
    # The step's own `pip install` is pip's; here uv does it, which has what it needs at hand.
    (tmp_path / "python").write_text(
        f'#!/bin/sh\nif [ "$2" = pip ]; then shift 4; exec {shlex.join(uv)} pip install --python {python} "$@"; fi\n'
        f'exec {python} "$@"\n'
    )
    (tmp_path / "python").chmod(0o755)
    told = {name: str(tmp_path / name.lower()) for name in ("GITHUB_OUTPUT", "GITHUB_STEP_SUMMARY")}
    place = {"GITHUB_ACTIONS": "true", "GITHUB_WORKSPACE": str(tmp_path / "work"), "GITHUB_ACTION_PATH": str(wheel)}
    return {**told, **place, "PYTHONPATH": "", "PYTEST_ADDOPTS": "", "HOME": str(tmp_path)}


@pytest.mark.slow
def test_the_action_in_a_fresh_repository(runner: dict[str, str], tmp_path: Path) -> None:
    """Both steps in their order, with the wheel in the place of the action's own folder: green, then red."""
    work = tmp_path / "work"
    for name, text in (("right one", FILE), ("wrong one", FILE + 'key = "none"\nendpoint = "env"\n')):
        (work / name).mkdir(parents=True)
        (work / name / "app.py").write_text(APP)
        (work / name / "__init__.py").write_text("import not_here")
        (work / name / "llamakey.toml").write_text(text)
    inputs = {"python": str(tmp_path / "python"), "runtime": "process", "checks": "keyed,wire"}
    done = step("Install", work, runner, **inputs)
    assert done.returncode == 0, done.stdout + done.stderr
    done = step("Run", work, runner, paths="right one\n", report="out/right.json", html="out/right.html", **inputs)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "2 passed" in done.stdout
    assert "::error" not in done.stdout
    assert (work / "out/right.json").is_file()
    assert "<html" in (work / "out/right.html").read_text()
    assert Path(runner["GITHUB_OUTPUT"]).read_text() == "report=out/right.json\n"
    summary = Path(runner["GITHUB_STEP_SUMMARY"])
    assert "right one" in summary.read_text()
    summary.unlink()  # each step has one of its own
    done = step("Run", work, runner, paths="right one\nwrong one", **inputs)
    assert done.returncode == 1, done.stdout + done.stderr
    (annotation,) = {line for line in done.stdout.splitlines() if line.startswith("::error")}
    assert "title=key-missing (wrong one),file=wrong one/llamakey.toml,line=7::" in annotation
    assert all(word in summary.read_text() for word in ("right one", "wrong one", "key-missing"))
    assert (work / "llamakey.json").is_file()


def test_the_hooks_are_hooks() -> None:
    command = [sys.executable, "-m", "pre_commit", "validate-manifest", ROOT / ".pre-commit-hooks.yaml"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize(("text", "code", "told"), [(FILE, 0, "::wire"), (FILE + "worker = 2\n", 4, "llamakey.toml:7")])
def test_the_hook_reads_a_file_without_the_repositorys_own_packages(
    tmp_path: Path, text: str, code: int, told: str
) -> None:
    (tmp_path / "deploy").mkdir()
    (tmp_path / "deploy/llamakey.toml").write_text(text)
    (tmp_path / "conftest.py").write_text("import not_installed_here")
    (tmp_path / "pytest.ini").write_text("[pytest]\naddopts = --not-known-here\n")
    words = shlex.split(HOOKS["llamakey-toml"]["entry"])
    done = subprocess.run(
        [sys.executable, "-m", *words, "deploy/llamakey.toml"],
        cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert told in done.stdout + done.stderr
    assert (done.returncode == 0) == (code == 0), done.stdout + done.stderr


@pytest.mark.parametrize(("args", "found"), [([], COLLECTED), (["deploy"], COLLECTED[:1])])
def test_the_hook_that_boots_imports_none_of_the_repositorys_tests(
    repository: Path, args: list[str], found: list[str]
) -> None:
    words = shlex.split(HOOKS["llamakey"]["entry"])
    done = subprocess.run(
        [sys.executable, "-m", *words, "--collect-only", "--quiet", *args],
        cwd=repository, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert collected(done) == found
