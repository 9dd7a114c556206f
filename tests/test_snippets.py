"""Every snippet of README and docs works: commands are run or looked at, files are read by their own readers.

Of a ``pytest --llamakey`` everything but the boots is run here (``--collect-only``, on copies of samples where the path
is an example). The samples are booted by ``tests/e2e/test_samples.py``, the tutorial by
``tests/e2e/test_first_five_minutes.py``, the examples of the fixtures by ``tests/e2e/test_fixture_examples.py``.
"""

from __future__ import annotations

import ast
import json
import re
import shlex
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml
from markdown_it import MarkdownIt

from pytest_llamakey.cli import COMMANDS, main
from pytest_llamakey.live import LiveDeployment
from pytest_llamakey.options import INI
from pytest_llamakey.spec import unit
from pytest_llamakey.spec.model import Defaults
from pytest_llamakey.spec.schema import DeploymentTable
from pytest_llamakey.spec.toml import read_deployments

if TYPE_CHECKING:
    from collections.abc import Iterator

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

ROOT = Path(__file__).parents[1]
SAMPLES = ROOT / "sample_images"
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]

NOT_RUN = {
    "docker": "boots images that are only named here",
    "kubectl": "changes a cluster; that the rights suffice is shown by tests/e2e/test_kubernetes.py",
}
"""Programs whose commands are not run, each with the reason."""
LOOKED_AT = {"doctor": "looks for engines and clusters", "census": "looks at something that runs", "COMMAND": "is none"}
"""Commands of the plugin of which only the options are held against what there is, with the reason."""

# Runs the commands one after another in one process, so that the plugin is imported once.
COLLECT = """
import contextlib, io, json, os, sys, pytest
told = []
for words in json.load(sys.stdin):
    out = io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(out):
        code = pytest.main(["-p", "no:cacheprovider", "-p", "no:randomly", "-q", *words, "--collect-only"])
    told.append((int(code), out.getvalue()))
print(json.dumps(told))
"""


@dataclass(frozen=True)
class Snippet:
    """A fenced block, or a command in running text: its page, line, language and text."""

    page: str
    line: int
    language: str
    text: str

    def __str__(self) -> str:
        return f"{self.page}:{self.line}"


def snippets() -> Iterator[Snippet]:
    for path in PAGES:
        page = path.relative_to(ROOT).as_posix()
        line = 0
        for token in MarkdownIt().enable("table").parse(path.read_text(encoding="utf-8")):
            line = token.map[0] + 1 if token.map else line
            if token.type == "fence":
                yield Snippet(page, line, token.info.partition(" ")[0], token.content)
            for child in token.children or ():
                if child.type == "code_inline" and re.match(
                    r"pytest --llamakey|python -m pytest_llamakey", child.content
                ):
                    yield Snippet(page, line, "console", child.content)


def commands(snippet: Snippet) -> list[tuple[str, ...]]:
    """The words of each command: of the lines behind ``$``, or of all where none has it."""
    lines = snippet.text.replace("\\\n", " ").splitlines()
    asked = [line[2:] for line in lines if line.startswith("$ ")] or lines
    return [tuple(words) for line in asked if "…" not in line and (words := shlex.split(line, comments=True))]


ALL = tuple(snippets())
TYPED = {words: one for one in ALL if one.language == "console" for words in commands(one)}
PYTESTS = tuple(words for words in TYPED if words[0] == "pytest")


def of(language: str) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("snippet", [one for one in ALL if one.language == language], ids=str)


def test_the_kinds_of_snippets_are_known() -> None:
    assert {one.language for one in ALL} <= {"console", "toml", "python", "yaml", "ini", "text"}


@pytest.mark.parametrize("words", [words for words in TYPED if words not in PYTESTS], ids=" ".join)
def test_a_command_works(
    words: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    if words[:3] == ("python", "-m", "pytest_llamakey"):
        own_command(words[3:], tmp_path, monkeypatch, capsys)
    elif words[0] == "pip":
        assert words[1] == "install"
        extras = set(re.findall(r"pytest-llamakey\[(\w+)\]", " ".join(words)))
        project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
        assert extras <= set(project["optional-dependencies"])
    elif words[0] == "make":
        targets = re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.MULTILINE)
        assert {word for word in words[1:] if "=" not in word} <= set(targets)
    elif words[0].startswith("tools/"):
        assert (ROOT / words[0]).is_file()
    else:
        assert words[0] in NOT_RUN, f"{TYPED[words]}: run it, or say in NOT_RUN why it is not"


