"""Whether images are here, on a cluster's nodes, or can be pulled, and how to mend what is not."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

from docker.auth import INDEX_NAME, resolve_repository_name
from docker.errors import DockerException
from docker.utils import parse_repository_tag
from requests.exceptions import RequestException

from pytest_llamakey.doctor.needed import ALWAYS, NEVER
from pytest_llamakey.runtimes.base import RuntimeFault

if TYPE_CHECKING:
    import docker

    from pytest_llamakey.doctor.needed import Needed
    from pytest_llamakey.runtimes.kubernetes_api import Cluster

_MOST_LISTED = 50
"""So many images a node tells of itself at most, unless its kubelet is told otherwise (``nodeStatusMaxImages``)."""


@dataclass(frozen=True)
class Row:
    """One thing that was looked at; ``told`` says what is there, or what is not and how to mend it.

    ``well`` is ``None`` where that cannot be found out from here.
    """

    name: str
    well: bool | None
    told: str


@dataclass(frozen=True)
class OnNodes:
    """The images that a cluster's nodes tell of, in full words; ``complete``: that there are no others."""

    names: frozenset[str]
    complete: bool


def on_nodes(cluster: Cluster) -> OnNodes:
    """What the nodes have; incomplete where they may not be asked."""
    names: set[str] = set()
    complete = False
    with contextlib.suppress(RuntimeFault):  # nodes are beyond the rights that a run takes
        nodes = cluster.call("GET", "api/v1/nodes")["items"]
        images = [(node.get("status") or {}).get("images") or () for node in nodes]
        names = {full_name(name) for of_node in images for one in of_node for name in one.get("names") or ()}
        complete = all(len(of_node) < _MOST_LISTED for of_node in images)
    return OnNodes(frozenset(names), complete)


def full_name(name: str) -> str:
    """An image with its registry and its tag, as everyone means it who leaves them out."""
    repository, tag = parse_repository_tag(name)
    try:
        registry, path = resolve_repository_name(repository)
    except DockerException:  # <none>:<none>, which nobody asks for
        return name
    if registry == INDEX_NAME and "/" not in path:
        path = f"library/{path}"
    return f"{registry}/{path}{'@' if tag and ':' in tag else ':'}{tag or 'latest'}"


def row_of(needed: Needed, client: docker.DockerClient | None, nodes: OnNodes | None) -> Row | None:
    """What is to be said of one image; ``None`` where that which would run it is not there itself."""
    who = f" ({needed.by})" if needed.by else ""
    if needed.trouble:
        return Row(needed.name, False if needed.blocks else None, needed.trouble)
    if needed.policy:
        return None if nodes is None else _of_cluster(needed, who, client, nodes)
    if client is None:
        return None
    try:
        if client.images.list(needed.name):
            return Row(needed.name, True, f"is here{who}")
    except (DockerException, RequestException) as error:
        return Row(needed.name, False, f"cannot be looked for ({_said(error)}){who}")
    refusal = _refusal(client, needed.name)
    if not refusal:
        return Row(needed.name, True, f"can be pulled{who}")
    other = (
        f"name another: --llamakey-build-arg {needed.argument}=<image>" if needed.argument else "pull or load it first"
    )
    return Row(needed.name, False, f"is not here and cannot be pulled ({refusal}){who}; {other}")


def _of_cluster(needed: Needed, who: str, client: docker.DockerClient | None, nodes: OnNodes) -> Row:
    """Nodes pull with rights and mirrors of their own, so what this machine may not pull is no fault yet."""
    there, policy = full_name(needed.name) in nodes.names, needed.policy
    if there and policy != ALWAYS:
        return Row(needed.name, True, f"is on a node of the cluster{who}")
    if policy == NEVER:
        told = "its imagePullPolicy is Never, so it must be on the nodes: load it into them, or leave that out"
        if nodes.complete:
            return Row(needed.name, False, f"is on no node, and {told}{who}")
        return Row(needed.name, None, f"the nodes do not tell whether they have it; {told}{who}")
    refusal = "no container engine answers here" if client is None else _refusal(client, needed.name)
    if not refusal:
        return Row(needed.name, True, f"can be pulled (imagePullPolicy: {policy}){who}")
    told = f"cannot be asked for from here ({refusal}), and the nodes are to pull it (imagePullPolicy: {policy})"
    mend = "if they cannot either, load it into them and write imagePullPolicy: IfNotPresent"
    return Row(needed.name, None, f"{'is on a node, but ' if there else ''}{told}; {mend}{who}")


def _refusal(client: docker.DockerClient, name: str) -> str:
    """Why the engine's registry does not give an image; empty where it does."""
    try:
        client.images.get_registry_data(name)
    except (DockerException, RequestException) as error:
        return _said(error)
    return ""


def _said(error: Exception) -> str:
    return next(iter(str(getattr(error, "explanation", "") or error).strip().splitlines()), type(error).__name__)
