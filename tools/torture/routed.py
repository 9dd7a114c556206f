"""A server that is none of the deployment's, in a network namespace of its own that this machine routes to."""

from __future__ import annotations

import contextlib
import random
import secrets
import subprocess
import sys
import threading
from ipaddress import ip_network
from pathlib import Path
from typing import TYPE_CHECKING

from tools.torture.bench import until
from tools.torture.cases import Broken, hold

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

FAR = ip_network("203.0.113.0/24")
"""TEST-NET-3 (RFC 5737), which counts as the Internet for the probe, as every address here is at home."""
# HTTP of a kind on port 8000, and DNS that leads each name to itself on port 53; it ends with its input.
STRANGER = """
import os, socket, sys, threading
address = sys.argv[1]
sys.stdin.readline()
web, names = socket.create_server((address, 8000)), socket.socket(type=socket.SOCK_DGRAM)
names.bind((address, 53))
def serve():
    while True:
        there, _ = web.accept()
        with there:
            print("HEARD", there.recv(100), flush=True)
            there.sendall(b"HERE")
def resolve():
    while True:
        query, sender = names.recvfrom(512)
        print("ASKED", query, flush=True)
        end = query.index(b"\\0", 12) + 5
        record = b"\\xc0\\x0c\\0\\x01\\0\\x01\\0\\0\\0\\x3c\\0\\x04" + socket.inet_aton(address)
        found = query[end - 4 : end - 2] == b"\\0\\x01"
        head = query[:2] + b"\\x81\\x80\\0\\x01\\0" + (b"\\x01" if found else b"\\0") + bytes(4)
        names.sendto(head + query[12:end] + (record if found else b""), sender)
for each in (serve, resolve):
    threading.Thread(target=each, daemon=True).start()
print("LISTENS", flush=True)
sys.stdin.read()
"""


@contextlib.contextmanager
def routed_stranger() -> Iterator[tuple[str, Callable[[], str]]]:
    """A server in a network namespace of its own, to which this machine routes: its address, and what it has been told.

    Other than a container on another network, which an engine keeps apart anyhow, it is within reach of containers.
    """
    routes = _call("ip", "-4", "route", "show", "root", str(FAR)).split()
    taken = [ip_network(word) for word in routes if word.startswith("203.0.113.")]
    free = [block for block in FAR.subnets(new_prefix=30) if not any(map(block.overlaps, taken))]
    near, address = map(str, random.choice(free).hosts())
    words = ["unshare", "--net", sys.executable, "-u", "-c", STRANGER, address]
    name = f"far{secrets.token_hex(4)}"
    told: list[str] = []
    with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as there:
        put, got = there.stdin, there.stdout
        if put is None or got is None:
            raise Broken("no pipes to the stranger")
        try:
            network, ours = Path(f"/proc/{there.pid}/ns/net"), Path("/proc/self/ns/net").readlink()
            apart = until(lambda: there.poll() is None and network.readlink() != ours, 10)
            hold(apart, "a network namespace needs root on Linux")
            _call("ip", "link", "add", name, "type", "veth", "peer", "name", "far", "netns", str(there.pid))
            _call("ip", "address", "add", f"{near}/30", "dev", name)
            _call("ip", "link", "set", name, "up")
            inside = ("nsenter", "--target", str(there.pid), "--net", "ip")
            _call(*inside, "address", "add", f"{address}/30", "dev", "far")
            _call(*inside, "link", "set", "far", "up")
            _call(*inside, "route", "add", "default", "via", near)
            put.write("go\n")
            put.flush()
            hold(got.readline() == "LISTENS\n", "the stranger does not listen")
            reader = threading.Thread(target=lambda: told.extend(got), daemon=True)
            reader.start()
            yield address, lambda: "".join(told)
        finally:
            there.kill()  # the namespace goes with it, and with that both ends of the line


def _call(*words: str) -> str:
    return subprocess.run(words, check=True, capture_output=True, text=True).stdout
