"""The command line of the torture, and the tables that it writes."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tools.torture import __main__, table
from tools.torture.cases import Case, Row, Tally

if TYPE_CHECKING:
    from pathlib import Path

    from tools.torture.bench import Bench

FORMER = """<!-- kill -->
3 of 3 survived (`make torture SUITE=kill`).

| case | tried | survived | seconds | date | |
| --- | --- | --- | --- | --- | --- |
| a | 1 | 1 | 7 | 2020-01-01 | gone after 1.7 s |
| b | 1 | 1 | 5 | 2020-01-01 |  |
| renamed | 1 | 1 | 5 | 2020-01-01 |  |
<!-- end of kill -->
"""


@pytest.mark.parametrize("suite", __main__.SUITES)
def test_the_page_names_only_cases_that_exist(suite: str) -> None:
    _, _, rest = table.PAGE.read_text().partition(f"<!-- {suite} -->")
    former, _, _ = rest.partition(f"<!-- end of {suite} -->")
    assert table.read(former).keys() <= {case.name for case in __main__.cases(suite)}
    assert table.read(former)


def test_each_row_has_the_date_of_its_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    page = tmp_path / "torture.md"
    page.write_text(FORMER)
    monkeypatch.setattr(table, "PAGE", page)
    table.write([Row("kill", "b", Tally(2, 2, "well\n and | well"), 3.4)], {"kill": ["a", "b"]})
    written = page.read_text()
    rows = table.read(written)
    assert rows["a"] == ["a", "1", "1", "7", "2020-01-01", "gone after 1.7 s"]
    assert rows["b"][:4] == ["b", "2", "2", "3"]
    assert rows["b"][4] > "2025"
    assert rows["b"][5] == "well and \\| well"
    assert rows.keys() == {"a", "b"}
    assert "\n3 of 3 survived (`make torture SUITE=kill`).\n" in written


def test_a_case_that_did_not_survive_is_broken_without_a_note(tmp_path: Path) -> None:
    def run(_place: Bench) -> Tally:
        return Tally(2, 1)

    assert __main__.trial("kill", Case("b", run), tmp_path, "").broken == "did not survive"


def test_a_name_that_no_case_has_is_an_error(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.argv", ["torture", "kill", "--only", "nothing of the kind"])
    monkeypatch.setenv("LLAMAKEY_TORTURE_RUNS", "20")
    monkeypatch.setattr("sys.stdout.reconfigure", lambda **_options: None, raising=False)
    with pytest.raises(SystemExit) as ended:
        __main__.main()
    assert ended.value.code == 2
    assert "no case of kill has 'nothing of the kind' in its name" in capsys.readouterr().err
