"""Nothing gets out: known hosts lead to the mock, and with ``egress = "deny"`` there is no way to anywhere else."""

from __future__ import annotations

import contextlib
import random
import secrets
import socket
import threading
import time
from functools import partial
from typing import TYPE_CHECKING

import docker
import docker.errors
import psutil
from docker.types import IPAMConfig, IPAMPool

from pytest_llamakey.secrecy.delivery import PROVIDER_HOSTS
from tools.torture import egress_bound, egress_denied
from tools.torture.cases import Broken, Case, Tally, hold
from tools.torture.egress_apps import placed
from tools.torture.routed import FAR, routed_stranger

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable, Iterator

    from tools.torture.bench import Bench

KNOWN = (*PROVIDER_HOSTS, "me.openai.azure.com")
LOOKUP = f"""
import socket
for host in {KNOWN!r}:
    for number in (80, 443):
        with socket.create_connection((host, number), 10) as there:
            print("LED", host, number, *there.getpeername()[:2], flush=True)
"""
STRANGER = """
HOST, PORT_THERE, HEADERS = "{address}", {port}, {{"Authorization": "Bearer " + KEY}}
URL = "http://{address}:{port}/v1/chat/completions"
def asked():
    ask()
    return 200, b"ok"
"""
ELSEWHERE = {
    "OpenAI's client": """
import openai
def ask():
    client = openai.OpenAI(api_key=KEY, base_url=URL.rpartition("/chat")[0], max_retries=0)
    client.chat.completions.create(model="gpt-4o", messages=[{"role": "user", "content": "ping"}])
""",
    "urllib": "def ask():\n    call(KEY, URL.rpartition('/chat')[0])",
    "a socket": """
import socket
def ask():
    with socket.create_connection((HOST, PORT_THERE), 10) as there:
        there.sendall(f"POST /v1/chat/completions HTTP/1.1\\r\\nHost: {HOST}\\r\\nAuthorization: Bearer {KEY}\\r\\n\\r\\n".encode())
        return there.recv(100)
""",
    "requests": "import requests\ndef ask():\n    requests.post(URL, headers=HEADERS, json={}, timeout=10)",
    "httpx": "import httpx\ndef ask():\n    httpx.post(URL, headers=HEADERS, json={})",
    "aiohttp": """
import aiohttp, asyncio
async def post():
    async with aiohttp.ClientSession() as session, session.post(URL, headers=HEADERS, json={}) as answer:
        return await answer.read()
def ask():
    asyncio.run(post())
""",
}
LISTENING = """
import socket
with socket.create_server(("", 8000)) as listening:
    print("LISTENS", flush=True)
    while True:
        there, _ = listening.accept()
        with there:
            there.settimeout(5)
            try:
                print("HEARD", there.recv(65536), flush=True)
                there.sendall(b"HTTP/1.1 200 OK\\r\\nContent-Length: 2\\r\\n\\r\\n{}")
            except OSError:
                pass
"""
NETWORKS = tuple(map(str, FAR.subnets(new_prefix=28)))


@contextlib.contextmanager
def far_stranger(image: str) -> Iterator[tuple[str, Callable[[], str]]]:
    """A server that is none of the deployment's, in a network of its own: its address, and what it has been told."""
    engine = docker.from_env()
    name = f"stranger-{secrets.token_hex(4)}"
    for subnet in random.sample(NETWORKS, len(NETWORKS)):  # another run may be at one of them
        with contextlib.suppress(docker.errors.APIError):
            network = engine.networks.create(name, ipam=IPAMConfig(pool_configs=[IPAMPool(subnet=subnet)]))
            break
    else:
        raise Broken(f"all of {FAR} is in use, or the engine makes no network")
    command = ["timeout", "300", "python", "-c", LISTENING]
    try:
        there = engine.containers.run(image, command, name=name, network=name, detach=True)
        try:
            until = time.monotonic() + 60
            while b"LISTENS" not in there.logs():
                hold(time.monotonic() < until, f"the stranger does not listen after 60 s: {there.logs().decode()}")
                time.sleep(0.1)
            there.reload()
            yield there.attrs["NetworkSettings"]["Networks"][name]["IPAddress"], lambda: there.logs().decode()
        finally:
            there.remove(force=True)
    finally:
        network.remove()
        engine.close()


