"""What ``make samples`` makes of a report."""

from __future__ import annotations

import copy
import json
import sys
from typing import TYPE_CHECKING, Any

import pytest

from tools import samples

if TYPE_CHECKING:
    from pathlib import Path


def deployment(*, calls: tuple[int, int] = (1, 1), credential: str = "match", **fields: Any) -> dict[str, Any]:
    call = {"via": "request", "header": "authorization", "credential": credential, "status": 200}
    at_start = {**call, "via": "startup"}
    workers = [{"role": "worker", "calls": [at_start, *copy.deepcopy([call] * number)]} for number in calls]
    return {
        "id": "sample_images/shop/llamakey.toml::shop",
        "name": "shop",
        "runtime": "process",
        "seen_workers": 2,
        "expected_workers": 2,
        "causes": [],
        "expected": [],
        "verdict": "pass",
        "outcome": "passed",
        "replicas": [{"workers": [{"role": "main", "calls": []}, *workers]}],
        **fields,
    }


def shelf(root: Path, monkeypatch: pytest.MonkeyPatch, report: Any, *names: str, **lines: str) -> None:
    """Samples below ``root``, and a command line that names the report of a run of them as processes."""
    for name, more in {**dict.fromkeys(names, ""), **lines}.items():
        folder = root / "sample_images" / name
        folder.mkdir(parents=True)
        (folder / "Dockerfile").write_text("FROM x\n")
        (folder / "llamakey.toml").write_text(f'[[deployment]]\ncommand = ["python", "app.py"]\nport = 8000\n{more}')
    (root / "report.json").write_text(json.dumps({"deployments": report}))
    monkeypatch.setattr(samples, "ROOT", root)
    monkeypatch.setattr(sys, "argv", ["samples", str(root / "report.json"), "process"])


BROKEN = {"causes": ["key-missing"], "expected": ["key-missing"], "verdict": "fail"}


@pytest.mark.parametrize(
    ("one", "told"),
    [
        (deployment(), []),
        (deployment(**BROKEN, calls=(0, 0)), []),
        (deployment(**BROKEN, seen_workers=0, error="the pod does not run"), []),
        (deployment(**BROKEN, seen_workers=0), ["0 of 2 workers"]),
        (deployment(name="embedding", calls=(2, 2)), []),
        (deployment(seen_workers=1), ["1 of 2 workers", "2 calls, 1 are to be made"]),
        (deployment(calls=(2, 0)), ["workers made different numbers of calls: [0, 2]"]),
        (deployment(calls=(1, 2)), ["3 calls, 2 are", "workers made different"]),
        (deployment(calls=(1, 1), credential="empty"), ["a call with authorization: empty"] * 2),
        (deployment(**{**BROKEN, "causes": ["key-missing", "worker-silent"]}), ["'worker-silent'], expected"]),
        (deployment(verdict="error", outcome="failed", error="no\nport"), ["verdict error, outcome failed no"]),
    ],
)
def test_what_is_not_as_it_is_to_be(one: dict[str, Any], told: list[str]) -> None:
    found = list(samples.wrong(one))
    assert len(found) == len(told)
    assert all(part in line for part, line in zip(told, found, strict=True))


@pytest.mark.parametrize(
    ("report", "code", "told"),
    [([deployment()], 0, "1 of 1"), ([deployment(), deployment(seen_workers=1)], 1, "1 of 2"), ([], 1, "0 of 0")],
)
def test_the_exit_code(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    report: Any,
    code: int,
    told: str,
) -> None:
    shelf(tmp_path, monkeypatch, report, "shop")
    assert samples.main() == (1 if not report else code)
    told_of = capsys.readouterr().out
    assert f"{told} samples did as they should" in told_of
    assert ("left out" in told_of) == (not report)


@pytest.mark.parametrize("ci", ["", "true"])
def test_a_sample_that_the_run_has_left_out_is_told_and_a_failure_in_ci(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], ci: str
) -> None:
    shelf(tmp_path, monkeypatch, [deployment()], "shop", "runtimes/celery/right", baked='only_in = "docker"\n')
    monkeypatch.setenv("CI", ci)
    assert samples.main() == bool(ci)
    told = capsys.readouterr().out
    assert "1 of 1 samples did as they should\n1 more were left out" in told
    assert "sample_images/runtimes/celery/right/llamakey.toml::right" in told
    assert "baked" not in told  # it means nothing as a process


def test_what_has_its_meaning_in_containers_alone_is_missed_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shelf(tmp_path, monkeypatch, [], baked='only_in = "docker"\n')
    assert samples.left_out([], "process", tmp_path) == []
    assert samples.left_out([], "docker", tmp_path) == ["sample_images/baked/llamakey.toml::baked"]
