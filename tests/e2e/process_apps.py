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
    return run_folder(folder, folder, **fields)


def run_folder(folder: Path, root: Path, patience: float = 60.0, **fields: Any) -> DeploymentReport:
    """Boot what lies in ``folder`` as plain processes, drive it, and report it as seen from ``root``.

    ``patience`` are the seconds in which it has to be ready.
    """
    workshop = Workshop(Options("process", (), None, None, {}, patience, keep=False), Defaults(), root, "test")
    try:
        deployment = keywords.target(folder, root, Defaults(), **fields)
        return run(workshop, deployment, deployment.checks, lambda _line: None).report
    finally:
        workshop.close()


def workers(report: DeploymentReport) -> list[WorkerReport]:
    """Its workers, each of which is the delivered key's."""
    found = [process for replica in report.replicas for process in replica.workers if process.role == "worker"]
    assert {worker.key for worker in found} == {"match"}, report
    return found


def driven(report: DeploymentReport) -> list[list[str]]:
    """For each worker, what led to its calls since it has served, after it was seen that nothing is wrong."""
    assert (report.verdict, report.causes, report.error) == ("pass", (), ""), report
    return [_driven(worker) for worker in workers(report)]


def helped(report: DeploymentReport) -> list[list[str]]:
    """The same for each process that makes calls for the workers."""
    helpers = [process for replica in report.replicas for process in replica.workers if process.role == "helper"]
    return [calls for helper in helpers if (calls := _driven(helper))]


def _driven(process: WorkerReport) -> list[str]:
    return [call.via for call in process.calls if call.via not in {"rollcall", "startup"}]
