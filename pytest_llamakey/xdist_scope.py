"""Keeps a deployment's items on one pytest-xdist worker, so it is booted once; the only module that knows xdist."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pytest

SPREADING = ("load", "worksteal")
"""Ways of distributing that would tear a deployment's items apart (the others keep a file or a group together)."""


def scheduler(config: pytest.Config, log: Any) -> Any:
    """A scheduler that spreads as ``load`` does, with each deployment as one piece.

    ``None`` where the user chose a way of distributing that keeps a deployment together anyway.
    """
    if config.getoption("dist", "no") not in SPREADING:
        return None
    from xdist.scheduler.loadscope import LoadScopeScheduling

    class DeploymentScheduling(LoadScopeScheduling):  # type: ignore[misc]
        """One scope per deployment; every other test is a scope of its own."""

        def _split_scope(self, nodeid: str) -> str:
            return scope(nodeid)

    return DeploymentScheduling(config, log)


def scope(nodeid: str) -> str:
    """What must stay together with ``nodeid``: its deployment for an item of ours, else the test itself.

    Items of ours are told by their file: no Python file, so ``file::deployment::check``.
    """
    file, _, rest = nodeid.partition("::")
    deployment, _, check = rest.rpartition("::")
    return f"{file}::{deployment}" if check and deployment and not file.endswith(".py") else nodeid
