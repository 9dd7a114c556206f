"""Units as systemd.syntax(7) has them: every assignment with its line."""

from __future__ import annotations

import re
import shutil
import subprocess

import pytest

from pytest_llamakey.spec import unit
from pytest_llamakey.spec.model import SpecError

TEXT = """\
# the app
[Unit]
Description=Questions

[Service]
Environment="A=1 2" B=3
; a comment
Environment=OPENAI_API_KEY=sk-x
ExecStart=/usr/bin/gunicorn \\
  # not part of it
  --workers 3 \\
  app:app
ExecReload=
PassEnvironment=C D
"""


@pytest.fixture
def app(tmp_path):
    path = tmp_path / "app.service"
    path.write_text(TEXT)
    return path


def test_every_assignment_has_its_line(app):
    read = unit.read(app, "deploy/app.service")
    lines = [(each.name, str(each.origin)) for file in read.files for each in file.assignments]
    assert lines == [
        ("Description", "deploy/app.service:3"),
        ("Environment", "deploy/app.service:6"),
        ("Environment", "deploy/app.service:8"),
        ("ExecStart", "deploy/app.service:9"),
        ("ExecReload", "deploy/app.service:13"),
        ("PassEnvironment", "deploy/app.service:14"),
    ]


def test_a_backslash_joins_lines_and_comments_between_them_drop_out(app):
    assert unit.read(app, "app.service").last("ExecStart") == "/usr/bin/gunicorn --workers 3 app:app"


def test_the_variables_that_a_unit_sets(app):
    read = unit.read(app, "app.service")
    assert read.environment == {"A", "B", "OPENAI_API_KEY"}
    assert read.all("PassEnvironment")[0].variables == ("C", "D")


@pytest.mark.parametrize(
    ("value", "pairs"),
    [
        ('A=1 "B=2', {"A": "1"}),
        ("A=it's B=2", {}),
        (r"A=1 C=x\d D=1", {"A": "1"}),
        ("'F=a b'c G=\"x\\\"y\" H='a\\'b'", {"F": "a bc", "G": 'x"y', "H": "a'b"}),
        ('"K=1"L=2', {"K": "1L=2"}),
        (r"S=a\tb\x41\101\xc3\xa9\u00e9 T=\s", {"S": "a\tbAAéé", "T": " "}),
        (r"A=1 B=\x00", {"A": "1"}),
        (r"A=1 B=\UFFFFFFFF C=3", {"A": "1"}),
        (r"A=1 B=\ud800", {"A": "1"}),
        ("1H=2 I J-K=3 U= V=a=b", {"U": "", "V": "a=b"}),
        ('""', {}),
    ],
)
def test_environment_is_what_systemd_makes_of_it(tmp_path, value, pairs):
    path = tmp_path / "app.service"
    path.write_text(f"[Service]\nEnvironment={value}\n")
    read = unit.read(path, "app.service")
    (line,) = read.all("Environment")
    assert dict(line.pairs) == pairs
    assert read.environment == set(pairs)


@pytest.mark.parametrize(
    ("value", "names"), [('M "N O', ("M",)), ('P=1 "Q" 2R', ("Q",)), ("'A' B_1", ("A", "B_1")), ("É", ())]
)
def test_what_a_unit_passes_on(tmp_path, value, names):
    path = tmp_path / "app.service"
    path.write_text(f"[Service]\nPassEnvironment={value}\n", encoding="utf-8")
    assert unit.read(path, "app.service").all("PassEnvironment")[0].variables == names


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd-analyze is not here")
def test_systemd_itself_ignores_the_same(tmp_path):
    path = tmp_path / "app.service"
    path.write_text(
        "[Service]\nExecStart=/bin/true\nEnvironment=A=1 B=\\d\nEnvironment='C=1\nEnvironment='D=1'E F=\\x41\\s\n"
        "Environment=1G=2 H\nPassEnvironment=P=1 Q\n"
    )
    done = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", path], capture_output=True, text=True, check=False, timeout=60
    )
    told = re.findall(r"app\.service:(\d+): .*ignoring: (.*)", done.stderr)
    assert told == [("3", r"A=1 B=\d"), ("4", "'C=1"), ("6", "1G=2"), ("6", "H"), ("7", "P=1")]
    read = unit.read(path, "app.service")
    assert read.environment == {"A", "D", "F"}
    assert read.all("PassEnvironment")[0].variables == ("Q",)


def test_drop_ins_come_after_the_unit_in_the_order_of_their_names(app):
    folder = app.with_name("app.service.d")
    folder.mkdir()
    (folder / "b.conf").write_text("[Service]\nUser=second\n")
    (folder / "a.conf").write_text("[Service]\nUser=first\n")
    read = unit.read(app, "app.service")
    assert [file.name for file in read.files] == ["app.service", "app.service.d/a.conf", "app.service.d/b.conf"]
    assert read.last("User") == "second"


def test_an_empty_value_resets(app):
    assert unit.read(app, "app.service").last("ExecReload") is None


@pytest.mark.parametrize(("text", "line"), [("[Service]\nnonsense\n", 2), ("[Service]\n\n=x\n", 3)])
def test_a_line_that_is_nothing_is_told(tmp_path, text, line):
    path = tmp_path / "app.service"
    path.write_text(text)
    with pytest.raises(SpecError, match=rf"app\.service:{line}: .*Name=value") as raised:
        unit.read(path, "app.service")
    assert "nonsense" not in str(raised.value), "it may be the end of a secret"


def test_a_missing_unit_is_told(tmp_path):
    with pytest.raises(SpecError, match="there is no unit file"):
        unit.read(tmp_path / "app.service", "app.service")


def test_a_byte_order_mark_is_passed_over(tmp_path):
    path = tmp_path / "app.service"
    path.write_bytes("\ufeff[Service]\nUser=app\n".encode())
    assert unit.read(path, "app.service").last("User") == "app"


def test_a_drop_in_that_leads_nowhere_is_told(app):
    folder = app.with_name("app.service.d")
    folder.mkdir()
    (folder / "a.conf").symlink_to("nowhere")
    with pytest.raises(SpecError, match=r"app\.service\.d/a\.conf: the file cannot be read"):
        unit.read(app, "app.service")
