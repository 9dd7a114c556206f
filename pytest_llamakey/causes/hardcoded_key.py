"""The code holds a literal key, and uses it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pytest_llamakey.causes.base import KEY_SYMPTOMS, Cause, Example, begun, changed_above, innermost, moment
from pytest_llamakey.causes.carriers import carrier
from pytest_llamakey.causes.recorded import (
    EMPTY,
    FOREIGN,
    MATCH,
    app,
    at,
    call,
    change,
    client,
    dotenv,
    keyless,
    main_process,
    miss,
    rekeyed,
    roll,
    worker,
)
from pytest_llamakey.causes.trail import launched_by
from pytest_llamakey.causes.uses import asked, grouped, once
from pytest_llamakey.hosts import AZURE_HOSTS, OPENAI_HOSTS, among
from pytest_llamakey.symptoms.rotation import EARLIER_KEY

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from pytest_llamakey.causes.base import Trouble
    from pytest_llamakey.causes.uses import Use
    from pytest_llamakey.facts import Call, Client, Facts, Place, Rollcall
    from pytest_llamakey.findings import Finding

_LINE = at("config.py:3", 'KEY = "sk-…0a1b2c3d"')[0]
_LITERAL: dict[str, Any] = {"calls": (call(FOREIGN),), "rollcall": (roll(FOREIGN),)}
_DEFAULT = 'OpenAI(api_key=os.getenv("OPENAI_API_KEY", "changeme"))'


class HardcodedKey(Cause):
    """A key (or a placeholder for one) is written into the code, and goes over the one that is delivered.

    What you see: ``Incorrect API key provided: your key here``, or calls that go on with the key of whoever wrote the
    line, whatever is delivered.

        Settings.llm = OpenAI(api_key="sk-your-key-here")
        os.environ["OPENAI_API_KEY"] = "sk-…"

    Take the literal out; the client finds the delivered variable by itself:

        Settings.llm = OpenAI()
    """

    name = "hardcoded-key"
    title = "the code holds a literal key and uses it"
    explains = KEY_SYMPTOMS

    EXAMPLES = (
        Example("passed to a client", app(worker(clients=(client(key=FOREIGN, literal=_LINE),), **_LITERAL)), True),
        Example(
            "put into the environment",
            app(
                worker(
                    environment_changes=(change(0.2, FOREIGN, literal=_LINE),),
                    clients=(client(key=FOREIGN),),
                    **_LITERAL,
                )
            ),
            True,
        ),
        Example(
            "put into the environment that workers are spawned with",
            app(
                main_process(environment_changes=(change(0.2, FOREIGN, literal=_LINE),)),
                worker(
                    environment={"OPENAI_API_KEY": FOREIGN},
                    key=FOREIGN,
                    clients=(client(key=FOREIGN),),
                    **_LITERAL,
                ),
            ),
            True,
        ),
        Example(
            "given to a client that was built",
            app(worker(client_changes=(rekeyed(0.9, FOREIGN, literal=_LINE),), **_LITERAL)),
            True,
        ),
        Example(
            "a second client, beside a right one",
            app(
                worker(
                    clients=(client(), client(0.6, FOREIGN, "embed.py:4", literal=_LINE)),
                    calls=(call(), call(FOREIGN)),
                    rollcall=(roll(), roll(FOREIGN, "")),
                )
            ),
            True,
        ),
        Example(
            "exported by a start script over what was delivered",
            app(
                worker(
                    environment={"OPENAI_API_KEY": FOREIGN},
                    key=FOREIGN,
                    clients=(client(key=FOREIGN),),
                    **_LITERAL,
                )
            ),
            True,
        ),
        Example(
            "a literal that no call uses any more",
            app(worker(clients=(client(0.4, FOREIGN, literal=_LINE), client(0.6, where="app.py:8")))),
            False,
        ),
        Example(
            "another provider's client, with a key of its own from a variable",
            app(
                worker(
                    clients=(client(), client(0.6, FOREIGN, "groq.py:4", host="api.groq.com")),
                    calls=(call(), call(FOREIGN, host="api.groq.com", intended=False)),
                )
            ),
            False,
        ),
        Example(
            "another provider's client, with a literal key of its own",
            app(
                worker(
                    clients=(client(), client(0.6, FOREIGN, "router.py:4", host="openrouter.ai", literal=_LINE)),
                    calls=(call(), call(FOREIGN, host="openrouter.ai", intended=False)),
                )
            ),
            False,
        ),
        Example("no literal", app(), False),
        Example(
            "a default for a variable that nothing delivers",
            app(
                main_process(environment={}),
                keyless(
                    key=FOREIGN,
                    clients=(client(key=FOREIGN, literal=at("app.py:5")[0]),),
                    environment_misses=(miss(0.49, "OPENAI_API_KEY", text=_DEFAULT),),
                    errors=(),
                    **_LITERAL,
                ),
                delivered=("none",),
            ),
            False,
        ),
        Example(
            "the .env lost to a key that the deployment sets",
            app(
                worker(
                    environment={"OPENAI_API_KEY": FOREIGN},
                    key=FOREIGN,
                    dotenv=(dotenv(0.2),),
                    clients=(client(key=FOREIGN),),
                    **_LITERAL,
                ),
                delivered=("dotenv:.env",),
            ),
            False,
        ),
        Example(
            "nothing where the key should be", app(worker(clients=(client(key=EMPTY),), calls=(), rollcall=())), False
        ),
    )

    def find(self, facts: Facts) -> Iterable[Finding]:
        """A finding for each literal, with the processes that use it."""
        rows: list[tuple[str, tuple[Place | None, Trouble, Use]]] = []
        for trouble, use in asked(self, facts):
            foreign = use.key.state == "different" and use.key.shown != EARLIER_KEY
            if foreign and use.defaulted is None and not _for_another_provider(trouble, use):
                if use.literal is not None:
                    rows.append((str(use.literal), (use.literal, trouble, use)))
                elif (name := _exported(facts, trouble, use)) is not None:
                    rows.append((name, (next(iter(launched_by(facts, name)), None), trouble, use)))
        for group in grouped(rows):
            literal, trouble, use = group[0]
            yield self.finding(
                once(trouble for _literal, trouble, _use in group),
                where=[literal, use.place],
                evidence=_story(literal, trouble, use),
                fix=f"Take the literal key out{f' of {literal}' if literal else ''}"
                f"{_with_its_base(facts, trouble, use)}; the delivered one is used then.",
            )


def _for_another_provider(trouble: Trouble, use: Use) -> bool:
    """Whether this key is known only from calls of a host that neither the deployment means nor ours is a key for."""
    told = any(symptom.sight == use.key for symptom in trouble.symptoms)
    calls = [call for call in trouble.process.calls if call.via != "rollcall" and call.key == use.key]
    away = [call for call in calls if not call.intended and not among(call.host, (*OPENAI_HOSTS, *AZURE_HOSTS))]
    return bool(calls) and away == calls and not told


def _with_its_base(facts: Facts, trouble: Trouble, use: Use) -> str:
    """What else has to go, lest the delivered key be sent to another provider."""
    process, meant = trouble.process, (*facts.deployment.hosts, *OPENAI_HOSTS, *AZURE_HOSTS)
    told: list[Client | Rollcall | Call] = [*process.clients, *process.rollcall, *process.calls]
    hosts = [each.host for each in told if each.key == use.key]
    return next((f", and the base {host} with it" for host in hosts if host and not among(host, meant)), "")


def _exported(facts: Facts, trouble: Trouble, use: Use) -> str | None:
    """The delivered variable that came to the process with another value: a shell script wrote over it."""
    if not carrier(facts).hands_on:
        return None
    names = [way.partition(":")[2] for way in facts.deployment.delivered if way.startswith("env:")]
    environment = trouble.process.environment
    return next((name for name in names if environment.get(name) == use.key), None)


def _story(literal: Place | None, trouble: Trouble, use: Use) -> Iterator[str]:
    process = trouble.process
    had = [name for name, sight in process.environment.items() if sight == MATCH]
    if had:
        yield begun(trouble, use.at, f"with the key in {had[0]}")
    held = [name for name, sight in process.environment.items() if sight == use.key]
    stands = literal is not None and (literal == use.literal or use.key.shown in literal.text)
    if held and not stands:
        yield begun(trouble, use.at, f"with {held[0]}={use.key.shown}, which is not what was delivered")
    for each in (*(changed_above(trouble) if held else ()), *process.environment_changes):
        if each.literal is not None and each.key == use.key:
            yield moment(each.at, each.where, f"{each.name} set to the literal {each.key.shown}")
    for changed in process.client_changes:
        if changed.literal is not None and changed.key == use.key:
            yield moment(changed.at, changed.where, f"a client's api_key set to the literal {changed.key.shown}")
    yield f"{literal} holds {use.key.shown} word for word" if stands and literal != innermost(use.where) else use.line
    yield use.line
