"""The parts of the compose runtime that need no engine: the override file, the folder's copy, the tool."""

from __future__ import annotations

import contextlib
import os
import stat
import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psutil
import pytest
import yaml

from pytest_llamakey.reaper import Reaper
from pytest_llamakey.runtimes.base import DeliveredFile, Plan, Reach, RuntimeFault
from pytest_llamakey.runtimes.compose_folder import ProjectFolder, deliver_again, in_container, make_folder
from pytest_llamakey.runtimes.compose_outside import refuse_unseen, stand_ins
from pytest_llamakey.runtimes.compose_project import Changes, Project, override
from pytest_llamakey.runtimes.compose_tool import ComposeTimeout, ComposeTool, find_compose
from pytest_llamakey.runtimes.docker_way import Way
from pytest_llamakey.secrecy.keys import DECOY
from pytest_llamakey.spec.model import Deployment, KeyDelivery

if TYPE_CHECKING:
    from collections.abc import Iterator

BUILD = {"context": "/p", "dockerfile": "Dockerfile"}
CONFIG: dict[str, Any] = {
    "services": {
        "web": {
            "build": BUILD,
            "container_name": "web",
            "ports": [{"target": 8000, "published": "80", "protocol": "tcp"}, {"target": 9, "protocol": "udp"}],
            "deploy": {"restart_policy": {"condition": "any"}, "replicas": 2},
        },
        "worker": {"build": BUILD, "command": ["celery"]},
        "other": {"build": {**BUILD, "target": "other"}},
        "db": {"image": "postgres:16", "ports": [{"target": 5432, "published": "5432"}]},
        "host": {"image": "x", "network_mode": "host"},
    },
    "networks": {
        "default": {"name": "p_default", "ipam": {}},
        "fixed": {"ipam": {"config": [{"subnet": "10.1.0.0/24"}]}},
    },
    "volumes": {"data": {"name": "mine", "external": True}},
}


class _Loader(yaml.SafeLoader):
    pass


def _tagged(loader: yaml.SafeLoader, tag: str, node: yaml.Node) -> Any:
    make = loader.construct_sequence if isinstance(node, yaml.SequenceNode) else loader.construct_mapping
    return tag, None if isinstance(node, yaml.ScalarNode) else make(node)


_Loader.add_multi_constructor("!", _tagged)
RESET = ("reset", None)


def overridden(**more: Any) -> dict[str, Any]:
    project = Project(CONFIG, "web")
    changes = Changes(
        name="llamakey-1",
        labels={"run": "r"},
        images={"web": "sha256:1", "worker": "sha256:1"},
        environment={"OPENAI_BASE_URL": "http://mock/v1", "PASSWORD": "pa$word"},
        hosts={"api.openai.com": "172.17.0.1"},
        kin=project.kin(),
        **{"port": 8000, "command": None, "volumes": {}, **more},
    )
    return yaml.load(override(project, changes), _Loader)  # noqa: S506 - a safe loader that knows compose's tags


def test_the_app_under_test() -> None:
    web = overridden(command=("serve",))["services"]["web"]
    assert web == {
        "labels": {"run": "r"},
        "extra_hosts": ["api.openai.com=172.17.0.1"],
        "container_name": RESET,
        "ports": ("override", ["127.0.0.1::8000"]),
        "image": "sha256:1",
        "pull_policy": "never",
        "build": RESET,
        "environment": {"OPENAI_BASE_URL": "http://mock/v1", "PASSWORD": "pa$$word"},
        "restart": "no",
        "deploy": {"restart_policy": RESET},
        "logging": ("override", {"driver": "json-file"}),
        "command": ("override", ["serve"]),
    }


def test_its_kin_and_the_others() -> None:
    services = overridden(volumes={"worker": ("/site-packages",)})["services"]
    assert services["worker"]["environment"] == {"OPENAI_BASE_URL": "http://mock/v1", "PASSWORD": "pa$$word"}
    assert services["worker"]["volumes"] == [{"type": "volume", "target": "/site-packages"}]
    assert "environment" not in services["other"]
    assert services["db"] == {
        "labels": {"run": "r"}, "extra_hosts": ["api.openai.com=172.17.0.1"], "ports": ("reset", []),
    }  # fmt: skip
    assert services["host"] == {"labels": {"run": "r"}, "extra_hosts": ["api.openai.com=172.17.0.1"]}


