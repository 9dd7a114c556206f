"""The key was put into the environment of another process, after this one had started."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pytest_llamakey.causes.base import KEY_SYMPTOMS, Cause, Example, ancestors, begun, innermost, moment, program
from pytest_llamakey.causes.recorded import (
    EMPTY,
    MATCH,
    app,
    change,
    client,
    dotenv,
    keyless,
    main_process,
    worker,
)
from pytest_llamakey.causes.trail import holding, is_key
from pytest_llamakey.causes.uses import bereft, grouped, once

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from pytest_llamakey.causes.base import Trouble
    from pytest_llamakey.facts import DotenvLoad, EnvironmentChange, Facts, Process
    from pytest_llamakey.findings import Finding

_LATE = change(0.9, where="gunicorn.conf.py:7")


class EnvAfterStart(Cause):
    """The variable was set in the main process (or in a worker beside), when this process was already running.

    What you see: the log of the main process says that the key was loaded, and its workers say ``The api_key client
    option must be set``, ``Missing credentials`` or ``No API key found for OpenAI``. A process gets a copy of its
    parent's environment when it starts; what is set afterwards stays where it was set.

        pool = multiprocessing.Pool(4)
        os.environ["OPENAI_API_KEY"] = read_secret()

    Set it before anything is started, or in each process itself (gunicorn's ``post_fork``, an initializer of the pool):

        os.environ["OPENAI_API_KEY"] = read_secret()
        pool = multiprocessing.Pool(4)
    """

    name = "env-after-start"
    title = "the key was set in another process, after this one had started"
    explains = KEY_SYMPTOMS

    EXAMPLES = (
        Example(
            "the main process sets it when its workers run",
            app(
                main_process(environment={}, environment_changes=(_LATE,)), keyless(7), keyless(8), delivered=("none",)
            ),
            True,
        ),
        Example(
            "the main process loads the .env then",
            app(main_process(environment={}, dotenv=(dotenv(0.9),)), keyless(), delivered=("dotenv:.env",)),
            True,
        ),
        Example(
            "only the worker that was started before",
            app(
                main_process(environment={}, environment_changes=(_LATE,)),
                keyless(7),
                worker(8, started=1.1),
                delivered=("none",),
            ),
            True,
        ),
        Example(
            "a launcher sets it when the server runs",
            app(
                main_process(pid=2, environment={}, environment_changes=(change(0.5, where="launch.py:8"),)),
                main_process(ppid=2, environment={}, started=0.4),
                keyless(started=1.1, clients=(client(1.2, EMPTY),)),
                delivered=("none",),
            ),
            True,
        ),
        Example(
            "a request sets it in the one worker that takes it",
            app(
                worker(7, environment={}, environment_changes=(change(0.9, where="admin.py:12"),)),
                keyless(8),
                delivered=("none",),
            ),
            False,
        ),
        Example(
            "set before the workers were started",
            app(main_process(environment={}, environment_changes=(change(0.1),)), worker(), delivered=("none",)),
            False,
        ),
        Example(
            "set by the worker itself, too late for its client",
            app(
                main_process(environment={}),
                keyless(key=MATCH, environment_changes=(change(0.9),)),
                delivered=("none",),
            ),
            False,
        ),
        Example("set once more, to what it was", app(main_process(environment_changes=(_LATE,)), keyless()), False),
        Example(
            "the worker has it from a file",
            app(
                main_process(environment={}, environment_changes=(_LATE,)), worker(environment={}), delivered=("none",)
            ),
            False,
        ),
        Example(
            "it has it, and a client was given nothing", app(worker(clients=(client(key=EMPTY),), rollcall=())), False
        ),
    )

    def find(self, facts: Facts) -> Iterable[Finding]:
        """A finding for each line that sets it too late, with the processes that had started before."""
        rows = []
        for trouble, use in bereft(self, facts):
            late = next(_too_late(trouble), None)
            if late is not None:
                rows.append((str(innermost(late[1].where)), (late, trouble, use)))
        for group in grouped(rows):
            (setter, event), trouble, use = group[0]
            place = innermost(event.where)
            yield self.finding(
                once(trouble for _late, trouble, _use in group),
                where=[place, use.place],
                evidence=[
                    begun(trouble, trouble.process.started, "without the key"),
                    moment(event.at, event.where, f"the key is set in pid {setter.pid} ({program(setter)})"),
                    use.line,
                ],
                fix=f"Run {place or 'what sets the key'} before the processes that need it start, or in each of them.",
            )


def _too_late(trouble: Trouble) -> Iterator[tuple[Process, EnvironmentChange | DotenvLoad]]:
    """What set the key elsewhere after this process had started: in an ancestor, or by a request to a sibling."""
    replica, process = trouble.replica, trouble.process
    above = ancestors(replica, process)
    beside = [p for p in replica.processes if p.ppid == process.ppid and p.pid != process.pid and p not in above]
    # What an ancestor sets reaches all that comes from it, unless its own child had been started before.
    pairs = [*zip(above, (process, *above), strict=False), *((other, process) for other in beside)]
    for other, child in pairs:
        told: list[EnvironmentChange | DotenvLoad] = [*other.environment_changes, *other.dotenv]
        late = [event for event in told if is_key(event.key) and event.at > child.started]
        if not late or holding(replica, other, child.started):
            continue
        loads = {innermost(load.where) for load in other.dotenv}
        for event in sorted(late, key=lambda each: each.at):
            by_request = event.where and event.where[0].function != "<module>" and event.where[0] not in loads
            if other in above or by_request:
                yield other, event
