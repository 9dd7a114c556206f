"""Compose projects through the real ``docker compose``: nothing of the user's is touched, and nothing is left."""

from __future__ import annotations

import json
import socket
from typing import TYPE_CHECKING, Any

import pytest
from docker_bench import until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from docker_bench import Bench


pytestmark = pytest.mark.engine

REAL_KEY = "sk-proj-" + "Zq7" * 20
# A key by a secret's file, two replicas of two workers, and everything that could meet the user's own stack: a port and
# a name that are taken, a volume and a network of others.
PROJECT = """\
services:
  web:
    build: {context: ., target: app}
    command: ["sh", "-c", "OPENAI_API_KEY=$$(cat /run/secrets/openai_key) exec python server.py 8000 2"]
    ports: ["TAKEN:8000"]
    secrets: [openai_key]
    environment: {BACK: "${BACK:-beside}"}
    deploy: {replicas: 2}
    depends_on: {beside: {condition: service_healthy}}
    volumes: [data:/data]
    networks: [back]
  beside:
    build: beside
    container_name: llamakey-bystander
    command: [sleep, "600"]
    networks: [back]
    healthcheck: {test: [CMD, "true"], interval: 1s}
  never:
    image: no-such-image
    profiles: [other]
secrets:
  openai_key: {file: ./secrets/openai_key.txt}
volumes:
  data: {name: llamakey-others-data, external: true}
networks:
  back: {name: llamakey-others-net, external: true}
"""
# A read-only container, its key in an env_file above the project's folder; the service is extended and has a profile.
SECOND = """\
services:
  api:
    extends: {file: ../common/base.yaml, service: base}
    profiles: [jobs]
"""
BASE = """\
services:
  base:
    build: ../tiny
    read_only: true
    tmpfs: [/tmp]
    env_file: [../tiny/.env, ../common/more.env]
    environment: [NOT_SET]
"""
TOML = """\
[[deployment]]
name = "files"
compose = "compose.yaml"
service = "web"
ready = "/"
request = { path = "/ask" }
workers = 2

[[deployment]]
name = "extended"
compose = ["api.yaml", "api.prod.yaml"]
ready = "/"
request = { path = "/ask" }
workers = 3
"""


@pytest.fixture
def taken(docker_bench: Bench) -> Iterator[int]:
    """A port that is in use, and a container with the name that the project wants."""
    container = docker_bench.engine.containers.create(docker_bench.python_image, name="llamakey-bystander")
    with socket.create_server(("0.0.0.0", 0)) as server:
        yield server.getsockname()[1]
    container.remove()


def things(bench: Bench) -> dict[str, set[str]]:
    """What compose has in the engine, by kind; other tests' may come and go meanwhile."""
    mark = {"label": "com.docker.compose.project"}
    return {
        "containers": {str(one.id) for one in bench.engine.containers.list(all=True, filters=mark)},
        "networks": {str(one.id) for one in bench.engine.networks.list(filters=mark)},
        "volumes": {str(one.id) for one in bench.engine.volumes.list(filters=mark)},
    }


def lasting(bench: Bench, before: dict[str, set[str]]) -> dict[str, set[str]]:
    """What compose has in the engine that it had not before, and has for good: what other tests have goes with them."""
    new = {kind: ids - before[kind] for kind, ids in things(bench).items()}

    def left() -> dict[str, set[str]]:
        return {kind: ids & new[kind] for kind, ids in things(bench).items() if ids & new[kind]}

    until(lambda: not left(), 120)
    return left()


def snapshot(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def write(bench: Bench, files: dict[str, str]) -> None:
    for name, text in files.items():
        path = bench.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text.replace("BASE_IMAGE", bench.python_image))


def run(bench: Bench, *arguments: str) -> tuple[int, str, dict[str, dict[str, Any]]]:
    """Exit code, output, and the report of each deployment by its name."""
    code, output, _first = bench.run(*arguments)
    report = json.loads((bench.folder / "report.json").read_text())
    (bench.folder / "report.json").unlink()
    return code, output, {one["name"]: one for one in report["deployments"]}


def calls(report: dict[str, Any]) -> list[tuple[str, str]]:
    return [
        (call["via"], call["credential"])
        for replica in report["replicas"]
        for worker in replica["workers"]
        for call in worker["calls"]
    ]


def test_whole_projects(docker_bench: Bench, taken: int) -> None:
    docker_bench.app()
    dockerfile = (docker_bench.folder / "Dockerfile").read_text()
    write(
        docker_bench,
        {
            "Dockerfile": dockerfile.replace("FROM ${PYTHON_IMAGE}", "FROM ${PYTHON_IMAGE} AS app") + "FROM app\n",
            "compose.yaml": PROJECT.replace("TAKEN", str(taken)),
            "beside/Dockerfile": "FROM BASE_IMAGE\n",
            "secrets/openai_key.txt": REAL_KEY,
            ".env": f"OPENAI_API_KEY={REAL_KEY}\nBACK=elsewhere\n",
            "api.yaml": SECOND,
            "api.prod.yaml": "services: {api: {environment: {MORE: '1'}}}\n",
            "../common/base.yaml": BASE,
            "../common/more.env": "MORE=0\n",
            "llamakey.toml": TOML,
        },
    )
    files, before = (
        snapshot(docker_bench.folder.parent / "common") | snapshot(docker_bench.folder),
        things(docker_bench),
    )
    code, output, reports = run(docker_bench)
    assert code == 0, output
    web, api = reports["files"], reports["extended"]
    assert [len(replica["workers"]) for replica in web["replicas"]] == [3, 3]  # two workers and their main process
    assert (web["seen_workers"], web["expected_workers"], api["seen_workers"]) == (4, 4, 3)
    assert calls(web) == [("request", "match")] * 4
    assert calls(api) == [("request", "match")] * 3
    assert lasting(docker_bench, before) == {}
    assert list(docker_bench.temporary.iterdir()) == []
    assert snapshot(docker_bench.folder.parent / "common") | snapshot(docker_bench.folder) == files
    assert REAL_KEY not in output


