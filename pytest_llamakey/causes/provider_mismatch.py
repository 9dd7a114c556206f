"""Client class, host and key do not belong together."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from pytest_llamakey.causes.base import Cause, Example, class_name, innermost, moment
from pytest_llamakey.causes.recorded import FOREIGN, HOST, MATCH, app, call, client, worker
from pytest_llamakey.causes.uses import derived
from pytest_llamakey.facts import KeySight
from pytest_llamakey.findings import Finding
from pytest_llamakey.spec.model import ALL_CHECKS
from pytest_llamakey.symptoms import Kind, all_symptoms
from pytest_llamakey.symptoms.provider import mismatch

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from pytest_llamakey.facts import Call, Facts, Place, Process
    from pytest_llamakey.findings import WorkerId

_AZURE = "/openai/deployments/gpt/chat/completions"
_AZURE_CALL = call(path=_AZURE, header="api-key")
_ENDPOINT = {"OPENAI_API_KEY": MATCH, "AZURE_OPENAI_ENDPOINT": KeySight("match", f"http://{HOST}/")}
_MIXED: frozenset[Kind] = frozenset({"call-header", "call-provider", "call-host"})


class ProviderMismatch(Cause):
    """A client of one provider is used with the host, the header or the key of another.

    What you see: ``404 Resource not found``, ``Access denied due to invalid subscription key or wrong API endpoint``,
    or ``Incorrect API key provided``, although the key is right where it belongs.

    OpenAI's class asks for ``/chat/completions`` with ``Authorization: Bearer``, Azure's for
    ``/openai/deployments/NAME/chat/completions?api-version=…`` with ``api-key``; neither understands the other:

        Settings.llm = OpenAI(api_base=os.environ["AZURE_OPENAI_ENDPOINT"])

    Use the class that belongs to the host and the key:

        Settings.llm = AzureOpenAI(engine="gpt", azure_endpoint=os.environ["AZURE_OPENAI_ENDPOINT"])
    """

    name = "provider-mismatch"
    title = "client class, host and key do not belong together"
    explains: ClassVar[frozenset[Kind]] = _MIXED | {"setting-differs"}

    EXAMPLES = (
        Example("OpenAI's class at a deployment of Azure", app(worker(calls=(call(path=_AZURE, status=404),))), True),
        Example(
            "OpenAI's class at Azure's endpoint",
            app(worker(environment=_ENDPOINT, calls=(call(path="/chat/completions"),))),
            True,
        ),
        Example(
            "Azure's class at OpenAI's interface",
            app(worker(calls=(call(header="api-key", exact=False, status=401),))),
            True,
        ),
        Example(
            "OpenAI's class at a host of Azure",
            app(worker(calls=(call(host="mine.openai.azure.com", path="/chat/completions", intended=False),))),
            True,
        ),
        Example("Azure's key for OpenAI", app(worker(), delivered=("env:AZURE_OPENAI_API_KEY",)), True),
        Example("Azure's class at Azure's endpoint", app(worker(environment=_ENDPOINT, calls=(_AZURE_CALL,))), False),
        Example(
            "OpenAI's class at Azure's own /openai/v1",
            app(worker(environment=_ENDPOINT, calls=(call(path="/openai/v1/chat/completions"),))),
            False,
        ),
        Example("a token for Azure", app(worker(environment=_ENDPOINT, calls=(call(path=_AZURE),))), False),
        Example(
            "both providers, each in its way", app(worker(environment=_ENDPOINT, calls=(call(), _AZURE_CALL))), False
        ),
        Example(
            "one base for everything, Azure's among it",
            app(
                worker(
                    environment={**_ENDPOINT, "OPENAI_API_BASE": KeySight("match", f"http://{HOST}/v1")},
                    calls=(call(),),
                )
            ),
            False,
        ),
        Example(
            "another host in OpenAI's own way", app(worker(calls=(call(host="api.openai.com", intended=False),))), False
        ),
        Example(
            "a path that the endpoint does not know",
            app(worker(calls=(call(), call(path="/v1/audio/speech", status=404)))),
            False,
        ),
        Example(
            "a key that is refused",
            app(worker(clients=(client(key=FOREIGN),), calls=(call(FOREIGN),), rollcall=())),
            False,
        ),
    )

    def find(self, facts: Facts) -> Iterable[Finding]:
        """A finding for each line that calls in the way of another provider."""
        kinds = {symptom.kind for symptom in all_symptoms(facts)}
        if not kinds & _MIXED:
            return
        rows: dict[tuple[Place | None, str], list[tuple[WorkerId, Process, Call]]] = {}
        for replica in facts.replicas:
            for process in replica.processes:
                for sent, why in _mixed(facts, process):
                    maker = _maker(process, sent)
                    rows.setdefault((maker, why), []).append(((replica.id, process.pid), process, sent))
        for (maker, why), group in rows.items():
            workers = tuple(dict.fromkeys(worker for worker, _process, _call in group))
            _worker, process, sent = group[0]
            broken = {s.check for s in all_symptoms(facts) if s.kind in _MIXED and s.worker in workers}
            if not broken:
                continue
            place = maker or innermost(sent.where)
            yield Finding(
                check=min(broken, key=ALL_CHECKS.index),
                cause=self.name,
                workers=workers,
                where=tuple(dict.fromkeys(p for p in (maker, innermost(sent.where)) if p is not None)),
                evidence=(*_built(process, maker), _told(sent), why),
                fix=f"Use the class that belongs to the host and the key{f' in {place}' if place else ''}: AzureOpenAI "
                "with azure_endpoint for Azure, OpenAI for OpenAI.",
            )


def _mixed(facts: Facts, process: Process) -> Iterator[tuple[Call, str]]:
    for sent in process.calls:
        why = mismatch(facts, process, sent)
        if sent.via != "rollcall" and sent.key.state == "match" and why:
            yield sent, why


def _maker(process: Process, sent: Call) -> Place | None:
    """The line that built the client: the latest before the call with its host, as far as that tells them apart."""
    url = f"{sent.host}{sent.path}"
    before = [c for c in sorted(process.clients, key=lambda each: each.at) if c.at <= sent.at and c.where]
    made = [c for number, c in enumerate(before) if not c.error and not derived(c, before[:number])]
    there = [c for c in made if _base_of(c.base) and url.startswith(_base_of(c.base))]
    azure = sent.header == "api-key"
    fitting = [c for c in there or made if ("azure" in c.kind.lower()) == azure]
    # The longest base says most; LlamaIndex builds openai's client in the line of the call, after its own.
    best = sorted(fitting, key=lambda c: (-len(_base_of(c.base)), c.at))
    return innermost(best[0].where) if best else None


def _base_of(base: str) -> str:
    return base.partition("://")[2].rstrip("/")


def _built(process: Process, maker: Place | None) -> Iterator[str]:
    made = next((c for c in process.clients if maker is not None and innermost(c.where) == maker), None)
    if made is not None:
        yield moment(made.at, made.where, f"{class_name(made.kind)}(...) built for {made.base or made.host}")


def _told(sent: Call) -> str:
    header = f"{sent.header}: <key>" if sent.header else "no key"
    return moment(sent.at, sent.where, f"{sent.method} {sent.host}{sent.path} with {header}, answered {sent.status}")
