"""The systemd runtime: a unit in a container whose first process is systemd, started as on a machine of its own.

The container is the Docker runtime's. What differs is what systemd needs to run in one, that the unit under test is
laid in and wanted by the boot, that its output stands in the journal, and that it is the unit, not the container, that
ends when the app does. The container's environment does not reach a unit (systemd.exec(5), "Environment variables in
spawned processes"): a key that is delivered there is delivered to systemd alone.
"""

from __future__ import annotations

import posixpath
from typing import TYPE_CHECKING, Any

from pytest_llamakey.runtimes.base import RuntimeFault
from pytest_llamakey.runtimes.docker import DockerRuntime
from pytest_llamakey.runtimes.docker_inject import Entry
from pytest_llamakey.runtimes.systemd_replica import SystemdReplica
from pytest_llamakey.spec import unit
from pytest_llamakey.spec.model import SpecError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pytest_llamakey.runtimes.base import Plan
    from pytest_llamakey.runtimes.docker_replica import DockerReplica
    from pytest_llamakey.spec.unit import Unit

UNITS = "/etc/systemd/system"
"""Where an administrator's units lie (systemd.unit(5), "Unit File Load Path")."""
INIT = "/lib/systemd/systemd"
_INITS = ("systemd", "init")
_MODE = 0o644
_HIDDEN = ("/run/", "/var/run/", "/tmp/")  # noqa: S108 - folders of the container
_NEEDS: Mapping[str, Any] = {
    # Mounts of its own for units; the default seccomp profile refuses them even with the capability.
    "cap_add": ["SYS_ADMIN"],
    "security_opt": ["seccomp=unconfined"],
    "cgroupns": "private",
    # systemd.io/CONTAINER_INTERFACE: these are to be writable and empty, and the signal is how it is asked to end.
    # Shared: what systemd mounts for LoadCredential= in a namespace of its own is to be seen in the unit's.
    "tmpfs": {"/run": "exec,shared", "/run/lock": "", "/tmp": "exec"},  # noqa: S108 - folders of the container
    "stop_signal": "SIGRTMIN+3",
}
"""What a container needs so that systemd runs in it, in the words of the engine's API."""


class SystemdRuntime(DockerRuntime):
    """A :class:`~pytest_llamakey.runtimes.base.Runtime` of units in containers."""

    name = "systemd"
    replica_class = SystemdReplica

    def options(self, plan: Plan, image: Mapping[str, Any]) -> dict[str, Any]:
        """What the engine is told of the container: systemd's needs, and what runs as its first process."""
        words = plan.deployment.command or (*(image.get("Entrypoint") or ()), *(image.get("Cmd") or ()))
        boots = bool(words) and words[0].rpartition("/")[2] in _INITS
        if plan.deployment.command and not boots:
            raise RuntimeFault(
                f"{plan.deployment.origin('command')}: in the systemd runtime the container's first process is "
                f'systemd; leave `command` out, or write command = ["{INIT}"]. What starts the app stands in the unit.'
            )
        return {**_NEEDS, "command": plan.deployment.command or (None if boots else (INIT,))}

    def environment(self, plan: Plan) -> Mapping[str, str]:
        """The container's own: what systemd must know, and the key where it is delivered as a variable."""
        keys = {way.target for way in plan.deployment.key if way.scheme == "env"}
        return {"container": "docker"} | {name: value for name, value in plan.environment.items() if name in keys}

    def entries(self, plan: Plan) -> list[Entry]:
        """The unit with its drop-ins, one of ours with the rest of the environment, and one that starts it at boot."""
        for file in plan.files:
            if posixpath.normpath(posixpath.join("/", plan.deployment.workdir or "", file.path)).startswith(_HIDDEN):
                raise RuntimeFault(
                    f"{plan.deployment.origin('key') or plan.deployment.id}: {file.path} cannot be laid into the "
                    "container, as /run and /tmp are mounted empty for systemd; deliver it elsewhere, below /etc say."
                )
        read = unit_of(plan)
        theirs = self.environment(plan)
        own = {name: value for name, value in plan.environment.items() if name not in theirs}
        texts = {file.name: file.content for file in read.files}
        texts[f"{read.name}.d/00-llamakey.conf"] = _environment(own, read).encode()
        texts["multi-user.target.d/50-llamakey.conf"] = f"[Unit]\nWants={read.name}\n".encode()
        return [Entry(f"{UNITS}/{name}", content, _MODE) for name, content in texts.items()]

    def prepared(self, replica: DockerReplica, plan: Plan) -> None:
        """Follow the unit's journal from its first line."""
        assert isinstance(replica, SystemdReplica)  # noqa: S101 - for the type checker
        replica.follow(posixpath.basename(plan.deployment.unit or ""))


def unit_of(plan: Plan) -> Unit:
    """The unit under test.

    Raises:
        RuntimeFault: it is not there, or cannot be read; with file and line.
    """
    deployment = plan.deployment
    name = deployment.unit or ""
    try:
        return unit.read(deployment.folder / name, name)
    except SpecError as error:
        raise RuntimeFault(f"{deployment.origin('unit') or deployment.id}: {error}") from error


def _environment(variables: Mapping[str, str], read: Unit) -> str:
    """A drop-in with these variables, but for those that the unit sets itself."""
    lines = [f"Environment={_quoted(f'{n}={v}')}" for n, v in variables.items() if n not in read.environment]
    return "\n".join(("[Service]", *lines, ""))


def _quoted(text: str) -> str:
    """One word of a unit file (systemd.syntax(7), "Quoting"; % begins a specifier, systemd.unit(5))."""
    escaped = text.replace("\\", "\\\\").replace('"', '\\"').replace("%", "%%").replace("\n", "\\n")
    return f'"{escaped}"'
