"""Starts of Celery's worker: by itself, beside a web server, or one of two that a script chooses from."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from pytest_llamakey.guess.shell_commands import commands_in

if TYPE_CHECKING:
    from pytest_llamakey.guess.fields import Draft
    from tests.guess.conftest import Project

TASKS = """import os
from celery import Celery
celery = Celery("tasks", broker=os.environ["BROKER_URL"])
@celery.task
def summarize(text):
    return llm.complete(text)
"""
WEB = "from flask import Flask\napp = Flask(__name__)\n@app.post('/ask')\ndef ask():\n    return llm.complete('x')\n"
TASK = {"app": "tasks", "name": "tasks.summarize", "args": ["ping"]}


def offered(made: Draft) -> set[str]:
    """The fields that stand behind a ``#``."""
    return {each.name for each in made.fields if not each.sure}


@pytest.mark.parametrize(
    ("options", "workers"),
    [
        ("--concurrency 3", 3),
        ("--concurrency=3", 3),
        ("-c 3", 3),
        ("-c3 -w 9", 3),
        ("--autoscale=4,1", 4),
        ("-P threads -c 8", 1),
        ("--loglevel INFO", None),
    ],
)
def test_an_image_that_starts_a_worker(project: Project, options: str, workers: int | None) -> None:
    dockerfile = f"FROM x\nENV WEB_CONCURRENCY=7\nCMD exec python -m celery -A tasks worker {options}\n"
    made = project(Dockerfile=dockerfile, tasks_DOT_py=TASKS, web_DOT_py=WEB)
    assert made.runtime == "docker"
    assert (made.get("task"), made.get("request"), made.get("ready"), made.get("port")) == (TASK, None, None, None)
    assert made.get("command")[:3] == ["python", "-m", "celery"]
    assert made.get("workers") == workers
    assert {"port", "ready", "request"}.isdisjoint(offered(made))
    assert "services" in offered(made)
    assert not any("needs BROKER_URL" in line for line in made.open)
    assert any('BROKER_URL = "redis://{redis}/0"' in line for line in made.open)


SCRIPT = (
    "#!/bin/sh\ncelery --app tasks worker \\\n  {options} &\nexec gunicorn web:app --workers ${{WORKERS:-2}} {more}\n"
)


@pytest.mark.parametrize(
    ("options", "more", "workers"), [("-c 3", "-b :$PORT", 5), ("", "-b :$PORT", None), ("-c 3", "-c conf.py", 5)]
)
def test_a_script_that_starts_both(project: Project, options: str, more: str, workers: int | None) -> None:
    made = project(
        Dockerfile='FROM x\nEXPOSE 80\nCMD ["./start.sh"]\n',
        start_DOT_sh=SCRIPT.format(options=options, more=more),
        tasks_DOT_py=TASKS,
        web_DOT_py=WEB,
    )
    assert (made.get("task"), made.get("request")) == (TASK, {"method": "POST", "path": "/ask"})
    assert made.get("workers") == workers
    if workers:
        assert [each.why for each in made.fields if each.name == "workers"] == [
            "start.sh: 3 of celery and 2 of gunicorn"
        ]


def test_a_script_that_brings_its_broker_needs_no_service(project: Project) -> None:
    script = "redis-server --port 6379 &\n" + SCRIPT.format(options="-c 3", more="")
    made = project(Procfile="web: ./start.sh\n", start_DOT_sh=script, tasks_DOT_py=TASKS, web_DOT_py=WEB)
    assert made.get("task") == TASK
    assert "services" not in offered(made)


@pytest.mark.parametrize(
    ("script", "task", "asked", "workers"),
    [
        ("python check.py\ncelery -A tasks worker -c 3 &\ncelery -A tasks beat &\nwait\n", TASK, False, 3),
        ("celery -A tasks worker -c 3 --detach\nsleep 1\nexec gunicorn -w 2 web:app\n", TASK, True, 5),
        ("celery -A tasks worker -c 3 &\nexec python web.py\n", TASK, True, None),
        ("python web.py &\nexec celery -A tasks worker -c 3\n", TASK, True, None),
        ("export WEB_CONCURRENCY=4\nexec gunicorn web:app\n", None, True, 4),
    ],
)
def test_what_a_script_runs_at_the_same_time(
    project: Project, script: str, task: object, asked: bool, workers: int | None
) -> None:
    made = project(Procfile="web: ./start.sh\n", start_DOT_sh=script, tasks_DOT_py=TASKS, web_DOT_py=WEB)
    assert made.get("task") == task
    assert (made.get("request") is not None, made.get("workers")) == (asked, workers)