def test_networks_and_volumes_are_of_this_run() -> None:
    made = overridden()
    assert made["volumes"] == {"data": {"name": "llamakey-1_data", "external": RESET, "labels": {"run": "r"}}}
    assert made["networks"] == {
        "default": {"name": "llamakey-1_default", "labels": {"run": "r"}},
        "fixed": {"name": "llamakey-1_fixed", "ipam": RESET, "labels": {"run": "r"}},
    }


def test_volumes_elsewhere_are_empty_ones_of_this_run() -> None:
    volumes = {
        "nfs": {"driver_opts": {"type": "nfs", "o": "addr=10.0.0.1", "device": ":/data"}},
        "cloud": {"driver": "rexray/s3fs", "driver_opts": {"bucket": "mine"}},
        "memory": {"driver_opts": {"type": "tmpfs", "device": "tmpfs"}},
    }
    project = Project({"services": {"web": {}}, "volumes": volumes}, "web")
    changes = Changes("p", {}, {}, {}, {}, None, None, ("web",), {})
    made = yaml.load(override(project, changes), _Loader)["volumes"]  # noqa: S506 - as above
    own = {name: {what: told for what, told in one.items() if what.startswith("driver")} for name, one in made.items()}
    assert own == {"nfs": {"driver_opts": RESET}, "cloud": {"driver": "local", "driver_opts": RESET}, "memory": {}}


