"""Read-only root file systems: probe and key get in all the same, and nothing of it stays."""

from __future__ import annotations

from ast import literal_eval
from typing import TYPE_CHECKING, Any

import pytest
from docker_apps import until

from pytest_llamakey.runtimes.base import DeliveredFile, Exit, RuntimeFault
from pytest_llamakey.spec.model import Origin

if TYPE_CHECKING:
    import docker

pytestmark = pytest.mark.engine

LOOK = """
import os
def writable(folder):
    try:
        open(folder + "/probe-of-writing", "w").close()
    except OSError as error:
        return error.strerror
    return True
print({
    "key": open("/run/secrets/openai").read(), "dotenv": open(".env").read(), "variable": os.environ["LEVEL"],
    "uid": os.getuid(), **{folder: writable(folder) for folder in ("/app", "/", "/tmp", "/var/cache")},
}, flush=True)
"""
FILES = (
    DeliveredFile("/run/secrets/openai", b"sk-llamakey-1"),
    DeliveredFile(".env", b"OPENAI_API_KEY=sk-llamakey-1\n", merge_dotenv=True),
)


@pytest.fixture
def engine(docker_runtime: Any) -> docker.DockerClient:
    return docker_runtime._engine().client


def images(engine: docker.DockerClient, run: str) -> list[Any]:
    return engine.images.list(filters={"label": f"org.pytest-llamakey.run={run}"})


@pytest.mark.parametrize("user", ["root", "1234"])
def test_probe_and_key_get_in_and_nothing_stays(app_folder, start, engine, docker_run_id, user):
    folder = app_folder(f'ENV OF_IMAGE=1\nUSER {user}\nCMD ["python", "look.py"]', {"look.py": LOOK, ".env": "A=1\n"})
    before = images(engine, docker_run_id)
    seen = []

    def agent(replica: str, _workdir: str) -> str:
        seen.append(replica)
        return f"import sys; sys.stdout.write('probe of {replica}\\n')"

    running = start(folder, files=FILES, agent=agent, environment={"LEVEL": "info"}, read_only=True, replicas=2)
    for replica in running.replicas:
        assert until(replica.exited) == Exit(0), replica.logs().decode()
        probe, found = replica.logs().decode().splitlines()
        assert probe == f"probe of {replica.id}"
        refused = "Read-only file system"
        assert literal_eval(found) == {
            "key": "sk-llamakey-1",
            "dotenv": "A=1\nOPENAI_API_KEY=sk-llamakey-1\n",
            "variable": "info",
            "uid": 0 if user == "root" else 1234,
            "/app": refused,
            "/": refused,
            "/tmp": True,  # noqa: S108
            "/var/cache": refused,
        }
        assert engine.containers.get(replica.id).id == replica.container.id
    assert sorted(seen) == sorted(replica.id for replica in running.replicas)
    made = [one for one in images(engine, docker_run_id) if one not in before]
    assert len(made) == 2
    assert not any("info" in str(one.attrs["Config"]["Env"]) for one in made), "no commit writes the environment down"
    running.stop()
    assert images(engine, docker_run_id) == before
    assert engine.images.get(running.image), "the built image serves the next run"


def test_its_processes_are_counted_and_held(app_folder, start):
    (replica,) = start(app_folder(), command=("sleep", "60"), read_only=True).replicas
    replica.hold([1])
    assert [(row.command, row.state) for row in replica.census()] == [(("sleep", "60"), "T")]
    replica.release()


@pytest.mark.parametrize(
    ("rest", "tmpfs", "path", "message"),
    [
        ("", ("/run",), "/run/secrets/openai", r"llamakey.toml:5: /run/secrets/openai .*: /run is a tmpfs"),
        # Debian's /var/run is a link to /run.
        ("", ("/run",), "/var/run/openai", r"/var/run/openai .*: /run is a tmpfs"),
        ("", ("/var/run",), "/run/openai", r"/run/openai .*: /var/run is a tmpfs"),
        ("VOLUME /data", ("/tmp",), "/data/key", r"/data/key .*: /data is a VOLUME of its image"),  # noqa: S108
    ],
)
def test_a_file_that_would_be_hidden_is_refused(app_folder, start, engine, docker_run_id, rest, tmpfs, path, message):
    mark = {"label": f"org.pytest-llamakey.run={docker_run_id}"}
    before = len(engine.containers.list(all=True, filters=mark))
    with pytest.raises(RuntimeFault, match=message):
        start(
            app_folder(rest),
            command=("sleep", "60"),
            read_only=True,
            tmpfs=tmpfs,
            files=(DeliveredFile(path, b"sk-llamakey-1"),),
            origins={"tmpfs": Origin("llamakey.toml", 5)},
        )
    assert len(engine.containers.list(all=True, filters=mark)) == before
    assert images(engine, docker_run_id) == []
