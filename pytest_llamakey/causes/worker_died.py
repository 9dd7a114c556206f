"""A worker crashed or was restarted during the run."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, ClassVar

from pytest_llamakey.causes.base import Cause, Example, innermost, last_error, raised
from pytest_llamakey.causes.recorded import app, keyless, main_process, worker
from pytest_llamakey.facts import Drive
from pytest_llamakey.starting.log_lines import folded
from pytest_llamakey.symptoms.base import telling_line

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from pytest_llamakey.causes.base import Trouble
    from pytest_llamakey.facts import Facts
    from pytest_llamakey.findings import Finding
    from pytest_llamakey.symptoms import Kind

_MOST_LINES = 5
_TIMEOUT = re.compile(r"WORKER TIMEOUT \(pid:(\d+)\)")
"""What gunicorn logs of a worker before it ends it; what the worker says after that may fill many lines."""
_TIMED_OUT = "[CRITICAL] WORKER TIMEOUT (pid:7)\nTraceback (most recent call last):\nSystemExit: 1\n"
_SILENT: dict[str, Any] = {"ended": 2.0, "exit": "orderly", "calls": (), "drive": Drive("died"), "log_tail": _TIMED_OUT}
_KILLED: dict[str, Any] = {"ended": 2.0, "exit": "signal 9", "calls": ()}


class WorkerDied(Cause):
    """A worker ended while it was looked at.

    What you see: ``[CRITICAL] WORKER TIMEOUT``, ``Worker (pid:7) was sent SIGKILL! Perhaps out of memory?``, or a
    worker that exits at its first request and is replaced by another. Its last log lines are in the evidence.

    Usual are a memory limit below what the index needs, a timeout below what the model takes, and native code that does
    not outlive a fork:

        gunicorn app:app --timeout 5

    Give it the time and the memory it needs:

        gunicorn app:app --timeout 120
    """

    name = "worker-died"
    title = "a worker ended during the run"
    explains: ClassVar[frozenset[Kind]] = frozenset({"died"})

    EXAMPLES = (
        Example("killed while it was driven", app(worker(**_KILLED, drive=Drive("died", requests=1))), True),
        Example("ended by its server", app(worker(**_SILENT)), True),
        Example("killed after its call", app(worker(ended=3.0, exit="signal 11")), True),
        Example("restarted before it was reached", app(worker(ended=0.9, exit="orderly", calls=(), drive=None)), True),
        Example("vanished, with nothing driven", app(worker(ended=0.9, drive=None), driven=False), True),
        Example("recycled after its call", app(worker(ended=3.0, exit="orderly")), False),
        Example("it ends itself", app(worker(ended=2.0, exit="os._exit(9)", calls=(), drive=Drive("died"))), True),
        Example("alive", app(), False),
        Example(
            "it ended for want of a key",
            app(main_process(environment={}), keyless(ended=1.4, exit="exit code 3", drive=Drive("died", requests=1))),
            False,
        ),
    )

    def find(self, facts: Facts) -> Iterable[Finding]:
        """One finding for all workers that ended in the same way."""
        groups: dict[str, list[Trouble]] = {}
        for trouble in self.troubled(facts):
            groups.setdefault(trouble.process.exit, []).append(trouble)
        for ending, troubles in groups.items():
            errors = last_error(troubles[0].process)
            yield self.finding(
                troubles,
                where=[
                    *(innermost(trouble.process.exit_where) for trouble in troubles[:1]),
                    *(innermost(error.where) for error in errors),
                ],
                evidence=_story(troubles),
                fix=_fix(ending, timed_out=bool(_timeout(troubles))),
            )


def _story(troubles: list[Trouble]) -> Iterator[str]:
    for trouble in troubles[:3]:
        process = trouble.process
        when = "" if process.ended is None else f"{process.ended:.2f} s "
        yield f"{when}pid {process.pid} ended{f': {process.exit}' if process.exit else ''}"
    first = troubles[0].process
    yield from (raised(error) for error in last_error(first))
    last = folded(_lines(first.log_tail))[-_MOST_LINES:]
    told = [line for line in _timeout(troubles) if line not in last]
    yield from (f"log: {telling_line(line)}" for line in (*told, *last))


def _timeout(troubles: list[Trouble]) -> list[str]:
    """The last line that says so of one of these: the log is that of all the first one's replica."""
    first = troubles[0]
    pids = {str(trouble.process.pid) for trouble in troubles if trouble.replica == first.replica}
    told = ((line, _TIMEOUT.search(line)) for line in _lines(first.process.log_tail))
    return [line for line, match in told if match and match[1] in pids][-1:]


def _lines(text: str) -> list[str]:
    return [line for line in text.splitlines() if line.strip()]


def _fix(ending: str, *, timed_out: bool) -> str:
    if timed_out:
        return (
            "Its server ended it for being silent for too long: raise the timeout (gunicorn's --timeout), or do what "
            "takes so long, an import or an index, while the app starts."
        )
    if ending.startswith("os._exit"):
        return "See why the app ends the process there; an exception in its place would be answered and logged."
    if ending.startswith("signal 9"):
        return "See whether it ran out of memory or into its server's timeout, and raise the limit."
    return "See its last log lines for why it ended, and mend that first."
