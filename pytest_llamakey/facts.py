"""What was seen of one deployment: frozen, and JSON in and out.

This is the seam of the whole plugin. Everything before it (runtimes, endpoint, probe, drive) exists to fill a
:class:`Facts`; everything after it (causes, checks, reports) reads nothing else, so a recorded run can be judged again
without booting anything. Times are seconds since the deployment was started. No key that is not our own canary is in
it: other keys were turned into ``sk-…`` and a salted fingerprint inside the process that holds them.
"""

from __future__ import annotations

from collections.abc import Mapping  # noqa: TC003 - pydantic reads the annotations
from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from typing import Literal

from pydantic import TypeAdapter

from pytest_llamakey.process_facts import (
    Call,
    CallError,
    Client,
    ClientChange,
    DotenvLoad,
    Drive,
    DriveOutcome,
    EnvironmentChange,
    EnvironmentMiss,
    Failure,
    FileState,
    KeySight,
    KeyState,
    Place,
    Process,
    Role,
    Rollcall,
    Spawn,
    Via,
)

__all__ = [
    "Call",
    "CallError",
    "Client",
    "ClientChange",
    "DeploymentFacts",
    "DotenvLoad",
    "Drive",
    "DriveOutcome",
    "EnvironmentChange",
    "EnvironmentMiss",
    "Facts",
    "Failure",
    "FileState",
    "GateFacts",
    "GateTrial",
    "ImageFacts",
    "Instruction",
    "KeySight",
    "KeyState",
    "Place",
    "Process",
    "Reference",
    "Refusal",
    "Replica",
    "Role",
    "Rollcall",
    "RotationFacts",
    "Sighting",
    "SourceLine",
    "Spawn",
    "Via",
    "from_json",
    "to_json",
]

Instruction = Literal[
    "env",
    "arg",
    "copy",
    "run",
    "secret-mount",
    "ignored",
    "user",
    "command",
    "script",
    "service",
    "container",
    "secret-ref",
    "unit",
]


@dataclass(frozen=True)
class Refusal:
    """Why the platform would not start a replica: the reason's name, its words, and the line that asks for the missing.

    ``secret`` is the ``NAME/ITEM`` (or ``NAME``) that the key was to come from, where that is what is missing.
    """

    reason: str
    words: str = ""
    place: Place | None = None
    secret: str = ""


@dataclass(frozen=True)
class Replica:
    """One container or pod, or the process tree of the process runtime.

    ``unanswered``: pids that lived and did not answer the roll call.
    """

    id: str
    processes: tuple[Process, ...] = ()
    refusal: Refusal | None = None
    unanswered: tuple[int, ...] = ()

    @cached_property
    def workers(self) -> tuple[Process, ...]:
        """The processes that serve the app."""
        return tuple(p for p in self.processes if p.role == "worker")


@dataclass(frozen=True)
class Sighting:
    """A place where the key was visible that should not show it; ``text`` has the key replaced by ``<key>``."""

    where: Literal["log", "response", "layer", "history", "build-arg"]
    place: str
    text: str


@dataclass(frozen=True)
class SourceLine:
    """A line of the user's deployment files that has to do with the key.

    ``env`` and ``arg``: ``name`` is the variable, ``interpolates`` the variables its value is made of, ``key`` its
    value where it is a literal. ``copy``, ``ignored`` and ``secret-mount``: ``name`` is the path, pattern or id.
    ``script`` is a line of a shell script that starts the app: ``name`` is the variable it sets or removes, empty for
    a launcher. ``run`` is a build step in which ``key`` stands word for word. ``service`` is where a compose file
    defines the service ``name``, ``container`` the same of a pod's manifest. ``secret-ref`` is where such a container
    asks for an item of a Secret: ``interpolates`` says which (``NAME/ITEM``; ``NAME`` for all), ``name`` is the
    variable or path it becomes. ``unit`` is a line of a systemd unit: ``name`` is the variable that it passes on or
    removes, or the file that it reads. Keys in the place's text are masked. ``fixed``: what arrives
    there stays as it is for as long as the container lives.
    """

    kind: Instruction
    place: Place
    name: str = ""
    key: KeySight | None = None
    interpolates: tuple[str, ...] = ()
    fixed: bool = False


