"""Run by the reaper when pytest was killed: removes from the cluster what its run has made.

``python -m pytest_llamakey.runtimes.kubernetes_sweep RUN_ID [NAMESPACE]``; the second is a namespace that was lent.
"""

from __future__ import annotations

import sys

from pytest_llamakey.runtimes.base import RuntimeFault
from pytest_llamakey.runtimes.kubernetes_api import Cluster
from pytest_llamakey.runtimes.kubernetes_lent import LentNamespace
from pytest_llamakey.runtimes.kubernetes_namespace import Namespaces


def program(run_id: str, lent: str) -> tuple[str, ...]:
    """The command that removes what the run ``run_id`` has made: its namespaces, or all that is its own in ``lent``."""
    return (sys.executable, "-m", __name__, run_id, *([lent] if lent else []))


def main(run_id: str, lent: str = "") -> None:
    """Remove it, and wait until it is gone; where that is not possible, the next run has to see to it."""
    try:
        cluster = Cluster()
    except RuntimeFault:
        return
    if lent:
        LentNamespace(cluster, run_id, lent).clear()
    else:
        Namespaces(cluster, run_id).clear()
    cluster.close()


if __name__ == "__main__":
    main(*sys.argv[1:])
