"""Celery with a real Redis: every kind of pool, each process of it exactly once."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from process_apps import driven, run_app, workers

if TYPE_CHECKING:
    from pytest_llamakey.report.model import DeploymentReport

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]

TASKS = """\
import os

from celery import Celery

from model import complete

celery = Celery("tasks", broker=os.environ["BROKER"])
celery.conf.beat_schedule = {"tick": {"task": "tasks.tick", "schedule": 0.5}}


@celery.task(name="tasks.ask", queue="questions")
def ask(question, *, style="short"):
    return complete(question + style)


@celery.task(name="tasks.tick")
def tick():
    return None


@celery.task(name="tasks.fail", queue="questions")
def fail():
    return {}["index"]
"""
CELERY = ["celery", "-A", "tasks", "worker", "-Q", "questions,celery", "--loglevel", "INFO"]
REDIS = {"port": 6379, "command": ["redis-server", "--port", "{port}", "--save", ""]}


@pytest.fixture
def celery(tmp_path: Path, need_redis: None) -> Any:
    """Runs a Celery worker with these arguments."""

    def run(*arguments: str, files: dict[str, str] | None = None, **fields: Any) -> DeploymentReport:
        given = {
            "command": [*CELERY, *arguments],
            "services": {"redis": REDIS},
            "env": {"BROKER": "redis://{redis}/0"},
            "task": {"app": "tasks:celery", "name": "tasks.ask", "args": ["ping"], "kwargs": {"style": "long"}},
            **fields,
        }
        return run_app(tmp_path, {"tasks.py": TASKS, **(files or {})}, **given)

    return run


@pytest.fixture(scope="module")
def samples(run_llamakey, need_redis):
    """The pair as plain processes; in containers it is run with those of the other runtimes."""
    folder = "sample_images/runtimes/celery"
    return run_llamakey(f"{folder}/right", f"{folder}/broken", "--llamakey-runtime", "process")


def test_web_and_worker_of_one_app(samples):
    assert samples.code == 0, samples.output
    right, broken = (
        next(each for each in samples.report["deployments"] if f"/{half}/" in each["id"])
        for half in ("right", "broken")
    )
    for deployment in (right, broken):
        assert deployment["seen_workers"] == deployment["expected_workers"] == 5
        assert deployment["outcome"] == "passed"
    rows = [worker for worker in right["replicas"][0]["workers"] if worker["role"] == "worker"]
    driven = [[call["via"] for call in worker["calls"] if call["via"] != "rollcall"] for worker in rows]
    assert sorted(driven) == [["request"]] * 2 + [["task"]] * 3
    (finding,) = broken["findings"]
    assert (finding["cause"], finding["where"][:2]) == ("dotenv-partial", ["web.py:5", "tasks.py:10"])
    assert len(finding["workers"]) == 3
    assert {name for name, outcome in broken["checks"].items() if outcome == "failed"} >= {"keyed", "wire", "parity"}


# Web and worker of one app that are started apart: by two commands, and as two services of one project.
APART = """\
[[deployment]]
name = "web"
WEB
request = { method = "POST", path = "/ask", json = { q = "ping" } }
ready = "/health"
workers = 2
key = "dotenv:.env"

[[deployment]]
name = "worker"
WORKER
task = { app = "tasks", name = "tasks.summarize", args = ["ping"] }
workers = 3
key = "dotenv:.env"
expect = ["dotenv-partial"]
"""
COMMANDS = {
    "WORKER": 'runtime = "process"\ncommand = ["celery", "-A", "tasks", "worker", "--concurrency", "3"]',
    "WEB": 'runtime = "process"\ncommand = ["uvicorn", "web:app", "--workers", "2", "--port", "{port}"]',
}
BROKER = """
env = { CELERY_BROKER_URL = "redis://{redis}/0" }
services = { redis = { port = 6379, command = ["redis-server", "--port", "{port}", "--save", ""] } }"""
SERVICES = {
    "WORKER": 'compose = "compose.yaml"\nservice = "worker"',
    "WEB": 'compose = "compose.yaml"\nservice = "web"',
}
COMPOSE = """\
x-app: &app
  build: .
  environment: {CELERY_BROKER_URL: "redis://redis:6379/0"}
  volumes: ["./.env:/app/.env:ro"]
  depends_on: [redis]
