"""Files that code hosts show beside the lines of a change: SARIF 2.1.0, and GitLab's Code Quality report.

Formats: docs.oasis-open.org/sarif/sarif/v2.1.0, docs.gitlab.com/ci/testing/code_quality.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from pytest_llamakey.report.problems import UNJUDGED, problems
from pytest_llamakey.report.safe_text import safe, safe_lines

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    from pytest_llamakey.report.model import Report
    from pytest_llamakey.report.problems import Problem, Spot

_SCHEMA = "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json"


def write_sarif(report: Report, path: Path, root: Path, checkout: Path) -> None:
    """Write the SARIF file; ``root`` is where the report's paths begin, ``checkout`` where the file's do.

    Raises:
        OSError: it cannot be written.
    """
    _write(to_sarif(report, root, checkout), path)


def write_code_quality(report: Report, path: Path, root: Path, checkout: Path) -> None:
    """Write GitLab's file; arguments and errors as of :func:`write_sarif`."""
    _write(to_code_quality(report, root, checkout), path)


def _write(document: object, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(document, indent=2) + "\n", encoding="utf-8")


def to_sarif(report: Report, root: Path, checkout: Path) -> dict[str, Any]:
    """``report`` as a SARIF log: a result for each problem, a rule for each cause among them."""
    found = list(_problems(report, root))
    names = sorted({problem.name for problem in found})
    driver = {
        "name": "pytest-llamakey",
        "version": report.plugin,
        "rules": [_rule(name) for name in names],
    }
    run = {
        "tool": {"driver": driver},
        "invocations": [{"executionSuccessful": True, "startTimeUtc": report.started}],
        "columnKind": "unicodeCodePoints",
        "results": [_result(problem, names.index(problem.name), checkout) for problem in found],
    }
    return {"$schema": _SCHEMA, "version": "2.1.0", "runs": [run]}


def _problems(report: Report, root: Path) -> Iterator[Problem]:
    for deployment in report.deployments:
        yield from problems(deployment, root)


def _rule(name: str) -> dict[str, Any]:
    if name == UNJUDGED:
        return {"id": name, "shortDescription": {"text": "The deployment is not as it should be, or was not judged"}}
    return {
        "id": name,
        "shortDescription": {"text": f"A worker does not send the delivered key: {name}"},
        "help": {"text": f"python -m pytest_llamakey explain {name}"},
    }


def _result(problem: Problem, rule: int, checkout: Path) -> dict[str, Any]:
    places = _locations(problem.spots or (problem.described,), checkout)
    result: dict[str, Any] = {
        "ruleId": problem.name,
        "ruleIndex": rule,
        "level": "error",
        "message": {"text": _told(problem)},
        "partialFingerprints": {"llamakey/v1": problem.fingerprint},
    }
    if places:
        result["locations"] = places[:1]
        result["relatedLocations"] = [{"id": number, **place} for number, place in enumerate(places[1:], 1)]
    return result


def _told(problem: Problem) -> str:
    first, *others = safe_lines(problem.what)
    return "\n".join([f"{problem.name} ({safe(problem.deployment)}): {first}", *others, *map(safe, problem.evidence)])


def _locations(spots: Iterable[Spot | None], checkout: Path) -> list[dict[str, Any]]:
    found = []
    for spot in spots:
        file = spot.within(checkout) if spot else ""
        if spot and file:
            place: dict[str, Any] = {"artifactLocation": {"uri": quote(file), "uriBaseId": "%SRCROOT%"}}
            if spot.line:
                snippet = {"snippet": {"text": safe(spot.text)}} if spot.text else {}
                place["region"] = {"startLine": spot.line, **snippet}
            found.append({"physicalLocation": place})
    return found


def to_code_quality(report: Report, root: Path, checkout: Path) -> list[dict[str, Any]]:
    """``report`` as GitLab's list of issues; what stands in no file of the checkout has no place in that format."""
    return [
        {
            "description": f"{problem.name} ({safe(problem.deployment)}): {safe_lines(problem.what)[0]}",
            "check_name": problem.name,
            "fingerprint": problem.fingerprint,
            "severity": "critical",
            "location": {"path": file, "lines": {"begin": max(spot.line, 1)}},
        }
        for problem in _problems(report, root)
        for spot, file in _placed(problem, checkout)
    ]


def _placed(problem: Problem, checkout: Path) -> list[tuple[Spot, str]]:
    """The first spot of ``problem`` that lies in the checkout."""
    spots = [spot for spot in (*problem.spots, problem.described) if spot]
    return [(spot, file) for spot in spots if (file := spot.within(checkout))][:1]
