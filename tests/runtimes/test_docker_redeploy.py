"""A container in the place of another: what outlives a redeploy goes over, and nothing else; nothing stays behind."""

from __future__ import annotations

import pytest
from docker_apps import until

from pytest_llamakey.runtimes.base import DeliveredFile, Exit
from pytest_llamakey.spec.model import Service

pytestmark = pytest.mark.engine

APP = """
import os, signal, sys, time
from pathlib import Path
def seen(name):
    return Path(name).read_text() if Path(name).exists() else "-"
def note(*_):
    for folder in ("/data", "/app"):
        Path(folder, "kept").write_text(seen("/run/key") + os.environ.get("KEY", ""))
    sys.exit(0)
signal.signal(signal.SIGTERM, note)
key = seen("/run/key"), os.environ.get("KEY")
print("volume", seen("/data/kept"), "own", seen("/app/kept"), "key", *key, flush=True)
while True:
    time.sleep(0.1)
"""


def said(running):
    (replica,) = running.replicas
    return until(lambda: replica.logs().decode().strip())


def key(text, **more):
    return (DeliveredFile("/run/key", text.encode(), **more),)


def test_volumes_go_over_and_the_container_does_not(app_folder, start, docker_runtime):
    folder = app_folder('VOLUME /data\nCMD ["python", "app.py"]', {"app.py": APP})
    first = start(folder, environment={"KEY": "1"}, files=key("a"))
    assert said(first) == "volume - own - key a 1"
    client = docker_runtime._engine().client
    (mount,) = client.containers.get(first.replicas[0].id).attrs["Mounts"]
    first.halt()
    assert until(first.replicas[0].exited) == Exit(0)
    second = start(folder, environment={"KEY": "2"}, files=key("b"), after=first)
    assert said(second) == "volume a1 own - key b 2"
    second.stop()
    first.stop()
    assert mount["Name"] not in {volume.name for volume in client.volumes.list()}


def test_services_go_on(app_folder, start, docker_runtime):
    folder = app_folder('CMD ["python", "app.py"]', {"app.py": APP})
    beside = Service("store", build=".", command=("sleep", "600"))
    first = start(folder, services=(beside,))
    client = docker_runtime._engine().client
    (network,) = client.containers.get(first.replicas[0].id).attrs["NetworkSettings"]["Networks"].values()
    first.halt()
    second = start(folder, services=(beside,), after=first)
    inside = client.containers.get(second.replicas[0].id).exec_run(["getent", "hosts", "store"])
    assert inside.exit_code == 0
    ids = {container.id for container in client.networks.get(network["NetworkID"]).containers}
    assert len(ids) == 2  # the app of now, and the service of before
    second.stop()
    first.stop()


def test_a_withdrawn_file_is_laid_nowhere_and_emptied_where_it_is(app_folder, start):
    files = {"app.py": APP, ".env": "A=1\nOPENAI_API_KEY=sk-x\n", "key": "sk-y"}
    show = 'CMD ["sh", "-c", "cat .env; echo [$(cat key)]; ls other run-key 2>&1 | wc -l"]'
    running = start(
        app_folder(show, files),
        files=(
            DeliveredFile(".env", b"OPENAI_API_KEY\n", merge_dotenv=True, withdrawn=True),
            DeliveredFile("key", b"", withdrawn=True),
            DeliveredFile("other", b"OPENAI_API_KEY\n", merge_dotenv=True, withdrawn=True),
            DeliveredFile("run-key", b"", withdrawn=True),
        ),
    )
    (replica,) = running.replicas
    until(replica.exited)
    assert replica.logs().decode() == "A=1\n[]\n2\n"
