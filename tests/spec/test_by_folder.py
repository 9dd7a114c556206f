"""What a deployment's folder decides where the file says nothing: runtime, port, workdir."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from pytest_llamakey.spec.model import Defaults, Deployment, SpecError
from pytest_llamakey.spec.toml import read_deployments

if TYPE_CHECKING:
    from pathlib import Path


def read(root: Path, fields: str, files: dict[str, str], build_args: dict[str, str] | None = None) -> Deployment:
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    (root / "llamakey.toml").write_text(f"[[deployment]]\n{fields}\n")
    (found,) = read_deployments(root / "llamakey.toml", root, Defaults(build_args or {}))
    return found


DOCKERFILE = {"Dockerfile": "FROM x\n"}
WEB = "services: {web: {build: .}}\n"
UNIT = {"app.service": "[Service]\nExecStart=/usr/bin/app\n"}
COMPOSE = {"docker-compose.yml": WEB}


@pytest.mark.parametrize(
    ("fields", "files", "runtime"),
    [
        ("", DOCKERFILE, "docker"),
        ("command = ['x']", DOCKERFILE, "docker"),
        ("command = ['x']", {}, "process"),
        ("command = ['x']", COMPOSE, "process"),
        ("image = 'x'", {}, "docker"),
        ("build = 'sub'", {"sub/Dockerfile": "FROM x\n"}, "docker"),
        ("dockerfile = 'web.Dockerfile'", {"web.Dockerfile": "FROM x\n"}, "docker"),
        ("service = 'web'", COMPOSE, "compose"),
        ("service = 'web'", DOCKERFILE | COMPOSE, "compose"),
        ("compose = 'my.yaml'", DOCKERFILE | {"my.yaml": WEB}, "compose"),
        ("manifests = ['a.yaml']", DOCKERFILE | {"a.yaml": ""}, "kubernetes"),
        ("unit = 'app.service'", DOCKERFILE | UNIT, "systemd"),
        ("unit = 'app.service'\nimage = 'x'", UNIT, "systemd"),
        ("runtime = 'process'\ncommand = ['x']", DOCKERFILE | COMPOSE, "process"),
    ],
)
def test_runtime(tmp_path: Path, fields: str, files: dict[str, str], runtime: str) -> None:
    assert read(tmp_path, fields, files).runtime == runtime


@pytest.mark.parametrize(
    ("fields", "files", "build"),
    [
        ("", DOCKERFILE, "."),
        ("dockerfile = 'D'", {"D": "FROM x\n"}, "."),
        ("build = 'sub'", {"sub/Dockerfile": "FROM x\n"}, "sub"),
        ("image = 'x'", DOCKERFILE, None),
        ("unit = 'app.service'", DOCKERFILE | UNIT, "."),
        ("unit = 'app.service'", UNIT, None),
        ("runtime = 'process'\ncommand = ['x']", DOCKERFILE, None),
    ],
)
def test_build(tmp_path: Path, fields: str, files: dict[str, str], build: str | None) -> None:
    assert read(tmp_path, fields, files).build == build


def test_compose_file_is_the_one_that_compose_takes(tmp_path: Path) -> None:
    found = read(tmp_path, "service = 'web'", {"compose.yml": WEB, "docker-compose.yaml": WEB})
    assert found.compose == ("compose.yml",)


def test_an_override_file_beside_it_goes_along(tmp_path: Path) -> None:
    found = read(tmp_path, "service = 'web'", {"compose.yaml": WEB, "compose.override.yaml": WEB})
    assert found.compose == ("compose.yaml", "compose.override.yaml")


def test_other_dockerfiles_of_the_folder_are_named(tmp_path: Path) -> None:
    with pytest.raises(SpecError, match=r'llamakey.toml:2: there is no Dockerfile at Dockerfile; .*"Dockerfile.web"'):
        read(tmp_path, "build = '.'", {"Dockerfile.web": "FROM x\n"})


ASKED = "request = { path = '/' }"


@pytest.mark.parametrize(
    ("fields", "dockerfile", "port"),
    [
        (ASKED, "FROM x\nEXPOSE 8000\n", 8000),
        (ASKED, "FROM x\nEXPOSE 8000/tcp\nEXPOSE 8000\nEXPOSE 53/udp\n", 8000),
        (ASKED, "FROM x\nARG P=81\nENV PORT=${P}\nEXPOSE $PORT\n", 81),
        (ASKED, "FROM x AS a\nEXPOSE 1\nFROM x\nEXPOSE 2\n", 2),
        (ASKED, "FROM x AS base\nEXPOSE 1\nFROM base\n", 1),
        (f"port = 9\n{ASKED}", "FROM x\nEXPOSE 8000 9000\n", 9),
        ("", "FROM x\nEXPOSE 8000 9000\n", None),
        ("request = { command = ['x'] }", "FROM x\nEXPOSE 8000 9000\n", None),
        # The image below may EXPOSE one, which is known once it is there.
        (ASKED, "FROM x\n", None),
        (f"image = 'x'\n{ASKED}", "FROM x\nEXPOSE 8000\n", None),
        ("runtime = 'process'\ncommand = ['x']", "FROM x\nEXPOSE 8000\n", 8000),
        ("runtime = 'process'\ncommand = ['x', '{port}']", "FROM x\nEXPOSE 8000\n", None),
        ("command = ['x', '{port}']", "FROM x\nEXPOSE 8000\n", 8000),
    ],
)
def test_port(tmp_path: Path, fields: str, dockerfile: str, port: int | None) -> None:
    assert read(tmp_path, fields, {"Dockerfile": dockerfile}).port == port


def test_port_depends_on_build_arguments(tmp_path: Path) -> None:
    files = {"Dockerfile": "FROM x\nARG PORT=1\nEXPOSE $PORT\n"}
    assert read(tmp_path, "", files, {"PORT": "2"}).port == 2


@pytest.mark.parametrize(
    "fields",
    [ASKED, "ready = '/'", "request = { command = ['ask', '{url}'] }", "command = ['serve', '{port}']"],
)
def test_port_that_cannot_be_known(tmp_path: Path, fields: str) -> None:
    files = {"Dockerfile": "FROM x\nEXPOSE 8000 9000\nEXPOSE 7000\n"}
    expected = r"^llamakey.toml:1: .*add port = 8000 \(Dockerfile:3 EXPOSEs 8000, 9000 and 7000\)$"
    with pytest.raises(SpecError, match=expected):
        read(tmp_path, fields, files)


@pytest.mark.parametrize(
    ("fields", "dockerfile", "workdir"),
    [
        ("", "FROM x\nWORKDIR /a\nWORKDIR b\n", "/a/b"),
        ("", "FROM x AS a\nWORKDIR /a\nFROM y\n", None),
        ("", "FROM x AS a\nWORKDIR /a\nFROM a\nWORKDIR b\n", "/a/b"),
        ("", 'FROM x\nENV HOME_="/srv" SUB=app\nWORKDIR $HOME_/${SUB}\n', "/srv/app"),
        ("workdir = '/else'", "FROM x\nWORKDIR /a\n", "/else"),
        ("image = 'x'", "FROM x\nWORKDIR /a\n", None),
        ("runtime = 'process'\ncommand = ['x']", "FROM x\nWORKDIR /a\n", "/a"),
    ],
)
def test_workdir(tmp_path: Path, fields: str, dockerfile: str, workdir: str | None) -> None:
    assert read(tmp_path, fields, {"Dockerfile": dockerfile}).workdir == workdir


def test_dockerfile_that_cannot_be_understood(tmp_path: Path) -> None:
    with pytest.raises(SpecError, match=r"^Dockerfile:2: ENV takes NAME=value pairs, and what follows A is none"):
        read(tmp_path, "", {"Dockerfile": "FROM x\nENV A=1 B\n"})
    with pytest.raises(SpecError, match=r"^Dockerfile:2: .* what follows OPENAI_API_KEY is none") as raised:
        read(tmp_path, "", {"Dockerfile": "FROM x\nENV OPENAI_API_KEY= sk-proj-of-the-tester\n"})
    assert "tester" not in str(raised.value)