def own_command(
    words: tuple[str, ...], folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    if words[0] in LOOKED_AT:
        if words[0] in COMMANDS:
            with pytest.raises(SystemExit):
                main([words[0], "--help"])
            known = set(re.findall(r"--[a-z-]+", capsys.readouterr().out))
            assert {word.partition("=")[0] for word in words if word.startswith("--")} <= known
        return
    if words[0] == "init":
        app = folder / (words[1] if len(words) > 1 else "")
        shutil.copytree(SAMPLES / "gunicorn", app, dirs_exist_ok=True)
        (app / "llamakey.toml").unlink()
        monkeypatch.chdir(folder)
    assert main([word for word in words if word != "CAUSE"]) == 0


@pytest.fixture(scope="module")
def collected(tmp_path_factory: pytest.TempPathFactory) -> dict[tuple[str, ...], tuple[int, str]]:
    """Exit code and output of each ``pytest``, in a folder that has what they name."""
    folder = tmp_path_factory.mktemp("reader")
    shutil.copytree(SAMPLES, folder / "sample_images", ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("path/to/app", "deploy"):
        shutil.copytree(SAMPLES / "gunicorn", folder / name)
    for name, sample in {"compose.yaml": "compose", "deploy.yaml": "kubernetes", "app.service": "systemd"}.items():
        (folder / name).write_text((SAMPLES / "runtimes" / sample / "right" / name).read_text())
    (folder / "Dockerfile").write_text("FROM x\n")
    (folder / "pytest.ini").write_text("[pytest]\n")
    asked = [["PYTHON_IMAGE=x" if word.startswith("$(") else word for word in words[1:]] for words in PYTESTS]
    done = subprocess.run(
        [sys.executable, "-c", COLLECT],
        cwd=folder,
        input=json.dumps(asked),
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    return dict(zip(PYTESTS, map(tuple, json.loads(done.stdout)), strict=True))


@pytest.mark.parametrize("words", PYTESTS, ids=" ".join)
def test_pytest_collects_what_is_asked(
    words: tuple[str, ...], collected: dict[tuple[str, ...], tuple[int, str]]
) -> None:
    code, told = collected[words]
    assert (code, "::" in told) == (0, True), f"{TYPED[words]}: {told}"


@of("toml")
def test_a_toml_file_is_understood(snippet: Snippet, tmp_path: Path) -> None:
    text = snippet.text
    data = tomllib.loads(text)
    named = {f"llamakey_{name}" for name, *_rest in INI}
    assert set(data.get("tool", {}).get("pytest", {}).get("ini_options", {})) <= named | {"addopts"}
    if not {"deployment", "tool"} & set(data):  # some keys of a deployment
        text = f"[[deployment]]\n{text}"
    elif "tool" in data and "deployment" not in data["tool"].get("llamakey", {}):
        text += '\n[[tool.llamakey.deployment]]\nimage = "x"\n'
    for name in ("deploy.yaml", "secret.yaml", "app.service"):
        (tmp_path / name).touch()
    (tmp_path / "Dockerfile").write_text("FROM x\nEXPOSE 8000\n")
    (tmp_path / "compose.yaml").write_text("services: { web: { image: x }, worker: { image: x } }\n")
    path = tmp_path / ("pyproject.toml" if "tool" in data else "llamakey.toml")
    path.write_text(text)
    assert read_deployments(path, tmp_path, Defaults())


@of("python")
def test_python_uses_what_there_is(snippet: Snippet) -> None:
    fields = {field.alias or name for name, field in DeploymentTable.model_fields.items()}
    for call in ast.walk(ast.parse(snippet.text)):
        if isinstance(call, ast.Call) and getattr(call.func, "id", "") == "llamakey_deploy":
            assert {keyword.arg for keyword in call.keywords} <= fields
            assert (ROOT / ast.literal_eval(call.args[0])).is_dir()
        if (
            isinstance(call, ast.Attribute)
            and getattr(call.value, "id", "") == "app"
            and "llamakey_deploy" in snippet.text
        ):
            assert hasattr(LiveDeployment, call.attr)


@of("yaml")
def test_yaml_is_understood(snippet: Snippet) -> None:
    (data,) = yaml.safe_load_all(snippet.text)
    for hook in (hook for repository in data.get("repos", ()) for hook in repository["hooks"]):
        assert hook["id"] in {one["id"] for one in yaml.safe_load((ROOT / ".pre-commit-hooks.yaml").read_text())}
    jobs: list[dict[str, Any]] = [*data.get("jobs", {}).values(), *(one for one in data.values() if "script" in one)]
    known = yaml.safe_load((ROOT / "action.yml").read_text())["inputs"]
    for job in jobs:
        for step in job.get("steps", ()):
            if "pytest-llamakey" in step.get("uses", ""):
                assert set(step["with"]) <= set(known)
        for line in [*job.get("script", ()), *(step["run"] for step in job.get("steps", ()) if "run" in step)]:
            words = shlex.split(line)
            assert words[0] in ("pip", "pytest")
            if words[0] == "pytest":
                options = [word for word in words if word.startswith("--llamakey-")]
                assert {
                    option.removeprefix("--llamakey-").replace("-", "_").replace("build_arg", "build_args")
                    for option in options
                } <= {name for name, *_rest in INI}
    assert jobs or "repos" in data or "kind" in data or "services" in data, "what is this?"


@of("ini")
def test_a_unit_is_understood(snippet: Snippet, tmp_path: Path) -> None:
    (tmp_path / "app.service").write_text(snippet.text)
    assert unit.read(tmp_path / "app.service", "app.service").last("ExecStart")