services:
  web:
    <<: *app
    command: gunicorn web:app -w 2 -k uvicorn_worker.UvicornWorker -b 0.0.0.0:8000
    ports: ["8000"]
  worker:
    <<: *app
    command: celery -A tasks worker --concurrency 3
  redis:
    build: redis
    command: redis-server --protected-mode no --save ""
"""


@pytest.mark.parametrize("runtime", ["process", pytest.param("compose", marks=pytest.mark.engine)])
def test_the_web_works_and_the_worker_that_is_started_apart_has_no_key(run_llamakey, need_redis, tmp_path, runtime):
    folder = tmp_path / "app"
    shutil.copytree(ROOT / "sample_images/runtimes/celery/broken", folder)
    (tmp_path / "pytest.ini").write_text("[pytest]\n")
    text = APART
    for name in ("WORKER", "WEB"):
        text = text.replace(name, COMMANDS[name] + BROKER if runtime == "process" else SERVICES[name])
    (folder / "llamakey.toml").write_text(text)
    if runtime == "compose":
        (folder / "compose.yaml").write_text(COMPOSE)
    run = run_llamakey("--rootdir", str(tmp_path), "-c", str(tmp_path / "pytest.ini"), str(folder), "-n", "2")
    assert run.code == 0, run.output
    web, worker = sorted(run.report["deployments"], key=lambda each: each["name"])
    assert (web["verdict"], web["causes"], web["seen_workers"]) == ("pass", [], 2), run.output
    assert web["checks"]["parity"] == "passed"
    assert (worker["verdict"], worker["causes"], worker["seen_workers"]) == ("fail", ["dotenv-partial"], 3), run.output
    assert {worker["checks"][name] for name in ("keyed", "wire", "parity")} == {"failed"}
    (finding,) = worker["findings"]
    assert finding["where"][0] == "tasks.py:10", finding
    assert len(finding["workers"]) == 3


def test_children_that_are_replaced_after_each_task(celery):
    report = celery("--concurrency", "2", "--max-tasks-per-child", "1", workers=2)
    calls = driven(report)
    assert report.seen_workers == 2
    assert [each for each in calls if each] == [["task"]] * 4, "two children, and the two in their place"
    assert len(calls) == 6, "the last two were not asked: that would be without end"


def test_children_that_come_with_the_tasks(celery):
    assert driven(celery("--autoscale", "3,1", workers=3)) == [["task"]] * 3


def test_solo(celery):
    assert driven(celery("--pool", "solo")) == [["task"]]


def test_threads(celery):
    assert driven(celery("--pool", "threads", "--concurrency", "4")) == [["task"]]


def test_two_workers_and_a_beat_of_one_queue(celery):
    script = "\n".join(
        (
            "#!/bin/sh",
            "celery -A tasks beat &",
            f"{' '.join(CELERY)} -n one --pool solo &",
            f"exec {' '.join(CELERY)} -n two --concurrency 2",
        )
    )
    report = celery(command=["sh", "start.sh"], files={"start.sh": script}, workers=3)
    assert driven(report) == [["task"]] * 3
    assert not any(" beat" in worker.command for worker in workers(report))


def test_a_task_that_fails_before_the_call_is_named_with_its_line(celery):
    report = celery("--pool", "solo", task={"app": "tasks", "name": "tasks.fail"})
    (finding,) = report.findings
    assert finding.cause == "worker-silent"
    assert any("tasks.py:23" in line and "KeyError" in line for line in finding.evidence)


def test_an_app_that_is_not_there_is_told(celery):
    report = celery("--pool", "solo", task={"app": "jobs", "name": "tasks.ask"})
    assert report.verdict == "error"
    assert "the task's app could not be imported: builtins.ModuleNotFoundError: No module named 'jobs'" in report.error
