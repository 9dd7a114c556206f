"""The process runtime: the app as plain processes in a copy of its folder. Linux and macOS; needs no engine.

The copy stands for the deployment's ``workdir``. An absolute path in ``workdir`` (``/app/.env``), in the command, in
the environment or as a delivered file's name, means that place in the copy; a file delivered elsewhere
(``/run/secrets/openai``) lies in the run's own folder, and its path is replaced where the command or the environment
names it. The interpreter and the console scripts are those that pytest runs with, seen through an
:mod:`overlay <pytest_llamakey.runtimes.overlay>`.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

from pytest_llamakey.runtimes.base import Reach, RuntimeFault
from pytest_llamakey.runtimes.overlay import make_overlay
from pytest_llamakey.runtimes.process_command import Launcher, environment_of
from pytest_llamakey.runtimes.process_copy import lay, make_world
from pytest_llamakey.runtimes.process_port import PortLock, check_free
from pytest_llamakey.runtimes.process_replica import LOOPBACK, ProcessReplica
from pytest_llamakey.runtimes.process_services import ProcessServices
from pytest_llamakey.runtimes.process_tree import ProcessTree

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pytest_llamakey.reaper import Reaper
    from pytest_llamakey.runtimes.base import Plan
    from pytest_llamakey.runtimes.process_copy import World
    from pytest_llamakey.secrecy.keys import Secrets
    from pytest_llamakey.spec.model import Deployment


class ProcessRuntime:
    """Runs a deployment's ``command`` as plain processes, in a session of their own."""

    name = "process"

    def __init__(self, reaper: Reaper) -> None:
        self._reaper = reaper

    def reach(self) -> Reach:
        """The loopback address, both ways."""
        return Reach(LOOPBACK, LOOPBACK)

    def engine_version(self) -> str:
        """See :class:`~pytest_llamakey.runtimes.base.Runtime`: there is no engine."""
        return ""

    def close(self) -> None:
        """See :class:`~pytest_llamakey.runtimes.base.Runtime`: what was stopped is gone."""

    def start(self, plan: Plan) -> RunningProcesses:
        """Copy the app's folder, lay the overlay and start the command; see :meth:`Runtime.start`.

        Raises:
            RuntimeFault: what the deployment asks for needs containers, its command is not found or cannot be executed,
                its folder cannot be copied, or its port is in use. Nothing is left behind.
        """
        command = _runnable(plan.deployment)
        started = time.monotonic()
        # resolve(): macOS's temporary folder is behind a link, and apps report real paths.
        folder = Path(tempfile.gettempdir()).resolve() / f"llamakey-{secrets.token_hex(8)}"
        before = plan.after if isinstance(plan.after, RunningProcesses) else None
        running = RunningProcesses(plan, before.folder if before else folder, self._reaper)
        try:
            world = before.hand_over() if before else None
            if world is None:
                self._reaper.folder(folder)  # before it is made: nothing of it can be forgotten
                folder.mkdir(mode=0o700)
            running.begin(command, started, world)
        except BaseException:
            running.stop()
            raise
        return running


def _runnable(deployment: Deployment) -> tuple[str, ...]:
    """The deployment's command, if it is one that plain processes can serve."""
    if not deployment.command:
        raise RuntimeFault(
            f"{deployment.origin('command') or deployment.id}: the process runtime needs the command that starts the "
            'app; write it, e.g. command = ["gunicorn", "app:app", "--bind", "127.0.0.1:{port}"].'
        )
    if (deployment.replicas or 1) > 1:
        raise RuntimeFault(
            f"{deployment.origin('replicas') or deployment.id}: replicas = {deployment.replicas} need containers; "
            'use runtime = "docker", or replicas = 1 for the process runtime.'
        )
    return deployment.command


