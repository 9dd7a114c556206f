"""The fix as a change of one line: it makes the fixed half of a pair of the broken one; elsewhere it is quiet."""

from __future__ import annotations

import difflib
from pathlib import Path

import pytest

from pytest_llamakey.causes import causes, diagnose
from pytest_llamakey.facts import Place
from pytest_llamakey.findings import Finding
from pytest_llamakey.mend import diff

PAIRS = Path(__file__).parent.parent / "sample_images" / "causes"
ENV = ("env:OPENAI_API_KEY",)


def mended(cause: str, text: str, *, file: str = "app.py", delivered: tuple[str, ...] = ENV, evidence: str = "") -> str:
    """The line that comes, or an empty string."""
    change = diff(Finding("wire", cause, where=(Place(file, 5, text),), evidence=(evidence,)), delivered)
    return "".join(line[1:] for line in change.splitlines()[3:] if line.startswith("+"))


@pytest.mark.parametrize(
    ("cause", "file"),
    [
        ("dotenv-shadowed", "app.py"),
        ("hardcoded-key", "app.py"),
        ("wrong-variable", "app.py"),
        ("variable-unset", "Dockerfile"),
        ("key-baked", "Dockerfile"),
    ],
)
def test_a_sample_pair_differs_by_the_change(cause: str, file: str) -> None:
    broken, fixed = ((PAIRS / cause / half / file).read_text().splitlines() for half in ("broken", "fixed"))
    changes = [line for line in difflib.ndiff(broken, fixed) if line.startswith("- ")]
    (text,) = [line[2:] for line in changes]
    line = broken.index(text) + 1
    evidence = ("OPENAI_KEY is looked up, and is not set",)
    change = diff(Finding("wire", cause, where=(Place(file, line, text),), evidence=evidence), ENV).splitlines()
    assert change[:2] == [f"--- {file}", f"+++ {file}"]
    assert change[3] == f"-{text}"
    after = [line[1:] for line in change[4:]]
    assert [*broken[: line - 1], *after, *broken[line:]] == fixed
    assert change[2] == (f"@@ -{line} +{line} @@" if after else f"@@ -{line} +{line - 1},0 @@")


@pytest.mark.parametrize(
    ("cause", "before", "after"),
    [
        ("dotenv-shadowed", "dotenv.load_dotenv(path)", "dotenv.load_dotenv(path, override=True)"),
        (
            "dotenv-shadowed",
            "    load_dotenv(override=False, encoding='x')",
            "    load_dotenv(encoding='x', override=True)",
        ),
        ("hardcoded-key", 'OpenAI("é", api_key="sk-…")  # é', 'OpenAI("é")  # é'),
        ("key-overwritten", "os.environ['OPENAI_API_KEY'] = a + b", "os.environ.setdefault('OPENAI_API_KEY', a + b)"),
    ],
)
def test_the_rest_of_the_line_stays(cause: str, before: str, after: str) -> None:
    assert mended(cause, before) == after


@pytest.mark.parametrize(
    ("cause", "text"),
    [
        ("dotenv-shadowed", "load_dotenv(override=True)"),
        ("dotenv-shadowed", "load_dotenv("),
        ("dotenv-shadowed", "from dotenv import load_dotenv"),
        ("hardcoded-key", 'KEY = "sk-…"'),
        ("hardcoded-key", 'AzureOpenAI(api_key="sk-…")'),
        ("hardcoded-key", "OpenAI(api_key=key)"),
        ("hardcoded-key", 'OpenAI(api_key="sk-…", api_base="https://openrouter.ai/api/v1")'),
        ("hardcoded-key", 'OpenAI(base_url=URL, api_key="sk-…")'),
        ("key-overwritten", 'llm.api_key = ""'),
        ("key-overwritten", "os.environ.update(DEFAULTS)"),
        ("key-overwritten", 'os.environ["OTHER"] = ""'),
        ("wrong-variable", 'os.getenv("MODEL")'),
        ("wrong-variable", 'a = os.getenv("OPENAI_KEY") or os.environ["OPENAI_KEY"]'),
        ("client-before-env", "load_dotenv()"),
    ],
)
def test_what_one_line_does_not_show_is_left_to_the_sentence(cause: str, text: str) -> None:
    assert mended(cause, text, evidence="OPENAI_KEY is looked up") == ""


def test_a_variable_that_the_class_does_not_read_by_itself_is_no_reason_to_take_the_key_out() -> None:
    assert mended("hardcoded-key", 'OpenAI(api_key="sk-…")', delivered=("env:SHOP_KEY",)) == ""


@pytest.mark.parametrize(
    ("file", "text", "goes"),
    [
        ("Dockerfile", "ENV OPENAI_API_KEY=${OPENAI_API_KEY}", True),
        ("deploy/web.Dockerfile", "ENV OPENAI_API_KEY sk-…", True),
        ("Dockerfile", 'ENV OPENAI_API_KEY="a b"', True),
        ("Dockerfile", "ENV OPENAI_API_KEY=x PORT=8000", False),
        ("Dockerfile", "ENV OPENAI_API_KEY=x \\", False),
        ("compose.yaml", "ENV OPENAI_API_KEY=x", False),
    ],
)
def test_an_instruction_goes_that_sets_nothing_else(file: str, text: str, goes: bool) -> None:
    change = diff(Finding("keyed", "key-baked", where=(Place(file, 1, text),)), ())
    assert change == (f"--- {file}\n+++ {file}\n@@ -1 +0,0 @@\n-{text}" if goes else "")


def test_each_change_of_the_examples_is_of_a_line_to_blame() -> None:
    shown = 0
    for cause in causes():
        for example in cause.EXAMPLES:
            for finding in diagnose(example.facts):
                change = diff(finding, example.facts.deployment.delivered).splitlines()
                assert not change or change[3][1:] in [place.text for place in finding.where]
                shown += bool(change)
    assert shown > 10
