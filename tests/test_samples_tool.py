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
    file = tmp_path / "report.json"
    file.write_text(json.dumps({"deployments": report}))
    monkeypatch.setattr(sys, "argv", ["samples", str(file)])
    assert samples.main() == code
    assert f"{told} samples did as they should" in capsys.readouterr().out
