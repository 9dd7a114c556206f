"""Run by the reaper when pytest was killed: removes from the cluster what its run has made.

``python -m pytest_llamakey.runtimes.kubernetes_sweep RUN_ID CONTEXT [NAMESPACE]``; the last is one that was lent.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

from pytest_llamakey.runtimes.base import RuntimeFault
from pytest_llamakey.runtimes.kubernetes_api import Cluster
from pytest_llamakey.runtimes.kubernetes_lent import LentNamespace
from pytest_llamakey.runtimes.kubernetes_namespace import Namespaces


def program(run_id: str, context: str, lent: str) -> tuple[str, ...]:
    """The command that removes what the run ``run_id`` has made: its namespaces, or all that is its own in ``lent``.

    ``context`` is that of the kubeconfig which the run has used: another may be the current one by then.
    """
    return (sys.executable, "-m", __name__, run_id, context, *([lent] if lent else []))


def environment() -> dict[str, str]:
    """All of ours, for a kubeconfig's plugins read what they like, with paths that hold in any folder."""
    found = dict(os.environ)
    if paths := found.get("KUBECONFIG"):
        found["KUBECONFIG"] = os.pathsep.join(str(Path(path).absolute()) for path in paths.split(os.pathsep) if path)
    return found


def main(run_id: str, context: str, lent: str = "") -> None:
    """Remove it, and wait until it is gone; where that is not possible, the next run has to see to it."""
    try:
        cluster = Cluster(context)
    except RuntimeFault:
        return
    if lent:
        LentNamespace(cluster, run_id, lent).clear()
    else:
        Namespaces(cluster, run_id).clear()
    cluster.close()


if __name__ == "__main__":
    main(*sys.argv[1:])
