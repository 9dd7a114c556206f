"""The interface between the run and the ways of running an app: what every runtime can do, in the reader's words."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from pytest_llamakey.facts import ImageFacts
    from pytest_llamakey.secrecy.keys import Secrets
    from pytest_llamakey.spec.model import Deployment


Progress = Callable[[str], None]
"""Takes one line for people about what is going on just now (a build step, a wait)."""


class RuntimeFault(Exception):
    """The deployment could not be run at all (verdict ``error``): what happened, what it was seen by, what to do."""


class Refused(RuntimeFault):
    """The deployment's own files refuse to be started without something that they ask for."""


@dataclass(frozen=True)
class Address:
    """A TCP address that is reachable from the process that runs pytest."""

    host: str
    port: int


@dataclass(frozen=True)
class Reach:
    """How a deployment reaches this machine: the local IP address to listen on, and the host name or IP it dials.

    ``network`` is the name of the network that it has to be in for that, where it is one of its own.
    """

    listen: str
    dial: str
    network: str = ""


@dataclass(frozen=True)
class Exit:
    """How the first process ended: its exit code (negative: the signal's number), and whether for want of memory.

    ``words`` tell it instead where there is no code to tell, in a clause that goes on after "it".
    """

    code: int
    out_of_memory: bool = False
    words: str = ""


@dataclass(frozen=True)
class ProcessRow:
    """One process as seen from outside, with pids as the app itself sees them.

    ``listens``: local TCP ports on which it holds a listening socket. ``accepted``: local TCP ports of its established
    incoming connections. ``cpu``: seconds of processor time used. ``state``: the letter of ``ps``. ``sockets``: its
    listening sockets by name (``tcp:8000:INODE``, in containers with ``:loopback`` after it where only they themselves
    reach it, ``unix:/run/app.sock``); processes that share one have the same name for it. ``taken``: how many incoming
    connections it holds, TCP and Unix. ``waiting``: for each of ``sockets`` how many connections nobody has accepted
    yet (0 where the system does not tell: for Unix sockets, and outside Linux).
    """

    pid: int
    ppid: int
    command: tuple[str, ...]
    state: str
    cpu: float
    listens: tuple[int, ...] = ()
    accepted: tuple[int, ...] = ()
    sockets: tuple[str, ...] = ()
    taken: int = 0
    waiting: tuple[int, ...] = ()


@dataclass(frozen=True)
class DeliveredFile:
    """A file laid into the app's world before it starts; relative paths start at the app's ``workdir``.

    ``merge_dotenv``: ``content`` is one ``NAME=value`` line that takes its place in a ``.env`` that may be there.
    ``withdrawn``: nothing is delivered; where the file is there already, that line (else all its content) is taken out.
    """

    path: str
    content: bytes
    mode: int = 0o444
    merge_dotenv: bool = False
    withdrawn: bool = False


@dataclass(frozen=True)
class Plan:
    """All that a runtime needs to start one deployment.

    ``run_id`` is ``<run>-<process>``: the processes of one run (pytest-xdist's workers) share the first part.
    ``environment`` is complete: the runtime adds nothing of its own that the app could see (the process runtime adds
    the few documented variables of the tester). ``agent`` renders the probe's file for one replica id
    (or ``@`` and the path of a file that holds it) and the app's folder as its processes know it; ``None`` where
    nothing is to be injected. ``hosts`` are provider host names that must not resolve to the provider. ``may_keep``: it
    may be left running at the end. ``ca_pem`` is the throwaway authority that the mock's TLS certificates are signed
    by. ``after`` is the halted deployment that this one takes the place of: what outlives a redeploy in its runtime is
    carried over. ``secrets`` are items of the platform's own Secrets by ``NAME/ITEM``; ``None`` for one that is not to
    be there. ``ports`` are the mock's on this machine, plain and TLS; ``listen`` has it serve on a further local
    address. ``boot`` is how many seconds the start may take. ``network`` is the one that everything has to be in, which
    has no way out.
    """

    run_id: str
    deployment: Deployment
    environment: Mapping[str, str] = field(repr=False)
    files: tuple[DeliveredFile, ...] = field(default=(), repr=False)
    agent: Callable[[str, str], str] | None = None
    hosts: tuple[str, ...] = ()
    dial: str = "127.0.0.1"
    ca_pem: bytes = b""
    may_keep: bool = False
    verbose: bool = False
    progress: Progress = lambda _line: None
    build_args: Mapping[str, str] = field(default_factory=dict)
    after: Running | None = None
    boot: float = 120.0
    secrets: Mapping[str, str | None] = field(default_factory=dict)
    ports: tuple[int, ...] = ()
    listen: Callable[[str], None] = lambda _address: None
    network: str = ""


