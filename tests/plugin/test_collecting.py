"""What becomes an item, how items are chosen, and that a deployment boots once whatever is chosen."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from plugin_apps import server

from tools.tiny_app import table

if TYPE_CHECKING:
    from pathlib import Path

    from conftest import Bench

DEFAULT = ["keyed", "wire", "rollcall", "parity", "exposure"]
ALL = [*DEFAULT, "gate", "rotation"]


def collected(bench: Bench, *arguments: Any) -> list[str]:
    """The node ids that pytest finds."""
    result = bench.run("--collect-only", "-q", *arguments)
    return [line for line in result.outlines if "::" in line and " " not in line]


def ids(deployment: str, checks: list[str] = DEFAULT) -> list[str]:
    return [f"{deployment}::{check}" for check in checks]


def booted(file: Path) -> list[str]:
    return sorted(file.read_text().split()) if file.exists() else []


def two(bench: Bench, boots: Path) -> None:
    tables = (table(name=name, env={"BOOTS": str(boots), "NAME": name}) for name in ("api", "jobs"))
    bench.app(text="\n".join(tables))


def test_node_ids(bench: Bench) -> None:
    bench.app("a/b", table(name="api"))
    bench.app()
    assert collected(bench) == [*ids("a/b/llamakey.toml::api"), *ids("shop/llamakey.toml::shop")]


def test_a_deployment_in_a_package_does_not_import_it(bench: Bench) -> None:
    bench.app("outer", table(name="api"), files={"__init__.py": "import not_here"})
    bench.app("outer/inner", table(name="jobs"), files={"__init__.py": "import not_here"})
    assert collected(bench, "-k", "inner") == ids("outer/inner/llamakey.toml::jobs")
    assert bench.run("-k", "keyed").parseoutcomes() == {"passed": 2, "deselected": 8}


@pytest.mark.parametrize(
    ("chosen", "passed", "boots"),
    [
        (["-k", "wire"], 2, ["api", "jobs"]),
        (["shop/llamakey.toml::api::keyed", "shop/llamakey.toml::api::wire"], 2, ["api"]),
        (["shop/llamakey.toml::jobs"], 5, ["jobs"]),
        (["-m", "llamakey"], 10, ["api", "jobs"]),
        (["-k", "api and not parity"], 4, ["api"]),
    ],
)
def test_each_deployment_boots_once_whatever_is_selected(
    bench: Bench, tmp_path: Path, chosen: list[str], passed: int, boots: list[str]
) -> None:
    two(bench, tmp_path / "boots")
    bench.pytester.makepyfile("def test_of_theirs(): pass")
    result = bench.run(*chosen)
    assert result.parseoutcomes()["passed"] == passed
    assert booted(tmp_path / "boots") == boots


@pytest.mark.parametrize(
    ("given", "expected"),
    [("wire", ["wire"]), ("exposure,keyed", ["keyed", "exposure"]), ("default", DEFAULT), ("all", ALL)],
)
def test_checks_are_chosen_by_the_option_and_its_twin(bench: Bench, given: str, expected: list[str]) -> None:
    bench.app(text=table(checks=["parity"]))
    assert collected(bench, "--llamakey-checks", given) == ids("shop/llamakey.toml::shop", expected)
    assert collected(bench, "-o", f"llamakey_checks={given}") == ids("shop/llamakey.toml::shop", expected)


def test_checks_of_the_deployment_count_without_the_option(bench: Bench) -> None:
    bench.app(text=table(checks=["parity", "default", "gate"]))
    assert collected(bench) == ids("shop/llamakey.toml::shop", [*DEFAULT, "gate"])


PYPROJECT = "[tool.pytest.ini_options]\n{ini}\n[tool.llamakey]\nchecks = ['wire']\n\n{table}"


def root_deployment(bench: Bench, ini: str = "") -> None:
    (bench.root / "pytest.ini").unlink()
    own = table(name="root").replace("[[deployment]]", "[[tool.llamakey.deployment]]")
    (bench.root / "pyproject.toml").write_text(PYPROJECT.format(ini=ini, table=own))
    (bench.root / "server.py").write_text(server())
    (bench.root / "tests").mkdir()
    (bench.root / "tests" / "test_theirs.py").write_text("def test_theirs(): pass")
    bench.app()


def test_the_roots_pyproject_is_collected_with_the_root(bench: Bench) -> None:
    root_deployment(bench)
    ours = ["pyproject.toml::root::wire", "shop/llamakey.toml::shop::wire"]
    theirs = "tests/test_theirs.py::test_theirs"
    assert collected(bench) == [*ours, theirs]
    assert collected(bench, ".") == [*ours, theirs]
    assert collected(bench, "pyproject.toml") == ours[:1]
    assert collected(bench, "shop") == ours[1:]
    assert collected(bench, "tests") == [theirs]


def test_the_roots_pyproject_is_collected_beside_testpaths(bench: Bench) -> None:
    root_deployment(bench, "testpaths = ['tests']")
    theirs = "tests/test_theirs.py::test_theirs"
    assert collected(bench) == [theirs, "pyproject.toml::root::wire"]
    assert collected(bench, "tests") == [theirs]
    bench.run().assert_outcomes(passed=2)


def test_a_pyproject_elsewhere_is_not_ours(bench: Bench) -> None:
    own = table().replace("[[deployment]]", "[[tool.llamakey.deployment]]")
    bench.app(files={"pyproject.toml": own})
    assert collected(bench) == ids("shop/llamakey.toml::shop")


def test_a_wrong_file_is_an_error_of_that_file_alone(bench: Bench, tmp_path: Path) -> None:
    bench.app("broken", table(worker=3))
    bench.app("shop", table(env={"BOOTS": str(tmp_path / "boots"), "NAME": "shop"}))
    bench.app("torn", "[[deployment]\n")
    result = bench.run()
    result.assert_outcomes(passed=5, errors=2)
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    result.stdout.fnmatch_lines(
        [
            "*ERROR collecting broken/llamakey.toml*",
            'broken/llamakey.toml:6: unknown key "worker"*"workers"*',
            "*ERROR collecting torn/llamakey.toml*",
            "torn/llamakey.toml:1: not valid TOML:*",
            "PASS  shop*",
        ]
    )
    result.stdout.no_fnmatch_line("*Traceback*")
    assert booted(tmp_path / "boots") == ["shop"]


def test_an_error_in_a_python_file_still_stops_pytest(bench: Bench, tmp_path: Path) -> None:
    bench.app("broken", table(worker=3))
    bench.app("shop", table(env={"BOOTS": str(tmp_path / "boots"), "NAME": "shop"}))
    bench.pytester.makepyfile("import nothing_that_exists")
    result = bench.run()
    result.stdout.fnmatch_lines("*Interrupted: 2 errors during collection*")
    assert result.ret == pytest.ExitCode.INTERRUPTED
    assert booted(tmp_path / "boots") == []


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("checks = ['wires']", "ERROR: pyproject.toml:3: *wires*wire*"),
        ("build_arg = { A = 'b' }", 'ERROR: pyproject.toml:3: unknown key "build_arg"*"build_args"*'),
    ],
)
@pytest.mark.parametrize("path", [[], ["shop"]])
def test_a_mistake_in_what_all_deployments_share_is_told_before_anything_runs(
    bench: Bench, line: str, told: str, path: list[str]
) -> None:
    bench.app()
    root_deployment(bench)
    (bench.root / "pyproject.toml").write_text(f"[tool.pytest.ini_options]\n[tool.llamakey]\n{line}\n")
    result = bench.run(*path)
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(told)


def test_a_file_in_the_working_folder_with_no_llamakey_toml(bench: Bench) -> None:
    folder = bench.root / "plain"
    folder.mkdir()
    (folder / "Dockerfile").write_text("FROM scratch\nEXPOSE 8000\n")
    assert collected(bench) == []
    assert collected(bench, "plain/Dockerfile") == ids("plain/Dockerfile::plain")


def test_a_dockerfile_stands_for_the_deployments_that_build_from_it(bench: Bench) -> None:
    bench.app("shop", table(build=".", name="api", checks=["wire"]), {"Dockerfile": "FROM scratch\nEXPOSE 8000\n"})
    assert collected(bench, "shop/Dockerfile") == ["shop/Dockerfile::api::wire"]


MANIFEST = """\
apiVersion: apps/v1
kind: Deployment
metadata: {name: web}
spec:
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec: {containers: [{name: web, image: web}]}
"""


def test_a_manifest_needs_a_cluster_and_says_so(bench: Bench) -> None:
    (bench.root / "x").mkdir()
    (bench.root / "x" / "deploy.yaml").write_text(MANIFEST)
    assert collected(bench) == []
    bench.pytester._monkeypatch.setenv("KUBECONFIG", str(bench.root / "nowhere"))
    result = bench.run("x/deploy.yaml", "--llamakey-checks", "keyed,wire")
    result.assert_outcomes(failed=2)
    result.stdout.fnmatch_lines("*No Kubernetes cluster answers*KUBECONFIG*")


def test_other_yaml_files_below_a_named_folder_are_left_alone(bench: Bench) -> None:
    bench.app(files={"settings.yaml": "a: 1", "compose.yaml": "services: {}"})
    assert collected(bench, "shop") == ids("shop/llamakey.toml::shop")
