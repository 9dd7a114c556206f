"""A container that systemd runs in: the unit's output comes from the journal, and its end is the app's end."""

from __future__ import annotations

import contextlib
import json
import threading
import time
from typing import TYPE_CHECKING, Any

from docker.errors import DockerException
from requests.exceptions import RequestException

from pytest_llamakey.runtimes.base import Exit, ProcessRow
from pytest_llamakey.runtimes.docker_replica import DockerReplica

if TYPE_CHECKING:
    from collections.abc import Iterable

RESTARTS = 3
"""After so many restarts by systemd a unit that fails again counts as ended: it is in a loop."""
_JOURNAL_SECONDS = 30.0
_RETRY_SECONDS = 0.1
# systemd's catalog (systemd/sd-messages.h): a unit's process exited; the unit failed; it ended in good order.
_PROCESS_EXIT = "98e322203f7a4ed290d09fe03c09fe15"
_UNIT_ENDS = ("d9b373ed55a64feb8242e02dbe79a49c", "7ad2d189f7e94e70a38c781354912448")
_CODE_KILLED = ("killed", "dumped")
_FINAL = ("failed", "inactive")


class SystemdReplica(DockerReplica):
    """A :class:`~pytest_llamakey.runtimes.base.RunningReplica`: one unit in a container of its own."""

    _unit = ""
    _unit_exit: Exit | None = None
    _last_code: Exit | None = None

    def follow(self, name: str) -> None:
        """Take up the journal of unit ``name`` from its first line on."""
        self._unit = name
        self._thread(self._read_journal)

    def exited(self) -> Exit | None:
        """How the unit's main process ended once systemd starts it no more, or how the container did."""
        return self._unit_exit or super().exited()

    def census(self) -> tuple[ProcessRow, ...]:
        """See :class:`~pytest_llamakey.runtimes.base.RunningReplica`; empty once the unit has ended."""
        return () if self._unit_exit else super().census()

    def _read_journal(self) -> None:
        """Follow the journal; before journald is up its client ends, and is started again."""
        end = time.monotonic() + _JOURNAL_SECONDS
        cursor = ""
        while not self._stopping.is_set() and super().exited() is None:
            read = threading.Event()
            with contextlib.suppress(DockerException, RequestException, OSError, ValueError):
                for entry in self._entries(cursor):
                    read.set()
                    cursor = str(entry.get("__CURSOR", cursor))
                    self._take(entry)
            if not read.is_set() and not cursor and time.monotonic() > end:
                self._output.add(f"(no journal of {self._unit} could be read: is journalctl in the image?)\n".encode())
                return
            self._stopping.wait(_RETRY_SECONDS)

    def _entries(self, cursor: str) -> Iterable[dict[str, Any]]:
        since = [f"--after-cursor={cursor}"] if cursor else ["--no-tail"]
        command = ["journalctl", f"--unit={self._unit}", "--output=json", "--follow", *since]
        made = self._client.api.exec_create(str(self.container.id), command, stderr=False)
        left = b""
        for piece in self._client.api.exec_start(made["Id"], stream=True):
            *lines, left = (left + piece).split(b"\n")
            for line in lines:
                with contextlib.suppress(ValueError):
                    yield json.loads(line)

    def _take(self, entry: dict[str, Any]) -> None:
        message = entry.get("MESSAGE")
        # journalctl shows what is no plain text as a list of bytes (systemd.io/JOURNAL_EXPORT_FORMATS).
        text = bytes(message) if isinstance(message, list) else str(message or "").encode()
        self._output.add(text + b"\n")
        kind = entry.get("MESSAGE_ID")
        if kind == _PROCESS_EXIT:
            with contextlib.suppress(ValueError):
                status = int(entry.get("EXIT_STATUS", 0))
                self._last_code = Exit(-status if entry.get("EXIT_CODE") in _CODE_KILLED else status)
        elif kind in _UNIT_ENDS:
            state = self._shown()
            # It is over where systemd lets the unit be, or has started it again too often.
            if state.get("ActiveState") in _FINAL or int(state.get("NRestarts") or 0) >= RESTARTS:
                self._unit_exit = self._last_code or _never_ran(state.get("Result", ""))

    def _shown(self) -> dict[str, str]:
        command = ["systemctl", "show", "--property=ActiveState,NRestarts,Result", self._unit]
        made = self._client.api.exec_create(str(self.container.id), command, stderr=False)
        told = self._client.api.exec_start(made["Id"]).decode("utf-8", "replace")
        return dict(line.partition("=")[::2] for line in told.splitlines())


def _never_ran(result: str) -> Exit:
    """The end of a unit that never had a process, by its ``Result``: its ``EnvironmentFile=`` is not there, say."""
    return Exit(0) if result == "success" else Exit(1, words=f"was never started by systemd (result {result!r})")