# Everything that leads out of the project: the machine's network, a folder and a volume elsewhere, a key's file there.
OUTSIDE = """\
services:
  web:
    build: .
    network_mode: host
    command:
      - sh
      - -c
      - >-
        touch /given/seen /bound/written /device/written &&
        OPENAI_API_KEY=$$(cat /run/secrets/openai_key) exec python server.py PORT 2
    volumes: ["ELSEWHERE:/given", "ELSEWHERE/none:/bound", "data:/device"]
    secrets: [openai_key]
    expose: ["PORT"]
volumes:
  data: {driver_opts: {type: none, o: bind, device: ELSEWHERE}}
secrets:
  openai_key: {file: ELSEWHERE/key.txt}
"""


def test_nothing_outside_of_the_project_is_written_to(docker_bench: Bench, tmp_path: Path) -> None:
    docker_bench.app()
    with socket.create_server(("0.0.0.0", 0)) as server:
        port = server.getsockname()[1]
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "key.txt").write_text(REAL_KEY)
    text = OUTSIDE.replace("ELSEWHERE", str(elsewhere)).replace("PORT", str(port))
    toml = "[[deployment]]\ncompose = 'compose.yaml'\nready = '/'\nrequest = { path = '/ask' }\nworkers = 2\n"
    write(docker_bench, {"compose.yaml": text, "llamakey.toml": toml})
    code, output, reports = run(docker_bench, "-k", "keyed or wire")
    assert code == 0, output
    (report,) = reports.values()
    assert calls(report) == [("request", "match")] * 2
    assert snapshot(elsewhere) == {"key.txt": REAL_KEY.encode()}
    assert REAL_KEY not in output
    with socket.create_server(("0.0.0.0", port)):
        code, output, _ = run(docker_bench, "-k", "keyed")
    assert f"port {port} of its machine is taken already" in output


FAULTS = {
    # By the line that is to be named: the fault of the file. The service stands on line 2.
    "key-missing": ("    ports: ['8000']\n", 2),
    "variable-unset": ("    environment: {OPENAI_API_KEY: '${OPENAI_KEY}'}\n", 4),
    "key-baked": (f"    environment:\n      OPENAI_API_KEY: {REAL_KEY}\n", 5),
}


def test_findings_name_the_line_of_the_compose_file(docker_bench: Bench) -> None:
    docker_bench.app()
    toml = ""
    for cause, (given, _line) in FAULTS.items():
        write(docker_bench, {f"{cause}.yaml": f"services:\n  web:\n    build: .\n{given}"})
        toml += f"[[deployment]]\nname = '{cause}'\ncompose = '{cause}.yaml'\nready = '/'\n"
        toml += f"request = {{ path = '/ask' }}\nworkers = 3\nexpect = ['{cause}']\n"
    write(docker_bench, {"llamakey.toml": toml})
    code, output, reports = run(docker_bench)
    assert code == 0, output
    for cause, (_given, line) in FAULTS.items():
        (finding,) = reports[cause]["findings"]
        assert f"{cause}.yaml:{line}" in finding["where"], (cause, finding)
    assert REAL_KEY not in output


@pytest.mark.parametrize(
    ("given", "told"),
    [
        (
            "environment: {MODEL: '${MODEL:?say which}'}",
            "compose.yaml:4: docker compose says: error while interpolating services.web.environment.MODEL",
        ),
        ("env_file: [none.env, none2.env]", "compose.yaml: docker compose says: env file FOLDER/none2.env not found"),
        ("command: gunicorn app:make()", "compose.yaml: docker compose says: decoding failed due to the following"),
        (
            'build: {context: ., dockerfile_inline: "FROM BASE_IMAGE\\nRUN false"}',
            "compose.yaml: docker compose build web failed.",
        ),
    ],
)
def test_what_compose_refuses_is_told_in_its_words(docker_bench: Bench, given: str, told: str) -> None:
    docker_bench.app()
    build = "" if given.startswith("build") else "    build: .\n"
    write(docker_bench, {"compose.yaml": f"services:\n  web:\n{build}    {given}\n"})
    (docker_bench.folder / "llamakey.toml").write_text("[[deployment]]\ncompose = 'compose.yaml'\n")
    code, output, reports = run(docker_bench, "-k", "keyed")
    assert code == 1
    (report,) = reports.values()
    assert told.replace("FOLDER", str(docker_bench.folder)) in output, output
    assert report["verdict"] == "error"
    assert list(docker_bench.temporary.iterdir()) == []
