"""The program that looks, on real processes of this machine."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import subprocess
import sys
import time
from typing import TYPE_CHECKING

import pytest

from pytest_llamakey.census import visitor
from pytest_llamakey.census.grounds import program
from pytest_llamakey.census.visitor import changed, held, masked, shape, visit
from pytest_llamakey.cli import main

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="/proc is Linux's")
KEY = "sk-proj-Zq7Zq7Zq7Zq7Zq7Zq7Zq7Zq7"
SLEEP = """
import subprocess, sys
subprocess.run([sys.executable, '-c', 'import time; time.sleep(30)'], env={})
"""
REQUEST = {"salt": "a", "variables": ["MY_KEY"]}


@pytest.fixture
def cleared(tmp_path) -> Iterator[subprocess.Popen]:
    """A Python process with a key, and a child of it that was started without."""
    environment = {"PATH": os.environ["PATH"], "OPENAI_API_KEY": KEY, "OPENAI_KEY_FILE": str(tmp_path / "key")}
    (tmp_path / "key").write_text(KEY)
    (tmp_path / ".env").write_text("")
    process = subprocess.Popen(
        [sys.executable, "-c", SLEEP, KEY], env=environment, cwd=tmp_path, start_new_session=True
    )
    end = time.monotonic() + 10
    while len(visit({**REQUEST, "top": process.pid})["rows"]) < 2 and time.monotonic() < end:
        time.sleep(0.05)
    yield process
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, 9)
    process.wait()


def pythons(answer: dict) -> set[int]:
    return {row["pid"] for row in answer["rows"] if row["python"]}


def test_a_tree_and_what_each_was_started_with(cleared, tmp_path) -> None:
    answer = visit({**REQUEST, "top": cleared.pid, "paths": ["/proc/self/stat", "/nowhere"]})
    parent, child = sorted((row for row in answer["rows"] if row["python"]), key=lambda row: row["started"])
    assert parent["pid"] == cleared.pid
    assert child["ppid"] == cleared.pid
    assert parent["started"] == pytest.approx(time.time(), abs=30)
    assert parent["seen"]["held"] == {
        "OPENAI_API_KEY": [pytest.approx(parent["seen"]["held"]["OPENAI_API_KEY"][0]), []]
    }
    assert child["seen"]["held"] == {}
    assert [path for path, _ in parent["seen"]["files"]] == [str(tmp_path / ".env"), str(tmp_path / "key")]
    assert [path for path, _ in answer["changed"]] == ["/proc/self/stat"]
    assert answer["unread"] == [["/nowhere", "no such file or directory", True]]
    assert KEY not in json.dumps(answer)
    assert "<OPENAI_API_KEY>" in parent["command"]


def test_the_program_that_is_sent_gives_the_same(cleared) -> None:
    done = subprocess.run(
        [sys.executable, "-S", "-E", "-c", program({**REQUEST, "top": cleared.pid})],
        capture_output=True,
        text=True,
        timeout=30,
        check=True,
    )
    answer = json.loads(done.stdout.partition("llamakey-census:")[2])
    assert pythons(answer) == pythons(visit({**REQUEST, "top": cleared.pid}))


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["python3", "a.py", "--api-key", "9f3c0a7b9f3c0a7b"], ["python3", "a.py", "--api-key", "…"]),
        (["python3", "--openai-key=gsk_abc", "x"], ["python3", "--openai-key=…", "x"]),
        (["env", "OPENAI_API_KEY=abc", "python3"], ["env", "OPENAI_API_KEY=…", "python3"]),
        (["run", f"--header={KEY}"], ["run", "--header=…"]),
        (["run", "9f3c0a7b1d2e4f5a6b7c8d9e0f1a2b3c"], ["run", "…"]),
        (["run", "--url", "https://x/?k=" + "aB3dE6gH9" * 9], ["run", "--url", "https://x/?k=…"]),
        (["gunicorn", "app:app", "--worker-class", "uvicorn_worker.UvicornWorker", "--bind", "0.0.0.0:8000"],) * 2,
        (["/usr/local/lib/python3.11/site-packages/celery/__main__.py", "--concurrency=4"],) * 2,
        (["run", "--db", "hunter2hunter2"], ["run", "--db", "<DB_PASSWORD>"]),
    ],
)
def test_no_key_is_shown_of_a_command(words, told) -> None:
    assert masked(words, {"DB_PASSWORD": "hunter2hunter2"}) == told


def test_of_those_above_only_the_program_is_told(cleared) -> None:
    above = [row for row in visit({**REQUEST, "top": cleared.pid})["rows"] if row["pid"] == os.getppid()]
    assert all(len(row["command"]) == 1 for row in above)


@pytest.mark.parametrize(
    ("value", "odd"),
    [
        (KEY, []),
        (f"{KEY}\n", ["white space"]),
        (f'"{KEY}"', ["quotes"]),
        (f"Bearer {KEY}", ["Bearer prefix"]),
        (f"\ufeff{KEY}", ["byte-order mark"]),
        ("${OPENAI_API_KEY}", ["not expanded"]),
        ("%OPENAI_API_KEY%", ["not expanded"]),
    ],
)
def test_what_is_odd_about_a_key(value, odd) -> None:
    assert shape(value) == odd


def test_which_variables_name_a_key() -> None:
    names = ["OPENAI_API_KEY", "AZURE_OPENAI_API_KEY", "MY_KEY", "LLM_TOKEN"]
    others = ["OPENAI_API_KEY_FILE", "STRIPE_API_KEY", "LLM_MAX_TOKEN", "PATH"]
    found = held(dict.fromkeys([*names, *others], KEY), REQUEST)
    assert list(found) == names
    assert held({"MY_KEY": " "}, REQUEST) == {"MY_KEY": ["", []]}


def test_fingerprints_are_salted() -> None:
    one, again = held({"MY_KEY": KEY}, REQUEST), held({"MY_KEY": KEY}, REQUEST)
    assert one == again != held({"MY_KEY": KEY}, {**REQUEST, "salt": "b"})


def test_the_command(cleared, capsys) -> None:
    assert main(["census", str(cleared.pid)]) == 1
    shown = capsys.readouterr().out
    assert "env-cleared? this machine: pid" in shown
    assert f"while process {cleared.pid} above" in shown
    assert "python -m pytest_llamakey explain env-cleared" in shown
    assert KEY not in shown


def test_the_command_as_json(cleared, capsys) -> None:
    assert main(["census", f"pid:{cleared.pid}", "--json"]) == 1
    seen = json.loads(capsys.readouterr().out)
    assert seen["schema"] == 1
    assert [one["cause"] for one in seen["suspicions"]] == ["env-cleared"]


def test_a_source_that_was_changed_since(cleared, capsys, tmp_path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("")
    os.utime(secret, (time.time() + 60, time.time() + 60))
    assert main(["census", str(cleared.pid), "--secret", str(secret)]) == 1
    assert f"started before {secret} was changed last" in capsys.readouterr().out


def test_a_folder_is_as_new_as_the_last_file_in_it(tmp_path) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "key").write_text("")
    os.utime(tmp_path / "folder" / "key", (4e9, 4e9))
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(tmp_path / "s"))
        found, unread = changed(["/folder", "/folder/key/below", "/s"], str(tmp_path))
    assert found == [["/folder", 4e9]]
    assert unread == [
        ["/folder/key/below", "not a directory", False],
        ["/s", "a socket does not tell when its answer changed", False],
    ]


def test_what_is_gone_from_a_folder_leaves_the_rest_of_it(tmp_path) -> None:
    (tmp_path / "below").mkdir()
    (tmp_path / "below" / "key").write_text("")
    os.utime(tmp_path / "below" / "key", (4e9, 4e9))
    (tmp_path / "below" / "gone").symlink_to("/nowhere")
    (tmp_path / "round").symlink_to(tmp_path)
    assert changed([str(tmp_path)], "") == ([[str(tmp_path), 4e9]], [])


def test_a_folder_without_end_is_left_after_a_while(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(visitor, "MOST_ENTRIES", 3)
    for number in range(4):
        (tmp_path / str(number)).write_text("")
    found, unread = changed([str(tmp_path)], "")
    assert [path for path, _ in found] == [str(tmp_path)]
    assert unread == [[str(tmp_path), "it holds more than the 3 entries that are looked at", False]]
    (tmp_path / "0").unlink()
    assert changed([str(tmp_path)], "")[1] == []


@pytest.mark.parametrize("value", ["", "key", "/"])
def test_no_folder_that_a_process_names_is_walked(value, tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(visitor, "newest", lambda path: pytest.fail(f"walks {path}"))
    told = visitor.files(os.getpid(), {"OPENAI_API_KEY_FILE": value, "KEY_FILE": str(tmp_path)})
    named = [value] if value == "/" else []
    assert [path for path, _ in told if not path.endswith(".env")] == [*named, str(tmp_path)]


def test_what_could_not_be_looked_at_is_said_and_alarms_nobody(monkeypatch, capsys) -> None:
    with subprocess.Popen([sys.executable, "-c", "input()"], env={"OPENAI_API_KEY": KEY}, stdin=-1) as process:
        monkeypatch.setattr(visitor, "unit", lambda pid: "app.service" if pid == process.pid else "")
        monkeypatch.setenv("PATH", "/nonexistent")
        monkeypatch.setenv("COLUMNS", "300")
        while not visitor.environment(process.pid):  # not executed yet
            time.sleep(0.05)
        codes = [main(["census", "app.service"]), main(["census", "app.service", "--json"])]
        process.communicate(b"")
    shown, _, told = capsys.readouterr().out.rstrip().rpartition("\n")
    assert codes == [0, 0]
    (place,) = json.loads(told)["places"]
    assert place["unread"] == [
        {"source": "the files of app.service", "why": "`systemctl show` fails there, or knows no such unit"}
    ]
    assert (
        "Nothing suspicious in what could be read; not looked at: the files of app.service (`systemctl show`" in shown
    )
    assert "every process was started with the same key" not in shown


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["pid:²"], "is no process id"),
        (["pid:x"], "'x' is no process id"),
        (["4194305"], "No process 4194305 runs here"),
        (["nowhere.service"], "No process of nowhere.service runs here"),
        (["1", "--secret", "/nowhere"], "/nowhere"),
    ],
)
def test_what_cannot_be_looked_at(words, told, capsys) -> None:
    assert main(["census", *words]) == 2
    assert told in capsys.readouterr().err


def test_without_an_engine(monkeypatch, capsys) -> None:
    monkeypatch.setenv("DOCKER_HOST", "unix:///nonexistent.sock")
    assert main(["census", "container:web"]) == 2
    assert "No container engine answers" in capsys.readouterr().err
