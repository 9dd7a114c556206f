"""Front servers: programs that listen on the app's port and pass every request on to the app behind them."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable

    from pytest_llamakey.runtimes.base import ProcessRow

FRONTS = frozenset(
    {
        *("nginx", "haproxy", "socat", "caddy", "traefik", "envoy", "apache2", "httpd", "lighttpd", "varnishd"),
        *("h2o", "ncat", "stunnel", "stunnel4", "pound", "angie", "openresty"),
    }
)
"""Programs that answer nothing themselves when they stand before an app."""
_PYTHON = re.compile(r"python[\d.]*|pypy[\d.]*|gunicorn|uvicorn|hypercorn|granian|daphne|waitress-serve|flask|fastapi")


def behind_front(
    rows: Iterable[ProcessRow],
    holders: Collection[int],
    besides: Collection[int],
    reported: Collection[int] | None,
    serving: Collection[int],
) -> frozenset[int] | None:
    """The processes that listen behind the front servers which hold the port, or ``None`` where no such hold it.

    A front server is one of :data:`FRONTS`, or, where Python processes have a probe, any other program than Python.
    Of several that listen behind it, those count whose address its command names, else those on a Unix socket, else
    those that say they serve. ``besides`` are never among them.
    """
    living = list(rows)
    at_front = [row for row in living if row.pid in holders]
    routers = _routers(at_front, living)
    at_front = [row for row in at_front if row.pid in routers] or at_front
    if not at_front or not all(row.pid in routers or _is_front(row, reported) for row in at_front):
        return None
    words = " ".join(word for row in at_front for word in row.command)
    groups: dict[str, set[int]] = {}
    for row in living:
        if row.pid in holders or row.pid in besides or not _may_be_app(row, reported):
            continue
        for name in row.sockets or tuple(f"tcp:{port}" for port in row.listens):
            groups.setdefault(name, set()).add(row.pid)
    if not groups:
        return frozenset()

    def fitness(name: str) -> tuple[bool, bool, bool, int]:
        kind, _, address = name.partition(":")
        address = address if kind == "unix" else f":{address.partition(':')[0]}"
        return address in words, kind == "unix", bool(groups[name] & set(serving)), len(groups[name])

    return frozenset(groups[max(groups, key=fitness)])


def embeds_python(row: ProcessRow) -> bool:
    """Whether it is uWSGI, which runs a Python inside and forks without a word to that, also where pip has built it."""
    return any(_base(word) in {"uwsgi", "pyuwsgi"} for word in (_program(row).lower(), *row.command[:2]))


def _routers(at_front: Iterable[ProcessRow], living: Iterable[ProcessRow]) -> frozenset[int]:
    """Those of ``at_front`` that pass requests on to processes of the same program, which listen elsewhere.

    So does uWSGI with ``--http`` (uwsgi-docs.readthedocs.io/en/latest/HTTP.html, "standalone/high availability").
    """
    front, rows = {row.pid: row for row in at_front}, list(living)
    behind = {row.ppid for row in rows if embeds_python(row) and row.listens and row.pid not in front}
    return frozenset(pid for pid, row in front.items() if embeds_python(row) and row.ppid in behind)


def _may_be_app(row: ProcessRow, reported: Collection[int] | None) -> bool:
    return embeds_python(row) or (_is_python(row) if reported is None else row.pid in reported)


def _is_front(row: ProcessRow, reported: Collection[int] | None) -> bool:
    if _program(row) in FRONTS:
        return True
    return reported is not None and row.pid not in reported and not (_is_python(row) or embeds_python(row))


def _is_python(row: ProcessRow) -> bool:
    return any(_PYTHON.fullmatch(_base(word)) for word in row.command[:2]) or bool(_PYTHON.fullmatch(_program(row)))


def _program(row: ProcessRow) -> str:
    """The program's name; some give themselves a title (``nginx: worker process``)."""
    return _base(row.command[0].split(" ")[0]).rstrip(":") if row.command else ""


def _base(word: str) -> str:
    return word.rpartition("/")[2]
