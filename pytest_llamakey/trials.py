"""The further starts that ``gate`` and ``rotation`` ask for, of a deployment that was ready with its key.

``gate``: started without a key and with one that the endpoint refuses, the app is given twice the time that it took
with the right one. ``rotation``: the app is ended, started in its own place with a new key, and driven once more.
"""

from __future__ import annotations

import time
from contextlib import nullcontext
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

from pytest_llamakey.facts import GateFacts, GateTrial, RotationFacts
from pytest_llamakey.runtimes.base import Refused, RuntimeFault
from pytest_llamakey.starting.ready import NotReady
from pytest_llamakey.starting.restarts import restarted_in_vain

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping
    from contextlib import AbstractContextManager

    from pytest_llamakey.facts import Facts, Place
    from pytest_llamakey.live import LiveDeployment
    from pytest_llamakey.runtimes.base import Progress
    from pytest_llamakey.spec.model import CheckName, Deployment
    from pytest_llamakey.station import Station
    from pytest_llamakey.workshop import Choice, Workshop

TIMES = 2.0
MORE = 5.0
"""An app is waited for :data:`TIMES` as long as it took with the right key, and :data:`MORE` seconds."""
SHOWN_BY: Mapping[str, CheckName] = {"serves-without-key": "gate", "stale-key": "rotation"}
"""The causes that only further starts can show, with the checks that ask for them."""
FURTHER = frozenset(SHOWN_BY.values())
"""The checks that ask for further starts."""

_NO_KEY_OF_OURS = 'key = "none": the deployment brings its own key, so there is none to take away or to change.'
_NO_READY = (
    "The deployment names no `ready`, so the app has no way to say that it is not: give it a path, such as "
    'ready = "/health".'
)


@dataclass(frozen=True)
class Trials:
    """Starts the chosen deployment again, in the place of ``live``, which runs with the key ``canary``."""

    workshop: Workshop
    choice: Choice
    live: LiveDeployment
    canary: str
    progress: Progress

    def run(self, facts: Facts, checks: Collection[str]) -> Facts:
        """``facts`` with what the wanted ones of ``gate`` and ``rotation`` ask for; ``live`` is halted.

        Raises:
            RuntimeFault: ``live`` cannot be halted.
        """
        wanted = FURTHER.intersection(checks)
        rolls = "rotation" in wanted and self.live.rolls_out and not self._brings_its_own
        if wanted and not rolls:
            self.progress("ending the app, to start it again")
            self.live.halt()
        timings, begun = dict(facts.timings), time.monotonic()
        if "rotation" in wanted:  # first, for it goes on with what the app has left
            facts = replace(facts, rotation=self._rotation())
            timings["rotation"] = time.monotonic() - begun
        begun = time.monotonic()
        if "gate" in wanted:
            facts = replace(facts, gate=self._gate(timings.get("ready", 0.0)))
            timings["gate"] = time.monotonic() - begun
        return replace(facts, timings=timings)

    @property
    def _deployment(self) -> Deployment:
        return self.choice.deployment

    @property
    def _brings_its_own(self) -> bool:
        return all(way.scheme == "none" for way in self._deployment.key)

    def _rotation(self) -> RotationFacts:
        if self._brings_its_own:
            return RotationFacts(unasked=_NO_KEY_OF_OURS)
        fault, in_place = "", self._deployment.rotation == "in-place"
        after = "After the change of the Secret" if in_place else "After the redeploy"
        try:
            with self._rotated() as station:
                told = self._told("with a changed Secret" if in_place else "redeployed")
                live = self.workshop.start(self.choice, station, told, after=self.live)
                try:
                    try:
                        live.wait_until_ready()
                        live.request_each_worker()
                    except NotReady as error:
                        fault = f"{after} {error}"
                    seen = live.facts()
                finally:
                    live.stop()
        except RuntimeFault as error:
            what = "change of the key in place" if in_place else "redeploy with a new key"
            return RotationFacts(fault=f"The {what} was not possible: {error}", in_place=in_place)
        return RotationFacts(seen.replicas, seen.strays, fault, in_place=in_place)

    def _rotated(self) -> AbstractContextManager[Station]:
        """The station with a new key: where the app is rolled out piece by piece, all pieces know the same one."""
        if self.live.rolls_out:
            return nullcontext(self.live.rotate())
        return self.workshop.station(earlier=(self.canary,))

    def _gate(self, usual: float) -> GateFacts:
        if self._brings_its_own:
            return GateFacts(unasked=_NO_KEY_OF_OURS)
        if self._deployment.ready is None:
            return GateFacts(unasked=_NO_READY)
        return GateFacts((self._trial("none", usual), self._trial("wrong", usual)))

    def _trial(self, key: Literal["none", "wrong"], usual: float) -> GateTrial:
        # One replica is enough: they are all alike, and none of them may report ready.
        choice = replace(self.choice, deployment=replace(self._deployment, replicas=1))
        told = self._told("without a key" if key == "none" else "with a wrong key")
        started = time.monotonic()
        try:
            with self.workshop.station(refuses=True) as station:
                live = self.workshop.start(choice, station, told, keyless=key == "none")
                try:
                    return self._ending(live, station, key, usual)
                finally:
                    live.stop()
        except Refused as refusal:
            return GateTrial(key, False, time.monotonic() - started, f"was not even started: {refusal}")
        except RuntimeFault as fault:
            return GateTrial(key, False, time.monotonic() - started, fault=f"could not be judged: {fault}")

    def _ending(self, live: LiveDeployment, station: Station, key: Literal["none", "wrong"], usual: float) -> GateTrial:
        started = time.monotonic()

        def hopeless() -> str:
            # Before it would have been ready with its key, what ends may be no more than a helper of its start.
            if time.monotonic() - started < usual:
                return ""
            times = restarted_in_vain(station.listener.processes())
            told = f"was never ready: its workers end while they start, and are started again ({times} so far)"
            return told if times else ""

        try:
            live.wait_until_ready(min(self.workshop.options.timeout, TIMES * usual + MORE), hopeless)
        except NotReady as fault:
            seconds = time.monotonic() - started
            return GateTrial(key, False, seconds, f"{fault.ending} ({seconds:.1f} s)")
        seconds = time.monotonic() - started
        refused = len([call for call in station.endpoint.calls if call.status is not None])
        although = f", although the endpoint had refused {refused} call{'' if refused == 1 else 's'}" if refused else ""
        passed_over = _passed_over(live.facts(heard=True))
        return GateTrial(key, True, seconds, f"reported ready after {seconds:.1f} s{although}", passed_over)

    def _told(self, how: str) -> Progress:
        return lambda line: self.progress(f"{how}: {line}")


def _passed_over(facts: Facts) -> Place | None:
    """Where the app went on without a usable key: the call that was refused, else what failed, else the client."""
    processes = [process for replica in facts.replicas for process in replica.processes]
    calls = [call.where for process in processes for call in process.calls]
    errors = [error.where for process in processes for error in process.errors]
    clients = [client.where for process in processes for client in process.clients]
    return next((where[0] for where in (*calls, *errors, *clients) if where), None)
