"""The app reports ready without a usable key."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from pytest_llamakey.causes.base import Cause, Example, place_of
from pytest_llamakey.causes.recorded import app, at, gated
from pytest_llamakey.facts import GateTrial
from pytest_llamakey.findings import Finding
from pytest_llamakey.symptoms.gate import START_WORDS

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from pytest_llamakey.facts import Facts
    from pytest_llamakey.symptoms import Kind

_REFUSES = GateTrial("none", ready=False, seconds=1.2, detail="ended by itself")
_SERVES = GateTrial("none", ready=True, seconds=1.1, detail="reported ready after 1.1 s", place=at("app.py:8")[0])
_SERVES_WRONG = GateTrial("wrong", ready=True, seconds=1.3, detail="reported ready after 1.3 s")


class ServesWithoutKey(Cause):
    """Started without a key, or with one that the provider refuses, the app says that it is ready.

    What you see: a rollout that goes green, and users who get ``500`` from it: the health check asked whether the web
    server answers, not whether the app can do its work, and the old, working version was taken away.

        @app.get("/health")
        def health():
            return {"ok": True}

    Make one small call of the model before the app serves (at start, not in each health check), and end if it fails:

        Settings.llm = OpenAI(model="gpt-4o-mini")
        Settings.llm.complete("ping", max_tokens=1)  # raises, and the old version goes on serving
    """

    name = "serves-without-key"
    title = "the app reports ready without a usable key"
    explains: ClassVar[frozenset[Kind]] = frozenset({"ready-without-key"})

    EXAMPLES = (
        Example("ready without a key", gated(app(), _SERVES, GateTrial("wrong", ready=False, seconds=3.0)), True),
        Example("ready with a wrong key only", gated(app(), _REFUSES, _SERVES_WRONG), True),
        Example("ready with either", gated(app(), _SERVES, _SERVES_WRONG), True),
        Example(
            "it ends, or is never ready", gated(app(), _REFUSES, GateTrial("wrong", ready=False, seconds=9.0)), False
        ),
        Example("nobody asked", app(), False),
        Example(
            "it could not be started so",
            gated(app(), GateTrial("none", ready=False, seconds=0.0, fault="no engine")),
            False,
        ),
    )

    def find(self, facts: Facts) -> Iterable[Finding]:
        """One finding for all starts that should not have ended in a ready app."""
        served = [trial for trial in facts.gate.trials if trial.ready] if facts.gate else []
        if served:
            ready = place_of(facts.deployment.origins.get("ready") or facts.deployment.origins.get("deployment"))
            places = [trial.place for trial in served]
            yield Finding(
                "gate",
                self.name,
                where=tuple(dict.fromkeys(place for place in (*places, ready) if place is not None)),
                evidence=tuple(_story(facts)),
                fix="Make one minimal call of the model while the app starts, and end if it fails.",
            )


def _story(facts: Facts) -> Iterator[str]:
    boot = facts.timings.get("ready")
    if boot is not None:
        yield f"with the right key it is ready after {boot:.1f} s"
    for trial in facts.gate.trials if facts.gate else ():
        place = f" ({trial.place})" if trial.place else ""
        yield f"{trial.seconds:.2f} s started {START_WORDS[trial.key]}, it {trial.detail or _ending(trial)}{place}"


def _ending(trial: GateTrial) -> str:
    return "is ready" if trial.ready else trial.fault or "is not ready"
