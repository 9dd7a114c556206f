"""The vocabulary of symptoms, and what several checks ask of the facts in the same words."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Literal

from pytest_llamakey.facts import KeySight
from pytest_llamakey.remembered import remembered

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from pytest_llamakey.facts import Call, CallError, Drive, Facts, Process, Replica
    from pytest_llamakey.findings import WorkerId
    from pytest_llamakey.spec.model import CheckName

Kind = Literal[
    "key",  # a worker does not hold the delivered key
    "unreported",  # a process serves and no probe answered from inside it
    "silent",  # a worker could not be made to call the model
    "died",  # a worker ended during the run
    "call-key",  # a call bore no key, or not the delivered one
    "call-header",  # a call bore the key in another header than its provider asks for
    "call-provider",  # a call had the form of another provider than the one it was sent to
    "call-host",  # a call was addressed to a host the deployment did not name
    "client-key",  # a live client would send no key, or not the delivered one
    "key-differs",  # workers, or a worker and the reference process, hold different keys
    "host-differs",  # … address different hosts or API bases
    "setting-differs",  # … differ in organisation, project, provider class or SDK version
    "exposed-output",  # the key is in a log line or a response
    "exposed-image",  # the key is in an image layer, its history or a build argument
    "ready-without-key",  # started without a usable key, the app reports ready
    "earlier-key",  # after a redeploy with a new key, a process sends the one before
]

_OF_KEYS = ("authentication", "api_key", "api key", "illegal header value", "unable to handle auth")
ERRORS = 400
"""HTTP statuses from here on tell of one (RFC 9110, section 15)."""
ORDERLY = "orderly"
"""How :attr:`~pytest_llamakey.facts.Process.exit` begins for a process that ran its exit handlers."""


@dataclass(frozen=True)
class Symptom:
    """One thing that is wrong: the check it breaks, in one clause for people, and the process it holds for, if any."""

    check: CheckName
    kind: Kind
    what: str
    replica: str = ""
    pid: int | None = None
    sight: KeySight | None = None

    @property
    def worker(self) -> tuple[str, int] | None:
        """Replica id and pid, or ``None`` where no process could be named."""
        return None if self.pid is None else (self.replica, self.pid)


def key_words(sight: KeySight) -> str:
    """The key in a sentence: "no key", "an empty key", "the delivered key altered to …"."""
    return {
        "match": "the delivered key",
        "missing": "no key",
        "empty": f"no key, but the text {sight.shown}" if sight.shown else "an empty key",
        "mangled": f"an altered key ({sight.shown})",
        "different": f"another key ({sight.shown})",
    }[sight.state]


@lru_cache(maxsize=256)  # many workers fail with the same words
def telling_line(text: str, most: int = 200) -> str:
    """The first line of a message that has words in it, cut to ``most`` characters."""
    lines = text.strip().splitlines() or [""]
    line = next((each.strip() for each in lines if any(map(str.isalnum, each))), lines[0])
    return line if len(line) <= most else f"{line[: most - 1]}…"


def called(process: Process) -> bool:
    """Whether the process was driven and its call arrived."""
    return process.drive is not None and process.drive.outcome == "called"


def spared(process: Process) -> bool:
    """Whether it was left alone because its server recycles its workers, so that it need not have called."""
    return process.drive is not None and process.drive.outcome == "spared"


def proven(process: Process) -> bool:
    """Whether the process itself sent the delivered key, as its provider asks for it, and never another."""
    sent = [call for call in process.calls if call.via != "rollcall"]
    return any(call.exact for call in sent) and all(call.key.state == "match" for call in sent)


def held_key(process: Process) -> KeySight:
    """The key the process holds; a client that is built anew for each request leaves only the calls that bore it."""
    if process.key.state in {"missing", "empty"} and proven(process):
        return next(call.key for call in process.calls if call.exact)
    return process.key


def about_keys(error: CallError) -> bool:
    """Whether an exception is about the credential, by the words of the clients that raise it.

    openai raises ``AuthenticationError`` for a 401 and ``OpenAIError("The api_key client option must be set …")``
    without a key, Azure's class ``ValueError("Unable to handle auth")`` where it was taken away; httpx's
    ``LocalProtocolError: Illegal header value b'Bearer '`` is an empty or broken one.
    """
    words = f"{error.type} {error.message}".lower()
    return any(word in words for word in _OF_KEYS)


def refused(worker: Process) -> KeySight | None:
    """The key that a second client had no use of, in a worker whose other calls are as they should be.

    An app that gets over it, by asking another model, answers with success. One that streams breaks its answer off.
    """
    drive = worker.drive
    if drive is None or not (_broken_off(drive) or (drive.answer is not None and drive.answer >= ERRORS)):
        return None
    well = all(call.key.state == "match" for call in worker.calls if call.via != "rollcall")
    # What failed before it was asked, or in a module's own line while that was imported, is not why it answered so.
    after = [error for error in worker.errors if error.at >= drive.began]
    asking = [error for error in after if not any(place.function == "<module>" for place in error.where[:1])]
    altered = [client.key for client in worker.clients if client.key.state == "mangled"]
    # A key that no header can bear is refused before it is sent.
    spoken = [e for e in asking if about_keys(e) or (altered and e.type.endswith("UnicodeEncodeError"))]
    return next(iter(altered), KeySight("missing")) if well and spoken else None


def _broken_off(drive: Drive) -> bool:
    return drive.outcome == "called" and bool(drive.detail)


def ended_well(process: Process) -> bool:
    """Whether nothing is known to be wrong with how it ended: it ran its exit handlers, or left with success."""
    return process.exit in {"", "os._exit(0)"} or process.exit.startswith(ORDERLY)


def died(facts: Facts, process: Process) -> bool:
    """Whether the process crashed or was restarted during the run.

    Ending is no fault of a worker that had made its call: servers recycle workers (gunicorn's ``max_requests``), and
    children of ``multiprocessing`` leave by ``os._exit``, of which nothing is seen from inside. A known bad exit
    (a signal, an exit code) is always one.
    """
    if process.drive is not None and process.drive.outcome == "died":
        return True
    if process.ended is None or process.role != "worker":
        return False
    if not ended_well(process):
        return True
    if facts.deployment.driven:
        return not called(process) and not spared(process)
    return not process.exit.startswith(ORDERLY)


def took_over(replica: Replica, worker: Process) -> bool:
    """Whether it came when all were asked already, in the place of one that had called and then ended in good order.

    A server may start each worker anew after so many requests or tasks (gunicorn's ``max_requests``, Celery's
    ``--max-tasks-per-child``): each one that is asked then makes room for another that is not.
    """
    return worker.drive is None and any(_relieved(before, worker) for before in replica.workers)


def _relieved(before: Process, worker: Process) -> bool:
    ended = before.ended is not None and before.ended <= worker.started and ended_well(before)
    return ended and called(before) and before.ppid == worker.ppid


@remembered
def seen_workers(facts: Facts) -> tuple[tuple[Replica, Process], ...]:
    """The workers that count: all but those that ended before anything was learned from them, or were replaced."""
    return tuple((replica, worker) for replica in facts.replicas for worker in _seen(replica))


def _seen(replica: Replica) -> tuple[Process, ...]:
    """Its workers, where one that was recycled after its call and those that came in its place count once."""
    fresh = sorted((w for w in replica.workers if w.ended is None or called(w)), key=lambda each: each.started)
    replaced = set()
    for worker in sorted(replica.workers, key=lambda each: each.started):
        successor = next((after for after in fresh if _relieved(worker, after)), None)
        if successor is not None:
            fresh.remove(successor)
            replaced.add(worker.pid)
    return tuple(w for w in replica.workers if w.pid not in replaced and (w.ended is None or called(w)))


def expected_workers(facts: Facts) -> int | None:
    """How many workers all replicas together should have, or ``None`` where the user did not say."""
    each = facts.deployment.expected_workers
    return None if each is None else each * max(1, facts.deployment.replicas)


@remembered
def processes(facts: Facts) -> Mapping[WorkerId, tuple[Replica, Process]]:
    """Every process with its replica, by replica id and pid."""
    return {(replica.id, p.pid): (replica, p) for replica in facts.replicas for p in replica.processes}


def all_calls(facts: Facts) -> Iterator[tuple[str, int | None, Call]]:
    """Every call with the replica and pid it came from (``""`` and ``None`` for a call nobody could be named for)."""
    for replica in facts.replicas:
        for process in replica.processes:
            for call in process.calls:
                yield replica.id, process.pid, call
    for call in facts.strays:
        yield "", None, call


@remembered
def _by_pid(facts: Facts) -> Mapping[int, list[tuple[Replica, Process]]]:
    """The processes that have this pid in their containers."""
    found: dict[int, list[tuple[Replica, Process]]] = {}
    for replica, process in processes(facts).values():
        found.setdefault(process.pid, []).append((replica, process))
    return found


def driven_calls(facts: Facts, replica: Replica, worker: Process) -> tuple[Call, ...]:
    """The calls that arrived because this worker was driven: its own, and those of the helpers that worked for it."""
    helpers = set(worker.drive.helpers) if worker.drive else set()
    here = [p for p in replica.processes if p.pid == worker.pid or p.pid in helpers]
    # A helper in another container (a queue's worker) is found by its pid there.
    elsewhere = helpers - {p.pid for p in here}
    others = [p for pid in sorted(elsewhere) for other, p in _by_pid(facts).get(pid, ()) if other.id != replica.id]
    calls = [call for process in (*here, *others) for call in process.calls]
    return tuple(call for call in calls if call.via in {"request", "task"} and call.status is not None)
