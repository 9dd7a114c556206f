"""Tiny apps for runs of the whole street in the process runtime: real servers, and a client that is quick to import."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pytest_llamakey.options import Options
from pytest_llamakey.run import run
from pytest_llamakey.spec import keywords
from pytest_llamakey.spec.model import Defaults
from pytest_llamakey.workshop import Workshop

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from pytest_llamakey.report.model import DeploymentReport, WorkerReport

MODEL = """\
from openai import OpenAI

client = OpenAI()


def complete(question):
    answer = client.chat.completions.create(model="gpt-4o", messages=[{"role": "user", "content": question}])
    return answer.choices[0].message.content
"""


def run_app(folder: Path, files: Mapping[str, str], **fields: Any) -> DeploymentReport:
    """Boot an app of these files and ``model.py``, drive it, and report as ``pytest --llamakey`` does."""
    for name, text in {"model.py": MODEL, **files}.items():
        (folder / name).write_text(text)
    workshop = Workshop(Options("process", (), None, None, {}, 60.0, keep=False), Defaults(), folder, "test")
    try:
        deployment = keywords.target(folder, folder, Defaults(), **fields)
        return run(workshop, deployment, deployment.checks, lambda _line: None).report
    finally:
        workshop.close()


def workers(report: DeploymentReport) -> list[WorkerReport]:
    """Its workers, each of which is the delivered key's."""
    found = [process for replica in report.replicas for process in replica.workers if process.role == "worker"]
    assert {worker.key for worker in found} == {"match"}, report
    return found


def driven(report: DeploymentReport) -> list[list[str]]:
    """For each worker, what led to its calls, after it was seen that nothing is wrong."""
    assert (report.verdict, report.causes, report.error) == ("pass", (), ""), report
    return [[call.via for call in worker.calls if call.via != "rollcall"] for worker in workers(report)]
