"""Services of the process runtime: real processes beside the app, and gone with it."""

from __future__ import annotations

import socket
import tempfile
from pathlib import Path

import pytest

from pytest_llamakey.reaper import Reaper
from pytest_llamakey.runtimes.base import RuntimeFault
from pytest_llamakey.runtimes.process_port import free_port
from pytest_llamakey.runtimes.process_services import ProcessServices
from pytest_llamakey.runtimes.service_ports import addresses, with_ports
from pytest_llamakey.spec.model import Deployment, Origin, Service
from pytest_llamakey.spec.placeholders import fill

SERVER = ("python3", "-m", "http.server", "--bind", "127.0.0.1", "{port}")


@pytest.fixture
def services(tmp_path, monkeypatch):
    """Starts services as a run does, and ends them after the test; answers with their addresses too."""
    (tmp_path / "tmp").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "tmp"))
    reaper, begun = Reaper("test"), []

    def start(*beside):
        asked = Deployment(
            "llamakey.toml::app", "app", tmp_path, None, "process", services=beside,
            origins={"services": Origin("llamakey.toml", 3)},
        )  # fmt: skip
        asked = with_ports(asked)
        known = addresses(asked)
        asked = fill(asked, port=None, endpoint="http://mock", url=None, services=known)
        begun.append(ProcessServices(asked, reaper, lambda _line: None))
        begun[-1].start()
        return begun[-1], known

    yield start
    for each in begun:
        each.stop()
    reaper.close()
    assert list(Path(tempfile.gettempdir()).iterdir()) == []


def listens(address: str) -> bool:
    host, _, port = address.partition(":")
    try:
        socket.create_connection((host, int(port)), timeout=1).close()
    except OSError:
        return False
    return True


def test_a_service_listens_on_a_free_port_and_ends_with_the_run(services):
    started, known = services(Service("web", command=SERVER, port=80), Service("idle", command=("sleep", "60")))
    assert known.keys() == {"web"}
    assert not known["web"].endswith(":80")
    assert listens(known["web"])
    started.check()
    started.stop()
    assert not listens(known["web"])


def test_a_program_that_cannot_be_executed_is_told_and_leaves_its_port_to_others(services, tmp_path):
    program, port = tmp_path / "server", free_port()
    program.write_bytes(b"\x7fELF of another machine")
    program.chmod(0o755)
    with pytest.raises(RuntimeFault, match=r"llamakey.toml:3: the service db could not be started: .*/server"):
        services(Service("db", command=(str(program),), port=port))
    services(Service("db", command=SERVER, port=port))


@pytest.mark.parametrize(
    ("service", "said"),
    [
        (Service("redis", "redis:7"), "the service redis is a container, which the process runtime has not"),
        (Service("redis", command=("no-such-server",)), "'no-such-server', which starts the service redis, is not"),
        (
            Service("redis", command=("sh", "-c", "echo broken settings >&2; exit 3"), port=free_port()),
            "the service redis ended with exit code 3; the app needs it running",
        ),
    ],
)
def test_what_cannot_start_is_told(services, service, said):
    with pytest.raises(RuntimeFault) as caught:
        services(service)
    assert str(caught.value).startswith("llamakey.toml:3: ")
    assert said in str(caught.value)
    assert "broken settings" in str(caught.value) or service.port is None


def test_of_a_service_that_ends_lines_of_megabytes_are_told_shortened_and_words_whole(services):
    """The end of a key is not known for one: a cut within it would show it."""
    key = "sk-proj-" + "aB3dE6gH9jK2mN5pQ8sT1vW4" * 2
    writes = f"echo old; echo word {key} $(head -c 1000000 /dev/zero | tr '\\0' y); echo {key} {'x' * 3990}; exit 3"
    with pytest.raises(RuntimeFault) as caught:
        services(Service("loud", command=("sh", "-c", writes), port=free_port()))
    told = str(caught.value)
    assert "old" in told
    assert len(told) < 5000
    assert told.count("mN5pQ8sT1vW4") == told.count(key) * 2


def test_a_fixed_port_that_is_in_use_is_told(services):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(RuntimeFault, match=rf"the service web: port {port} is in use"):
            services(Service("web", command=SERVER[:-1], port=port))
