"""With ``egress = "deny"`` an app gets nowhere: not even to who was reached without it, by the same app, a moment ago."""

from __future__ import annotations

import re
from functools import partial
from typing import TYPE_CHECKING

from tools.torture.cases import Case, Tally, hold
from tools.torture.egress_apps import placed
from tools.torture.routed import routed_stranger

if TYPE_CHECKING:
    from tools.torture.bench import Bench

TRY = """
import socket
def connected(address):
    try:
        with socket.create_connection((address, 8000), 3) as there:
            there.sendall(b"OUT")
            return there.recv(100).decode()
    except OSError as error:
        return type(error).__name__
def resolved(name):
    try:
        return socket.gethostbyname(name)
    except OSError as error:
        return type(error).__name__
print("REACHED", connected("{address}"), flush=True)
if {denied}:
    print("ENGINE", resolved("example.com"), flush=True)
with open("/etc/resolv.conf", "w") as file:
    file.write("nameserver {address}\\noptions timeout:1 attempts:1\\n")
print("RESOLVED", resolved("stranger.example"), flush=True)
"""
WORDS = ("REACHED", "ENGINE", "RESOLVED")
"""What the app prints, and behind it what came of it."""


def _denied(place: Bench, *, kind: str) -> Tally:
    """A stranger is reached and asked for a name with ``egress = "allow"``; with ``"deny"`` it hears nothing."""
    beside = {"beside": {"build": ".", "command": ["python", "-m", "http.server", "8000"]}}
    fields = {"services": beside} if kind == "docker" else {}
    test = "test_parity" if kind == "docker" else "test_log"
    with routed_stranger() as (address, told):
        for egress in ("allow", "deny"):
            before = told()
            code = TRY.format(address=address, denied=egress == "deny")
            ran = place.run(placed(place, kind, code, egress=egress, **fields), "-s", "-k", test)
            hold(ran.code == 0 and "1 passed" in ran.output, f"{egress}: it did not pass\n{ran.output[-2500:]}")
            heard = told().removeprefix(before)
            came = {word: found[0] for word in WORDS if (found := re.findall(rf"{word} (\w[\w.]*)", ran.output))}
            if egress == "allow":
                hold(
                    came == {"REACHED": "HERE", "RESOLVED": address},
                    f"out of reach without deny: {came}\n{ran.output[-2000:]}",
                )
                hold("HEARD b'OUT'" in heard and "ASKED" in heard, f"the stranger has heard {heard!r}")
            else:
                hold(set(came) == set(WORDS) and not set(came.values()) & {"HERE", address}, f"got out: {came}")
                hold(came["ENGINE"] == "gaierror", f"a name was resolved: {came}")
                hold(not heard, f"the stranger has heard {heard!r}")
    place.nothing_left()
    return Tally(5, 5, "reached without it: by address and by name")


def _refused(place: Bench, *, kind: str) -> Tally:
    """Where it cannot be enforced, that is an error, and the app never starts."""
    ran = place.run(placed(place, kind, "", egress="deny"), "-k", "not test_own")
    hold(ran.verdicts == ["error"] and 'egress = "deny" needs' in ran.output, f"{ran.verdicts}\n{ran.output[-1500:]}")
    hold("starting" not in ran.output, f"the app was started\n{ran.output[-1500:]}")
    place.nothing_left()
    return Tally()


CASES = (
    Case('containers: egress = "deny"', partial(_denied, kind="docker"), engine=True, short=True),
    Case('units: egress = "deny"', partial(_denied, kind="unit"), engine=True),
    Case('processes: egress = "deny" is refused', partial(_refused, kind="process")),
    Case('compose: egress = "deny" is refused', partial(_refused, kind="compose"), engine=True),
)
