"""A deployment that runs: waits for it, drives its workers, and says what was seen. Usable without pytest."""

from __future__ import annotations

import time
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

from pytest_llamakey import clock
from pytest_llamakey.driving.attribute import Yardstick, attribute
from pytest_llamakey.driving.course import Course
from pytest_llamakey.driving.drive_all import drive_all
from pytest_llamakey.driving.roll import call_the_roll, hear_all
from pytest_llamakey.driving.settle import await_last_words, await_reports, settle
from pytest_llamakey.exposure import image_sightings, sightings
from pytest_llamakey.facts import DeploymentFacts, Facts, Sighting, Via
from pytest_llamakey.lines.hard_paths import advice
from pytest_llamakey.observing.recorded import Recorded
from pytest_llamakey.observing.replica import quoting, replica_facts
from pytest_llamakey.runtimes.base import RuntimeFault
from pytest_llamakey.secrecy.keys import fresh_canary
from pytest_llamakey.secrecy.masked import for_a_test
from pytest_llamakey.seen import Seen, undriven
from pytest_llamakey.starting import missing_packages, taken_ports
from pytest_llamakey.starting.first_start import outlook
from pytest_llamakey.starting.log_lines import log_tail
from pytest_llamakey.starting.ready import NotReady, Outlook, wait_until_ready

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from pytest_llamakey.endpoint.server import ReceivedCall
    from pytest_llamakey.facts import Refusal
    from pytest_llamakey.findings import Finding
    from pytest_llamakey.probe.listener import ProcessRecord
    from pytest_llamakey.runtimes.base import Running, RunningReplica
    from pytest_llamakey.seen import LiveWorker, Setting
    from pytest_llamakey.spec.model import CeleryTask
    from pytest_llamakey.station import Station

KEPT_LINES = 100
"""Lines of the log's end that are kept with a process that ended: a server's own last words may follow the app's."""
SPAWN_WAIT = 60.0
"""Seconds within which every spawned process must have reported."""