@contextlib.contextmanager
def stranger(address: str, context: ssl.SSLContext | None = None) -> Iterator[tuple[int, list[bytes]]]:
    """A server that is none of the deployment's, with TLS where there is a ``context``: its port, and what it was told."""
    heard: list[bytes] = []
    with socket.create_server((address, 0)) as listening:

        def serve() -> None:
            with contextlib.suppress(OSError):
                while True:
                    there, _ = listening.accept()
                    with contextlib.suppress(OSError):
                        there.settimeout(3)
                        with context.wrap_socket(there, server_side=True) if context else there as talking:
                            heard.append(talking.recv(65536))
                            talking.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\n{}")

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        try:
            yield listening.getsockname()[1], heard
        finally:
            listening.shutdown(socket.SHUT_RDWR)
            thread.join(5)


def own_address() -> str:
    """An address of this machine by which others know it, or which only its containers do."""
    found = {
        one.address: name
        for name, all_ in psutil.net_if_addrs().items()
        for one in all_
        if one.family == socket.AF_INET
    }
    usable = [address for address, name in found.items() if name != "lo" and not name.startswith("br-")]
    return min(usable, key=lambda address: found[address].startswith("docker"))


def _known(place: Bench, *, kind: str) -> Tally:
    """Every known host, plain and TLS, is an address of this machine."""
    ran = place.run(placed(place, kind, LOOKUP), "-s", "-k", "test_log")
    led = [line.split() for line in ran.output.splitlines() if line.lstrip(".").startswith("LED")]
    hold(len(led) == 2 * len(KNOWN), f"{len(led)} of {2 * len(KNOWN)} were led anywhere\n{ran.output[-1500:]}")
    ours = {one.address for all_ in psutil.net_if_addrs().values() for one in all_}
    strangers = [words for words in led if words[3] not in ours]
    hold(not strangers, f"led to strangers: {strangers}")
    place.nothing_left()
    return Tally(len(led), len(led))


def _elsewhere(place: Bench, *, client: str, kind: str = "process") -> Tally:
    """A hard-coded address of a stranger is named, and the stranger never sees our key."""
    # An engine keeps its networks apart: containers reach no stranger that is one.
    with far_stranger(place.image) if kind == "process" else routed_stranger() as (address, heard):
        setup = STRANGER.format(address=address, port=8000) + ELSEWHERE[client]
        ran = place.run(placed(place, kind, setup), "-v", "-k", "not test_own")
        told = heard()
    hold("wrong-endpoint" in ran.causes, f"named {ran.causes} instead\n{ran.output[-2000:]}")
    hold("sk-llamakey-" not in told, "the stranger was told the key")
    (finding,) = [one for one in ran.report["deployments"][0]["findings"] if one["cause"] == "wrong-endpoint"]
    hold(any(where.startswith("server.py:") for where in finding["where"]), f"no line is named: {finding}")
    place.nothing_left()
    times = told.count("HEARD")
    return Tally(
        1, 1, f"the stranger was told of {times} times, without the key" if times else "the stranger heard nothing"
    )


CASES = (
    Case("processes: known hosts lead to the mock", partial(_known, kind="process")),
    *(
        Case(f"{name}: known hosts lead to the mock", partial(_known, kind=kind), engine=True)
        for name, kind in (("containers", "docker"), ("compose", "compose"), ("units", "unit"))
    ),
    *(
        Case(
            f"processes: a hard-coded stranger, called by {client}, is wrong-endpoint, and is not told the key",
            partial(_elsewhere, client=client),
            engine=True,
            short=client == "urllib",
        )
        for client in ELSEWHERE
    ),
    *(
        Case(
            f"containers: a hard-coded stranger, called by {client}, is wrong-endpoint, and is not told the key",
            partial(_elsewhere, client=client, kind="docker"),
            engine=True,
        )
        for client in ("urllib", "a socket")
    ),
    *egress_denied.CASES,
    *egress_bound.CASES,
)
