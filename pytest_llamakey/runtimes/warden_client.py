"""The near side of ``warden.py``: one long-lived program per replica that answers within milliseconds."""

from __future__ import annotations

import contextlib
import json
import threading
from abc import ABC, abstractmethod
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from pytest_llamakey.runtimes.base import ProcessRow

if TYPE_CHECKING:
    from collections.abc import Collection

BEAT_SECONDS = 5.0
"""While something is held: well within the warden's own patience (``warden.DEADMAN``)."""


class WardenGone(Exception):
    """The warden gives no answer; the message is the last that was heard of it."""


class Stream(Protocol):
    """What is written to and read from a warden."""

    def send(self, data: bytes) -> None:
        """Write to its standard input; OSError where it is gone."""

    def line(self) -> bytes:
        """The next line of its standard output; OSError after too long a silence or at the end."""

    def complaint(self) -> str:
        """The last line of what came on standard error, or where an answer was to be."""

    def close(self) -> None:
        """Hang up."""


class WardenClient(ABC):
    """Asks the warden of one replica; it is entered with the first question, or by :meth:`enter`. Thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.RLock()
        self._stream: Stream | None = None
        self._held: set[int] = set()
        self._number = 0
        self._beat: threading.Thread | None = None
        self._closed = threading.Event()

    @abstractmethod
    def _open(self) -> Stream:
        """A warden that has answered a first question; raises :class:`WardenGone`."""

    def enter(self) -> None:
        """Enter the replica now, so that the first question need not wait; failure shows with that question."""
        with contextlib.suppress(WardenGone):
            self.ask("ping")

    def hold(self, pids: Collection[int]) -> list[int]:
        """Stop these processes; answers with those that were not seen to stop within a moment."""
        with self._lock:
            self._held.update(pids)
            if self._beat is None:
                self._beat = threading.Thread(target=self._keep_alive, name="llamakey-warden", daemon=True)
                self._beat.start()
        return list(self.ask("hold", pids))

    def release(self) -> None:
        """Continue all that is held."""
        with self._lock:
            held = set(self._held)
            if held:
                self.ask("release", held)
            self._held -= held

    @property
    def held(self) -> frozenset[int]:
        """The processes that are held now."""
        return frozenset(self._held)

    def ask(self, do: str, pids: Collection[int] = ()) -> Any:
        """The answer to one request.

        Raises:
            WardenGone: there is none, also from a second warden after the first one was lost.
        """
        with self._lock:
            if self._closed.is_set():
                raise WardenGone("it was dismissed")
            if self._stream is not None:
                with contextlib.suppress(WardenGone):
                    return self._exchange(self._stream, do, pids)
                self._drop()
            self._stream = self._open()
            return self._exchange(self._stream, do, pids)

    def close(self) -> None:
        """Leave the replica: what was held there goes on."""
        self._closed.set()
        with self._lock:
            self._drop()

    def _drop(self) -> None:
        if self._stream is not None:
            self._stream.close()
            self._stream = None

    def _exchange(self, stream: Stream, do: str, pids: Collection[int]) -> Any:
        self._number += 1
        try:
            stream.send(json.dumps({"n": self._number, "do": do, "pids": sorted(pids)}).encode() + b"\n")
            while True:
                number, answer = json.loads(stream.line())
                if number == self._number:
                    return answer
        except (OSError, ValueError) as error:
            raise WardenGone(stream.complaint() or str(error)) from error

    def _keep_alive(self) -> None:
        while not self._closed.wait(BEAT_SECONDS):
            if self._held:
                with contextlib.suppress(WardenGone):
                    self.ask("ping")


def process_rows(census: Any) -> tuple[ProcessRow, ...]:
    """The answer to ``census`` as rows; none where there was none."""
    return tuple(
        ProcessRow(pid, ppid, tuple(command), state, cpu, (*listens,), (*accepted,), (*names,), taken, (*waiting,))
        for pid, ppid, command, state, cpu, listens, accepted, names, taken, waiting in census or ()
    )


@lru_cache(maxsize=1)
def warden_source() -> str:
    """The program that runs inside the replica."""
    return Path(__file__).with_name("warden.py").read_text(encoding="utf-8")


@lru_cache(maxsize=1)
def relay_source() -> str:
    """The program that hands connections to the mock on."""
    return Path(__file__).with_name("relay.py").read_text(encoding="utf-8")
