"""Keeps a deployment's items on one pytest-xdist worker, so it is booted once; the only module that knows xdist."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pytest_llamakey.spec.model import ALL_CHECKS

if TYPE_CHECKING:
    import pytest

SPREADING = ("load", "worksteal", "loadgroup")
"""Ways of distributing that would tear a deployment's items apart (the others keep a file or a class together)."""


def scheduler(config: pytest.Config, log: Any) -> Any:
    """A scheduler that spreads as ``load`` does, with each deployment (and each group of the user's) as one piece.

    It does without ``xdist_group`` marks, which change node ids (and are lost with xdist 3.8 on pytest 9.2).
    ``None`` where the user chose a way of distributing that keeps a deployment together anyway.
    """
    if config.getoption("dist", "no") not in SPREADING:
        return None
    from xdist.scheduler.loadgroup import LoadGroupScheduling  # type: ignore[import-untyped]

    class DeploymentScheduling(LoadGroupScheduling):  # type: ignore[misc]
        """One scope per deployment; every other test that is in no group is a scope of its own."""

        def _split_scope(self, nodeid: str) -> str:
            return scope(nodeid) or str(super()._split_scope(nodeid))

    return DeploymentScheduling(config, log)


def scope(nodeid: str) -> str:
    """The deployment that an item of ours belongs to; empty for any other test.

    Items of ours are ``file::deployment::check``, and their file is no Python file.
    """
    file, _, rest = nodeid.partition("::")
    deployment, _, check = rest.rpartition("::")
    ours = deployment and check in ALL_CHECKS and not file.endswith(".py")
    return f"{file}::{deployment}" if ours else ""
