"""The key of an earlier deployment is still in use."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from pytest_llamakey.causes.base import KEY_SYMPTOMS, Cause, Example, begun
from pytest_llamakey.causes.recorded import FOREIGN, app, call, client, dotenv, redeployed, roll, worker
from pytest_llamakey.causes.trail import delivery
from pytest_llamakey.causes.uses import asked, grouped, once
from pytest_llamakey.facts import KeySight
from pytest_llamakey.symptoms.rotation import EARLIER_KEY

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from pytest_llamakey.causes.base import Trouble
    from pytest_llamakey.causes.uses import Use
    from pytest_llamakey.facts import Facts
    from pytest_llamakey.findings import Finding

_OLD = KeySight("different", EARLIER_KEY)
_CACHED = worker(clients=(client(key=_OLD),), calls=(call(_OLD),), rollcall=(roll(_OLD),))


class StaleKey(Cause):
    """The key was changed, and the app goes on with the one before.

    What you see: ``Incorrect API key provided`` (or ``401``) some time after the key was rotated, and only where the
    app was not started anew, or keeps the key in a place of its own: a cache file, a database, a variable that was
    read once.

        if CACHE.exists():
            key = CACHE.read_text()

    Read what is delivered at each start, and keep no copy:

        key = Path("/run/secrets/openai").read_text()
    """

    name = "stale-key"
    title = "the key of an earlier deployment is still in use"
    explains = KEY_SYMPTOMS | {"earlier-key"}

    EXAMPLES = (
        Example("a client that was given the earlier key", app(_CACHED), True),
        Example("one call with it", app(worker(calls=(call(), call(_OLD)))), True),
        Example(
            "one worker of two",
            app(worker(7), worker(8, clients=(client(key=_OLD),), calls=(call(_OLD),), rollcall=())),
            True,
        ),
        Example("the redeployed app goes on with it", redeployed(app(), _CACHED), True),
        Example("one worker of the redeployed app does", redeployed(app(), worker(7), replace(_CACHED, pid=8)), True),
        Example("the redeployed app has the new key", redeployed(app()), False),
        Example("the present key", app(), False),
        Example("a foreign key", app(worker(calls=(call(FOREIGN),))), False),
        Example(
            "the earlier key stands in the environment, and the .env is right",
            app(
                worker(
                    environment={"OPENAI_API_KEY": _OLD},
                    dotenv=(dotenv(0.2),),
                    clients=(client(key=_OLD),),
                    calls=(call(_OLD),),
                    rollcall=(roll(_OLD),),
                    key=_OLD,
                ),
                delivered=("dotenv:.env",),
            ),
            False,
        ),
    )

    def find(self, facts: Facts) -> Iterable[Finding]:
        """A finding for each line that goes on with the earlier key."""
        rows = [(str(use.place), (trouble, use)) for trouble, use in asked(self, facts) if use.key.shown == EARLIER_KEY]
        for group in grouped(rows):
            yield self.finding(
                once(trouble for trouble, _use in group),
                where=[group[0][1].place, delivery(facts)],
                evidence=_story(group),
                fix="Let the app read the key that is delivered now, at each start, and keep no copy of it.",
            )


def _story(group: list[tuple[Trouble, Use]]) -> Iterator[str]:
    trouble, use = group[0]
    now = [name for name, sight in trouble.process.environment.items() if sight.shown == "<key>"]
    if now:
        yield begun(trouble, use.at, f"with the present key in {now[0]}")
    yield from (use.line for _trouble, use in group[:2])
    yield from [symptom.what for symptom in trouble.symptoms if symptom.sight == use.key][:1]