def test_a_script_that_starts_one_or_the_other_says_no_number(project: Project) -> None:
    script = 'case "$1" in\n  web) exec gunicorn -w 2 web:app ;;\n  jobs) exec celery -A tasks worker -c 3 ;;\nesac\n'
    made = project(
        Dockerfile='FROM x\nEXPOSE 80\nENTRYPOINT ["./start.sh"]\nCMD ["web"]\n',
        start_DOT_sh=script,
        tasks_DOT_py=TASKS,
        web_DOT_py=WEB,
    )
    assert made.get("workers") is None
    assert made.get("task") is None
    assert "task" in offered(made)


def test_a_number_of_celerys_is_none_of_gunicorns(project: Project) -> None:
    made = project(Procfile="web: gunicorn web:app --concurrency 9 -c 9\n", web_DOT_py=WEB)
    assert made.get("workers") == 1


def test_the_lines_of_a_procfile(project: Project) -> None:
    procfile = "web: gunicorn -w 2 web:app\njobs: celery -A tasks worker -c 3\nbeat: celery -A tasks beat\n"
    made = project(Procfile=procfile, tasks_DOT_py=TASKS, web_DOT_py=WEB)
    assert (made.get("workers"), made.get("task")) == (2, None)
    (told,) = [line for line in made.also if line.startswith("Procfile:2 jobs runs Celery")]
    assert 'command = ["celery", "-A", "tasks", "worker", "-c", "3"]' in told
    made = project(Procfile=procfile.partition("\n")[2])
    assert (made.get("workers"), made.get("task")) == (3, TASK)


def test_a_web_server_that_hands_its_work_on_is_not_what_is_asked(project: Project) -> None:
    hands = WEB.replace("return llm.complete('x')", "return {'id': summarize.delay('x').id}, 202")
    web = hands.replace("app =", "from tasks import summarize\napp =")
    procfile = "web: gunicorn -w 2 web:app\nworker: celery -A tasks worker -c 3\n"
    made = project(Procfile=procfile, tasks_DOT_py=TASKS, web_DOT_py=web)
    assert (made.get("workers"), made.get("task"), made.get("request")) == (3, TASK, None)
    (told,) = [line for line in made.also if "hands its work on" in line]
    assert told.startswith("web.py:5 hands its work on: a [[deployment]] with command = ")
    assert told.endswith("(Procfile:1 web) needs no request")


def test_a_task_that_is_not_found_is_open(project: Project) -> None:
    made = project(Procfile="jobs: celery --app=shop.jobs worker\n")
    (task,) = [each.value for each in made.fields if each.name == "task"]
    assert task == {"app": "shop.jobs", "name": "shop.jobs.NAME", "args": ["ping"]}
    assert made.get("task") is None
    assert any(line.startswith("task: no Celery task was found") for line in made.open)


@pytest.mark.parametrize(
    "into",
    ["2>&1", "&> log", ">>/var/log/celery 2>&1", ">&2", "1>log 2>&-"],
)
def test_where_the_output_goes_is_no_other_command(project: Project, into: str) -> None:
    made = project(Procfile=f"jobs: exec celery -A tasks worker -c 3 {into}\n", tasks_DOT_py=TASKS)
    assert (made.get("workers"), made.get("task"), made.get("port")) == (3, TASK, None)
    assert not {"port", "ready", "request"} & {each.name for each in made.fields}


def test_a_sign_in_quotes_is_part_of_the_word(project: Project) -> None:
    made = project(Procfile="web: gunicorn -n 'a>b&c' -w 2 web:app 2>&1\n", web_DOT_py=WEB)
    assert made.get("workers") == 2
    assert [each.words for each in commands_in("a 'b > c & d' e\\>f 2x>g h2 <<< i")] == [
        ("a", "b > c & d", "e>f", "2x", "h2")
    ]
    for into in (">| log", '2> "b & c"', "</dev/null >log"):
        assert [each.words for each in commands_in(f"a {into}&")] == [("a",)]
