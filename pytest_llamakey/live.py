"""A deployment that runs: waits for it, drives its workers, and says what was seen. Usable without pytest."""

from __future__ import annotations

import time
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING

from pytest_llamakey import observe, taken_ports
from pytest_llamakey.attribute import Yardstick, attribute
from pytest_llamakey.course import Course, Driven
from pytest_llamakey.drive_all import drive_all
from pytest_llamakey.exposure import image_sightings, sightings
from pytest_llamakey.facts import DeploymentFacts, Facts, Sighting, Via
from pytest_llamakey.first_start import outlook
from pytest_llamakey.hard_paths import advice
from pytest_llamakey.keys import fresh_canary
from pytest_llamakey.log_lines import log_tail
from pytest_llamakey.masked import for_a_test, quoted
from pytest_llamakey.probe.rotated import rotated
from pytest_llamakey.ready import NotReady, Outlook, wait_until_ready
from pytest_llamakey.roster import Roster, roster, told_by
from pytest_llamakey.runtimes.base import RuntimeFault
from pytest_llamakey.shown_endpoint import shown_call
from pytest_llamakey.sources import Sources
from pytest_llamakey.tags import Tag
from pytest_llamakey.task_roster import is_client, merged, pools

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Mapping, Sequence

    from pytest_llamakey.delivery import Delivery
    from pytest_llamakey.endpoint.server import ReceivedCall
    from pytest_llamakey.facts import Refusal
    from pytest_llamakey.findings import Finding
    from pytest_llamakey.probe.listener import ProcessRecord
    from pytest_llamakey.reaper import Reaper
    from pytest_llamakey.runtimes.base import Progress, Running, RunningReplica
    from pytest_llamakey.spec.model import CeleryTask, Deployment, KeyDelivery
    from pytest_llamakey.station import Station
    from pytest_llamakey.yardstick import References

ROLLCALL_WAIT = 5.0
"""Seconds within which every process must have answered the roll call; more where the app took more to get ready."""
REPEAT = 0.3
"""Seconds after which those that have not answered are woken again."""
KEPT_LINES = 100
"""Lines of the log's end that are kept with a process that ended: a server's own last words may follow the app's."""
SPAWN_WAIT = 60.0
"""Seconds within which every spawned process must have reported."""


@dataclass(frozen=True)
class Setting:
    """What surrounds a running deployment; ``boot`` is how many seconds it may take to become ready."""

    deployment: Deployment
    station: Station
    delivery: Delivery
    dial: str
    boot: float
    references: References
    progress: Progress = lambda _line: None
    sources: Sources = field(default_factory=Sources)
    reaper: Reaper | None = None


@dataclass(frozen=True)
class LiveWorker:
    """One worker as a test sees it. ``key`` is the key it holds (a foreign one is masked), ``None`` without one.

    ``calls`` are those it has made since it takes requests, ``startup_calls`` those before (an index that it built).
    """

    pid: int
    role: str
    key: str | None
    calls: tuple[ReceivedCall, ...] = field(repr=False, default=())
    errors: tuple[str, ...] = ()
    startup_calls: tuple[ReceivedCall, ...] = field(repr=False, default=())


