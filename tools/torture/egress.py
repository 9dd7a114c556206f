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

from tools.tiny_app import DOCKERFILE, server, table
from tools.torture.cases import Broken, Case, Tally, hold

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable, Iterator

    from tools.torture.bench import Bench

KNOWN = (
    "api.openai.com",
    "eu.api.openai.com",
    "us.api.openai.com",
    "api.anthropic.com",
    "api.mistral.ai",
    "api.groq.com",
    "api.together.xyz",
    "api.deepseek.com",
    "openrouter.ai",
)
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
TRY = """
import socket
def tried(kind, there):
    opened = socket.socket(socket.AF_INET, kind)
    opened.settimeout(1)
    try:
        opened.connect(there)
        opened.send(b"OUT")
        return kind == socket.SOCK_STREAM
    except OSError:
        return False
print("REACHED", [there for there in {there!r} if tried(socket.SOCK_STREAM, tuple(there))], flush=True)
try:
    print("RESOLVED", socket.getaddrinfo("example.com", 80), flush=True)
except OSError:
    print("RESOLVED nothing", flush=True)
"""


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
FAR = tuple(f"203.0.113.{start}/28" for start in range(0, 256, 16))
"""Networks of TEST-NET-3 (RFC 5737), which counts as the Internet for the probe, as every address here is at home."""


@contextlib.contextmanager
def far_stranger(image: str) -> Iterator[tuple[str, Callable[[], str]]]:
    """A server that is none of the deployment's, in a network of its own: its address, and what it has been told."""
    engine = docker.from_env()
    name = f"stranger-{secrets.token_hex(4)}"
    for subnet in random.sample(FAR, len(FAR)):  # another run may be at one of them
        with contextlib.suppress(docker.errors.APIError):
            network = engine.networks.create(name, ipam=IPAMConfig(pool_configs=[IPAMPool(subnet=subnet)]))
            break
    else:
        raise Broken(f"all of {FAR} are in use, or the engine makes no network")
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


def _known(place: Bench, *, runtime: str) -> Tally:
    """Every known host, plain and TLS, is an address of this machine."""
    place.write(
        {
            "server.py": server(LOOKUP),
            "llamakey.toml": table(),
            "Dockerfile": DOCKERFILE,
            "test_log.py": "def test_log(llamakey_deploy):\n    print(llamakey_deploy('llamakey.toml').logs())\n",
        }
    )
    ran = place.run(runtime, "-s", "-k", "test_log")
    led = [line.split() for line in ran.output.splitlines() if line.lstrip(".").startswith("LED")]
    hold(len(led) == 2 * len(KNOWN), f"{len(led)} of {2 * len(KNOWN)} were led anywhere\n{ran.output[-1500:]}")
    ours = {one.address for all_ in psutil.net_if_addrs().values() for one in all_}
    strangers = [words for words in led if words[3] not in ours]
    hold(not strangers, f"led to strangers: {strangers}")
    place.nothing_left()
    return Tally(len(led), len(led))


def _elsewhere(place: Bench, *, client: str) -> Tally:
    """A hard-coded address of a stranger is named, and the stranger never sees our key."""
    with far_stranger(place.image) as (address, heard):
        place.write(
            {
                "server.py": server(STRANGER.format(address=address, port=8000) + ELSEWHERE[client]),
                "llamakey.toml": table(),
                "Dockerfile": DOCKERFILE,
            }
        )
        ran = place.run("process", "-v")
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


def _denied(place: Bench) -> Tally:
    """With ``egress = "deny"`` the app passes as ever, and nothing else is reached, by name or by address."""
    gateway = own_address()
    with stranger(gateway) as (port, _):
        there = [["1.1.1.1", 80], ["8.8.8.8", 53], [gateway, port], ["169.254.169.254", 80]]
        own = "def test_log(llamakey_deploy):\n    print(llamakey_deploy('llamakey.toml').logs())\n"
        services = {"beside": {"build": ".", "command": ["python", "-m", "http.server", "8000"]}}
        place.write(
            {
                "server.py": server(TRY.format(there=there)),
                "llamakey.toml": table(egress="deny", services=services),
                "Dockerfile": DOCKERFILE,
                "test_log.py": own,
            }
        )
        ran = place.run("docker", "-v", "-s")
    hold(ran.verdicts == ["pass"], f"{ran.verdicts}: {ran.causes} {ran.errors}\n{ran.output[-2500:]}")
    reached = next((line for line in ran.output.splitlines() if "REACHED" in line), "")
    out = [one for one in there if str(tuple(one)) in reached or str(one) in reached]
    # This machine's own addresses answer to its own containers, whatever the network: the mock is one of them.
    hold(out in ([], [[gateway, port]]), f"reached: {out}")
    hold("RESOLVED nothing" in ran.output, "a name was resolved outside")
    place.nothing_left()
    return Tally(len(there) + 1, len(there) + 1, "this machine's own addresses are reached still" if out else "")


def _refused(place: Bench) -> Tally:
    """Where it cannot be enforced, that is an error, and the app never starts."""
    place.write({"server.py": server(), "llamakey.toml": table(egress="deny")})
    ran = place.run("process")
    hold(ran.verdicts == ["error"] and 'egress = "deny" needs' in ran.output, f"{ran.verdicts}\n{ran.output[-1500:]}")
    place.nothing_left()
    return Tally()


CASES = (
    Case("processes: known hosts lead to the mock", partial(_known, runtime="process")),
    Case("containers: known hosts lead to the mock", partial(_known, runtime="docker"), engine=True),
    *(
        Case(
            f"processes: a hard-coded stranger, called by {client}, is wrong-endpoint, and is not told the key",
            partial(_elsewhere, client=client),
            engine=True,
            short=client == "urllib",
        )
        for client in ELSEWHERE
    ),
    Case('containers: egress = "deny"', _denied, engine=True, short=True),
    Case('processes: egress = "deny" is refused', _refused),
)