@dataclass(frozen=True)
class ImageFacts:
    """What the image itself carries: key-like variables of its configuration, and files with a key by path."""

    environment: Mapping[str, KeySight] = field(default_factory=dict)
    files: Mapping[str, KeySight] = field(default_factory=dict)
    history: tuple[str, ...] = ()
    """Steps of the image's history that show a key, with the key masked."""
    lines: tuple[Place, ...] = ()
    """The lines of ``files`` that hold a key, with the key masked; their files are paths in the image."""


@dataclass(frozen=True)
class Reference:
    """What a plain local process sends with the same settings: the yardstick of ``parity``."""

    key: KeySight
    host: str
    base: str
    organization: str = ""
    project: str = ""
    versions: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class DeploymentFacts:
    """What the causes need to know of the deployment itself; ``delivered`` are key deliveries as the user wrote them.

    ``origins`` maps a field of the deployment to ``file:line``. ``hosts`` are the hosts that calls are meant for.
    """

    id: str
    name: str
    runtime: str
    image: str = ""
    delivered: tuple[str, ...] = ()
    environment: tuple[str, ...] = ()
    driven: bool = False
    expected_workers: int | None = None
    replicas: int = 1
    probe: bool = True
    hosts: tuple[str, ...] = ()
    origins: Mapping[str, str] = field(default_factory=dict)
    source: tuple[SourceLine, ...] = ()
    build_args: tuple[str, ...] = ()
    contents: ImageFacts | None = None


@dataclass(frozen=True)
class GateTrial:
    """One start of the deployment without a key (``none``), or with a key that the endpoint refuses (``wrong``).

    ``ready``: it reported ready all the same. ``seconds`` passed until it did, until it ended, or until it would long
    have been ready with the right key. ``detail`` says in a clause what was seen, ``place`` where in the app the lack
    of a usable key was passed over, as far as that was seen. ``fault`` is why the start could not be judged.
    """

    key: Literal["none", "wrong"]
    ready: bool
    seconds: float
    detail: str = ""
    place: Place | None = None
    fault: str = ""


@dataclass(frozen=True)
class GateFacts:
    """What ``gate`` asks for; ``unasked`` is why this deployment cannot be started so, where it cannot."""

    trials: tuple[GateTrial, ...] = ()
    unasked: str = ""


@dataclass(frozen=True)
class RotationFacts:
    """What ``rotation`` asks for: the deployment once more, redeployed with a new key.

    In ``replicas`` and ``strays`` a match is the new key, and the key of the first deployment is shown as
    ``<earlier key>``. ``fault`` is why not all was seen that was to be, ``unasked`` why it was not redeployed.
    ``in_place``: the key was changed where the platform keeps it, and nothing was started anew for that.
    """

    replicas: tuple[Replica, ...] = ()
    strays: tuple[Call, ...] = ()
    fault: str = ""
    unasked: str = ""
    in_place: bool = False


@dataclass(frozen=True)
class Facts:
    """Everything that was seen of one deployment in one run."""

    deployment: DeploymentFacts
    replicas: tuple[Replica, ...] = ()
    sightings: tuple[Sighting, ...] = ()
    reference: Reference | None = None
    strays: tuple[Call, ...] = ()
    """Calls that arrived at the endpoint and that no process could be named for."""
    timings: Mapping[str, float] = field(default_factory=dict)
    gate: GateFacts | None = None
    """Only where the check was wanted, and the deployment became ready with the right key."""
    rotation: RotationFacts | None = None
    """The same."""

    @cached_property
    def workers(self) -> tuple[tuple[Replica, Process], ...]:
        """Every worker with its replica."""
        return tuple((replica, worker) for replica in self.replicas for worker in replica.workers)


@lru_cache(maxsize=1)
def _adapter() -> TypeAdapter[Facts]:
    return TypeAdapter(Facts)


def to_json(facts: Facts) -> bytes:
    """``facts`` as indented JSON."""
    return _adapter().dump_json(facts, indent=1)


def from_json(text: bytes | str) -> Facts:
    """The facts in ``text``; raises :class:`pydantic.ValidationError` where it is not such a document."""
    return _adapter().validate_json(text)
