"""A running deployment as it is seen just now: who serves, what each process has told, which calls came from it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from pytest_llamakey.driving.course import Driven
from pytest_llamakey.driving.roster import Roster, roster, told_by
from pytest_llamakey.driving.tags import Tag
from pytest_llamakey.driving.task_roster import is_client, merged, pools
from pytest_llamakey.lines.sources import Sources
from pytest_llamakey.observing.process import process_facts
from pytest_llamakey.observing.recorded import Recorded
from pytest_llamakey.probe.rotated import rotated
from pytest_llamakey.secrecy.masked import quoted
from pytest_llamakey.secrecy.shown_endpoint import shown_call

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pytest_llamakey.driving.roll import Awaited
    from pytest_llamakey.endpoint.server import ReceivedCall
    from pytest_llamakey.probe.listener import ProcessRecord
    from pytest_llamakey.reaper import Reaper
    from pytest_llamakey.runtimes.base import ProcessRow, Progress, Running, RunningReplica
    from pytest_llamakey.secrecy.delivery import Delivery
    from pytest_llamakey.spec.model import Deployment
    from pytest_llamakey.station import Station
    from pytest_llamakey.yardstick import References


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


class Seen:
    """What is there of a running deployment.

    ``driven`` is how its replicas were driven, by id; ``spawned`` are processes that a test has started, by replica and
    pid, and ``unanswered`` those that did not answer the roll call; ``since`` is the endpoint's first call that may be
    its own; ``ready_at`` when it was ready (:func:`clock.now`). ``waited_for`` are the replicas whose workers were
    waited for without being driven, ``silent`` those whose probe did not report for as long as that was waited for, and
    ``owed`` the answers that such a wait did not bring.
    """

    def __init__(self, running: Running, setting: Setting) -> None:
        self.running, self.setting = running, setting
        self.driven: dict[str, Driven] = {}
        self.spawned: set[tuple[str, int]] = set()
        self.unanswered: frozenset[tuple[str, int]] = frozenset()
        self.waited_for: frozenset[str] = frozenset()
        self.owed: frozenset[Awaited] = frozenset()
        self.silent: frozenset[tuple[str, int]] = frozenset()
        self.since = len(setting.station.endpoint.calls)
        self.ready_at = 0.0

    def records(self, replica: RunningReplica) -> list[ProcessRecord]:
        """What the processes of ``replica`` have told."""
        return [record for record in self.every_record() if record.replica == replica.id]

    def every_record(self) -> tuple[ProcessRecord, ...]:
        """What all processes of the app have told."""
        station = self.setting.station
        return tuple(rotated(record, station.secrets) for record in _of_the_app(station.listener.processes()))

    def roster(self, replica: RunningReplica) -> Roster:
        """Who serves in ``replica`` now."""
        return self.roster_of(replica, replica.census())

    def roster_of(self, replica: RunningReplica, rows: Sequence[ProcessRow]) -> Roster:
        """Who of ``rows`` serves."""
        records, deployment = self.records(replica), self.setting.deployment
        driven = self.driven.get(replica.id)
        accepting = driven.accepting if driven else {}
        found = roster(rows, replica.app_port, told_by(records, replica.app_port, accepting, probed=deployment.probe))
        if deployment.task is None:
            return found
        pool = pools(rows, records).roster
        return merged(found, pool) if deployment.requests else pool

    def expected(self) -> int | None:
        """How many workers each replica is to have, those among them that a test has started and that serve."""
        first = self.running.replicas[:1]
        spawned = {pid for _replica, pid in self.spawned}
        more = sum(len(self.roster(replica).serving & spawned) for replica in first) if spawned else 0
        expected = self.setting.deployment.workers
        return None if expected is None else expected + more

    def _own_calls(self) -> tuple[ReceivedCall, ...]:
        names = {replica.id for replica in self.running.replicas}
        station = self.setting.station
        calls = station.endpoint.calls[self.since :]
        return tuple(shown_call(call, station.secrets) for call in calls if _by(call, names))

    def _at_startup(self, call: ReceivedCall) -> bool:
        tag, origin = Tag.parse(call.tag), self.setting.station.origin
        told = (
            origin + event.at
            for record in self.setting.station.listener.processes()
            if tag is not None and (record.replica, record.pid) == (tag.replica, tag.pid)
            for event in record.of_kind("serving")
        )
        return call.at < next(told, self.ready_at)

    def quoted(self, text: str) -> str:
        """``text`` of the app without keys."""
        return quoted(text, self.setting.station.secrets)

    def workers(self) -> tuple[LiveWorker, ...]:
        """Every process that serves the app now, and every spawned one."""
        found = []
        for replica in self.running.replicas:
            now = self.roster(replica)
            driven = self.driven.get(replica.id) or undriven(now)
            recorded = Recorded(replica.id, tuple(self.records(replica)), driven, self.setting.delivery.names, "")
            spawned = {pid for name, pid in self.spawned if name == replica.id}
            found += [self._live_worker(recorded, pid) for pid in sorted(now.serving | spawned)]
        return tuple(found)

    def calls(self) -> tuple[ReceivedCall, ...]:
        """Every call of the model that arrived from this deployment since it serves, those of the roll call apart."""
        return tuple(call for call in self._own_calls() if not self._at_startup(call))

    def startup_calls(self) -> tuple[ReceivedCall, ...]:
        """The calls that it made before it took requests: each process for itself, where its server says so."""
        return tuple(call for call in self._own_calls() if self._at_startup(call))

    def _live_worker(self, recorded: Recorded, pid: int) -> LiveWorker:
        own = {recorded.replica}
        calls = tuple(call for call in self.calls() if _by(call, own, pid))
        before = tuple(call for call in self.startup_calls() if _by(call, own, pid))
        if pid not in recorded.by_pid:
            return LiveWorker(pid, "worker", None, calls, startup_calls=before)
        process = process_facts(recorded, pid, "worker")
        key = self.setting.station.secrets.canary if process.key.state == "match" else process.key.shown or None
        errors = tuple(f"{error.type}: {error.message}" for error in process.errors)
        return LiveWorker(pid, "worker", key, calls, errors, before)


def _of_the_app(records: Sequence[ProcessRecord]) -> tuple[ProcessRecord, ...]:
    """Without the process that sends tasks, which is ours."""
    return tuple(record for record in records if not is_client(record))


def undriven(now: Roster) -> Driven:
    """What there is of a replica that was not driven."""
    return Driven({}, (), now, now)


def _by(call: ReceivedCall, replicas: set[str], pid: int | None = None) -> bool:
    """Whether the app's own code in one of these replicas made the call (in the process ``pid``, where given)."""
    tag = Tag.parse(call.tag)
    if tag is None:
        return pid is None
    return tag.replica in replicas and tag.purpose == "app" and pid in (None, tag.pid)
