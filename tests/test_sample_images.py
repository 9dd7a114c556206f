"""The samples stay alike where they must: one cached layer of packages, and the same start in both runtimes."""

from __future__ import annotations

import ast
import json
import re
import sys
from pathlib import Path

import pytest

from pytest_llamakey.spec.model import CAUSES as ALL_CAUSES

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

ROOT = Path(__file__).parent.parent / "sample_images"
SAMPLES = sorted(path.parent for path in ROOT.glob("*/llamakey.toml"))
CAUSES = {
    "broken_client_before_env": ["client-before-env"],
    "broken_key_missing": ["key-missing"],
    "gate_serves_anyway": ["serves-without-key"],
    "rotation_stale": ["stale-key"],
}

PAIRS = ROOT / "causes"
RUNTIMES = ROOT / "runtimes"
FRONTENDS = ROOT / "frontends"
SERVERS = ROOT / "servers"
HALVES = sorted(path.parent for path in PAIRS.glob("*/*/llamakey.toml"))
IN_CONTAINERS_ONLY = {"key-baked", "key-build-only", "secret-unreadable", "variable-unset"}

each = pytest.mark.parametrize("sample", SAMPLES, ids=lambda path: path.name)
each_half = pytest.mark.parametrize("half", HALVES, ids=lambda path: f"{path.parent.name}-{path.name}")


def deployment(sample: Path) -> dict:
    (only,) = tomllib.loads((sample / "llamakey.toml").read_text())["deployment"]
    return only


def test_every_folder_is_a_sample():
    folders = {path for path in ROOT.iterdir() if path.is_dir() and not path.name.startswith((".", "__"))}
    assert folders == {*SAMPLES, PAIRS, RUNTIMES, FRONTENDS, SERVERS}


@pytest.mark.parametrize("runtime", sorted(RUNTIMES.iterdir()), ids=lambda path: path.name)
def test_every_runtime_has_a_right_and_a_broken_sample(runtime):
    for half in ("right", "broken"):
        assert ("expect" in deployment(runtime / half)) == (half == "broken")


@pytest.mark.parametrize("frontend", sorted(FRONTENDS.iterdir()), ids=lambda path: path.name)
def test_a_front_end_is_told_and_started_as_in_its_image(frontend):
    cmd = re.search(r"^CMD (\[.*\])$", (frontend / "Dockerfile").read_text(), re.MULTILINE)
    assert cmd is not None
    wanted = deployment(frontend)
    port = str(wanted["port"])
    assert [word.replace("{port}", port) for word in wanted["command"]] == json.loads(cmd[1])
    assert f"EXPOSE {port}" in (frontend / "Dockerfile").read_text().splitlines()
    test_image_runs_as_a_user_of_its_own(frontend)
    test_says_what_it_is(frontend)
    request = re.search(r"^request = .*?\}(?=\s*(?:#|$))", (frontend / "llamakey.toml").read_text(), re.MULTILINE)
    assert request is not None
    assert request[0] in (ROOT.parent / "docs" / "servers.md").read_text()
    readme = (ROOT.parent / "README.md").read_text()
    assert f"(sample_images/frontends/{frontend.name})" in readme


@pytest.mark.parametrize("server", sorted(SERVERS.iterdir()), ids=lambda path: path.name)
def test_a_further_server_is_a_sample_with_packages_of_its_own(server):
    """What it needs besides comes in a layer after the one that all samples share."""
    test_packages_share_one_cached_layer(server)
    test_command_is_the_images_own(server)
    test_image_runs_as_a_user_of_its_own(server)
    test_says_what_it_is(server)
    assert "expect" not in deployment(server)
    assert "COPY requirements-server.txt ." in (server / "Dockerfile").read_text().splitlines()
    assert any("OPENAI_API_KEY is not set" in path.read_text() for path in server.glob("*.py")), "a start-up check"


@each
def test_packages_share_one_cached_layer(sample):
    head = (SAMPLES[0] / "Dockerfile").read_text().partition("COPY . .")[0]
    assert "pip install" in head
    assert (sample / "Dockerfile").read_text().startswith(head)
    assert (sample / "requirements.txt").read_bytes() == (ROOT / "requirements.txt").read_bytes()


