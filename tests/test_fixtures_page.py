"""The page of the fixtures: its examples, and README's, are the ones that run; its tables name all that there is."""

from __future__ import annotations

import re
from dataclasses import fields
from pathlib import Path

import pytest

from pytest_llamakey import plugin
from pytest_llamakey.endpoint.calls import ReceivedCall
from pytest_llamakey.endpoint.routes import ROUTES
from pytest_llamakey.live import LiveDeployment
from pytest_llamakey.seen import LiveWorker

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs/fixtures.md").read_text()
README = (ROOT / "README.md").read_text()
EXAMPLES = "".join(path.read_text() for path in sorted((ROOT / "tests/examples").glob("*.py")))
# What the plugin itself needs of a deployment; a test has no use for it.
OURS = {"wait_until_ready", "running", "halt", "keep", "rolls_out", "rotate"}


def table(head: str) -> set[str]:
    """The names in the first column of the table that begins so."""
    (rows,) = re.findall(rf"^\| {re.escape(head)} \|.*\n\| --- .*\n((?:\|.*\n)+)", PAGE, re.MULTILINE)
    names = [name for row in rows.splitlines() for name in re.findall(r"`(\w+)[^`]*`", row.split(" | ")[0])]
    return set(names)


def public(kind: type) -> set[str]:
    own = {name for name in vars(kind) if not name.startswith("_")}
    return own | {field.name for field in fields(kind)} if hasattr(kind, "__dataclass_fields__") else own


@pytest.mark.parametrize(
    "block", [block for page in (README, PAGE) for block in re.findall(r"```python\n(.*?)```", page, re.DOTALL)]
)
def test_every_example_is_one_that_runs(block: str) -> None:
    assert block in EXAMPLES


def test_every_running_example_is_shown() -> None:
    assert set(re.findall(r"^def (test_\w+)", EXAMPLES, re.MULTILINE)) == set(
        re.findall(r"^def (test_\w+)", PAGE, re.MULTILINE)
    )


def test_the_tables_are_complete() -> None:
    assert table("of the deployment") == public(LiveDeployment) - OURS
    assert table("of a worker") == public(LiveWorker)
    assert table("of a call") == public(ReceivedCall)
    assert table("fixture") == {name for name in vars(plugin) if name.startswith("llamakey_")}


def test_the_routes_names() -> None:
    sentence = PAGE.partition("bear the names ")[2].partition(";")[0]
    assert set(re.findall(r"`(\w+)`", sentence)) == {line.name for line in ROUTES}
