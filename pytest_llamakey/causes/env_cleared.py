"""A launcher started the process without the key that its parent had."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pytest_llamakey.causes.base import KEY_SYMPTOMS, Cause, Example, ancestors, program
from pytest_llamakey.causes.carriers import carrier
from pytest_llamakey.causes.recorded import (
    EMPTY,
    MATCH,
    MISSING,
    NO_KEY_ERROR,
    app,
    at,
    change,
    client,
    keyless,
    main_process,
    roll,
    source,
    spawn,
    worker,
)
from pytest_llamakey.causes.trail import asked_program, holding, is_key, launched_by
from pytest_llamakey.causes.uses import asked, bereft, grouped, misses_near, once

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from pytest_llamakey.causes.base import Trouble
    from pytest_llamakey.causes.uses import Use
    from pytest_llamakey.facts import Facts, Place, Process, Replica
    from pytest_llamakey.findings import Finding

_LAUNCHER = re.compile(r"\b(env -i|env --ignore|su|sudo|runuser|gosu|setpriv|cron|crond|supervisord|systemd|\S+\.sh)\b")


class EnvCleared(Cause):
    """The key was there, and whatever started this process left it behind.

    What you see: ``docker exec … env`` shows the variable, and the app says ``The api_key client option must be set``,
    ``Missing credentials`` or ``No API key found for OpenAI``.

    ``su -``, ``sudo``, ``env -i``, cron, and ``subprocess`` or ``os.execve`` with an environment of their own start
    programs without what is not in that; so does an app that has a program tell it the key:

        exec su - app -c "gunicorn app:app"
        subprocess.Popen(["python", "job.py"], env={"PATH": os.environ["PATH"]})

    Let the launcher pass the variable on:

        exec su -m app -c "gunicorn app:app"
        subprocess.Popen(["python", "job.py"], env={**os.environ, "MODE": "job"})
    """

    name = "env-cleared"
    title = "a launcher started this process without the key"
    explains = KEY_SYMPTOMS

    EXAMPLES = (
        Example("the main process had it", app(main_process(), keyless()), True),
        Example(
            "a start script of the container cleared it",
            app(
                main_process(environment={}),
                keyless(),
                source=(source("command", "", "Dockerfile:12", 'CMD ["./start.sh"]'),),
            ),
            True,
        ),
        Example(
            "the parent is no Python process",
            app(keyless(ppid=0, parent_environment={"OPENAI_API_KEY": MATCH}), delivered=("none",)),
            True,
        ),
        Example(
            "exported empty by a start script", app(keyless(environment={"OPENAI_API_KEY": EMPTY}, key=EMPTY)), True
        ),
        Example(
            "only the helper that a worker starts",
            app(
                main_process(),
                worker(),
                keyless(
                    9,
                    ppid=7,
                    role="helper",
                    started=1.0,
                    drive=None,
                    clients=(client(1.1, MISSING),),
                    errors=(NO_KEY_ERROR,),
                ),
            ),
            True,
        ),
        Example(
            "the main process had loaded it, and its child got an environment of its own",
            app(
                main_process(environment={}, environment_changes=(change(0.1),)),
                keyless(started=0.4),
                delivered=("dotenv:.env",),
            ),
            True,
        ),
        Example(
            "a line of the app's own launcher",
            app(
                main_process(),
                keyless(
                    9, role="helper", started=1.0, clients=(client(1.1, MISSING),), drive=None, spawned=at("run.py:8")
                ),
            ),
            True,
        ),
        Example(
            "a launcher that puts the server into its own place, with an environment of its own",
            app(
                main_process(environment={}, spawned=at("launch.py:6", 'os.execvpe("gunicorn", command, env)')),
                keyless(),
            ),
            True,
        ),
        Example(
            "a program that the app asks for its key, and that has not got it",
            app(
                worker(
                    clients=(client(key=EMPTY),),
                    calls=(),
                    rollcall=(roll(EMPTY),),
                    spawns=(spawn(0.2, "conf.py:3", without=("OPENAI_API_KEY",)),),
                )
            ),
            True,
        ),
        Example(
            "a program that has nothing to do with the key",
            app(
                worker(
                    clients=(client(key=EMPTY),),
                    calls=(),
                    rollcall=(roll(EMPTY),),
                    spawns=(spawn(0.2, "git.py:3", 'subprocess.run(["git", "log"])', ("OPENAI_API_KEY",)),),
                )
            ),
            False,
        ),
        Example(
            "systemd starts a unit with an environment of its own",
            app(
                keyless(ppid=1),
                runtime="systemd",
                source=(source("command", "", "app.service:8", "ExecStart=/usr/bin/gunicorn app:app"),),
            ),
            True,
        ),
        Example("passed on", app(main_process(), worker()), False),
        Example("nothing brought it", app(main_process(environment={}), keyless(), delivered=("none",)), False),
        Example(
            "a compose file that leaves it out brings nothing to the container",
            app(main_process(environment={}), keyless(), runtime="compose"),
            False,
        ),
        Example(
            "cleared, and read from a file instead",
            app(main_process(), worker(environment={}, key_source="client", dotenv=())),
            False,
        ),
        Example(
            "the main process had removed it by then",
            app(main_process(environment_changes=(change(0.2, MISSING, "main.py:4"),)), keyless(started=0.4)),
            False,
        ),
        Example(
            "the main process got it only afterwards",
            app(main_process(environment={}, environment_changes=(change(0.9),)), keyless(), delivered=("none",)),
            False,
        ),
        Example(
            "it is there, and a client was given nothing",
            app(worker(clients=(client(key=EMPTY),), calls=(), rollcall=())),
            False,
        ),
    )

    def find(self, facts: Facts) -> Iterable[Finding]:
        """A finding for each process that was started without, with those that come from it."""
        rows = [(str(loss.spawned[0]), (loss, trouble, use)) for loss, trouble, use in _asked_in_vain(self, facts)]
        for trouble, use in bereft(self, facts):
            loss = _loss(facts, trouble.replica, trouble.process)
            if loss is not None:
                line = loss.spawned[:1]
                rows.append((f"{line[0] if line else loss.holder} {loss.command}", (loss, trouble, use)))
        for group in grouped(rows):
            loss, trouble, use = group[0]
            yield self.finding(
                once(trouble for _loss, trouble, _use in group),
                where=[*_launchers(facts, trouble.replica, loss), use.place],
                evidence=[
                    f"{loss.holder} had {loss.variable}",
                    f"{loss.at:.2f} s pid {loss.pid} started without it: {loss.command}",
                    use.line,
                ],
                fix=_fix(facts, loss),
            )


def _fix(facts: Facts, loss: _Loss) -> str:
    if carrier(facts).keeps and loss.holder == carrier(facts).holder:
        return (
            f"Write PassEnvironment={loss.variable} into the unit, or let EnvironmentFile= name a file that sets it: "
            "systemd hands nothing of its own environment to a unit."
        )
    if loss.spawned:
        return f"Pass {loss.variable} on to what {loss.spawned[0]} starts."
    return f"Let what starts {loss.command!r} pass {loss.variable} on to it."


@dataclass(frozen=True)
class _Loss:
    """Between which two processes it was lost."""

    holder: str
    variable: str
    at: float
    pid: int
    command: str
    ppid: int
    spawned: tuple[Place, ...]
    """The app's own lines that started the process without it, where they did."""

    @classmethod
    def of(cls, holder: str, variable: str, child: Process) -> _Loss:
        """What got lost when ``child`` was started."""
        return cls(holder, variable, child.started, child.pid, program(child), child.ppid, child.spawned)