@each
def test_command_is_the_images_own(sample):
    cmd = re.search(r"^CMD (\[.*\])$", (sample / "Dockerfile").read_text(), re.MULTILINE)
    assert cmd is not None
    wanted = deployment(sample)
    assert [word.replace("{port}", "8000") for word in wanted["command"]] == json.loads(cmd[1])
    assert f"EXPOSE {wanted['port']}" in (sample / "Dockerfile").read_text().splitlines()


@each
def test_image_runs_as_a_user_of_its_own(sample):
    assert "USER app" in (sample / "Dockerfile").read_text().splitlines()


@each
def test_only_the_broken_ones_expect_causes(sample):
    assert deployment(sample).get("expect", []) == CAUSES.get(sample.name, [])


@each
def test_says_what_it_is(sample):
    app = next(path for name in ("app.py", "main.py", "web.py") if (path := sample / name).exists())
    assert [line[:2] for line in app.read_text().splitlines()[:2]] == ["# ", "# "]


@each
def test_calls_the_model_through_llama_index(sample):
    imported = {
        node.module
        for path in sample.glob("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.ImportFrom)
    }
    assert {"llama_index.core", "llama_index.llms.openai"} <= imported


def test_every_cause_has_a_broken_half_and_a_fixed_one():
    wanted = {(cause, half) for cause in ALL_CAUSES for half in ("broken", "fixed")}
    assert {(half.parent.name, half.name) for half in HALVES} == wanted


@each_half
def test_broken_half_expects_its_cause_and_the_fixed_one_none(half):
    assert deployment(half).get("expect", []) == ([half.parent.name] if half.name == "broken" else [])


@each_half
def test_half_shares_the_cached_layer_and_starts_alike_in_both_runtimes(half):
    test_packages_share_one_cached_layer(half)
    test_command_is_the_images_own(half)


@each_half
def test_half_names_its_runtime_only_where_the_cause_is_in_no_other(half):
    wanted = "docker" if half.parent.name in IN_CONTAINERS_ONLY else None
    assert deployment(half).get("only_in") == wanted
    assert "runtime" not in deployment(half)


@each_half
def test_half_does_not_say_what_is_wrong_with_it(half):
    """A rule that read names or comments would be none."""
    cause = half.parent.name
    for path in half.iterdir():
        text = path.read_text()
        if path.name == "llamakey.toml":
            text = "\n".join(line for line in text.splitlines() if not line.startswith("expect"))
        assert cause not in text
        assert cause.replace("-", "_") not in text
        assert not re.search(r"\b(broken|fixed|mistake|bug)\b", text, re.IGNORECASE)


@pytest.mark.parametrize("cause", sorted({half.parent.name for half in HALVES}))
def test_halves_differ_in_little(cause):
    broken, fixed = PAIRS / cause / "broken", PAIRS / cause / "fixed"
    names = {path.name for path in (*broken.iterdir(), *fixed.iterdir())} - {"__pycache__"}
    changed = {name for name in names if (broken / name).read_bytes() != (fixed / name).read_bytes()}
    assert "llamakey.toml" in changed
    assert len(changed) <= 3


def test_the_readme_has_a_row_for_each_runtime_with_a_pair_and_names_only_what_is_there():
    rows = re.findall(r"^\|.*\]\(sample_images/([\w/]+)\) \|$", (ROOT.parent / "README.md").read_text(), re.MULTILINE)
    runtimes = {f"runtimes/{path.name}" for path in (ROOT / "runtimes").iterdir() if path.is_dir()}
    assert runtimes <= set(rows)
    assert all((ROOT / row).is_dir() for row in rows)
    assert all((ROOT / row / half).is_dir() for row in runtimes for half in ("right", "broken"))


def test_the_table_of_pairs_names_each_once():
    rows = re.findall(r"^\| `([a-z-]+)` \|", (PAIRS / "README.md").read_text(), re.MULTILINE)
    assert sorted(rows) == sorted({half.parent.name for half in HALVES})
