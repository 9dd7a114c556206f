from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest

from pytest_llamakey.runtimes import process_copy
from pytest_llamakey.runtimes.base import DeliveredFile, RuntimeFault
from pytest_llamakey.runtimes.process_copy import World, make_world

OWN_KEY = "sk-proj-the-testers-own-key-0123456789"


@pytest.fixture
def folder(tmp_path):
    folder = tmp_path / "project"
    folder.mkdir()
    return folder


@pytest.fixture
def copy(tmp_path, folder):
    def copy(*files, workdir=None, progress=lambda _line: None):
        return make_world(tmp_path / "root", folder, workdir, files, progress)

    return copy


def test_what_no_app_needs_stays_behind(folder, copy):
    for name in (
        ".git/config",
        "__pycache__/a.pyc",
        "node_modules/x.js",
        "env/pyvenv.cfg",
        "env/bin/python",
        "pkg/app.py",
    ):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(name)
    os.mkfifo(folder / "pipe")
    with socket.socket(socket.AF_UNIX) as listener:
        here = Path.cwd()
        os.chdir(folder)  # the name of a socket may not be long
        try:
            listener.bind("app.sock")
        finally:
            os.chdir(here)
        world = copy()
    assert sorted(str(path.relative_to(world.app)) for path in world.app.rglob("*")) == ["pkg", "pkg/app.py"]


def test_no_key_of_the_tester_comes_in(folder, copy, tmp_path):
    (tmp_path / ".env").write_text(f"OPENAI_API_KEY={OWN_KEY}\n")
    (folder / ".env").write_text(f"# mine\nOPENAI_API_KEY='{OWN_KEY}'\nLOG_LEVEL=info\n")
    (folder / ".env.local").write_bytes(f"export OTHER_TOKEN={OWN_KEY}\r\n\xff=1\r\n".encode("latin-1"))
    (folder / "settings").symlink_to("../.env")
    (folder / "same").symlink_to(".env")
    world = copy()
    texts = {path.name: path.read_bytes() for path in world.app.iterdir()}
    assert set(texts) == {".env", ".env.local", "settings", "same"}
    assert not any(OWN_KEY.encode() in text for text in texts.values())
    assert b"LOG_LEVEL=info\n" in texts[".env"]
    assert OWN_KEY in (folder / ".env").read_text()


def test_links_stay_links_inside_and_are_followed_outside(folder, copy, tmp_path):
    (folder / "data").mkdir()
    (folder / "data/one").write_text("1")
    (folder / "relative").symlink_to("data/one")
    (folder / "absolute").symlink_to(folder / "data")
    (folder / "roundabout").symlink_to(f"../{folder.name}/data/one")
    (folder / "dangling").symlink_to("/nowhere/at/all")
    outside = tmp_path / "shared"
    outside.mkdir()
    (outside / "two").write_text("2")
    (outside / "back").symlink_to(folder / "data/one")
    (outside / "round").symlink_to(outside)
    (folder / "shared").symlink_to(outside)
    world = copy()
    for name in ("relative", "absolute", "roundabout"):
        assert (world.app / name).is_symlink()
        assert world.app.resolve() in (world.app / name).resolve().parents
    assert (world.app / "dangling").readlink() == Path("/nowhere/at/all")
    assert not (world.app / "shared").is_symlink()
    assert (world.app / "shared/two").read_text() == "2"
    assert (world.app / "shared/back").resolve() == (world.app / "data/one").resolve()
    assert not (world.app / "shared/round").exists()


def test_a_folder_that_is_too_large_is_refused(folder, copy, monkeypatch):
    monkeypatch.setattr(process_copy, "SIZE_LIMIT", 10)
    (folder / "model.bin").write_bytes(b"x" * 11)
    with pytest.raises(RuntimeFault, match=r"holds more than .*model\.bin"):
        copy()


def test_delivered_files_lie_where_the_app_looks(folder, copy):
    (folder / ".env").write_text(f"OPENAI_API_KEY={OWN_KEY}\nOTHER=1")
    world = copy(
        DeliveredFile(".env", b"OPENAI_API_KEY=canary\n", merge_dotenv=True),
        DeliveredFile("/opt/app/deep/key", b"k", mode=0o400),
        DeliveredFile("/run/secrets/openai", b"s"),
        workdir="/opt/app",
    )
    assert (world.app / ".env").read_text() == "OPENAI_API_KEY=canary\nOTHER=1"
    assert (world.app / "deep/key").read_bytes() == b"k"
    assert (world.app / "deep/key").stat().st_mode & 0o777 == 0o400
    assert world.translate("/run/secrets/openai") == str(world.root / "run/secrets/openai")
    assert (world.root / "run/secrets/openai").read_bytes() == b"s"


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("/app", "R/app"),
        ("/app/", "R/app/"),
        ("/app/.env", "R/app/.env"),
        ("-c/app", "-c/app"),
        ("--config=/app/a.py", "--config=R/app/a.py"),
        ("/bin:/app/bin:/app", "/bin:R/app/bin:R/app"),
        ("sqlite:////app/db", "sqlite:///R/app/db"),
        ("file:///app/x", "file://R/app/x"),
        ("http://app/x", "http://app/x"),
        ("http://host/app/x", "http://host/app/x"),
        ("/application", "/application"),
        ("/app.py", "/app.py"),
        ("/srv/app", "/srv/app"),
        ("cd /app && cat '/run/key'", "cd R/app && cat 'R/run/key'"),
        ("/run/key2 /run", "/run/key2 /run"),
    ],
)
def test_whole_paths_only_are_translated(text, meant):
    world = World(Path("/R"), "/app", ("/run/key",))
    assert world.translate(text) == meant.replace("R/", "/R/")


def test_a_workdir_at_the_root_is_the_world_itself(folder, copy):
    (folder / "a").write_text("a")
    world = copy(DeliveredFile("/run/key", b"k"), workdir="/")
    assert world.app == world.root
    assert world.translate("/a /run/key") == f"/a {world.root}/run/key"