def _loss(facts: Facts, replica: Replica, process: Process) -> _Loss | None:
    """Where, going upwards from a process that started without the key, there was one that had it."""
    child = process
    for parent in (*ancestors(replica, process), None):
        # Where the parent is known, what it was started with says less than what it had by then.
        alone = parent is None or not parent.reported
        known = {name for name, sight in (child.parent_environment or {}).items() if is_key(sight)} if alone else set()
        had = () if parent is None else holding(replica, parent, child.started)
        if had or known:
            who = f"pid {child.ppid}" if parent is None else f"pid {parent.pid} ({program(parent)})"
            return _Loss.of(who, (*had, *sorted(known))[0], child)
        if parent is None or any(map(is_key, parent.environment.values())):
            break  # it went lost inside that process
        if parent.reported:
            child = parent
    else:
        return None
    given = [way.partition(":")[2] for way in facts.deployment.delivered if way.startswith("env:")]
    if any(sight.state == "mangled" for name, sight in child.environment.items() if name in given):
        return None  # it came, altered
    first = carrier(facts).holder
    if parent is None and given and first and child.reported:
        return _Loss.of(first, given[0], child)
    return None


def _asked_in_vain(cause: Cause, facts: Facts) -> Iterator[tuple[_Loss, Trouble, Use]]:
    """What went on without a key that a program was asked for, which had been started without it."""
    for trouble, use in asked(cause, facts):
        process = trouble.process
        child = asked_program(process, use.at)
        held = holding(trouble.replica, process, use.at)
        lacks = [name for name in (child.without if child else None) or () if name in held]
        if child is not None and lacks and use.absent and not misses_near(process, use):
            who = f"pid {process.pid} ({program(process)})"
            yield _Loss(who, lacks[0], child.at, child.pid, "the program", process.pid, child.where), trouble, use


def _launchers(facts: Facts, replica: Replica, loss: _Loss) -> Iterable[Place | None]:
    """The line that starts it: in the parent's code where that is a process of the app, else in script or command."""
    if loss.spawned:
        return loss.spawned[:1]
    if any(p.pid == loss.ppid and p.reported for p in replica.processes):
        return [line.place for line in facts.deployment.source if _LAUNCHER.search(line.place.text)]
    return launched_by(facts, loss.variable)
