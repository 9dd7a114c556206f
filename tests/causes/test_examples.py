from __future__ import annotations

import inspect
import re
import runpy
from pathlib import Path

import openai
import pytest

from pytest_llamakey import facts as facts_module
from pytest_llamakey.causes import Cause, causes, diagnose
from pytest_llamakey.causes.base import Example
from pytest_llamakey.checks import judge
from pytest_llamakey.cli import main
from pytest_llamakey.spec.model import ALL_CHECKS, CAUSES
from pytest_llamakey.symptoms import all_symptoms

EVERY = [(cause, example) for cause in causes() for example in cause.EXAMPLES]


def _id(case: object) -> str:
    return case.name if isinstance(case, Cause) else case.title if isinstance(case, Example) else str(case)


@pytest.mark.parametrize(("cause", "example"), EVERY, ids=_id)
def test_an_example_is_found_or_not_as_it_says(cause: Cause, example: Example) -> None:
    findings = diagnose(example.facts)
    if example.found:
        assert {finding.cause for finding in findings} == {cause.name}, "one thing that went wrong, one cause"
    else:
        assert cause.name not in {finding.cause for finding in findings}
    assert bool(findings) == bool(all_symptoms(example.facts)), "a finding where nothing is wrong, or none where it is"


@pytest.mark.parametrize(("cause", "example"), EVERY, ids=_id)
def test_checks_fail_exactly_together_with_findings(cause: Cause, example: Example) -> None:
    findings = diagnose(example.facts)
    results = judge(example.facts, findings, ALL_CHECKS)
    assert {r.name for r in results if r.outcome == "failed"} == {r.name for r in results if r.findings}
    assert {f.check for f in findings} <= {r.name for r in results if r.outcome == "failed"}
    assert {f for r in results for f in r.findings} == set(findings)


@pytest.mark.parametrize(("cause", "example"), EVERY, ids=_id)
def test_the_same_is_found_in_facts_that_were_stored(cause: Cause, example: Example) -> None:
    stored = facts_module.from_json(facts_module.to_json(example.facts))
    assert diagnose(stored) == diagnose(example.facts)


@pytest.mark.parametrize("cause", causes(), ids=_id)
def test_a_cause_is_complete(cause: Cause) -> None:
    assert cause.name in CAUSES
    assert cause.explains
    assert {example.found for example in cause.EXAMPLES} == {True, False}
    page = inspect.cleandoc(type(cause).__doc__ or "")
    assert "What you see" in page
    assert "\n    " in page, "the page shows no pattern"
    for example in cause.EXAMPLES:
        for finding in diagnose(example.facts):
            assert finding.fix.endswith(".")
            assert finding.evidence


def test_every_cause_of_the_vocabulary_has_its_file() -> None:
    assert {cause.name for cause in causes()} == set(CAUSES)


CAUSES_PAGES = runpy.run_path(str(Path(__file__).parents[2] / "tools" / "causes_pages.py"))


def test_the_pages_are_made_of_the_docstrings() -> None:
    made = CAUSES_PAGES["pages"]()
    assert {path.name for path in (CAUSES_PAGES["DOCS"] / "causes").glob("*.md")} == {f"{name}.md" for name in CAUSES}
    for path, text in made.items():
        assert path.read_text(encoding="utf-8") == text, "write it anew: python tools/causes_pages.py"


@pytest.mark.parametrize(
    "message",
    [
        "Incorrect API key provided", "Illegal header value b'Bearer '", "No API key found", "Missing credentials",
        "You didn't provide an API key", "The api_key client option must be set",
    ],
)  # fmt: skip
def test_an_error_message_is_found_in_titles(message: str) -> None:
    made = CAUSES_PAGES["pages"]()
    assert [path for path, text in made.items() if path.parent.name == "causes" and message in text.splitlines()[0]]
    assert re.search(rf"^## {re.escape(message)}", made[CAUSES_PAGES["DOCS"] / "errors.md"], re.MULTILINE)


@pytest.mark.parametrize("name", ["client-before-env", "key-missing", "key-overwritten"])
def test_the_page_of_an_absent_key_has_what_the_openai_client_says(
    name: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for variable in ("OPENAI_API_KEY", "OPENAI_ADMIN_KEY"):
        monkeypatch.delenv(variable, raising=False)
    with pytest.raises(openai.OpenAIError) as raised:
        openai.OpenAI()
    assert main(["explain", name]) == 0
    assert str(raised.value).partition(". ")[0] in capsys.readouterr().out


@pytest.mark.parametrize("cause", causes(), ids=_id)
def test_a_page_is_printed(cause: Cause, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["explain", cause.name]) == 0
    printed = capsys.readouterr().out
    assert printed.startswith(f"{cause.name}: {cause.title}\n\n")
    assert max(map(len, printed.splitlines())) <= 120
