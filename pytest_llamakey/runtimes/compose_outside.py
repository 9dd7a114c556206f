"""What a compose project mounts from outside of its folder: copies of it, so nothing of the user's is written to."""

from __future__ import annotations

import contextlib
import os
import socket
import stat
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pytest_llamakey.runtimes.base import RuntimeFault
from pytest_llamakey.runtimes.process_copy import SIZE_LIMIT, copy_beside

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from pytest_llamakey.runtimes.base import Address, Plan
    from pytest_llamakey.runtimes.compose_folder import ProjectFolder
    from pytest_llamakey.runtimes.compose_project import Project
    from pytest_llamakey.runtimes.docker_way import Way

FOLDER = "outside"
FILE_LIMIT = 50_000
"""Files that are copied at most."""
_KNOCK_SECONDS = 1.0
_KERNEL = tuple(map(Path, ("/proc", "/sys", "/dev")))


@dataclass(frozen=True)
class Outside:
    """What takes the place of what lies outside.

    ``binds``: by service, the mounts as they are to be. ``devices``: by volume, those options of its driver that are to
    be others: the folder that it is bound to and, where that is the user's own, that nobody writes to it. ``files``: by
    kind (``secrets``, ``configs``) and name, the file that is handed on.
    """

    binds: Mapping[str, tuple[Mapping[str, Any], ...]] = field(default_factory=dict)
    devices: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    files: Mapping[str, Mapping[str, str]] = field(default_factory=dict)


def stand_ins(project: Project, folder: ProjectFolder, plan: Plan) -> Outside:
    """Copies, in the folder of the project's copy, of what ``project`` mounts from elsewhere.

    What is too large to be copied is mounted read-only. Sockets, devices and the kernel's own folders stay as they are.

    Raises:
        RuntimeFault: it cannot be copied.
    """
    copies = _Copies(folder, plan)
    binds = {name: tuple(copies.binds(service.get("volumes") or ())) for name, service in project.services.items()}
    devices = {
        name: copies.device(_options(one))
        for name, one in (project.config.get("volumes") or {}).items()
        if binds_device(one)
    }
    files = {
        kind: {
            name: copies.place(one["file"])[0]
            for name, one in (project.config.get(kind) or {}).items()
            if (one or {}).get("file") and copies.outside(one["file"])
        }
        for kind in ("secrets", "configs")
    }
    return Outside({name: found for name, found in binds.items() if found}, devices, files)


def binds_device(volume: Mapping[str, Any] | None) -> bool:
    """Whether a volume is a folder of this machine (``driver_opts: {type: none, o: bind, device: /data}``)."""
    options = _options(volume)
    return "bind" in str(options.get("o", "")).split(",") and bool(options.get("device"))


def _options(volume: Mapping[str, Any] | None) -> Mapping[str, Any]:
    return (volume or {}).get("driver_opts") or {}


def refuse_taken(plan: Plan, address: Address) -> None:
    """Say so where somebody listens on a port of the engine's machine that the app is going to listen on itself.

    Raises:
        RuntimeFault: requests would go to somebody else, maybe the user's own stack.
    """
    with contextlib.suppress(OSError), socket.create_connection((address.host, address.port), _KNOCK_SECONDS):
        deployment = plan.deployment
        raise RuntimeFault(
            f"{deployment.shown(deployment.compose[0])}: the service {deployment.service} has network_mode: host, and "
            f"port {address.port} of its machine is taken already. End what listens there, or leave network_mode out."
        )


