"""All of ``sample_images/runtimes`` in one run, as real as they come, and what is there before and after it."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import subprocess
import sys
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psutil
import pytest
from docker_bench import RUN_LABEL, family, until

from pytest_llamakey.reaper import Reaper
from pytest_llamakey.runtimes.compose_tool import find_compose

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from conftest import Run

pytestmark = [pytest.mark.cluster, pytest.mark.engine, pytest.mark.slow]

ROOT = Path(__file__).parents[2]
SAMPLES = "sample_images/runtimes"
WORKERS = {"celery": 5, "compose": 2, "kubernetes": 4, "node": 3, "systemd": 3}
BROKEN = {
    "celery": ("dotenv-partial", "web.py:5"),
    "compose": ("variable-unset", f"{SAMPLES}/compose/broken/compose.yaml:7"),
    "kubernetes": ("key-missing", f"{SAMPLES}/kubernetes/broken/deploy.yaml:35"),
    "node": ("key-mangled", ""),  # without a probe nobody sees the line
    "systemd": ("env-cleared", f"{SAMPLES}/systemd/broken/app.service:8"),
}
"""The cause of each broken one, and the line that its finding names first."""
REACHED, LEFT = 240.0, 90.0
"""Seconds in which a deployment of each kind has to run, and in which all of them have to be gone; both on a machine
that others use too."""


def said(*command: str) -> set[str]:
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)
    return {line for line in done.stdout.splitlines() if line}


@lru_cache(maxsize=1)
def compose() -> tuple[str, ...]:
    """The ``docker compose`` of this machine, or that of PyPI."""
    return find_compose(Reaper("test")).command


def there(mark: str) -> dict[str, set[str]]:
    """What the tools of the three platforms list of runs whose ids begin with ``mark``; others run meanwhile."""
    projects = {line.split()[0] for line in said(*compose(), "ls", "--all") if line.startswith("llamakey-")}
    containers = said("docker", "ps", "--all", "--format", f'{{{{.ID}}}} {{{{.Label "{RUN_LABEL}"}}}} {{{{.Names}}}}')
    namespaces = said("kubectl", "get", "namespaces", "--output", "name")
    everything = {"projects": projects, "containers": containers, "namespaces": namespaces}
    return {kind: {line for line in lines if mark in line} for kind, lines in everything.items()}


def marks(processes: Iterable[psutil.Process]) -> set[str]:
    """What the ids of runs begin with whose processes are among these: it stands in their reapers' command lines."""
    found = set()
    for process in processes:
        with contextlib.suppress(psutil.Error):
            words = process.cmdline()
            if any(word.endswith("reaper_child.py") for word in words):
                found.add(words[-2].rpartition("-")[0])
    return found - {""}  # a test's own reaper; nothing is in every name


def left(new: dict[str, set[str]], at_work: set[str]) -> list[str]:
    """What of ``new`` bears the name or the label of a run and belongs to none of those at work."""
    run = re.compile(r"llamakey-(\w+)-|^\w+ (\w+)-[0-9a-f]{8} ")
    found = [(name, run.search(name)) for names in new.values() for name in sorted(names)]
    return [name for name, match in found if match and not at_work & {*match.groups()}]


@pytest.fixture(scope="module")
def arguments(python_image: str, node_image: str) -> list[str]:
    given = (f"PYTHON_IMAGE={python_image}", f"NODE_IMAGE={node_image}")
    return [word for one in given for word in ("--llamakey-build-arg", one)]


@pytest.fixture(scope="module")
def before() -> dict[str, set[str]]:
    return there("")


@pytest.fixture(scope="module")
def run(run_llamakey: Callable[..., Run], before: Any, entitled: Any, arguments: list[str]) -> Run:
    """With the rights on the cluster that the documentation asks for, and no others; right ones with all checks."""
    del before
    right, broken = ([f"{SAMPLES}/{kind}/{half}" for kind in WORKERS] for half in ("right", "broken"))
    there = {"KUBECONFIG": str(entitled[0])}
    done = run_llamakey(*right, *arguments, "--llamakey-checks", "all", env=there)
    done += run_llamakey(*broken, *arguments, env=there)
    assert done.code == 0, done.output
    return done


def deployment(run: Run, kind: str, half: str) -> dict[str, Any]:
    return next(one for one in run.report["deployments"] if one["id"].startswith(f"{SAMPLES}/{kind}/{half}/"))


