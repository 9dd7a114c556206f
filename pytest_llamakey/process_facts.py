"""What was seen of one process of a deployment: part of :mod:`pytest_llamakey.facts`, by whose rules it is recorded."""

from __future__ import annotations

from collections.abc import Mapping  # noqa: TC003 - pydantic reads the annotations
from dataclasses import dataclass, field
from typing import Literal

KeyState = Literal["match", "missing", "empty", "mangled", "different"]
Role = Literal["main", "worker", "helper"]
Via = Literal["startup", "request", "task", "rollcall"]
FileState = Literal["readable", "unreadable", "absent"]
DriveOutcome = Literal["called", "answered", "silent", "died", "skipped", "spared"]


@dataclass(frozen=True)
class Place:
    """A line in one of the user's files, as they know the file (relative to ``workdir``), with its text."""

    file: str
    line: int
    text: str = ""
    function: str = ""

    def __str__(self) -> str:
        return f"{self.file}:{self.line}"


@dataclass(frozen=True)
class KeySight:
    """A key as it was seen: its state against the delivered one, and how it may be shown to people."""

    state: KeyState
    shown: str = ""


@dataclass(frozen=True)
class EnvironmentChange:
    """A watched variable that this process set or removed; ``where`` is the app's own frames, innermost first.

    ``literal`` is the line of the app's code where the new value stands word for word, where it does.
    """

    at: float
    name: str
    key: KeySight
    where: tuple[Place, ...] = ()
    literal: Place | None = None


@dataclass(frozen=True)
class EnvironmentMiss:
    """A look-up of a key-like variable that was not set.

    ``later`` is a line of a module that was being executed at that moment, and that would have set it further down.
    """

    at: float
    name: str
    where: tuple[Place, ...] = ()
    later: Place | None = None


@dataclass(frozen=True)
class ClientChange:
    """A client's ``api_key`` that was replaced after the client had been built."""

    at: float
    kind: str
    key: KeySight
    where: tuple[Place, ...] = ()
    literal: Place | None = None


@dataclass(frozen=True)
class DotenvLoad:
    """A call of python-dotenv: the file it used (empty when none was found) and the key that stands there."""

    at: float
    path: str
    found: bool
    override: bool
    key: KeySight
    where: tuple[Place, ...] = ()
    names: tuple[str, ...] = ()
    """The variables that stand in the file."""


@dataclass(frozen=True)
class Client:
    """A client object that was built: ``kind`` is its class's full name; ``error`` why building it failed, if so."""

    at: float
    kind: str
    key: KeySight
    host: str = ""
    base: str = ""
    organization: str = ""
    project: str = ""
    error: str = ""
    where: tuple[Place, ...] = ()
    literal: Place | None = None


@dataclass(frozen=True)
class Call:
    """A call of the model. ``header`` is the credential header's name as sent, in lower case, or empty without one.

    ``status`` is ``None`` for a call that was tried and did not arrive. ``intended`` is false where the app addressed
    another host than the deployment gave it (the mock answered in its stead), or went there by a way that leads out of
    the deployment. ``exact`` says that the credential header is exactly the one its provider asks for.
    """

    at: float
    via: Via
    method: str
    host: str
    path: str
    header: str
    key: KeySight
    status: int | None
    exact: bool = False
    intended: bool = True
    organization: str = ""
    project: str = ""
    where: tuple[Place, ...] = ()


@dataclass(frozen=True)
class CallError:
    """An exception that a model call (or the building of a client) ended in; ``message`` bears no foreign key."""

    at: float
    type: str
    message: str
    where: tuple[Place, ...] = ()


@dataclass(frozen=True)
class Failure:
    """An exception that the process printed or ended with; ``where`` are the app's own lines it came through.

    ``later`` as of an :class:`EnvironmentMiss`. What a call of the model or a client ended in is a :class:`CallError`.
    ``asked`` are the variables of the fields that settings lack, by their class.
    """

    at: float
    type: str
    message: str
    where: tuple[Place, ...] = ()
    later: Place | None = None
    asked: tuple[str, ...] = ()


@dataclass(frozen=True)
class Spawn:
    """A program that a line of the app started in a process of its own.

    ``without`` are the variables with a key that were left out of the environment it was given; ``None`` where it got
    all that its parent had.
    """

    at: float
    pid: int
    where: tuple[Place, ...]
    without: tuple[str, ...] | None = None


@dataclass(frozen=True)
class Rollcall:
    """What one live LLM, embedding or client object would send, shown by a minimal call of a copy of it."""

    kind: str
    key: KeySight
    host: str = ""
    setting: str = ""
    error: str = ""
    where: tuple[Place, ...] = ()


@dataclass(frozen=True)
class Drive:
    """How the attempt to make one worker call the model ended.

    ``spared``: it was not asked, for it took the place of a worker that ended after its call, or was itself recycled
    before its turn came.

    ``answer`` is the app's HTTP status where it has one, ``helpers`` the processes that called in this worker's stead,
    ``detail`` a sentence for people where the outcome is not ``called``. ``began`` is when it was asked what
    it answered so, zero where nobody noted it. ``command`` is the program that was to ask, where that failed itself.
    """

    outcome: DriveOutcome
    answer: int | None = None
    seconds: float = 0.0
    requests: int = 0
    helpers: tuple[int, ...] = ()
    detail: str = ""
    via: Literal["request", "task"] = "request"
    began: float = 0.0
    command: str = ""


@dataclass(frozen=True)
class Process:
    """One process of the deployment that is a supervisor, a worker or a helper.

    ``key`` is the best the process held when it was last asked; ``key_source`` one of ``environ``, ``dotenv``,
    ``client`` or empty. ``reported`` is false where it serves and no probe answered from inside it.
    """

    pid: int
    ppid: int
    role: Role
    command: str
    python: str = ""
    reported: bool = True
    started: float = 0.0
    ended: float | None = None
    exit: str = ""
    key: KeySight = KeySight("missing")
    key_source: str = ""
    environment: Mapping[str, KeySight] = field(default_factory=dict)
    environment_changes: tuple[EnvironmentChange, ...] = ()
    environment_misses: tuple[EnvironmentMiss, ...] = ()
    parent_environment: Mapping[str, KeySight] | None = None
    """The watched variables that the parent process had when it started, where that could be read."""
    spawned: tuple[Place, ...] = ()
    """Where in its parent's code it was started, or, by ``os.exec…``, in that of the program that was there before."""
    spawns: tuple[Spawn, ...] = ()
    """The programs that the app's own lines started in this process, as far as there are not too many."""
    files: Mapping[str, FileState] = field(default_factory=dict)
    """Each delivered file and whether this process may read it."""
    client_changes: tuple[ClientChange, ...] = ()
    dotenv: tuple[DotenvLoad, ...] = ()
    clients: tuple[Client, ...] = ()
    calls: tuple[Call, ...] = ()
    errors: tuple[CallError, ...] = ()
    failures: tuple[Failure, ...] = ()
    rollcall: tuple[Rollcall, ...] = ()
    versions: Mapping[str, str] = field(default_factory=dict)
    drive: Drive | None = None
    log_tail: str = ""
    exit_where: tuple[Place, ...] = ()
    """Where in the app ``os._exit`` was called, of a process that ended so."""