def test_what_is_mounted_from_elsewhere_is_a_copy(
    project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data, key = tmp_path / "data", tmp_path / "key.txt"
    data.mkdir()
    (data / ".env").write_text("OPENAI_API_KEY=sk-of-the-tester\n")
    key.write_text("sk-of-the-tester")
    folder, plan = copied(project, tmp_path / "copy", f"file:{key}", DeliveredFile(str(key), b"delivered"))
    (project.parent / "unnamed").mkdir()
    (folder.copy.parent / "unnamed").symlink_to(project.parent / "unnamed")
    sources = (data, tmp_path / "none", folder.copy / "inside", "/proc/self", folder.copy / "../unnamed")
    mounts = [{"type": "bind", "source": str(source), "target": "/x"} for source in sources]
    config = {
        "services": {"web": {"volumes": [*mounts, {"type": "volume", "source": "v", "target": "/v"}]}},
        "volumes": {"v": {"driver_opts": {"type": "none", "o": "bind", "device": str(data)}}, "w": None},
        "secrets": {"openai_key": {"file": str(key)}, "other": {"environment": "X"}},
    }
    made = stand_ins(Project(config, "web"), folder, plan)
    copy, empty, kernel, unnamed = made.binds["web"]
    assert (Path(copy["source"]) / ".env").read_text() == f"OPENAI_API_KEY={DECOY}\n"
    assert made.devices == {"v": {"device": copy["source"]}}
    assert list(Path(empty["source"]).iterdir()) == []
    assert not (tmp_path / "none").exists()
    assert kernel["source"] == "/proc/self"
    assert Path(unnamed["source"]).resolve().is_relative_to(folder.world.root)
    assert Path(made.files["secrets"]["openai_key"]).read_bytes() == b"delivered"
    assert {one["read_only"] for one in made.binds["web"]} == {False}
    # Again, as for a redeploy: what the app has written there stays, and the new key comes in.
    (Path(copy["source"]) / "written").touch()
    again = stand_ins(Project(config, "web"), folder, replace(plan, files=(DeliveredFile(str(key), b"newer"),)))
    assert (Path(again.devices["v"]["device"]) / "written").exists()
    assert Path(again.files["secrets"]["openai_key"]).read_bytes() == b"newer"
    monkeypatch.setattr("pytest_llamakey.runtimes.compose_outside.FILE_LIMIT", 1)
    large = stand_ins(Project(config, "web"), folder, plan)
    assert (large.binds["web"][0]["source"], large.binds["web"][0]["read_only"]) == (str(data), True)
    changes = Changes("p", {}, {}, {}, {}, None, None, ("web",), {}, outside=large)
    written = yaml.load(override(Project(config, "web"), changes), _Loader)["volumes"]["v"]  # noqa: S506 - as above
    assert written["driver_opts"] == {"device": str(data), "o": "bind,ro"}


@pytest.mark.parametrize(
    "service",
    [
        {"volumes": [{"type": "bind", "source": "/copy/data", "target": "/data"}]},
        {"volumes": [{"type": "volume", "source": "bound", "target": "/data"}]},
        {"secrets": [{"source": "key"}]},
    ],
)
def test_files_that_the_engine_does_not_see(project: Path, tmp_path: Path, service: dict[str, Any]) -> None:
    _, plan = copied(project, tmp_path / "copy", "env:OPENAI_API_KEY")
    config = {
        "services": {"db": {"volumes": [{"type": "volume", "source": "own"}]}, "web": service},
        "volumes": {"own": None, "bound": {"driver_opts": {"o": "bind", "device": "/copy/data"}}},
        "secrets": {"key": {"file": "/copy/data"}},
    }
    reach = Reach("127.0.0.1", "172.17.0.1")
    refuse_unseen(plan, Project(config, "web"), Way(reach))
    for way in (Way(reach, relayed=True), Way(reach, network="ci")):
        with pytest.raises(RuntimeFault, match=r"compose.yaml: the service web mounts data, and the container engine"):
            refuse_unseen(plan, Project(config, "web"), way)
        refuse_unseen(plan, Project({**config, "services": {"db": config["services"]["db"]}}, "db"), way)


def test_ports_of_the_service() -> None:
    assert Project(CONFIG, "web").ports() == (8000,)
    assert Project({"services": {"a": {"expose": ["80", "90/tcp"]}}}, "a").ports() == (80, 90)


def test_kin_by_image() -> None:
    config = {"services": {"a": {"image": "app:1"}, "b": {"image": "app:1"}, "c": {"image": "app:2"}}}
    assert Project(config, "b").kin() == ("b", "a")


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """``repo/deploy/compose.yaml``, which reaches for ``repo``."""
    folder = tmp_path / "repo/deploy"
    folder.mkdir(parents=True)
    (tmp_path / "repo/.env").write_text("API_KEY=sk-of-the-tester\n")
    (tmp_path / "repo/src").mkdir()
    (folder / "compose.yaml").write_text("services: {web: {build: ../src, env_file: [../.env]}}\n")
    (folder / ".env").write_text("OPENAI_API_KEY=sk-of-the-tester\nTAG=7\n")
    (folder / "key.txt").write_text("old")
    (folder / "key.txt").chmod(0o600)
    return folder


def copied(folder: Path, root: Path, key: str, *files: DeliveredFile, **environment: str) -> tuple[ProjectFolder, Plan]:
    scheme, _, target = key.partition(":")
    deployment = Deployment(
        "x::x", "x", folder, None, "compose",
        compose=("compose.yaml",), service="web", key=(KeyDelivery(scheme, target),),  # type: ignore[arg-type]
    )  # fmt: skip
    plan = Plan("r", deployment, environment, files)
    root.mkdir()
    return make_folder(root, plan), plan


def test_the_copy_has_nobodys_credentials_and_what_lies_above(project: Path, tmp_path: Path) -> None:
    source = project.parent / "src"
    source.mkdir(exist_ok=True)
    (source / ".env").write_text("OPENAI_API_KEY=sk-of-the-tester\n")
    (project.parent / "other").mkdir()
    made, _ = copied(project, tmp_path / "copy", "env:OPENAI_API_KEY", OPENAI_API_KEY="k")
    assert (made.copy / ".env").read_text() == f"OPENAI_API_KEY={DECOY}\nTAG=7\n"
    assert (made.copy / "../.env").read_text() == f"API_KEY={DECOY}\n"
    named, unnamed = made.copy.parent / "src", made.copy.parent / "other"
    assert not named.is_symlink()  # it may be mounted, and written to
    assert (named / ".env").read_text() == f"OPENAI_API_KEY={DECOY}\n"
    assert unnamed.resolve() == project.parent / "other"
    assert made.files == (made.copy / "compose.yaml",)
    assert made.users(f"{made.copy}/../src") == project.parent / "src"
    assert made.in_users_words(f"no {made.copy}/x.env: gone") == f"no {project}/x.env: gone"


def test_a_variable_that_is_withheld_is_not_in_the_dotenv_either(project: Path, tmp_path: Path) -> None:
    made, _ = copied(project, tmp_path / "copy", "env:OPENAI_API_KEY")
    assert (made.copy / ".env").read_text() == "TAG=7\n"


def test_files_are_laid_into_the_copy_as_they_are_in_the_users(project: Path, tmp_path: Path) -> None:
    files = (
        DeliveredFile("./key.txt", b"new"),
        DeliveredFile("other.txt", b"x"),
        DeliveredFile("/run/key", b"inside"),
        DeliveredFile("none.env", b"A\n", merge_dotenv=True, withdrawn=True),
    )
    made, plan = copied(project, tmp_path / "copy", "file:key.txt", *files)
    assert (made.copy / "key.txt").read_bytes() == b"new"
    assert stat.S_IMODE((made.copy / "key.txt").stat().st_mode) == 0o600
    assert stat.S_IMODE((made.copy / "other.txt").stat().st_mode) == 0o444
    assert (made.copy / "none.env").read_bytes() == b""  # compose would not start without it
    assert in_container(files) == files[2:3]
    assert (project / "key.txt").read_text() == "old"
    deliver_again(made, plan)
    assert (made.copy / "key.txt").read_bytes() == b"new"


@pytest.fixture
def reaper() -> Iterator[Reaper]:
    made = Reaper("test")
    yield made
    made.close()


@pytest.fixture
def programs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Puts programs on PATH that know a version of compose, and nothing else."""
    monkeypatch.setenv("PATH", f"{tmp_path}:/bin:/usr/bin")

    def write(name: str, text: str) -> None:
        path = tmp_path / name
        path.write_text(f"#!/bin/sh\n{text}\n")
        path.chmod(0o755)

    return write


def test_the_users_own_compose_comes_first(programs: Any, reaper: Reaper) -> None:
    programs("docker", '[ "$1" = compose ] && echo v2.30.1')
    assert find_compose(reaper).command == ("docker", "compose")
    programs("docker", "exit 1")
    programs("docker-compose", "echo 2.29.0")
    assert find_compose(reaper).command == ("docker-compose",)


def test_an_old_one_is_told(programs: Any, reaper: Reaper, monkeypatch: pytest.MonkeyPatch) -> None:
    programs("docker", "exit 1")
    programs("docker-compose", "echo 1.29.2")
    monkeypatch.setattr("pytest_llamakey.runtimes.compose_tool.find_spec", lambda _name: None)
    with pytest.raises(RuntimeFault, match=r"of version 2.24.4 or newer was found \(docker-compose is 1.29.2\)"):
        find_compose(reaper)


def test_the_call_has_no_variables_of_the_testers(
    tmp_path: Path, reaper: Reaper, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-of-the-tester")
    monkeypatch.setenv("COMPOSE_FILE", "/other.yaml")
    tool = ComposeTool(("env",), "2", reaper)
    said = tool.run([], tmp_path, {"TAG": "7"}, 10)
    names = {line.partition("=")[0] for line in said.output.splitlines()}
    assert names >= {"PATH", "TAG"}
    assert not names & {"OPENAI_API_KEY", "COMPOSE_FILE"}


def test_a_call_that_takes_too_long_is_ended(tmp_path: Path, reaper: Reaper) -> None:
    tool = ComposeTool(("sh", "-c", "echo pulling >&2; exec sleep 60"), "2", reaper)
    with pytest.raises(ComposeTimeout, match="pulling"):
        tool.run([], tmp_path, dict(os.environ), 0.5)


def test_a_call_ends_soon_where_the_engine_says_nothing(
    tmp_path: Path, reaper: Reaper, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pytest_llamakey.runtimes.compose_tool.LOOK_SECONDS", 0.5)
    answers = iter(["", "", "The engine hangs."])
    tool = ComposeTool(("sh", "-c", "echo $$ >pid; exec sleep 60"), "2", reaper, lambda: next(answers))
    started = time.monotonic()
    with pytest.raises(RuntimeFault, match=r"^docker compose gets no further\. The engine hangs\.$"):
        tool.run([], tmp_path, dict(os.environ), 60)
    assert 1.5 <= time.monotonic() - started < 30
    assert not psutil.pid_exists(int((tmp_path / "pid").read_text()))


def test_what_the_client_has_started_ends_with_it(tmp_path: Path, reaper: Reaper) -> None:
    # As `docker` does with its plugins: the child is another process, here even of a group of its own.
    plugin = "echo $$ >plugin; echo pulling >&2; exec sleep 60"
    script = f"setsid sh -c '{plugin}' & sh -c 'echo $$ >other; exec sleep 60' & wait"
    tool = ComposeTool(("sh", "-c", script), "2", reaper)
    with pytest.raises(ComposeTimeout, match="pulling"):
        tool.run([], tmp_path, dict(os.environ), 1)
    for name in ("plugin", "other"):
        with contextlib.suppress(psutil.NoSuchProcess):
            psutil.wait_procs([process := psutil.Process(int((tmp_path / name).read_text()))], timeout=5)
            assert process.status() == psutil.STATUS_ZOMBIE  # nobody has buried it
