"""The work of judging and reporting grows with the pods and no faster: counted in calls, not in seconds."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from benchmarks.large import enlarged
from pytest_llamakey.causes import causes, diagnose
from pytest_llamakey.causes.recorded import MISSING, app, keyless, main_process, worker
from pytest_llamakey.checks import judge
from pytest_llamakey.facts import to_json
from pytest_llamakey.report import github, item, json_report, terminal
from pytest_llamakey.report.model import SCHEMA, Report, deployment_report
from pytest_llamakey.report.worker_table import MOST_ROWS
from pytest_llamakey.spec.model import ALL_CHECKS
from tests.counted import calls, grows_with_size

if TYPE_CHECKING:
    from pytest_llamakey.facts import Facts

WORKERS = 2
SIZES = (4, 8, 16)


class Counted(str):
    """A pod's name whose comparisons can be counted, also those that a tuple's ``in`` makes."""

    __slots__ = ()
    __hash__ = str.__hash__

    def __eq__(self, other: object) -> bool:
        return str.__eq__(self, other) is True

    def __ne__(self, other: object) -> bool:
        return not self == other


def of_size(facts: Facts, pods: int) -> Facts:
    large = enlarged(facts, pods, WORKERS)
    return replace(large, replicas=tuple(replace(each, id=Counted(each.id)) for each in large.replicas))


def told(facts: Facts) -> None:
    """Everything that is made of facts once they are there."""
    findings = diagnose(facts)
    report = deployment_report(facts, judge(facts, findings, ALL_CHECKS), findings)
    terminal.render(report, verbosity=1)
    json_report.to_json(Report(SCHEMA, "1", "2026-01-01T00:00:00Z", 1.0, None, (report,)))
    list(github.commands(report, Path(), Path()))
    github.summary([report])
    for check in report.checks:
        item.item_text(report, check, item.item_outcome(report, check)[1])
        item.properties(report, check)


BY_FILE = worker(
    key=MISSING,
    environment={},
    files={"/run/secrets/openai": "readable"},
    clients=(),
    calls=(),
    rollcall=(),
    drive=None,
)
SCENES = [
    pytest.param(app(), id="well"),
    pytest.param(app(main_process(), BY_FILE, delivered=("file:/run/secrets/openai",)), id="by a file, not read yet"),
] + [
    pytest.param(next(example.facts for example in cause.EXAMPLES if example.found), id=cause.name)
    for cause in causes()
]


@pytest.mark.parametrize("facts", SCENES)
def test_work_grows_with_the_pods_and_no_faster(facts: Facts) -> None:
    told(of_size(facts, 1))  # what is made once in a process is not counted
    assert grows_with_size(*(calls(partial(told, of_size(facts, pods))) for pods in SIZES))


def test_a_table_of_thousands_shows_whom_to_blame_and_says_what_it_leaves_out() -> None:
    fine = enlarged(app(), 200, WORKERS)
    last = fine.replicas[-1]
    ill = replace(last, processes=tuple(keyless(process.pid) for process in last.workers))
    facts = replace(fine, replicas=(*fine.replicas[:-1], ill))
    findings = diagnose(facts)
    report = deployment_report(facts, judge(facts, findings, ALL_CHECKS), findings)
    text = terminal.render(report, width=120)
    rows = [line for line in text.splitlines() if line.strip().startswith("web-1-")]
    assert len(rows) == MOST_ROWS
    assert sum(not row.endswith(" ok") for row in rows) == WORKERS
    assert f"and {200 * WORKERS - MOST_ROWS} more, all ok" in text


def test_what_was_worked_out_of_facts_is_none_of_their_fields() -> None:
    facts, same = app(keyless()), app(keyless())
    diagnose(facts)
    assert facts == same
    assert to_json(facts) == to_json(same)
