"""What the tests of findings ask of recorded facts."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pytest_llamakey.causes import diagnose

if TYPE_CHECKING:
    from pytest_llamakey.facts import Facts
    from pytest_llamakey.findings import Finding


def only(facts: Facts) -> Finding:
    findings = diagnose(facts)
    assert len(findings) == 1, findings
    return findings[0]


def causes_of(facts: Facts) -> list[str]:
    return [finding.cause for finding in diagnose(facts)]
