"""Every file that README and docs show is one: it is read by its own reader, and says what there is.

The examples of the fixtures are run by ``tests/e2e/test_fixture_examples.py``, the tutorial's files by
``tests/e2e/test_first_five_minutes.py``, actions and hooks by ``tests/packaging/test_action.py``.
"""

from __future__ import annotations

import ast
import sys
from typing import TYPE_CHECKING

import yaml
from pages import ALL, ROOT, Snippet, ci_lines, of

from pytest_llamakey.live import LiveDeployment
from pytest_llamakey.options import INI
from pytest_llamakey.spec import unit
from pytest_llamakey.spec.model import Defaults
from pytest_llamakey.spec.schema import DeploymentTable
from pytest_llamakey.spec.toml import read_deployments

if TYPE_CHECKING:
    from pathlib import Path

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib


def test_the_kinds_of_snippets_are_known() -> None:
    assert {one.language for one in ALL} <= {"console", "toml", "python", "yaml", "ini", "text"}


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
    known = yaml.safe_load((ROOT / "action.yml").read_text())["inputs"]
    used = [step for job in data.get("jobs", {}).values() for step in job["steps"] if "OWNER" in step.get("uses", "")]
    for step in used:
        assert set(step["with"]) <= set(known)
    assert used or list(ci_lines(data)) or "repos" in data or "kind" in data, "what is this?"


@of("ini")
def test_a_unit_is_understood(snippet: Snippet, tmp_path: Path) -> None:
    (tmp_path / "app.service").write_text(snippet.text)
    assert unit.read(tmp_path / "app.service", "app.service").last("ExecStart")
