"""The entry point of this process never loads the ``.env``."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pytest_llamakey.causes.base import KEY_SYMPTOMS, Cause, Example, begun, innermost, moment, program
from pytest_llamakey.causes.carriers import carrier
from pytest_llamakey.causes.recorded import (
    EMPTY,
    MISSING,
    app,
    client,
    dotenv,
    keyless,
    main_process,
    worker,
)
from pytest_llamakey.causes.trail import asked_by_settings, delivery, dotenv_files, given
from pytest_llamakey.causes.uses import bereft, grouped, once

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from pytest_llamakey.causes.base import Trouble
    from pytest_llamakey.causes.uses import Use
    from pytest_llamakey.facts import DotenvLoad, Facts, Process
    from pytest_llamakey.findings import Finding

_LOADS = worker(7, environment={}, key_source="dotenv", dotenv=(dotenv(0.2, where="web.py:3"),))


class DotenvPartial(Cause):
    """The ``.env`` is loaded by one entry point of the app, and this process was started through another.

    What you see: the web pages work, and the job, the second server or the queue's worker says ``The api_key client
    option must be set``, ``Missing credentials`` or ``No API key found for OpenAI``. Typical are a ``load_dotenv()``
    under ``if __name__ == "__main__":``, which gunicorn and uvicorn never run, and Flask's own command line, which
    loads the ``.env`` for you where ``gunicorn app:app`` does not.

        if __name__ == "__main__":
            load_dotenv()
            app.run()

    Load it where every entry point passes, before the first client is built:

        load_dotenv()
        app = Flask(__name__)
    """

    name = "dotenv-partial"
    title = "this process's entry point never loads the .env"
    explains = KEY_SYMPTOMS

    EXAMPLES = (
        Example("a second server that does not load it", app(_LOADS, keyless(8), delivered=("dotenv:.env",)), True),
        Example(
            "no entry point that is in use loads it",
            app(main_process(environment={}), keyless(7), keyless(8), delivered=("dotenv:.env",)),
            True,
        ),
        Example(
            "a helper beside the web workers",
            app(
                _LOADS, keyless(9, role="helper", drive=None, clients=(client(key=EMPTY),)), delivered=("dotenv:.env",)
            ),
            True,
        ),
        Example(
            "each loads it",
            app(_LOADS, worker(8, environment={}, dotenv=(dotenv(0.3),)), delivered=("dotenv:.env",)),
            False,
        ),
        Example(
            "the main process loads it before it forks",
            app(main_process(environment={}, dotenv=(dotenv(0.1),)), worker(), delivered=("dotenv:.env",)),
            False,
        ),
        Example(
            "it does load, and finds nothing",
            app(_LOADS, keyless(8, dotenv=(dotenv(0.2, MISSING, found=False),)), delivered=("dotenv:.env",)),
            False,
        ),
        Example("nothing delivers a .env", app(keyless(), delivered=("none",)), False),
        Example(
            "it may not read the file",
            app(_LOADS, keyless(8, files={".env": "unreadable"}), delivered=("dotenv:.env",)),
            False,
        ),
        Example(
            "the main process loads it after the worker was forked",
            app(main_process(environment={}, dotenv=(dotenv(0.9),)), keyless(), delivered=("dotenv:.env",)),
            False,
        ),
    )

    def find(self, facts: Facts) -> Iterable[Finding]:
        """A finding for each line that goes on without, with the processes that never load the file."""
        files = dotenv_files(facts)
        if not files or given(facts, "env"):
            return
        rows = [(str(use.place), (trouble, use)) for trouble, use in bereft(self, facts) if not trouble.process.dotenv]
        rows = [row for row in rows if asked_by_settings(facts, row[1][0].process) is None]
        loads = list(_loads(facts))
        if carrier(facts).keeps and not loads:
            return  # the file is one for the unit to read
        for group in grouped(rows):
            trouble, use = group[0]
            yield self.finding(
                once(trouble for trouble, _use in group),
                where=[*(innermost(load.where) for _process, load in loads[:1]), use.place, delivery(facts)],
                evidence=_story(trouble, use, loads[:1], files[0]),
                fix=_fix(trouble, loads[:1], files[0]),
            )


def _loads(facts: Facts) -> Iterator[tuple[Process, DotenvLoad]]:
    """The loads of the key in other processes."""
    for replica in facts.replicas:
        for process in replica.processes:
            for load in process.dotenv:
                if load.key.state == "match":
                    yield process, load


def _story(trouble: Trouble, use: Use, loads: list[tuple[Process, DotenvLoad]], file: str) -> Iterator[str]:
    process = trouble.process
    for other, load in loads:
        yield moment(
            load.at, load.where, f"load_dotenv() sets the key from {load.path} in pid {other.pid} ({program(other)})"
        )
    yield begun(trouble, process.started, f"({program(process)}) and never loads {file}")
    yield use.line


def _fix(trouble: Trouble, loads: list[tuple[Process, DotenvLoad]], file: str) -> str:
    if loads:
        place = innermost(loads[0][1].where)
        seen = f", as {place} does" if place else ""
        return f"Load {file} in the entry point of {program(trouble.process)!r} too{seen}, before a client is built."
    return f"Load {file} where every entry point passes, before the first client is built: none that ran does."