class LiveDeployment:
    """A started deployment. :meth:`stop` ends it; until then its workers can be driven and looked at."""

    def __init__(self, running: Running, setting: Setting) -> None:
        self._running, self._setting = running, setting
        self._driven: dict[str, Driven] = {}
        self._timings: dict[str, float] = dict(running.timings)
        self._refusals: dict[str, Refusal] = {}
        self._since = len(setting.station.endpoint.calls)
        self._ready_at = 0.0
        self._spawned: set[tuple[str, int]] = set()

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
                    raise
            self._ready_at = time.time()
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
            replica, self._setting.deployment, partial(self._records, replica), self._setting.station.listener.origin
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
            raise
        self._call_the_roll()
        self._timings["observe"] = self._timings.get("observe", 0.0) + time.monotonic() - started

    def _drive(self) -> None:
        deployment, station = self._setting.deployment, self._setting.station
        course = Course(
            deployment.requests,
            deployment.folder,
            None if deployment.task else deployment.workers,  # with a task, they are those of both kinds
            self._setting.boot,
            services=bool(deployment.services),
            probe=deployment.probe,
            reaper=self._setting.reaper,
        )
        if deployment.requests or not deployment.task:
            replicas, progress = self._running.replicas, self._setting.progress
            driven = drive_all(replicas, station.endpoint, station.listener, course, progress, probed=deployment.probe)
            self._driven.update(driven)
        if deployment.task:
            self._send_tasks(deployment.task)

    def _send_tasks(self, task: CeleryTask) -> None:
        """Make every worker of a Celery pool run the deployment's task once."""
        from pytest_llamakey.drive_tasks import TaskCourse, TaskDriver

        deployment, station = self._setting.deployment, self._setting.station
        where = str(deployment.origin("task") or deployment.id)
        if not deployment.probe:
            raise RuntimeFault(
                f"{where}: a task needs the probe, which tells a worker's processes apart; leave out probe = false"
            )
        course = TaskCourse(task, where, deployment.workers, self._setting.boot)
        replicas, progress = self._running.replicas, self._setting.progress
        driver = TaskDriver(replicas, station.endpoint, station.listener, course, progress)
        self._driven = driver.run({} if not deployment.requests else self._driven)

    def spawn(self, count: int, command: list[str] | tuple[str, ...]) -> tuple[int, ...]:
        """Start ``count`` further worker processes beside the app and return their pids once each has reported.

        Raises:
            TimeoutError: fewer had reported after a minute.
        """
        replica = self._running.replicas[0]
        before = {record.conn for record in self._records(replica)}

        def fresh() -> list[ProcessRecord]:
            new = [record for record in self._records(replica) if record.conn not in before]
            return [record for record in new if record.hello.how == "exec"]

        replica.spawn(count, tuple(command))
        if not self._setting.station.listener.wait_for(lambda _records: len(fresh()) >= count, SPAWN_WAIT):
            raise TimeoutError(
                f"{len(fresh())} of {count} processes of {' '.join(command)!r} reported within {SPAWN_WAIT:.0f} s"
                f"{self._quoted(log_tail(replica))}"
            )
        pids = tuple(record.pid for record in fresh())
        self._spawned.update((replica.id, pid) for pid in pids)
        return pids

    def facts(self) -> Facts:
        """Everything seen so far."""
        setting, deployment = self._setting, self._setting.deployment
        station = setting.station
        received, records = station.endpoint.calls[self._since :], self._every_record()
        via: Via = "request" if deployment.requests else "task" if deployment.task else "request"
        hosts = station.hosts(deployment, setting.dial)
        ledger = attribute(received, records, self._driven, Yardstick(station.secrets, hosts, station.origin, via))
        replicas = []
        seen: list[Sighting] = []
        for replica in self._running.replicas:
            driven = self._driven.get(replica.id) or _undriven(self._roster(replica))
            log = replica.logs()
            own = tuple(record for record in records if record.replica == replica.id)
            tail = self._quoted(log_tail(replica, KEPT_LINES))
            recorded = observe.Recorded(replica.id, own, driven, setting.delivery.names, tail)
            seen_of_it = observe.replica_facts(recorded, ledger.of(replica.id))
            seen_of_it = replace(seen_of_it, refusal=self._refusals.get(replica.id))
            replicas.append(observe.quoting(seen_of_it, self._quoted))
            shown = sightings(station.secrets.canary, replica.id, log, driven.bodies)
            seen.extend(replace(each, text=self._quoted(each.text)) for each in shown)
        contents = self._running.contents(station.secrets)
        if contents is not None:
            seen.extend(image_sightings(contents, setting.sources.lines, replicas))
        return Facts(
            deployment=DeploymentFacts(
                id=deployment.id,
                name=deployment.name,
                runtime=deployment.runtime,
                image=self._running.image,
                delivered=(*map(_as_written, deployment.key), *setting.delivery.arrivals),
                environment=tuple(sorted(setting.delivery.environment)),
                driven=bool(deployment.requests or deployment.task),
                expected_workers=self._expected(),
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

    @property
    def workers(self) -> tuple[LiveWorker, ...]:
        """Every process that serves the app now, and every spawned one."""
        found = []
        for replica in self._running.replicas:
            records = {record.pid: record for record in self._records(replica)}
            serving = self._roster(replica).serving
            spawned = {pid for name, pid in self._spawned if name == replica.id}
            found += [self._live_worker(replica, pid, records.get(pid)) for pid in sorted(serving | spawned)]
        return tuple(found)

    @property
    def calls(self) -> tuple[ReceivedCall, ...]:
        """Every call of the model that arrived from this deployment since it serves, those of the roll call apart."""
        return tuple(call for call in self._own_calls() if not self._at_startup(call))

    @property
    def startup_calls(self) -> tuple[ReceivedCall, ...]:
        """The calls that it made before it took requests: each process for itself, where its server says so."""
        return tuple(call for call in self._own_calls() if self._at_startup(call))

    @property
    def findings(self) -> tuple[Finding, ...]:
        """What is wrong, by cause."""
        from pytest_llamakey.causes import diagnose

        return diagnose(self.facts())

    def assert_parity(self) -> None:
        """Fail with the findings unless every worker of every replica holds and sends the same.

        Raises:
            AssertionError: the checks ``keyed`` or ``parity`` do not hold; its text says where and why.
        """
        from pytest_llamakey.checks import judge

        facts = self.facts()
        failed = [result for result in judge(facts, self.findings, ("keyed", "parity")) if result.outcome != "passed"]
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

    def _call_the_roll(self) -> None:
        """Ask every process that serves, calls or holds a client for its state and its clients' credentials."""
        listener = self._setting.station.listener
        awaited: set[tuple[str, int, str, int]] = set()
        asked: list[tuple[RunningReplica, set[int]]] = []
        for replica in self._running.replicas:
            serving = self._roster(replica).serving
            pids = {
                record.pid
                for record in self._records(replica)
                if record.alive and (record.pid in serving or any(event.kind == "client" for event in record.events))
            }
            for pid in sorted(pids):
                for command, answer in (("report", "snapshot"), ("rollcall", "rollcall")):
                    number = listener.send(replica.id, pid, command)
                    if number is not None:
                        awaited.add((replica.id, pid, answer, number))
            asked.append((replica, pids))
        self._wake(asked, awaited)

    def _wake(self, asked: Sequence[tuple[RunningReplica, set[int]]], awaited: set[tuple[str, int, str, int]]) -> None:
        """Wake the processes until all have answered: a signal may come before the command that it announces."""
        # A machine on which the app boots slowly answers slowly, too.
        until = time.monotonic() + max(ROLLCALL_WAIT * len(asked), self._timings.get("ready", 0.0))
        while any(pids for _, pids in asked) and time.monotonic() < until:
            for replica, pids in asked:
                replica.wake(pids)
            if self._setting.station.listener.wait_for(partial(_all_answered, awaited), REPEAT):
                return

    def _own_calls(self) -> tuple[ReceivedCall, ...]:
        names = {replica.id for replica in self._running.replicas}
        station = self._setting.station
        calls = station.endpoint.calls[self._since :]
        return tuple(shown_call(call, station.secrets) for call in calls if _by(call, names))

    def _at_startup(self, call: ReceivedCall) -> bool:
        tag, origin = Tag.parse(call.tag), self._setting.station.origin
        told = (
            origin + event.at
            for record in self._setting.station.listener.processes()
            if tag is not None and (record.replica, record.pid) == (tag.replica, tag.pid)
            for event in record.of_kind("serving")
        )
        return call.at < next(told, self._ready_at)

    def _quoted(self, text: str) -> str:
        return quoted(text, self._setting.station.secrets)

    def _tell(self, fault: RuntimeFault) -> None:
        """Take the keys out of what a fault quotes of the app, and add what to do where that is known."""
        deployment, said = self._setting.deployment, str(fault)
        more = advice(deployment.runtime, map(_as_written, deployment.key), said) or taken_ports.advice(
            deployment.runtime, said
        )
        fault.args = (self._quoted(said) + (f"\n{more}" if more else ""),)
        if isinstance(fault, NotReady):
            fault.ending = self._quoted(fault.ending)

    def _expected(self) -> int | None:
        """How many workers each replica is to have, those among them that a test has started and that serve."""
        first = self._running.replicas[:1]
        spawned = {pid for _replica, pid in self._spawned}
        more = sum(len(self._roster(replica).serving & spawned) for replica in first) if spawned else 0
        expected = self._setting.deployment.workers
        return None if expected is None else expected + more

    def _records(self, replica: RunningReplica) -> list[ProcessRecord]:
        return [record for record in self._every_record() if record.replica == replica.id]

    def _every_record(self) -> tuple[ProcessRecord, ...]:
        station = self._setting.station
        kept: Collection[str] = getattr(self._running, "kept_on", ())
        return tuple(
            rotated(record, station.secrets) if record.replica in kept else record
            for record in _of_the_app(station.listener.processes())
        )

    def _roster(self, replica: RunningReplica) -> Roster:
        records, rows, deployment = self._records(replica), replica.census(), self._setting.deployment
        driven = self._driven.get(replica.id)
        accepting = driven.accepting if driven else {}
        found = roster(rows, replica.app_port, told_by(records, replica.app_port, accepting, probed=deployment.probe))
        if deployment.task is None:
            return found
        pool = pools(rows, records).roster
        return merged(found, pool) if deployment.requests else pool

    def _live_worker(self, replica: RunningReplica, pid: int, record: ProcessRecord | None) -> LiveWorker:
        own = {replica.id}
        calls = tuple(call for call in self.calls if _by(call, own, pid))
        before = tuple(call for call in self.startup_calls if _by(call, own, pid))
        if record is None:
            return LiveWorker(pid, "worker", None, calls, startup_calls=before)
        driven = self._driven.get(replica.id) or _undriven(self._roster(replica))
        recorded = observe.Recorded(replica.id, tuple(self._records(replica)), driven, self._setting.delivery.names, "")
        process = observe.process_facts(recorded, pid, "worker")
        key = self._setting.station.secrets.canary if process.key.state == "match" else process.key.shown or None
        errors = tuple(f"{error.type}: {error.message}" for error in process.errors)
        return LiveWorker(pid, "worker", key, calls, errors, before)


def _as_written(way: KeyDelivery) -> str:
    """A key delivery in the words of ``llamakey.toml``."""
    variable = f":{way.variable}" if way.scheme == "dotenv" else ""
    return f"{way.scheme}:{way.target}{variable}" if way.target else way.scheme


def _of_the_app(records: Sequence[ProcessRecord]) -> tuple[ProcessRecord, ...]:
    """Without the process that sends tasks, which is ours."""
    return tuple(record for record in records if not is_client(record))


def _undriven(now: Roster) -> Driven:
    return Driven({}, (), now, now)


def _by(call: ReceivedCall, replicas: set[str], pid: int | None = None) -> bool:
    """Whether the app's own code in one of these replicas made the call (in the process ``pid``, where given)."""
    tag = Tag.parse(call.tag)
    if tag is None:
        return pid is None
    return tag.replica in replicas and tag.purpose == "app" and pid in (None, tag.pid)


def _all_answered(awaited: set[tuple[str, int, str, int]], records: Sequence[ProcessRecord]) -> bool:
    answered = {
        (record.replica, record.pid, event.kind, event.data.get("n"))
        for record in records
        for event in record.events
        if event.kind in ("snapshot", "rollcall")
    }
    gone = {(record.replica, record.pid) for record in records if not record.alive}
    return all(each in answered or each[:2] in gone for each in awaited)
