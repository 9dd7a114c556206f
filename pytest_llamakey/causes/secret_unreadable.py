"""The secret's file is there, and the process may not read it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pytest_llamakey.causes.base import KEY_SYMPTOMS, Cause, Example, Trouble, begun, raised
from pytest_llamakey.causes.recorded import EMPTY, NO_KEY_ERROR, app, client, ended, keyless, roll, source, worker
from pytest_llamakey.causes.trail import delivery
from pytest_llamakey.causes.uses import Use, bereft, grouped, once
from pytest_llamakey.facts import Drive, Failure, KeySight
from pytest_llamakey.symptoms.keyed import unreadable

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from pytest_llamakey.facts import Facts
    from pytest_llamakey.findings import Finding

_FILE = "/run/secrets/openai"
_DELIVERED = ("file:/run/secrets/openai",)


class SecretUnreadable(Cause):
    """The file with the key was delivered, and the user that the app runs as may not read it.

    What you see: ``PermissionError: [Errno 13] Permission denied: '/run/secrets/openai'``; or, where the app goes on
    without, ``The api_key client option must be set``, ``Missing credentials`` or ``No API key found for OpenAI``. As
    root, or on your own machine, the same image works.

    Secrets are mounted for root, and the image drops to another user:

        COPY --chmod=600 openai /run/secrets/openai
        USER app

    Let the file belong to the user that reads it (Compose and Kubernetes have ``uid``, ``mode``, ``fsGroup`` for it):

        COPY --chmod=400 --chown=app openai /run/secrets/openai
        USER app
    """

    name = "secret-unreadable"
    title = "the file with the key may not be read by this process"
    explains = KEY_SYMPTOMS

    EXAMPLES = (
        Example(
            "a file of mode 0600 that belongs to root",
            app(keyless(files={_FILE: "unreadable"}), delivered=_DELIVERED),
            True,
        ),
        Example(
            "the app reads it at start, and ends",
            app(
                ended(
                    files={_FILE: "unreadable"},
                    log_tail=f"PermissionError: [Errno 13] Permission denied: '{_FILE}'",
                ),
                delivered=_DELIVERED,
            ),
            True,
        ),
        Example(
            "the server drops to another user after it has started",
            app(
                ended(
                    files={_FILE: "readable"},
                    log_tail=f"PermissionError: [Errno 13] Permission denied: '{_FILE}'\nWorker exiting",
                ),
                delivered=_DELIVERED,
            ),
            True,
        ),
        Example(
            "a .env that belongs to another user",
            app(keyless(files={".env": "unreadable"}, clients=(client(key=EMPTY),)), delivered=("dotenv:.env",)),
            True,
        ),
        Example(
            "the worker is another user than the one beside it",
            app(
                worker(7, key_source="client", environment={}, files={_FILE: "readable"}),
                keyless(8, files={_FILE: "unreadable"}),
                delivered=_DELIVERED,
            ),
            True,
        ),
        Example(
            "the file may be read",
            app(worker(environment={}, key_source="client", files={_FILE: "readable"}), delivered=_DELIVERED),
            False,
        ),
        Example(
            "one client was built before the user changed, and another reads the file for each request",
            app(
                worker(
                    files={_FILE: "unreadable"},
                    environment={},
                    calls=(),
                    failures=(Failure(1.2, "builtins.PermissionError", f"[Errno 13] denied: '/root{_FILE}'"),),
                    drive=Drive("answered", answer=500, requests=1),
                ),
                delivered=_DELIVERED,
            ),
            True,
        ),
        Example("the key comes by another way as well", app(worker(files={_FILE: "unreadable"})), False),
        Example(
            "it may be read, and nothing reads it", app(keyless(files={_FILE: "readable"}), delivered=_DELIVERED), False
        ),
        Example(
            "the key is there, the client was given nothing",
            app(worker(files={_FILE: "unreadable"}, clients=(client(key=EMPTY),), calls=(), rollcall=(roll(EMPTY),))),
            False,
        ),
        Example(
            "the image drops to another user",
            app(
                keyless(files={_FILE: "unreadable"}, errors=(NO_KEY_ERROR,)),
                delivered=_DELIVERED,
                source=(source("user", "app", "Dockerfile:9", "USER app"),),
            ),
            True,
        ),
    )

    def find(self, facts: Facts) -> Iterable[Finding]:
        """A finding for each file, with all processes that needed it and may not read it."""
        rows = [(path, (trouble, use)) for trouble, use in bereft(self, facts) for path in unreadable(trouble.process)]
        told = {trouble.worker for _path, (trouble, _use) in rows}
        rows += [row for trouble in self.troubled(facts) if trouble.worker not in told for row in _denied(trouble)]
        users = [line.place for line in facts.deployment.source if line.kind == "user"][-1:]
        for group in grouped([(path, (path, *row)) for path, row in rows]):
            path = group[0][0]
            yield self.finding(
                once(trouble for _path, trouble, _use in group),
                where=[*users, delivery(facts), *(use.place for _path, _trouble, use in group)],
                evidence=_story(path, group),
                fix=f"Let the user that the app runs as read {path}: set the file's owner or mode where it is mounted.",
            )


def _denied(trouble: Trouble) -> Iterator[tuple[str, tuple[Trouble, Use]]]:
    """The file that a request failed to read, though a client that was built before holds the key."""
    for failure in trouble.process.failures:
        for path in unreadable(trouble.process) if failure.type.endswith("PermissionError") else ():
            if failure.message.rstrip("'").endswith(path):
                yield path, (trouble, Use(failure.at, KeySight("missing"), failure.where, raised(failure)))


def _story(path: str, group: list[tuple[str, Trouble, Use]]) -> Iterator[str]:
    for _path, trouble, use in group[:3]:
        yield begun(trouble, use.at, f"as a user who may not read {path}")
    _path, trouble, use = group[0]
    yield use.line
    yield from (raised(error) for error in trouble.process.errors[:1])