class LiveDeployment:
    """A started deployment. :meth:`stop` ends it; until then its workers can be driven and looked at."""

    def __init__(self, running: Running, setting: Setting) -> None:
        self._running, self._setting = running, setting
        self._seen = Seen(running, setting)
        self._timings: dict[str, float] = dict(running.timings)
        self._refusals: dict[str, Refusal] = {}

    def wait_until_ready(self, seconds: float | None = None, hopeless: Callable[[], str] | None = None) -> None:
        """Wait until every replica is ready: as long as it may take, at most ``seconds``, or until it is ``hopeless``.

        Without ``hopeless``, what looks so at a first start: workers that end again and again, a path that is refused.

        Raises:
            NotReady: a replica ended, was not ready in time, or never will be.
        """
        started = time.monotonic()
        boot = self._setting.boot if seconds is None else seconds
        try:
            for replica in self._as_they_come(started + boot):
                left = boot - (time.monotonic() - started)
                view = Outlook(hopeless) if hopeless else self._outlook(replica)
                try:
                    wait_until_ready(replica, self._setting.deployment, max(left, 0.0), self._setting.progress, view)
                except NotReady as fault:
                    if fault.refusal is not None:
                        self._refusals[replica.id] = fault.refusal
                    self._tell(fault)
                    await_last_words(self._seen)
                    raise
            self._seen.ready_at = clock.now()
        finally:
            self._timings["ready"] = time.monotonic() - started

    def _as_they_come(self, until: float) -> Iterator[RunningReplica]:
        """Every replica, also those that come when the ones before are done; ``until`` is of the monotonic clock."""
        upcoming: Callable[[float], bool] = getattr(self._running, "upcoming", lambda _seconds: False)
        seen: set[str] = set()
        while True:
            new = [replica for replica in self._running.replicas if replica.id not in seen]
            if not new and not upcoming(max(until - time.monotonic(), 0.0)):
                return
            for replica in new:
                seen.add(replica.id)
                yield replica

    def _outlook(self, replica: RunningReplica) -> Outlook:
        return outlook(
            replica,
            self._setting.deployment,
            partial(self._seen.records, replica),
            self._setting.station.listener.origin,
        )

    def request_each_worker(self) -> None:
        """Make every worker of every replica handle the deployment's requests once, and hold a roll call.

        Raises:
            NotReady: a replica ended as a whole.
        """
        started = time.monotonic()
        try:
            self._drive()
        except RuntimeFault as fault:
            self._tell(fault)
            await_last_words(self._seen)
            raise
        await_reports(self._seen, ((name, driven.last) for name, driven in self._seen.driven.items()))
        self._seen.unanswered = call_the_roll(self._seen, self._timings.get("ready", 0.0))
        self._timings["observe"] = self._timings.get("observe", 0.0) + time.monotonic() - started

    @property
    def _course(self) -> Course:
        deployment = self._setting.deployment
        return Course(
            deployment.requests,
            deployment.folder,
            None if deployment.task else deployment.workers,  # with a task, they are those of both kinds
            self._setting.boot,
            services=bool(deployment.services),
            probe=deployment.probe,
            reaper=self._setting.reaper,
        )

    def _drive(self) -> None:
        deployment, station, course = self._setting.deployment, self._setting.station, self._course
        if deployment.requests or not deployment.task:
            replicas, progress = self._running.replicas, self._setting.progress
            driven = drive_all(replicas, station.endpoint, station.listener, course, progress, probed=deployment.probe)
            self._seen.driven.update(driven)
        if deployment.task:
            self._send_tasks(deployment.task)

    def _send_tasks(self, task: CeleryTask) -> None:
        """Make every worker of a Celery pool run the deployment's task once."""
        from pytest_llamakey.driving.drive_tasks import TaskCourse, TaskDriver

        deployment, station = self._setting.deployment, self._setting.station
        where = str(deployment.origin("task") or deployment.id)
        if not deployment.probe:
            raise RuntimeFault(
                f"{where}: a task needs the probe, which tells a worker's processes apart; leave out probe = false"
            )
        course = TaskCourse(task, where, deployment.workers, self._setting.boot)
        replicas, progress = self._running.replicas, self._setting.progress
        driver = TaskDriver(replicas, station.endpoint, station.listener, course, progress)
        self._seen.driven = driver.run({} if not deployment.requests else self._seen.driven)

    def spawn(self, count: int, command: list[str] | tuple[str, ...]) -> tuple[int, ...]:
        """Start ``count`` further worker processes beside the app and return their pids once each has reported.

        Raises:
            TimeoutError: fewer had reported after a minute.
        """
        replica = self._running.replicas[0]
        before = {record.conn for record in self._seen.records(replica)}

        def fresh() -> list[ProcessRecord]:
            new = [record for record in self._seen.records(replica) if record.conn not in before]
            return [record for record in new if record.hello.how == "exec"]

        replica.spawn(count, tuple(command))
        if not self._setting.station.listener.wait_for(lambda _records: len(fresh()) >= count, SPAWN_WAIT):
            raise TimeoutError(
                f"{len(fresh())} of {count} processes of {' '.join(command)!r} reported within {SPAWN_WAIT:.0f} s"
                f"{self._seen.quoted(log_tail(replica))}"
            )
        pids = tuple(record.pid for record in fresh())
        self._seen.spawned.update((replica.id, pid) for pid in pids)
        return pids

    def facts(self, *, heard: bool = False) -> Facts:
        """Everything seen so far; ``heard``: once each process has told what it has to."""
        if heard:
            hear_all(self._seen)
        setting, deployment = self._setting, self._setting.deployment
        station = setting.station
        received, records = station.endpoint.calls[self._seen.since :], self._seen.every_record()
        via: Via = "request" if deployment.requests else "task" if deployment.task else "request"
        hosts = station.hosts(deployment, setting.dial)
        ledger = attribute(received, records, self._seen.driven, Yardstick(station.secrets, hosts, station.origin, via))
        replicas = []
        seen: list[Sighting] = []
        for replica in self._running.replicas:
            driven = self._seen.driven.get(replica.id) or undriven(self._seen.roster(replica))
            log = replica.logs()
            own = tuple(record for record in records if record.replica == replica.id)
            tail = self._seen.quoted(log_tail(replica, KEPT_LINES))
            completed: Callable[[], bool] = getattr(replica, "completed", bool)
            recorded = Recorded(replica.id, own, driven, setting.delivery.names, tail, completed())
            seen_of_it = replica_facts(recorded, ledger.of(replica.id))
            mute = tuple(sorted(pid for name, pid in self._seen.unanswered if name == replica.id))
            seen_of_it = replace(seen_of_it, refusal=self._refusals.get(replica.id), unanswered=mute)
            replicas.append(quoting(seen_of_it, self._seen.quoted))
            shown = sightings(station.secrets.canary, replica.id, log, driven.bodies)
            seen.extend(replace(each, text=self._seen.quoted(each.text)) for each in shown)
        contents = self._running.contents(station.secrets)
        if contents is not None:
            seen.extend(image_sightings(contents, setting.sources.lines, replicas))
        return Facts(
            deployment=DeploymentFacts(
                id=deployment.id,
                name=deployment.name,
                runtime=deployment.runtime,
                image=self._running.image,
                delivered=(*(way.as_written for way in deployment.key), *setting.delivery.arrivals),
                environment=tuple(sorted(setting.delivery.environment)),
                driven=bool(deployment.requests or deployment.task),
                expected_workers=self._seen.expected(),
                replicas=deployment.replicas or max(1, len(self._running.replicas)),
                probe=deployment.probe,
                hosts=hosts,
                origins={name: str(origin) for name, origin in deployment.origins.items()},
                source=setting.sources.lines,
                build_args=setting.sources.build_args,
                contents=contents,
            ),
            replicas=tuple(replicas),
            sightings=tuple(seen),
            reference=setting.references.fact(setting.delivery.environment, hosts[0]),
            strays=ledger.strays,
            timings=dict(self._timings),
        )

    def _settle(self) -> None:
        settle(self._seen, self._course, self._timings.get("ready", 0.0))

    @property
    def workers(self) -> tuple[LiveWorker, ...]:
        """Every process that serves the app now, once they have come up, and every spawned one."""
        self._settle()
        return self._seen.workers()

    @property
    def calls(self) -> tuple[ReceivedCall, ...]:
        """Every call of the model that arrived from this deployment since it serves, those of the roll call apart."""
        return self._seen.calls()

    @property
    def startup_calls(self) -> tuple[ReceivedCall, ...]:
        """The calls that it made before it took requests: each process for itself, where its server says so."""
        return self._seen.startup_calls()

    @property
    def findings(self) -> tuple[Finding, ...]:
        """What is wrong, by cause, once the workers have come up."""
        from pytest_llamakey.causes import diagnose

        self._settle()
        return diagnose(self.facts())

    def assert_parity(self) -> None:
        """Fail with the findings unless every worker of every replica holds and sends the same.

        Raises:
            AssertionError: the checks ``keyed`` or ``parity`` do not hold; its text says where and why.
        """
        from pytest_llamakey.causes import diagnose
        from pytest_llamakey.checks import judge

        self._settle()
        facts = self.facts()
        results = judge(facts, diagnose(facts), ("keyed", "parity"))
        failed = [result for result in results if result.outcome != "passed"]
        if failed:
            raise AssertionError("\n".join(f"{result.name}: {result.reason}" for result in failed))

    def logs(self) -> str:
        """All output of all replicas so far; keys that are not this run's own appear as ``sk-…`` and a fingerprint."""
        output = "".join(replica.logs().decode(errors="replace") for replica in self._running.replicas)
        return for_a_test(output, self._setting.station.secrets)

    def keep(self) -> str:
        """Leave it running when it is stopped; says how to enter and how to remove it."""
        return self._running.keep()

    @property
    def running(self) -> Running:
        """What runs, as its runtime knows it."""
        return self._running

    @property
    def rolls_out(self) -> bool:
        """Whether a redeploy takes the place of this one piece by piece, as its platform does it."""
        return bool(getattr(self._running, "rolls_out", False))

    def rotate(self) -> Station:
        """Have a fresh key be the delivered one from now on; the station that the next deployment is measured with."""
        self._setting.station.rotate(fresh_canary())
        return self._setting.station

    def halt(self) -> None:
        """End the app, and keep what outlives a redeploy for the deployment that takes its place.

        Raises:
            RuntimeFault: it cannot be ended.
        """
        self._running.halt()

    def stop(self) -> None:
        """End the deployment and remove all that was started for it; safe to call twice."""
        started = time.monotonic()
        self._running.stop()
        self._timings.setdefault("stop", time.monotonic() - started)

    @property
    def timings(self) -> Mapping[str, float]:
        """Seconds spent by phase."""
        return dict(self._timings)

    def _tell(self, fault: RuntimeFault) -> None:
        """Take the keys out of what a fault quotes of the app, and add what to do where that is known."""
        deployment, said = self._setting.deployment, str(fault)
        runtime = deployment.runtime
        more = (
            advice(runtime, (way.as_written for way in deployment.key), said)
            or taken_ports.advice(runtime, said)
            or missing_packages.advice(deployment, said)
        )
        fault.args = (self._seen.quoted(said) + (f"\n{more}" if more else ""),)
        if isinstance(fault, NotReady):
            fault.ending = self._seen.quoted(fault.ending)
