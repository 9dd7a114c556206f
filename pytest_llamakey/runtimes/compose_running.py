"""A compose project that runs, and how it goes again."""

from __future__ import annotations

import shutil
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from pytest_llamakey.facts import ImageFacts
    from pytest_llamakey.reaper import Reaper
    from pytest_llamakey.runtimes.compose_stack import Stack
    from pytest_llamakey.runtimes.docker_belongings import Belongings
    from pytest_llamakey.runtimes.docker_contents import Contents
    from pytest_llamakey.runtimes.docker_relay import DockerRelay
    from pytest_llamakey.runtimes.docker_replica import DockerReplica
    from pytest_llamakey.secrecy.keys import Secrets

_AT_ONCE = 8


class ComposeRunning:
    """A :class:`~pytest_llamakey.runtimes.base.Running` of a compose project; the replicas are those of one service."""

    def __init__(self, stack: Stack, image: str, belongings: Belongings, contents: Contents, reaper: Reaper) -> None:
        self.stack = stack
        self.image = image
        self.timings: Mapping[str, float] = {}
        self.relay: DockerRelay | None = None
        self._belongings, self._contents, self._reaper = belongings, contents, reaper
        self._replicas: list[DockerReplica] = []
        self._stopped = False

    @property
    def replicas(self) -> tuple[DockerReplica, ...]:
        """The replicas of the service under test, in a stable order."""
        return tuple(self._replicas)

    def contents(self, secrets: Secrets) -> ImageFacts:
        """See :class:`~pytest_llamakey.runtimes.base.Running`."""
        return self._contents.facts(secrets)

    def halt(self) -> None:
        """See :class:`~pytest_llamakey.runtimes.base.Running`; volumes and the other services go on."""
        with ThreadPoolExecutor(_AT_ONCE, "llamakey-halt") as pool:
            jobs = [pool.submit(replica.halt) for replica in self._replicas]
        for job in jobs:
            job.result()

    def stop(self) -> None:
        """See :class:`~pytest_llamakey.runtimes.base.Running`."""
        if not self._stopped:
            self._stopped = True
            if self.relay is not None:
                self.relay.close()
            self._belongings.remove(self._replicas)
            discard(self.stack.overrides.parent, self._reaper)

    def keep(self) -> str:
        """See :class:`~pytest_llamakey.runtimes.base.Running`."""
        self._stopped = True
        removal = self._belongings.leave(self._replicas)
        self._reaper.settled("folder", str(self.stack.overrides.parent))
        enter = "; ".join(f"docker exec -it {replica.id} sh" for replica in self._replicas)
        folder = f"rm -r {self.stack.overrides.parent}"
        return f"{self.stack.deployment.id} is kept: enter with {enter}; remove with {removal} && {folder}"

    def started(self, replicas: list[DockerReplica]) -> None:
        """Take up the replicas that run."""
        self._replicas = replicas


def discard(root: Path, reaper: Reaper) -> None:
    """Remove a project's folder; what cannot be removed now stays the reaper's."""
    shutil.rmtree(root, ignore_errors=True)
    if not root.exists():
        reaper.settled("folder", str(root))
