"""What systemd makes of an ``EnvironmentFile=`` (systemd.exec(5)), in booted units: the key, and how it is judged."""

from __future__ import annotations

import pytest
from systemd_bench import Units, deployment

from tools.tiny_app import server, table

pytestmark = [pytest.mark.engine, pytest.mark.slow]

SERVE = "exec python /app/server.py 8000 2\n"
# The image's own file: the delivered key takes the place of one line, and the others keep their meaning.
FILE = r"""# Both comments, and what \
; comes behind a backslash in one
GREETING='hello  "world"'
COLOUR="#ff0000"
PLAIN=a#b # c
OPENAI_API_KEY="your-key-here"
PATHS=/one:\
/two
"""
NEIGHBOURS = r"""set -e
test "$GREETING" = 'hello  "world"'
test "$COLOUR" = '#ff0000'
test "$PLAIN" = 'a#b # c'
test "$PATHS" = /one:/two
"""
# Where no line of the key's is there yet, it is the last one.
UNENDED = "PLAIN=one \\"
# @ is the key, as a deployment would write it. All of these are the same to systemd.
RIGHT_WAYS = r"""OPENAI_API_KEY=@
SINGLE='@'
DOUBLE="@"
SPACED=   @  
CONTINUED=\
@
JOINED='@'""
"""  # noqa: W291 - the spaces are what is tested
SAME = 'for each in "$SINGLE" "$DOUBLE" "$SPACED" "$CONTINUED" "$JOINED"; do test "$each" = "$OPENAI_API_KEY"; done\n'
WRONG_WAYS = {
    "space": ('OPENAI_API_KEY="@ "\n', "a space behind it"),
    "comment": ("OPENAI_API_KEY=@ # mine\n", "something else around it"),
    "quotes": ("OPENAI_API_KEY=\"'@'\"\n", "quotes around it"),
    "quote": ("OPENAI_API_KEY=@'\n", "quotes around it"),
}
WRITTEN = 'sed "s/@/$(cat /etc/app/openai_key)/" /app/ways/$1 > /run/app.env\n'
UNIT = """\
[Service]
WorkingDirectory=/app
EnvironmentFile=-/etc/app/nowhere.env
EnvironmentFile={file}
{lines}
ExecStart=/bin/sh {script}.sh
"""


@pytest.fixture(scope="module")
def units(run_llamakey, tmp_path_factory):
    """All units in one run: they share one image."""
    units = Units(tmp_path_factory.mktemp("units"))
    tables = []

    def unit(name, key, expect=(), *, file="/run/app.env", lines="", script="serve"):
        units.write({f"{name}.service": UNIT.format(file=file, lines=lines, script=script)})
        fields = {"runtime": "systemd", "unit": f"{name}.service", "port": 8000, "command": None, "key": key}
        tables.append(table(name=name, expect=list(expect) or None, **fields))

    for name, text, script, expect in (
        ("delivered", FILE, "neighbours", ()),
        ("unended", UNENDED, "serve", ()),
        # What systemd passes over it writes into its journal, key and all.
        ("exported", "export OPENAI_API_KEY=your-key-here\n", "serve", ("key-missing", "key-in-logs")),
    ):
        units.write({f"etc/{name}.env": text})
        unit(name, f"dotenv:/etc/app/{name}.env", expect, file=f"/etc/app/{name}.env", script=script)
    for name, text in {"right": RIGHT_WAYS, **{name: text for name, (text, _told) in WRONG_WAYS.items()}}.items():
        # The key comes as a file here, from which the unit makes the one that it reads.
        units.write({f"ways/{name}": text})
        first = f"ExecStartPre=/bin/sh /app/written.sh {name}"
        expect, script = (("key-mangled",), "serve") if name in WRONG_WAYS else ((), "same")
        unit(name, "file:/etc/app/openai_key", expect, file="-/run/app.env", lines=first, script=script)
    units.write(
        {
            "server.py": server(),
            "serve.sh": SERVE,
            "same.sh": f"set -e\n{SAME}{SERVE}",
            "neighbours.sh": f"{NEIGHBOURS}{SERVE}",
            "written.sh": WRITTEN,
            "Dockerfile": (units.folder / "Dockerfile").read_text().replace("COPY . .", "COPY . .\nCOPY etc /etc/app"),
            "llamakey.toml": "".join(tables),
        }
    )
    return run_llamakey(*units.arguments(), "-k", "keyed or wire")


@pytest.mark.parametrize("name", ["delivered", "unended", "right"])
def test_the_key_arrives_exactly_whatever_is_quoted_around_it(units, name):
    found = deployment(units, name)
    assert (found["verdict"], found["seen_workers"]) == ("pass", 2), units.output
    workers = [each for each in found["replicas"][0]["workers"] if each["role"] == "worker"]
    assert [each["key"] for each in workers] == ["match"] * 2


@pytest.mark.parametrize("name", WRONG_WAYS)
def test_a_file_that_alters_the_key_is_told_with_the_line_that_reads_it(units, name):
    found = deployment(units, name)
    assert (found["causes"], found["seen_workers"]) == (["key-mangled"], 2), units.output
    (finding,) = found["findings"]
    assert WRONG_WAYS[name][1] in finding["evidence"][0], units.output
    assert f"app/{name}.service:4" in finding["where"], units.output


def test_a_line_with_export_brings_no_key_and_shows_it(units):
    found = deployment(units, "exported")
    assert sorted(found["causes"]) == ["key-in-logs", "key-missing"], units.output
    findings = {finding["cause"]: finding for finding in found["findings"]}
    assert "app/exported.service:4" in findings["key-missing"]["where"]
    assert "without `export`" in findings["key-missing"]["fix"]
    assert "Ignoring invalid environment assignment 'export OPENAI_API_KEY=" in findings["key-in-logs"]["evidence"][0]