def test_there_is_a_pair_for_every_runtime(run: Run) -> None:
    assert {path.name for path in (ROOT / SAMPLES).iterdir()} == set(WORKERS) == set(BROKEN)
    assert len(run.report["deployments"]) == 2 * len(WORKERS)


@pytest.mark.parametrize("kind", WORKERS)
def test_all_workers_of_the_right_one_are_seen_with_one_call_each(run: Run, kind: str) -> None:
    found = deployment(run, kind, "right")
    assert (found["outcome"], found["verdict"], found["causes"]) == ("passed", "pass", [])
    assert found["seen_workers"] == found["expected_workers"] == WORKERS[kind]
    workers = [one for replica in found["replicas"] for one in replica["workers"] if one["role"] == "worker"]
    driven = [[call for call in one["calls"] if call["via"] in ("request", "task")] for one in workers]
    assert [len(calls) for calls in driven] == [1] * WORKERS[kind]
    assert {(call["header"], call["credential"]) for calls in driven for call in calls} == {("authorization", "match")}


@pytest.mark.parametrize("kind", WORKERS)
def test_the_right_one_holds_under_all_checks(run: Run, kind: str) -> None:
    found = deployment(run, kind, "right")
    assert found["findings"] == []
    assert len(found["checks"]) == 7
    ask_inside = {"keyed", "rollcall", "parity"} if kind == "node" else set()
    assert {check for check, outcome in found["checks"].items() if outcome != "passed"} == ask_inside, found["reasons"]


@pytest.mark.parametrize("kind", WORKERS)
def test_the_broken_one_has_its_cause_and_line(run: Run, kind: str) -> None:
    found, (cause, line) = deployment(run, kind, "broken"), BROKEN[kind]
    assert (found["outcome"], found["verdict"], found["causes"]) == ("passed", "fail", [cause])
    (finding,) = found["findings"]
    assert not line or finding["where"][0] == line
    assert finding["evidence"]
    assert finding["fix"]


def test_what_the_platforms_list_is_the_same_after_it(run: Run, before: dict[str, set[str]]) -> None:
    assert run.code == 0

    def left_of_it() -> list[str]:
        at_work = marks(psutil.process_iter())  # other runs may use the same machine, and begin or end meanwhile
        new = {kind: names - before[kind] for kind, names in there("").items()}
        return left(new, at_work | marks(psutil.process_iter()))

    # A kubelet sweeps the containers of pods that are gone in its own time.
    assert until(lambda: not left_of_it(), LEFT), left_of_it()


def test_a_container_without_a_replica_is_seen_to_be_left(python_image: str) -> None:
    """A service, a relay and a look bear the run's label and no replica's id."""
    dead = f"gone{os.getpid()}"
    made = said("docker", "create", "--label", f"{RUN_LABEL}={dead}-0123abcd", python_image, "true")
    try:
        assert len(left(there(dead), set())) == 1
        assert left(there(dead), {"alive", dead}) == []
    finally:
        said("docker", "rm", *made)


def test_the_reaper_of_a_test_is_not_at_work_everywhere(tmp_path: Path) -> None:
    reaper = Reaper("test")
    try:
        reaper.folder(tmp_path / "none")
        assert "" not in marks(family(os.getpid()))
    finally:
        reaper.close()


def test_what_the_platforms_list_is_the_same_after_one_that_was_killed_half_way(
    run: Run, entitled: Any, arguments: list[str]
) -> None:
    """A compose project, a namespace and containers are there at once, and each of its processes is killed."""
    assert run.code == 0  # its images are built
    command = [sys.executable, "-m", "pytest", "--llamakey", "-p", "no:cacheprovider", "-n", "3", *arguments]
    folders = [f"{SAMPLES}/{kind}/right" for kind in ("compose", "kubernetes", "systemd")]
    environment = {**os.environ, "KUBECONFIG": str(entitled[0])}
    with subprocess.Popen(
        [*command, *folders],
        cwd=ROOT,
        env=environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    ) as killed:
        mark: set[str] = set()
        try:
            assert until(
                lambda: mark.update(marks(family(killed.pid))) or (mark and all(there(*mark).values())), REACHED
            )
        finally:
            os.killpg(killed.pid, signal.SIGKILL)
    nothing: dict[str, set[str]] = {"projects": set(), "containers": set(), "namespaces": set()}
    assert until(lambda: there(*mark) == nothing, LEFT), there(*mark)
