"""Healthy apps that are less tidy than samples: none may raise an alarm, none may have a worker missed."""

from __future__ import annotations

import pytest

CONFIG = """
[[deployment]]
runtime = "process"
command = {command}
ready = "/health"
request = {{ method = "POST", path = "/ask", json = {{ q = "ping" }} }}
workers = {workers}
"""
GUNICORN = '["gunicorn", "app:app", "--workers", "2", "--bind", "127.0.0.1:{port}"]'
FLASK = '["flask", "--app", "app", "run", "--port", "{port}"]'
HEAD = """
import threading, time
from concurrent.futures import ProcessPoolExecutor
from flask import Flask
from openai import OpenAI

app = Flask(__name__)


def call(_=None, **options):
    messages = [{"role": "user", "content": "ping"}]
    return OpenAI().chat.completions.create(model="gpt-4o-mini", messages=messages, **options)


@app.get("/health")
def health():
    return {"ok": True}

"""
ANSWERS = {
    "computes in a process pool that it forks": (
        "pool = None\n\n\n"
        '@app.post("/ask")\ndef ask():\n'
        "    global pool\n"
        "    pool = pool or ProcessPoolExecutor(2)\n"
        "    assert list(pool.map(abs, range(3))) == [0, 1, 2]\n"
        "    call()\n"
        '    return {"ok": True}\n'
    ),
    "calls from a process pool that it forks": (
        "pool = None\n\n\n"
        "def in_the_pool(_):\n    return call().choices[0].message.content\n\n\n"
        '@app.post("/ask")\ndef ask():\n'
        "    global pool\n"
        "    pool = pool or ProcessPoolExecutor(2)\n"
        '    return {"answer": list(pool.map(in_the_pool, [0]))}\n'
    ),
    "calls from a thread two seconds after it has answered": (
        '@app.post("/ask")\ndef ask():\n    threading.Timer(2, call).start()\n    return {"answer": "later"}\n'
    ),
    "answers slowly and streams": (
        '@app.post("/ask")\ndef ask():\n'
        "    time.sleep(3)\n"
        '    return {"answer": "".join(c.choices[0].delta.content or "" for c in call(stream=True) if c.choices)}\n'
    ),
}


@pytest.mark.slow
def test_no_false_alarm_and_nobody_missed(run_llamakey, tmp_path):
    for number, answer in enumerate(ANSWERS.values()):
        folder = tmp_path / f"app{number}"
        folder.mkdir()
        (folder / "app.py").write_text(HEAD + answer)
        (folder / "llamakey.toml").write_text(CONFIG.format(command=GUNICORN, workers=2))
    single = tmp_path / "single"
    single.mkdir()
    (single / "app.py").write_text(HEAD + ANSWERS["answers slowly and streams"])
    (single / "llamakey.toml").write_text(CONFIG.format(command=FLASK, workers=1))
    recycled = tmp_path / "recycled"
    recycled.mkdir()
    (recycled / "app.py").write_text(HEAD + ANSWERS["computes in a process pool that it forks"])
    once = GUNICORN.replace("]", ', "--max-requests", "1"]')
    (recycled / "llamakey.toml").write_text(CONFIG.format(command=once, workers=2))
    run = run_llamakey(str(tmp_path), "--rootdir", str(tmp_path))
    assert run.code == 0, run.output
    found = {deployment["name"]: deployment for deployment in run.report["deployments"]}
    assert len(found) == len(ANSWERS) + 2
    for name, deployment in found.items():
        assert deployment["verdict"] == "pass", (name, deployment["findings"])
        assert deployment["seen_workers"] == deployment["expected_workers"]
    (replica,) = found["recycled"]["replicas"]
    asked = [len(worker["calls"]) for worker in replica["workers"] if worker["drive"] == "called"]
    assert len(asked) == 2
