"""The agent is told where the delivered files lie for the processes of the app."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from pytest_llamakey.endpoint.tls import Authority
from pytest_llamakey.runtimes.base import DeliveredFile
from pytest_llamakey.secrecy.delivery import Delivery
from pytest_llamakey.secrecy.keys import Secrets
from pytest_llamakey.spec.model import Deployment
from pytest_llamakey.station import Station


@pytest.mark.parametrize(
    ("runtime", "written", "workdir", "places"),
    [
        ("docker", "/srv", "/srv", ("/run/secrets/key", "/srv/.env")),
        ("docker", None, "/code", ("/run/secrets/key", "/code/.env")),
        ("process", None, "/t/root/app", ("/t/root/run/secrets/key", "/t/root/app/.env")),
        ("process", "srv/", "/t/root/srv", ("/t/root/run/secrets/key", "/t/root/srv/.env")),
        ("process", "/", "/t/root", ("/t/root/run/secrets/key", "/t/root/.env")),
    ],
)
def test_places_of_delivered_files(runtime: str, written: str | None, workdir: str, places: tuple[str, str]) -> None:
    deployment = Deployment("x", "x", Path("/x"), None, runtime, workdir=written)
    delivery = Delivery({}, (DeliveredFile("/run/secrets/key", b""), DeliveredFile("./.env", b"")), ())
    render = Station(Secrets.fresh(), Authority(), ()).agent(deployment, "127.0.0.1", delivery)
    (line,) = [line for line in render("r", workdir).splitlines() if line.startswith("CONFIG = ")]
    config = ast.literal_eval(ast.literal_eval(line.removeprefix("CONFIG = eval(").removesuffix(")")))
    assert config["files"] == {"/run/secrets/key": places[0], "./.env": places[1]}