class RunningReplica(Protocol):
    """One started container or process tree.

    One that may be there to end, as a job does, has two methods more: ``completes`` is true until it has ended well,
    ``completed`` from then on; its processes are those that were last seen, and count as there.
    """

    id: str

    def address(self) -> Address | None:
        """Where the app's port is reachable from here (always on 127.0.0.1), or ``None`` for an app without one."""

    @property
    def app_port(self) -> int | None:
        """The port the app itself listens on, as :attr:`ProcessRow.listens` names it."""

    def census(self) -> tuple[ProcessRow, ...]:
        """Every process of the replica, supervisors and shells included; empty once it has ended."""

    def hold(self, pids: Collection[int]) -> None:
        """Stop (SIGSTOP) these processes until :meth:`release`; a pid that is gone is passed over.

        The hold has an end even if this process is killed: whatever happens, they are continued or ended.
        """

    def release(self) -> None:
        """Continue (SIGCONT) every process that is held; safe to call at any time."""

    def wake(self, pids: Collection[int]) -> None:
        """Send SIGURG, which the probe answers to and every other program ignores by default (signal(7))."""

    def exited(self) -> Exit | None:
        """How the first process ended, or ``None`` while it lives; cheap, as it is asked every few milliseconds.

        Raises:
            NotReady: the platform never started it, and never will; in the platform's words.
        """

    def logs(self) -> bytes:
        """All output so far, standard output and error together."""

    def spawn(self, count: int, command: tuple[str, ...]) -> None:
        """Start ``count`` further processes beside the app, in its environment and folder, without waiting for them."""


class Running(Protocol):
    """A started deployment.

    One whose platform rolls a change out piece by piece has ``rolls_out = True``: then it is not halted before its
    successor is started (with ``Plan.after``), which may be itself. One whose replicas come one after the other has a
    method ``upcoming(seconds)``: it waits until there are more of them, and is false where there will not be.
    """

    image: str
    """The image id, or empty where there is none."""
    timings: Mapping[str, float]
    """Seconds spent so far: ``build`` and ``start``."""

    @property
    def replicas(self) -> tuple[RunningReplica, ...]:
        """The replicas, in a stable order."""

    def contents(self, secrets: Secrets) -> ImageFacts | None:
        """What the image itself carries of keys, shown as ``secrets`` has it; ``None`` where there is no image.

        Raises:
            RuntimeFault: it cannot be looked into.
        """

    def halt(self) -> None:
        """End the app as a redeploy does: asked (SIGTERM) and, if it takes too long, killed.

        What outlives a redeploy stays until :meth:`stop`, or goes to the deployment that takes this one's place.

        Raises:
            RuntimeFault: it cannot be ended.
        """

    def stop(self) -> None:
        """End it and remove all that was started for it, unless it is kept; never raises, safe to call twice."""

    def keep(self) -> str:
        """Leave it running (:meth:`stop` does nothing from then on); says how to enter and how to remove it."""


class Runtime(Protocol):
    """One way of running an app."""

    name: str

    def reach(self) -> Reach:
        """Where the mocked endpoint must listen for its apps; raises :class:`RuntimeFault` without an engine."""

    def start(self, plan: Plan) -> Running:
        """Start the deployment and return at once, without waiting until it is ready.

        Raises:
            RuntimeFault: it could not be started (no engine, build failed, …). Nothing is left behind.
        """

    def engine_version(self) -> str:
        """The container engine's version, for the report; empty where none is used.

        Raises:
            RuntimeFault: it does not answer.
        """

    def close(self) -> None:
        """Wait until all that was stopped is gone, where that takes its time; safe to call twice."""
