"""A live worker could not be made to call the model."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from pytest_llamakey.causes.base import Cause, Example, innermost, last_error, place_of, raised
from pytest_llamakey.causes.recorded import MATCH, MISSING, app, keyless, main_process, worker
from pytest_llamakey.facts import CallError, Drive, Failure, Place
from pytest_llamakey.lines.hard_paths import advice
from pytest_llamakey.symptoms.base import telling_line

if TYPE_CHECKING:
    from collections.abc import Iterable

    from pytest_llamakey.causes.base import Trouble
    from pytest_llamakey.facts import Facts
    from pytest_llamakey.findings import Finding
    from pytest_llamakey.symptoms import Kind

_SILENT = Drive("silent", seconds=10.0, requests=3, detail="no answer within 10 s")
_FAILED_COMMAND = Drive(
    "silent", requests=3, detail="python ended with exit code 1: ModuleNotFoundError", command="python"
)
_CRASH = CallError(1.2, "KeyError", "'index'", (Place("app.py", 20, 'state["index"]', "ask"),))

_IDLE: dict[str, Any] = {
    "calls": (),
    "clients": (),
    "rollcall": (),
    "key": MISSING,
    "environment": {},
    "drive": Drive("answered", answer=200, requests=1),
}


class WorkerSilent(Cause):
    """A worker serves, but no request led it to call the model, so nothing is known of the key it would send.

    What you see: the request of the deployment is answered (or is not), and no call arrives. Either the request does
    not reach the code that calls the model (another path, a login before it, a cached answer), or the app fails first:

        request = { path = "/" }                                    # a page that asks no model

    Name a request that makes the app call the model:

        request = { method = "POST", path = "/ask", json = { q = "ping" } }

    Where an answer is kept in a cache that the workers share, the second one need not call. Make each request another
    one; ``{unique}`` stands for a word that differs from worker to worker:

        request = { method = "POST", path = "/ask", json = { q = "ping {unique}" } }
    """

    name = "worker-silent"
    title = "a live worker could not be made to call the model"
    explains: ClassVar[frozenset[Kind]] = frozenset({"silent", "unreported"})

    EXAMPLES = (
        Example("no answer", app(worker(calls=(), drive=_SILENT)), True),
        Example(
            "an answer, and no call",
            app(worker(calls=(), drive=Drive("answered", answer=200, seconds=5.0, requests=1))),
            True,
        ),
        Example(
            "an answer from a cache that another worker has filled",
            app(worker(7), worker(8, calls=(), drive=Drive("answered", answer=200, seconds=5.0, requests=1))),
            True,
        ),
        Example(
            "the app failed for a reason of its own",
            app(worker(calls=(), errors=(_CRASH,), drive=Drive("answered", answer=500, requests=1))),
            True,
        ),
        Example(
            "the same, and its server logs it",
            app(
                worker(
                    calls=(),
                    failures=(Failure(1.2, "builtins.KeyError", "'default'", (Place("app.py", 20),)),),
                    drive=Drive("answered", answer=500, requests=1),
                )
            ),
            True,
        ),
        Example(
            "the command that is to ask it fails",
            app(worker(**{**_IDLE, "environment": {"OPENAI_API_KEY": MATCH}, "key": MATCH, "drive": _FAILED_COMMAND})),
            True,
        ),
        Example("never reached", app(worker(calls=(), drive=None)), True),
        Example(
            "a task that fails before it calls",
            app(worker(calls=(), drive=Drive("answered", requests=1, detail="the task failed", via="task"))),
            True,
        ),
        Example(
            "started anew after each task, and the last one was not asked",
            app(worker(7, ended=2.0, exit="orderly"), worker(8, calls=(), started=2.1, drive=None)),
            False,
        ),
        Example(
            "a process that serves and did not report",
            app(worker(reported=False, calls=(), clients=(), rollcall=(), drive=None), driven=False),
            True,
        ),
        Example(
            "it would read its key from a file, and never came to that",
            app(worker(**_IDLE, files={"/run/secrets/openai": "readable"}), delivered=("file:/run/secrets/openai",)),
            True,
        ),
        Example(
            "it would read its .env, and never came to that",
            app(worker(**_IDLE, files={".env": "readable"}), delivered=("dotenv:.env",)),
            True,
        ),
        Example("it called", app(), False),
        Example(
            "a helper called in its stead",
            app(
                worker(calls=(), clients=(), rollcall=(), drive=Drive("called", answer=200, requests=1, helpers=(9,))),
                worker(9, role="helper", drive=None),
            ),
            False,
        ),
        Example(
            "a successor of one that died",
            app(
                worker(7, ended=2.0, exit="signal 9", drive=Drive("died")), worker(8, calls=(), started=2.1, drive=None)
            ),
            False,
        ),
        Example("it has no key: that is why", app(main_process(environment={}), keyless()), False),
        Example("nothing was asked of it", app(worker(calls=(), drive=None), driven=False), False),
    )

    def find(self, facts: Facts) -> Iterable[Finding]:
        """One finding for the workers that ended alike."""
        groups: dict[tuple[str, str], list[Trouble]] = {}
        for trouble in self.troubled(facts):
            drive, last = trouble.process.drive, last_error(trouble.process)
            ending = f"{drive.outcome} {drive.answer}" if drive else "none"
            groups.setdefault((ending, last[0].type if last else ""), []).append(trouble)
        for troubles in groups.values():
            errors = [error for trouble in troubles for error in last_error(trouble.process)]
            drive = troubles[0].process.drive
            asked = ("task", "request") if drive and drive.via == "task" else ("request", "task")
            request = place_of(next(filter(None, map(facts.deployment.origins.get, asked)), None))
            yield self.finding(
                troubles,
                where=[*(innermost(error.where) for error in errors[:1]), request],
                evidence=[
                    *(symptom.what for trouble in troubles[:3] for symptom in trouble.symptoms),
                    *(raised(error) for error in errors[:2]),
                    *([] if errors else _last_lines(troubles[0])),
                ],
                fix=_fix(facts, troubles[0]),
            )


def _last_lines(trouble: Trouble) -> list[str]:
    lines = [line for line in trouble.process.log_tail.splitlines() if line.strip()]
    return [f"log: {telling_line(line)}" for line in lines[-3:]]


def _fix(facts: Facts, trouble: Trouble) -> str:
    process = trouble.process
    words = "\n".join([process.log_tail, *(f"{each.type}: {each.message}" for each in process.failures)])
    if hard_coded := advice(facts.deployment.runtime, facts.deployment.delivered, words):
        return hard_coded
    drive = process.drive
    if all(symptom.kind == "unreported" for symptom in trouble.symptoms):
        return (
            f"Find out why pid {trouble.process.pid} starts without this Python's site packages (another virtual "
            "environment, python -S or -I, a frozen or non-Python program), or write probe = false to be judged by the "
            "wire alone."
        )
    if drive is not None and drive.answer is not None and drive.answer >= 500:  # noqa: PLR2004 - RFC 9110, 15.6
        return "Mend the error that the app answers with; the request never gets as far as the model."
    if drive is not None and drive.answer is not None and drive.answer >= 400:  # noqa: PLR2004 - RFC 9110, 15.5
        return f"Mend the request in the deployment's file: the app refuses it with {drive.answer}."
    if drive is not None and drive.command:
        if any(error.at >= drive.began for error in last_error(process)):
            return "Mend the app's own error; the request never gets as far as the model."
        return (
            f"See why {drive.command} fails that the request runs (request.command): its last words stand above. Start "
            "the app and run it by hand, {url} being where the app answers."
        )
    if drive is not None and drive.via == "task" and drive.outcome == "silent":
        return "See whether this worker takes tasks from the queue that the task is sent to (task.queue)."
    if drive is None or drive.outcome == "silent":
        return (
            "See whether this worker accepts connections at all, and give the request the time it needs: "
            "request = { …, timeout = 90 }."
        )
    if drive.via == "task":
        return f"Name a task that makes {facts.deployment.name} call the model, and mend what keeps this one from it."
    write = f"Write a request that makes {facts.deployment.name} call the model: this one is answered without."
    if any(one.drive and one.drive.outcome == "called" for _replica, one in facts.workers):
        write += " Is it from a cache that the workers share, put {unique} into the request, which differs each time."
    return write
