"""What pytest listens on while a deployment runs: no address that others in the network have."""

from __future__ import annotations

import re
from functools import partial
from typing import TYPE_CHECKING

import docker

from tools.torture.cases import Case, Tally, hold
from tools.torture.egress_apps import placed

if TYPE_CHECKING:
    from tools.torture.bench import Bench

OWN = """
import psutil

def test_bound(llamakey_deploy):
    app = llamakey_deploy("llamakey.toml")
    app.request_each_worker()
    here = psutil.Process()
    listening = {
        one.laddr.ip
        for process in (here, *here.children(recursive=True))
        if "server.py" not in " ".join(process.cmdline())
        for one in getattr(process, "net_connections", process.connections)("inet")
        if one.status == psutil.CONN_LISTEN
    }
    print("BOUND", *sorted(listening))
"""


def _bound(place: Bench, *, kind: str) -> Tally:
    """The mock and the probe's listener are bound to this machine itself, and where containers need it to their gateway."""
    runtime = placed(place, kind, "")
    place.write({"test_bound.py": OWN})
    ran = place.run(runtime, "-s", "-k", "test_bound")
    found = re.search(r"BOUND(.*)", ran.output)
    hold(found, f"nothing is told\n{ran.output[-2000:]}")
    bound = set(found[1].split()) if found else set()
    may = {"127.0.0.1"} if kind == "process" else {"127.0.0.1", _gateway()}
    hold(bound and bound <= may, f"bound to {bound}, and may be to {may}")
    place.nothing_left()
    return Tally(note=f"bound to {', '.join(sorted(bound))}")


def _gateway() -> str:
    engine = docker.from_env()
    try:
        return str(engine.networks.get("bridge").attrs["IPAM"]["Config"][0]["Gateway"])
    finally:
        engine.close()


CASES = (
    Case("processes: listens on this machine alone", partial(_bound, kind="process"), short=True),
    Case("containers: listens on the gateway besides", partial(_bound, kind="docker"), engine=True, short=True),
)
