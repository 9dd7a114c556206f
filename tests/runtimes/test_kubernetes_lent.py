"""A namespace that is lent: nobody's data in it is written to, and all that the run made in it goes."""

from __future__ import annotations

import re
from typing import Any

import pytest

from pytest_llamakey.runtimes import kubernetes_lent
from pytest_llamakey.runtimes.base import RuntimeFault
from pytest_llamakey.runtimes.kubernetes_lent import LentNamespace
from pytest_llamakey.runtimes.kubernetes_patch import APPLIED, RUN_LABEL

OF_ALL = {"pods", "services", "replicasets", "deployments", "statefulsets", "daemonsets", "jobs"}
"""What kubectl takes for ``all``."""


class Namespace:
    """A cluster's answers about one namespace; a claim that was deleted stays as long as there are pods."""

    def __init__(self) -> None:
        self.held: dict[str, dict[str, dict[str, str]]] = {plural: {} for plural in APPLIED.values()}
        self.lingers = 0
        """For how many questions pods are there still."""
        self.silent = False
        self.unanswered = 0
        self._ending: set[str] = set()

    def add(self, plural: str, name: str, **labels: str) -> None:
        self.held[plural][name] = labels

    def names(self) -> set[str]:
        return {f"{plural}/{name}" for plural, held in self.held.items() for name in held}

    def silence(self) -> str:
        return "it does not answer" if self.silent else ""

    def call(self, method: str, path: str, _body: object = None, *, labelSelector: str = "") -> dict[str, Any]:  # noqa: N803
        if self.silent:
            self.unanswered += 1
            raise RuntimeFault("it does not answer")
        _, rest = path.split("/namespaces/lent/")
        plural, _, name = rest.partition("/")
        label, _, value = labelSelector.partition("=")
        held = self.held[plural]
        found = [one for one, labels in held.items() if not label or labels.get(label) == value]
        if method == "GET":
            self._settle(plural)
            return {"items": [{"metadata": {"name": one}} for one in found]}
        assert method == "DELETE"
        for one in [name] if name else found:
            if plural in {"pods", "persistentvolumeclaims"}:
                self._ending.add(f"{plural}/{one}")
            else:
                del held[one]
        return {}

    def _settle(self, plural: str) -> None:
        if self.lingers > 0:
            self.lingers -= plural == "pods"
            return
        for kind in ("pods", "persistentvolumeclaims"):
            if kind == "pods" or not self.held["pods"]:
                ended = {one for one in self.held[kind] if f"{kind}/{one}" in self._ending}
                self.held[kind] = {one: labels for one, labels in self.held[kind].items() if one not in ended}


@pytest.fixture
def cluster(monkeypatch: pytest.MonkeyPatch) -> Namespace:
    monkeypatch.setattr(kubernetes_lent, "_POLL", 0.001)
    return Namespace()


@pytest.fixture
def lent(cluster: Namespace) -> LentNamespace:
    return LentNamespace(cluster, "r1", "lent")  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("plural", "name", "called"),
    [
        ("pods", "db-0", "there is pod/db-0 in it"),
        ("persistentvolumeclaims", "data-db-0", "persistentvolumeclaim/data-db"),
    ],
)
def test_a_namespace_that_holds_something_is_refused(
    cluster: Namespace, lent: LentNamespace, plural: str, name: str, called: str
) -> None:
    """A database that was scaled to zero has no pods, and its claim is bound by whatever bears the same name."""
    cluster.add(plural, name)
    for _ in range(2):  # the turn is given back
        with pytest.raises(RuntimeFault, match=called):
            lent.make()
    cluster.held[plural].clear()
    assert lent.make() == "lent"


def test_all_that_the_run_made_goes_and_nothing_else(cluster: Namespace, lent: LentNamespace) -> None:
    for plural in APPLIED.values():
        if plural not in {"pods", "persistentvolumeclaims"}:
            cluster.add(plural, "theirs")
    before = cluster.names()
    lent.make()
    for plural in APPLIED.values():
        cluster.add(plural, "ours", **{RUN_LABEL: "r1"})
    cluster.lingers = 3
    lent.remove("lent")
    assert cluster.names() == before
    assert lent.make() == "lent", "the next deployment finds it empty"


def test_who_outlives_a_killed_run_deletes_all_that_it_made(cluster: Namespace, lent: LentNamespace) -> None:
    for name, run in (("ours", "r1"), ("others", "r2")):
        cluster.add("pods", name, **{RUN_LABEL: run})
        cluster.add("secrets", name, **{RUN_LABEL: run})
    lent.clear()
    assert cluster.names() == {"pods/others", "secrets/others"}


def test_of_an_api_server_that_is_silent_nothing_is_waited_for(cluster: Namespace, lent: LentNamespace) -> None:
    """Each of its 13 kinds would take half a minute; who outlives the run sees to what is left."""
    lent.make()
    cluster.add("secrets", "ours", **{RUN_LABEL: "r1"})
    cluster.silent = True
    lent.remove("lent")
    assert cluster.unanswered == 0
    assert not lent.close(), "it is not settled"


def test_one_that_falls_silent_is_asked_once(
    cluster: Namespace, lent: LentNamespace, monkeypatch: pytest.MonkeyPatch
) -> None:
    lent.make()
    monkeypatch.setattr(cluster, "silence", str)
    cluster.silent = True
    assert not lent.close()
    assert cluster.unanswered == 1


@pytest.mark.parametrize(("lingers", "settled"), [(1_000_000, False), (3, True)])
def test_it_is_settled_only_when_nothing_is_there(
    cluster: Namespace, lent: LentNamespace, monkeypatch: pytest.MonkeyPatch, lingers: int, settled: bool
) -> None:
    monkeypatch.setattr(kubernetes_lent, "GONE_SECONDS", 0.5)
    lent.make()
    cluster.add("pods", "ours", **{RUN_LABEL: "r1"})
    cluster.lingers = lingers
    assert lent.close() is settled


def test_the_printed_commands_name_all_that_is_made(cluster: Namespace, lent: LentNamespace) -> None:
    cluster.add("pods", "old")
    with pytest.raises(RuntimeFault) as refused:
        lent.make()
    for words, label in ((str(refused.value), RUN_LABEL), (lent.leave("lent"), f"{RUN_LABEL}=r1")):
        command = re.search(r"kubectl -n lent delete (\S+) -l ([\w.=/-]*\w)", words)
        assert command is not None
        assert {"all", *set(APPLIED.values()) - OF_ALL} == set(command[1].split(","))
        assert command[2] == label
