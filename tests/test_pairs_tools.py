"""What ``make generations`` and ``make images`` make of a run."""

from __future__ import annotations

import json
import sys

import pytest

from tools import pairs
from tools.generations import GENERATIONS, NotMade, environment

VERSIONS = dict.fromkeys(pairs.SHOWN, "1.0")


def test_every_pair_is_known():
    assert {"key-missing", "stale-key"} <= set(pairs.ALL_PAIRS)
    assert len(pairs.ALL_PAIRS) == 22


@pytest.mark.parametrize(
    ("wrong", "code", "told"),
    [
        ({"key-missing/broken": "", "key-missing/fixed": ""}, 0, "as expected"),
        ({"key-missing/broken": "client-before-env", "key-missing/fixed": ""}, 1, "client-before-env"),
        ({}, 1, "python"),
    ],
    ids=["well", "not well", "nothing ran"],
)
def test_the_table_and_its_exit_code(capsys, wrong, code, told):
    assert pairs.show({"old": pairs.Ran(VERSIONS, wrong)}) == code
    assert told in capsys.readouterr().out


def test_a_run_is_read_by_folder(tmp_path):
    """An interpreter that stands in for pytest writes the report that it was asked for."""
    report = [
        {"id": "sample_images/causes/key-missing/broken/llamakey.toml::broken", "outcome": "passed", "causes": []},
        {"id": "sample_images/causes/key-missing/fixed/llamakey.toml::f", "outcome": "failed", "causes": ["key-baked"]},
        {"id": "sample_images/gunicorn/llamakey.toml::api", "outcome": "failed", "causes": [], "error": "no\nport"},
    ]
    stand_in = tmp_path / "stand_in.py"
    stand_in.write_text(
        "import sys, pathlib\n"
        "place = pathlib.Path(sys.argv[sys.argv.index('--llamakey-report') + 1])\n"
        f"place.write_text({json.dumps({'deployments': report})!r})\n"
    )
    found = pairs.run_pairs([sys.executable, str(stand_in)], ["key-missing"])
    assert found == {"key-missing/broken": "", "key-missing/fixed": "key-baked", "gunicorn": "no"}


def test_no_report_is_told_with_the_last_words(tmp_path):
    with pytest.raises(pairs.NoReport, match="ended with 3:\nno such option"):
        pairs.run_pairs([sys.executable, "-c", "print('no such option'); raise SystemExit(3)"], [])


def test_a_python_too_new_for_old_clients_is_told(monkeypatch, tmp_path):
    monkeypatch.setattr(sys, "version_info", (3, 99, 0))
    with pytest.raises(NotMade, match=r"wheels up to Python 3\.12 only"):
        environment(GENERATIONS[0], tmp_path)


def test_what_failed_outside_the_report_is_told(tmp_path):
    stand_in = tmp_path / "stand_in.py"
    stand_in.write_text(
        "import sys, pathlib\n"
        "pathlib.Path(sys.argv[sys.argv.index('--llamakey-report') + 1]).write_text('{\"deployments\": []}')\n"
        "sys.exit('a worker of xdist ended')\n"
    )
    with pytest.raises(pairs.NoReport, match="a worker of xdist ended"):
        pairs.run_pairs([sys.executable, str(stand_in)], [])
