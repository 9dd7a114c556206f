"""The call went to a host the deployment was not meant to call."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from pytest_llamakey.causes.base import Cause, Example, class_name, innermost, moment
from pytest_llamakey.causes.recorded import FOREIGN, app, call, client, worker
from pytest_llamakey.facts import CallError, Drive
from pytest_llamakey.findings import Finding
from pytest_llamakey.hosts import among, host_of
from pytest_llamakey.spec.model import ALL_CHECKS
from pytest_llamakey.symptoms import Kind, all_symptoms
from pytest_llamakey.symptoms.base import all_calls
from pytest_llamakey.symptoms.elsewhere import astray, uncalled
from pytest_llamakey.symptoms.provider import mismatch

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from pytest_llamakey.facts import Facts, Place
    from pytest_llamakey.findings import WorkerId

_BASES = frozenset({"OPENAI_API_BASE", "OPENAI_BASE_URL", "AZURE_OPENAI_ENDPOINT"})
_ELSEWHERE = call(host="api.openai.com", intended=False, exact=True)


class WrongEndpoint(Cause):
    """The client calls another host than the deployment names.

    What you see: the API base was set for a gateway, a proxy or Azure, and the calls (and with them your key) go to
    ``api.openai.com`` all the same; in production a 401 of a provider that never heard of this key, or a connection
    that the firewall drops.

    A client that is given its own base, or that reads another variable, pays no heed to yours:

        Settings.llm = OpenAI(api_base="https://api.openai.com/v1")

    Leave the base to the environment (LlamaIndex reads OPENAI_API_BASE, the openai package OPENAI_BASE_URL):

        Settings.llm = OpenAI()
    """

    name = "wrong-endpoint"
    title = "the call goes to another host"
    explains: ClassVar[frozenset[Kind]] = frozenset({"call-host"})

    EXAMPLES = (
        Example("a client with its own base", app(worker(calls=(_ELSEWHERE,))), True),
        Example("a call that nobody could be named for", app(strays=(_ELSEWHERE,)), True),
        Example("one call of several", app(worker(calls=(call(), _ELSEWHERE))), True),
        Example(
            "Azure's class, at another resource of Azure's",
            app(
                worker(
                    calls=(
                        call(
                            host="other.openai.azure.com",
                            path="/openai/deployments/gpt/chat/completions",
                            header="api-key",
                            intended=False,
                        ),
                    )
                )
            ),
            True,
        ),
        Example(
            "OpenAI's class at a host of Azure: the class is wrong",
            app(worker(calls=(call(host="mine.openai.azure.com", path="/chat/completions", intended=False),))),
            False,
        ),
        Example(
            "a client that nothing has come to use yet",
            app(
                worker(
                    calls=(call(), call(host="api.groq.com", via="rollcall", intended=False, path="/openai/v1/models"))
                )
            ),
            True,
        ),
        Example(
            "another provider's client, with its own key",
            app(worker(calls=(call(), call(FOREIGN, host="api.groq.com", via="rollcall", intended=False)))),
            False,
        ),
        Example(
            "a client that cannot call for another reason",
            app(
                worker(
                    clients=(client(host="api.groq.com", base="https://api.groq.com/openai/v1"),),
                    calls=(),
                    errors=(CallError(1.2, "openai.APIConnectionError", "Connection error."),),
                    rollcall=(),
                    drive=Drive("answered", answer=500, requests=1),
                )
            ),
            True,
        ),
        Example(
            "one that was built and is gone, and the calls are right",
            app(worker(clients=(client(0.4, host="api.groq.com", base="https://api.groq.com/openai/v1"), client()))),
            False,
        ),
        Example(
            "the host that was named, through a proxy",
            app(
                worker(calls=(call(), call(host="api.openai.com", intended=False, status=None))),
                hosts=("api.openai.com",),
            ),
            True,
        ),
        Example("the host that was named", app(), False),
    )

    def find(self, facts: Facts) -> Iterable[Finding]:
        """A finding for each host, with all processes that called it."""
        check = min((s.check for s in all_symptoms(facts) if s.kind == "call-host"), key=ALL_CHECKS.index, default=None)
        if check is None:
            return
        hosts: dict[str, list[tuple[WorkerId | None, Place | None, str]]] = {}
        for replica, pid, sent in all_calls(facts):
            mixed = sent.key.state == "match" and mismatch(facts, None, sent)
            if astray(sent) and (pid is None or not mixed):
                told = moment(sent.at, sent.where, f"{sent.method} {sent.host}{sent.path}")
                hosts.setdefault(sent.host, []).append(
                    (None if pid is None else (replica, pid), innermost(sent.where), told)
                )
        for at, process, made in uncalled(facts):
            told = moment(made.at, made.where, f"{class_name(made.kind)}(...) is to call {made.host}")
            hosts.setdefault(made.host, []).append(((at.id, process.pid), innermost(made.where), told))
        meant = " or ".join(facts.deployment.hosts) or "the deployment's API base"
        for host, rows in hosts.items():
            lines = [*_makers(facts, host), *(place for _worker, place, _told in rows)]
            past = among(host, facts.deployment.hosts)
            but = "by a way that leads out of the deployment" if past else f"not {meant}"
            evidence = _story(facts, host)[:1] + [f"{told}, {but}" for _worker, _place, told in rows]
            named = tuple(dict.fromkeys(worker for worker, _place, _told in rows if worker is not None))
            strays = any(worker is None for worker, _place, _told in rows)
            for workers in ((named,) if named else ()) + (((),) if strays else ()):
                yield Finding(
                    check=check,
                    cause=self.name,
                    workers=workers,
                    where=tuple(dict.fromkeys(line for line in lines if line is not None)),
                    evidence=tuple(dict.fromkeys(evidence))[:3],
                    fix=f"Let the app reach {host} by its name, without a proxy and without an address of its own."
                    if past
                    else "Let this client take its base from OPENAI_API_BASE and OPENAI_BASE_URL; if it is meant to "
                    f'call {host}, write endpoint = "intercept".',
                )


def _bases(facts: Facts, host: str) -> Iterator[tuple[Place | None, str]]:
    """What made the calls go to this host: a variable that the app set, before a client's own base."""
    processes = [process for replica in facts.replicas for process in replica.processes]
    for process in processes:
        for change in process.environment_changes:
            if change.name in _BASES and host_of(change.key.shown) == host:
                told = moment(change.at, change.where, f"{change.name} set to {change.key.shown}")
                yield innermost(change.where), told
    for process in processes:
        for made in process.clients:
            if host in {made.host, host_of(made.base)}:
                told = moment(made.at, made.where, f"{class_name(made.kind)}(...) built for {made.base or made.host}")
                yield innermost(made.where), told


def _makers(facts: Facts, host: str) -> list[Place | None]:
    return [place for place, _told in _bases(facts, host)][:2]


def _story(facts: Facts, host: str) -> list[str]:
    return [told for _place, told in _bases(facts, host)]