class RunningProcesses:
    """A deployment that runs as plain processes; all that was made for it lies in ``folder``."""

    image = ""

    def __init__(self, plan: Plan, folder: Path, reaper: Reaper) -> None:
        self.folder = folder
        self.timings: Mapping[str, float] = {}
        self._plan = plan
        self._reaper = reaper
        self._world: World | None = None
        self._lock: PortLock | None = None
        self._replica: ProcessReplica | None = None
        self._services = ProcessServices(plan.deployment, reaper, plan.progress)
        self._ended = False

    @property
    def replicas(self) -> tuple[ProcessReplica, ...]:
        """The one replica."""
        return (self._replica,) if self._replica else ()

    def begin(self, command: tuple[str, ...], started: float, world: World | None = None) -> None:
        """Make the folder's content and start ``command``; ``started`` is when the run began (``time.monotonic()``).

        ``world`` is that of the deployment before, which this one takes the place of.
        """
        plan, deployment = self._plan, self._plan.deployment
        if deployment.port is not None:
            self._lock = PortLock(deployment.port, self._reaper)
            self._lock.acquire(plan.progress)
            check_free(deployment.port, str(deployment.origin("port") or deployment.id))
            started = time.monotonic()  # waiting for one's turn is not the app's time
        self._services.start()
        if world is None:
            world = make_world(self.folder / "root", deployment.folder, deployment.workdir, plan.files, plan.progress)
        else:
            world = self._made_anew(world)
        self._world = world
        replica_id = f"process-{secrets.token_hex(4)}"
        overlay = make_overlay(self.folder / "overlay", _probe(plan, replica_id, str(world.app)))
        environment = environment_of(world, overlay, plan.environment)
        launcher = Launcher(world, overlay, environment, deployment, self.folder / "log")
        self._replica = ProcessReplica(
            replica_id, launcher, deployment.port, ProcessTree(str(self.folder), self._adopt)
        )
        self._replica.begin(command)
        self.timings = {"build": 0.0, "start": time.monotonic() - started}

    def how_to_end(self) -> str:
        """The shell command that ends what :meth:`keep` has left running."""
        groups = (*(group for replica in self.replicas for group in replica.groups), *self._services.groups)
        folders = " ".join(map(str, (self.folder, *self._services.folders)))
        return f"kill -s KILL -- {' '.join(f'-{group}' for group in groups)}; rm -rf {folders}"

    def keep(self) -> str:
        """See :class:`~pytest_llamakey.runtimes.base.Running`."""
        self._ended = True
        for replica in self.replicas:
            replica.release()
            for group in replica.groups:
                self._reaper.settled("processes", str(group))
        self._reaper.settled("folder", str(self.folder))
        self._services.keep()
        self._give_turn_on()
        return f"{self._plan.deployment.id} is kept: it lives in {self.folder}; remove with {self.how_to_end()}"

    def contents(self, _secrets: Secrets) -> None:
        """See :class:`~pytest_llamakey.runtimes.base.Running`: there is no image."""

    def halt(self) -> None:
        """See :class:`~pytest_llamakey.runtimes.base.Running`."""
        for replica in self.replicas:
            if not replica.halt():
                raise RuntimeFault(f"{self._plan.deployment.id}: the processes in {self.folder} could not be ended.")
        self._give_turn_on()

    def hand_over(self) -> World | None:
        """The copy of the app's folder, with all that the app has left in it: the folder is the taker's from here on.

        Nothing is given by a deployment that had not come to have one.
        """
        if self._world is not None:
            self._services.stop()
            self._settle(self._replica.end() if self._replica else True)
            self._ended = True
        return self._world

    def stop(self) -> None:
        """See :class:`~pytest_llamakey.runtimes.base.Running`."""
        if self._ended:
            return
        gone = self._replica.end() if self._replica else True
        self._services.stop()
        removed = _remove(self.folder)
        # What could not be ended now stays with the reaper.
        self._settle(gone)
        if gone and removed:
            self._reaper.settled("folder", str(self.folder))
        self._give_turn_on()
        self._ended = True

    def _made_anew(self, world: World) -> World:
        """The world with this deployment's files in it; what the one before had beside it is gone."""
        try:
            shutil.rmtree(self.folder / "overlay")
            (self.folder / "log").unlink(missing_ok=True)
            return lay(world, self._plan.files)
        except OSError as error:
            raise RuntimeFault(
                f"The folder {self.folder} could not be made ready for the redeploy: {error}."
            ) from error

    def _settle(self, gone: bool) -> None:
        for replica in self.replicas if gone else ():
            for group in replica.groups:
                self._reaper.settled("processes", str(group))

    def _adopt(self, group: int) -> None:
        self._reaper.processes(group)

    def _give_turn_on(self) -> None:
        if self._lock is not None:
            self._lock.release()


def _probe(plan: Plan, replica_id: str, workdir: str) -> dict[str, bytes]:
    """The probe's files for the overlay's site-packages."""
    if plan.agent is None:
        return {}
    from pytest_llamakey.probe.render import agent_files

    return agent_files(plan.agent(replica_id, workdir))


def _remove(folder: Path) -> bool:
    shutil.rmtree(folder, ignore_errors=True)
    if folder.exists():  # the app may have made folders that nobody can enter
        for inside, _folders, _files in os.walk(folder):
            with contextlib.suppress(OSError):
                Path(inside).chmod(0o700)
        shutil.rmtree(folder, ignore_errors=True)
    return not folder.exists()
