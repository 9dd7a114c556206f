"""Whatever lines people have real keys in, no key is printed or written."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from pytest_llamakey.cli import main

if TYPE_CHECKING:
    from pathlib import Path

    from tests.guess.conftest import Project

KEYS = ["sk-proj-9fK3xQ7vLm2Zt8Rb4Wn6xYzA1cD-Ef5Gh_7Jk", "9f3c2b1a8d7e6f5049382716a5b4c3d2"]
LINES = [
    "OPENAI_API_KEY=KEY gunicorn app:app",
    "/usr/bin/env LLM_API_KEY=KEY gunicorn app:app",
    "gunicorn app:app --api-key KEY",
    "gunicorn app:app --api-key=KEY --bind :$PORT",
    "gunicorn app:app https://KEY@host/KEY?a=KEY",
    "/opt/KEY/gunicorn app:app -c /srv/KEY",
    "celery -A tasks worker --env OPENAI_API_KEY=KEY",
    "python main.py -e AZURE_OPENAI_API_KEY=KEY",
]
WEB = "web: gunicorn app:app\n"
IMAGE = 'FROM x\nEXPOSE 80\nCMD ["/lib/systemd/systemd"]\n'
UNIT = "[Service]\nExecStart=LINE\n"
SERVICE = "services:\n  web:\n    build: .\n    command: "
FILES: dict[str, dict[str, str]] = {
    "Procfile": {"Procfile": "web: LINE\n"},
    "another process of the Procfile": {"Procfile": f"{WEB}worker: LINE\n"},
    "unit": {"app.service": UNIT},
    "unit of an image": {"Dockerfile": IMAGE, "app.service": f"{UNIT}PassEnvironment=OPENAI_API_KEY=KEY\n"},
    "what a unit passes": {"app.service": f"{UNIT}PassEnvironment=OPENAI_API_KEY=KEY\n"},
    "what a unit sets": {"app.service": f"{UNIT}Environment=OPENAI_API_KEY=KEY\nLoadCredential=KEY:/k\n"},
    "Dockerfile": {"Dockerfile": "FROM x\nEXPOSE 80\nENV OPENAI_API_KEY=KEY\nCMD LINE\n"},
    "Dockerfile in exec form": {"Dockerfile": "FROM x\nEXPOSE 80\nENTRYPOINT WORDS\n"},
    "a shell of a Dockerfile's": {"Dockerfile": 'FROM x\nEXPOSE 80\nCMD ["sh", "-c", "LINE; sleep 1"]\n'},
    "script of a task runner": {"pyproject.toml": '[tool.poe.tasks]\ndev = "LINE"\n'},
    "another script": {"Procfile": WEB, "pyproject.toml": '[tool.pdm.scripts]\ndev = {cmd = "LINE"}\n'},
    "compose file": {"compose.yaml": f"{SERVICE}LINE\n    environment: {{ OPENAI_API_KEY: KEY }}\n"},
    "compose file beside": {"Dockerfile": "FROM x\nCMD LINE\n", "compose.yaml": f"{SERVICE}LINE\n"},
    "start script": {"Procfile": "web: ./start.sh KEY\n", "start.sh": "export OPENAI_API_KEY=KEY\nexec LINE\n"},
}  # fmt: skip


@pytest.mark.parametrize("key", KEYS)
@pytest.mark.parametrize("line", LINES)
@pytest.mark.parametrize("files", FILES.values(), ids=FILES)
def test_no_key_is_shown(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], files: dict[str, str], line: str, key: str
) -> None:
    for name, text in files.items():
        filled = text.replace("LINE", line).replace("WORDS", json.dumps(line.split()))
        (tmp_path / name).write_text(_with_key(filled, key))
    main(["init", str(tmp_path)])
    written = tmp_path / "llamakey.toml"
    told = "".join(capsys.readouterr()) + (written.read_text() if written.exists() else "")
    assert "app" in told
    assert not [key[at : at + 16] for at in range(len(key) - 15) if key[at : at + 16] in told]


def _with_key(text: str, key: str) -> str:
    """``text`` with ``key`` where ``KEY`` stands by itself, and not in a variable's name."""
    return text.replace("_KEY", "_\0").replace("KEY", key).replace("_\0", "_KEY")


def test_a_command_without_the_key_that_is_set_before_it(project: Project) -> None:
    made = project(Procfile=f"web: PORT=8080 OPENAI_API_KEY={KEYS[0]} LOG=info exec gunicorn app:app\n")
    assert made.get("command") == ["gunicorn", "app:app", "--bind", "0.0.0.0:{port}"]
    assert made.get("env") == {"PORT": "{port}", "LOG": "info"}
    assert made.get("port") is None
    assert "command: Procfile:1 web sets OPENAI_API_KEY before it, which is not copied" in made.open


@pytest.mark.parametrize(
    "before", ["DB_PASSWORD=hunter2", "BROKER=amqp://guest:guest@mq", 'A={"b":1}', f"X={KEYS[1]}", f"X={KEYS[0]}"]
)
def test_what_may_be_secret_or_a_placeholder_is_not_copied(project: Project, before: str) -> None:
    made = project(Procfile=f"web: {before} gunicorn app:app\n")
    assert made.get("env") is None
    name = before.partition("=")[0]
    assert f"command: Procfile:1 web sets {name} before it, which is not copied" in made.open


def test_a_command_that_holds_a_key_is_left_open(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "Procfile").write_text(f"web: gunicorn app:app --token {KEYS[0]}\n")
    assert main(["init", str(tmp_path)]) == 0
    open_line = "command: a key stands in it (Procfile:1 web), which is not copied; write it without one"
    assert open_line in capsys.readouterr().out
    written = (tmp_path / "llamakey.toml").read_text()
    assert f"# open: {open_line}" in written
    assert '# command = ["gunicorn", "app:app", "--token", "<key>", ' in written
    assert "\ncommand = " not in written


def test_what_is_no_key_stays_as_it_is(project: Project) -> None:
    tasks = "@app.task\ndef generateEmbeddingsV2(text):\n    return openai.chat.completions.create()\n"
    tasks = f"import celery, openai\napp = celery.Celery()\n{tasks}"
    made = project(Procfile="jobs: celery -A tasks worker\n", tasks_DOT_py=tasks)
    assert made.get("task")["name"] == "tasks.generateEmbeddingsV2"
    store = "/nix/store/9f3c2b1a8d7e6f5049382716a5b4c3d2-app/conf.py"
    made = project(Procfile=f"web: gunicorn app:app --api-key $KEY --token -c {store} --bind 0.0.0.0:80\n")
    (command,) = [each.value for each in made.fields if each.name == "command"]
    assert f"--api-key $KEY --token -c {store}" in command[2]
    made = project(Procfile=f"web: gunicorn app:app --api-key EMPTY --token -c {store}\n")
    assert made.get("command")[:7] == ["gunicorn", "app:app", "--api-key", "EMPTY", "--token", "-c", store]
