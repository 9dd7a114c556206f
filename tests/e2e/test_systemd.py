"""Units in containers whose first process is systemd: how a key gets into a unit, and how it does not."""

from __future__ import annotations

import pytest
from systemd_bench import RIGHT, Units, deployment

UNIT = """\
[Unit]
Description=Questions for the model

[Service]
User=app
WorkingDirectory=/app
{lines}
ExecStart=/usr/bin/env gunicorn app:app --workers 2 --bind 0.0.0.0:8000
"""
DEPLOYMENT = """
[[deployment]]
name = "{name}"
runtime = "systemd"
unit = "{name}.service"
port = 8000
ready = "/health"
request = {{ method = "POST", path = "/ask", json = {{ q = "ping" }} }}
{fields}
"""
RIGHT_UNITS = {
    "pass": ("PassEnvironment=OPENAI_API_KEY", 'key = "env:OPENAI_API_KEY"'),
    "file": (
        "EnvironmentFile=-/etc/app/nowhere.env\nEnvironmentFile=/etc/app/app.env",
        'key = "dotenv:/etc/app/app.env"',
    ),
    "dropin": ("", 'key = "dotenv:/etc/app/app.env"'),
    "credential": ("LoadCredential=openai:/etc/app/openai_key", 'key = "file:/etc/app/openai_key"'),
}
BROKEN_UNITS = {
    "cleared": ("", 'key = "env:OPENAI_API_KEY"', "env-cleared", "cleared.service:8"),
    "missing": (
        "EnvironmentFile=-/etc/app/ap.env",
        'key = "dotenv:/etc/app/app.env"',
        "key-missing",
        "missing.service:7",
    ),
    "unset": (
        "PassEnvironment=OPENAI_API_KEY\nUnsetEnvironment=OPENAI_API_KEY",
        'key = "env:OPENAI_API_KEY"',
        "env-cleared",
        "unset.service:8",
    ),
    "literal": (
        "Environment=OPENAI_API_KEY=sk-proj-Zq7Zq7Zq7Zq7Zq7Zq7Zq7Zq7",
        'key = "dotenv:/etc/app/app.env"',
        "key-baked",
        "literal.service:7",
    ),
    "expansion": (
        "Environment=OPENAI_API_KEY=${OPENAI_API_KEY}",
        'key = "env:OPENAI_API_KEY"',
        "key-mangled",
        "expansion.service:7",
    ),
}


@pytest.fixture(scope="module")
def units(run_llamakey, tmp_path_factory):
    """All units in one run: they share one image."""
    units = Units(tmp_path_factory.mktemp("units"))
    written = ""
    for name, (lines, fields) in RIGHT_UNITS.items():
        units.write({f"{name}.service": UNIT.format(lines=lines)})
        written += DEPLOYMENT.format(name=name, fields=f"{fields}\nworkers = 2")
    for name, (lines, fields, cause, _where) in BROKEN_UNITS.items():
        units.write({f"{name}.service": UNIT.format(lines=lines)})
        written += DEPLOYMENT.format(name=name, fields=f'{fields}\nworkers = 2\nexpect = ["{cause}"]')
    # As an app that takes its key from a variable is started with a credential.
    with_key = "OPENAI_API_KEY=$$(cat $CREDENTIALS_DIRECTORY/openai) exec gunicorn app:app -w 2 -b 0.0.0.0:8000"
    crash = "ExecStartPre=/bin/sh -c 'echo no luck today; exit 3'"
    written += DEPLOYMENT.format(name="crash", fields="") + DEPLOYMENT.format(name="nofile", fields='key = "none"')
    units.write(
        {
            "dropin.service.d/key.conf": "[Service]\nEnvironmentFile=/etc/app/app.env\n",
            "credential.service.d/start.conf": f"[Service]\nExecStart=\nExecStart=/bin/sh -c '{with_key}'\n",
            "crash.service": UNIT.format(lines=crash),
            "nofile.service": UNIT.format(lines="EnvironmentFile=/etc/app/nowhere.env"),
            "llamakey.toml": written,
        }
    )
    return run_llamakey(*units.arguments())


@pytest.mark.engine
@pytest.mark.slow
@pytest.mark.parametrize("name", RIGHT_UNITS)
def test_a_key_that_reaches_the_unit_reaches_every_worker(units, name):
    found = deployment(units, name)
    assert (found["verdict"], found["seen_workers"]) == ("pass", 2), units.output


@pytest.mark.engine
@pytest.mark.slow
@pytest.mark.parametrize("name", BROKEN_UNITS)
def test_a_key_that_stays_outside_has_its_cause_and_line(units, name):
    found = deployment(units, name)
    *_, cause, where = BROKEN_UNITS[name]
    assert found["causes"] == [cause], units.output
    assert found["outcome"] == "passed"
    assert f"app/{where}" in found["findings"][0]["where"]


@pytest.mark.engine
@pytest.mark.slow
def test_a_unit_that_fails_is_told_at_once_with_its_last_words(units):
    found = deployment(units, "crash")
    assert found["verdict"] == "error"
    assert "exit code 3" in found["error"]
    assert "no luck today" in found["error"]
    assert found["timings"]["ready"] < 30


@pytest.mark.engine
@pytest.mark.slow
def test_a_unit_that_systemd_never_starts_has_no_exit_code(units):
    found = deployment(units, "nofile")
    assert "was never started by systemd (result 'resources')" in found["error"]
    assert "Failed to load environment files: No such file or directory" in found["error"]


@pytest.mark.engine
@pytest.mark.slow
def test_a_unit_named_by_itself_gets_its_key_as_it_says(run_llamakey, tmp_path):
    units = Units(tmp_path)
    units.write({"app.service": (RIGHT / "app.service").read_text()})
    run = run_llamakey(*units.arguments("app.service"))
    (found,) = run.report["deployments"]
    assert (found["verdict"], found["seen_workers"]) == ("pass", 3), run.output
    workers = [one for one in found["replicas"][0]["workers"] if one["role"] == "worker"]
    assert [one["key"] for one in workers] == ["match"] * 3