def refuse_unseen(plan: Plan, project: Project, way: Way) -> None:
    """Say so where files of ours are to be mounted, and the engine does not see this machine's files.

    Raises:
        RuntimeFault: the engine would make empty folders on its own machine instead.
    """
    if way.sees_our_files:
        return
    for name, service in project.services.items():
        binds = [mount["source"] for mount in service.get("volumes") or () if mount.get("type") == "bind"]
        granted = [
            file
            for kind in ("secrets", "configs")
            for use in service.get(kind) or ()
            if (file := ((project.config.get(kind) or {}).get(use.get("source")) or {}).get("file"))
        ]
        volumes = [
            _options(volume)["device"]
            for mount in service.get("volumes") or ()
            if binds_device(volume := (project.config.get("volumes") or {}).get(mount.get("source")))
        ]
        ours = [path for path in (*binds, *granted, *volumes) if not any(map(Path(path).is_relative_to, _KERNEL))]
        if ours:
            deployment = plan.deployment
            raise RuntimeFault(
                f"{deployment.shown(deployment.compose[0])}: the service {name} mounts {Path(ours[0]).name}, and the "
                "container engine does not see this machine's files. COPY it in the Dockerfile or use a named volume, "
                "or run pytest on the engine's machine."
            )


class _Copies:
    """The copies of one project; what has been copied for the deployment before goes on being used."""

    def __init__(self, folder: ProjectFolder, plan: Plan) -> None:
        self._folder, self._plan = folder, plan
        self._root = Path(os.path.realpath(folder.world.root))
        self._laid = {file.path: file.content for file in plan.files}
        self._known: dict[str, tuple[str, bool]] = {}

    def outside(self, path: str) -> bool:
        """Whether it leads out of the copy of the project's folder."""
        return not self._real(path).is_relative_to(self._root)

    def binds(self, mounts: Iterable[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
        """Those of ``mounts`` that are to be others, as they are to be."""
        changed: list[Mapping[str, Any]] = []
        for mount in mounts:
            if mount.get("type") == "bind" and self.outside(mount["source"]):
                source, frozen = self.place(mount["source"])
                changed.append({**mount, "source": source, "read_only": frozen or bool(mount.get("read_only"))})
        return changed

    def device(self, options: Mapping[str, Any]) -> Mapping[str, str]:
        """The ``options`` of a volume that is bound to a folder, as far as they are to be others."""
        source, frozen = self.place(options["device"])
        return {"device": source, "o": f"{options['o']},ro"} if frozen else {"device": source}

    def place(self, path: str) -> tuple[str, bool]:
        """What takes the place of ``path``, and whether it is the user's own and must not be written to."""
        if path not in self._known:
            try:
                self._known[path] = self._made(path) if self.outside(path) else (path, False)
            except OSError as error:
                files = self._plan.deployment.shown(self._plan.deployment.compose[0])
                raise RuntimeFault(f"{files}: {path} is mounted, and cannot be copied: {error}.") from error
        return self._known[path]

    def _made(self, path: str) -> tuple[str, bool]:
        real = self._real(path)
        if real.is_relative_to(self._root):
            return path, False
        kept = any(real.is_relative_to(each) for each in _KERNEL)
        if kept or (real.exists() and not real.is_file() and not real.is_dir()):
            return path, False
        copy = self._root / FOLDER / str(real).lstrip("/")
        if path in self._laid:
            copy.parent.mkdir(parents=True, exist_ok=True)
            copy.write_bytes(self._laid[path])
        elif real.exists() and _too_large(real):
            self._plan.progress(f"{path} is too large to be copied: it is mounted read-only")
            return path, True
        elif not copy.exists():
            copy.parent.mkdir(parents=True, exist_ok=True)
            if real.exists():
                copy_beside(real, copy, self._plan.progress)
            else:  # the engine would make it
                copy.mkdir()
        return str(copy), False

    def _real(self, path: str) -> Path:
        return Path(os.path.realpath(self._folder.copy / path))


def _too_large(path: Path) -> bool:
    """Whether there is more below ``path`` than is copied."""
    left, files, queue = SIZE_LIMIT, FILE_LIMIT, [path]
    while queue:
        one = queue.pop()
        try:
            told = one.lstat()
            if stat.S_ISDIR(told.st_mode):
                queue.extend(one.iterdir())
        except OSError:  # it is not copied either
            continue
        left, files = left - (told.st_size if stat.S_ISREG(told.st_mode) else 0), files - 1
        if left < 0 or files < 0:
            return True
    return False
