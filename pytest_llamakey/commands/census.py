"""``census TARGET``: looks at something that runs already, and says which of its processes started with which key."""

from __future__ import annotations

import json
import re
import secrets
import sys
from contextlib import closing
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from pytest_llamakey.census.grounds import Here
from pytest_llamakey.census.judge import names_in, suspicions
from pytest_llamakey.census.model import Changed, Place
from pytest_llamakey.census.show import show
from pytest_llamakey.census.units import unit_places
from pytest_llamakey.census.visits import Wish, visited
from pytest_llamakey.runtimes.base import RuntimeFault

if TYPE_CHECKING:
    import argparse
    from collections.abc import Sequence

SUMMARY = "look at something that runs already: which of its processes started with which key"
KUBERNETES = ("pod", "deployment", "statefulset", "daemonset", "job")
_TARGET = re.compile(rf"(?P<kind>pid|unit|container|compose|{'|'.join(KUBERNETES)})[:/](?P<name>.+)")


def add(parser: argparse.ArgumentParser) -> None:
    """Declare the command's words."""
    parser.add_argument(
        "target",
        metavar="TARGET",
        help="pid:N, unit:NAME.service, container:NAME, compose:PROJECT[/SERVICE] (or its folder or file), "
        f"pod/NAME[/CONTAINER], {', '.join(f'{kind}/NAME' for kind in KUBERNETES[1:])}; a bare word is a pid, a unit, "
        "a container or a Compose project",
    )
    parser.add_argument(
        "--variable", metavar="NAME", action="append", default=[], help="a variable that every process is to hold"
    )
    parser.add_argument(
        "--secret", metavar="FILE", action="append", default=[], help="a file here that the key comes from"
    )
    parser.add_argument("--unit", metavar="NAME", default="", help="only this systemd unit's processes, in a container")
    parser.add_argument("--namespace", metavar="NAME", default="", help="the pods' namespace (default: the context's)")
    parser.add_argument("--json", action="store_true", help="print it as JSON")


def run(words: argparse.Namespace) -> int:
    """Print what was seen; 1 where something is suspicious, 2 where nothing could be looked at."""
    from rich.console import Console

    try:
        # By the names that places have for their own files, so that none is told of twice.
        files = [Path(name).resolve() for name in words.secret]
        changed = tuple(Changed(str(file), file.stat().st_mtime) for file in files)
        wish = Wish(secrets.token_hex(16), tuple(words.variable), words.unit, changed)
        places = _places(words.target, wish, words.namespace)
    except (RuntimeFault, OSError) as fault:
        print(f"census: {fault}", file=sys.stderr)
        return 2
    found = suspicions(places, wish.variables)
    if words.json:
        print(
            json.dumps({"schema": 1, "places": [asdict(p) for p in places], "suspicions": [asdict(f) for f in found]})
        )
    else:
        show(Console(highlight=False), places, found, names_in(places, wish.variables))
    return 1 if found else 0


def _places(target: str, wish: Wish, namespace: str) -> Sequence[Place]:
    match = _TARGET.fullmatch(target)
    kind, name = (match["kind"], match["name"]) if match else (_kind(target), target)
    if kind == "pid":
        return [_tree(name, wish)]
    if kind == "unit":
        return unit_places(Wish(wish.salt, wish.variables, name, wish.secrets))
    if kind in KUBERNETES:
        from pytest_llamakey.census.pods import pod_places
        from pytest_llamakey.runtimes.kubernetes_api import Cluster

        with closing(Cluster()) as cluster:
            return pod_places(cluster, kind, name, namespace, wish)
    from pytest_llamakey.census.containers import compose_places, container_places, is_container
    from pytest_llamakey.runtimes.docker_engine import connect

    with closing(connect()) as client:
        if kind == "container" or (not kind and is_container(client, name)):
            return container_places(client, name, wish)
        return compose_places(client, name, wish)


def _kind(target: str) -> str:
    if _is_pid(target):
        return "pid"
    return "unit" if target.endswith(".service") else ""


def _is_pid(name: str) -> bool:
    return name.isascii() and name.isdecimal()


def _tree(name: str, wish: Wish) -> Place:
    if not _is_pid(name):
        raise RuntimeFault(f"{name!r} is no process id.")
    place = visited(Here(), wish, top=int(name))
    if not any(each.pid == int(name) for each in place.processes):
        raise RuntimeFault(f"No process {name} runs here.")
    return place
