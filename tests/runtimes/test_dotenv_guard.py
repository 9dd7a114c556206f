"""What is replaced in a ``.env`` file, and that all else stays."""

from __future__ import annotations

import io

import pytest
from dotenv import dotenv_values

from pytest_llamakey.secrecy.dotenv_guard import defuse, defuse_bytes, is_dotenv, merge

KEY = "sk-proj-Ab_1234567890"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (f"OPENAI_API_KEY={KEY}", "OPENAI_API_KEY=<D>"),
        (f"export OPENAI_API_KEY = '{KEY}'  # mine\r\n", "export OPENAI_API_KEY = '<D>'  # mine\r\n"),
        (f'A=1\n\n\tX="{KEY}"\nB=2', 'A=1\n\n\tX="<D>"\nB=2'),
        ('DB_PASSWORD="two\nlines \\" of it"\nZ=1\n', 'DB_PASSWORD="<D>"\nZ=1\n'),
        ("'my key'=x\nSECRET_SAUCE=a b # c\n", "'my key'=<D>\nSECRET_SAUCE=<D> # c\n"),
        ("azure_key=0123abcd0123abcd", "azure_key=<D>"),
        (f"# OPENAI_API_KEY={KEY}\n", "# OPENAI_API_KEY=<D>\n"),
        (f"API_KEY='{KEY}\nB=2\n", "API_KEY=<D>\nB=2\n"),
        (f"URL=https://x/?k={KEY}&b=1", "URL=https://x/?k=<D>&b=1"),
        (f"\ufeffK_KEY={KEY}\n", "\ufeffK_KEY=<D>\n"),
    ],
)
def test_credentials_are_replaced(text, expected):
    assert defuse(text, "<D>") == expected


@pytest.mark.parametrize(
    "text",
    [
        "",
        "\n\n",
        "A=1\r\nB='x'\r",
        "OPENAI_API_KEY=\n",
        "OPENAI_API_KEY",
        "MAX_TOKENS=4096\nTOKENIZERS_PARALLELISM=false\n",
        "# no = ' \"\nHOST=task-1 # x\n",
        "=\n===\n'\n",
        "export\n",
    ],
)
def test_all_else_stays(text):
    assert defuse(text, "<D>") == text


def test_a_password_in_a_url_goes_along():
    text = "DB_PASSWORD=hunter2\nURL=postgres://app:hunter2@db/hunter2\n"
    assert defuse(text, "<D>") == "DB_PASSWORD=<D>\nURL=postgres://app:<D>@db/hunter2\n"


def test_bytes_of_any_encoding_pass():
    assert defuse_bytes(b"A=\xff\xfe\nMY_KEY=\xe4\xf6\n", "<D>") == b"A=\xff\xfe\nMY_KEY=<D>\n"
    wide = f"\ufeffMY_KEY={KEY}\r\n".encode("utf-16-le")
    assert defuse_bytes(wide, "<D>") == "\ufeffMY_KEY=<D>\r\n".encode("utf-16-le")


@pytest.mark.parametrize(
    ("name", "answer"), [(".env", True), (".env.local", True), ("prod.env", True), ("env.py", False)]
)
def test_names(name, answer):
    assert is_dotenv(name) is answer


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", "K=new\n"),
        ("A=1", "A=1\nK=new\n"),
        ("A=1\nK=old\nB=2\n", "A=1\nK=new\nB=2\n"),
        ("# c\n\nexport K='o\nld'\nB=2\nK=older", "# c\n\nK=new\nB=2\n"),
        ("# c\n\nexport K='o\nld'\nB=2\nexport K=older", "# c\n\nexport K=new\nB=2\n"),
        ("A=1 \\", "A=1 \\\n\nK=new\n"),
        ("\ufeffK=old\r\nB=2\r\n", "\ufeffK=new\nB=2\r\n"),
    ],
)
def test_a_line_takes_the_place_of_older_ones(text, expected):
    merged = merge(text, "K=new")
    assert merged == expected
    assert dotenv_values(stream=io.StringIO(merged.lstrip("\ufeff")))["K"] == "new"


@pytest.mark.parametrize(
    ("text", "expected"), [("", ""), ("A=1", "A=1"), ("A=1\nexport K=old\n# c\nK='x'\nB=2\n", "A=1\n# c\nB=2\n")]
)
def test_a_bare_name_takes_the_older_lines_away(text, expected):
    assert merge(text, "K\n") == expected
