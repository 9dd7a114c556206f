from __future__ import annotations

import pytest

from pytest_llamakey.spec.locate import first_error, line_of, locate

DOCUMENT = """\
# comment
title = "x"
a.b . "c.d" = 1

[[deployment]]
name = "api"   # trailing
env = { LOG = "info", "ODD-\\u0041" = "1" }
request = [
    # comment inside
    { path = "/login" },
    { path = "/ask",
      json = { q = [1, "two"] } },
]
key = [
  "env:A",

  "file:/x",
]
text = \"\"\"
[[deployment]]
name = "not me"
\"\"\"

[deployment.services.redis]
image = "redis:7"

[[deployment]]
'name' = "worker"

[[deployment.extra]]
one = 1
[[deployment.extra]]
two = 2
[deployment.extra.deep]
three = 3

[tool.llamakey]
checks = []
"""


@pytest.mark.parametrize("ending", ["\n", "\r\n"])
def test_every_path_has_its_line(ending: str) -> None:
    lines = locate(DOCUMENT.replace("\n", ending))
    expected = {
        ("title",): 2,
        ("a",): 3,
        ("a", "b"): 3,
        ("a", "b", "c.d"): 3,
        ("deployment",): 5,
        ("deployment", 0): 5,
        ("deployment", 0, "name"): 6,
        ("deployment", 0, "env"): 7,
        ("deployment", 0, "env", "LOG"): 7,
        ("deployment", 0, "env", "ODD-A"): 7,
        ("deployment", 0, "request"): 8,
        ("deployment", 0, "request", 0): 10,
        ("deployment", 0, "request", 0, "path"): 10,
        ("deployment", 0, "request", 1): 11,
        ("deployment", 0, "request", 1, "path"): 11,
        ("deployment", 0, "request", 1, "json"): 12,
        ("deployment", 0, "request", 1, "json", "q"): 12,
        ("deployment", 0, "request", 1, "json", "q", 0): 12,
        ("deployment", 0, "request", 1, "json", "q", 1): 12,
        ("deployment", 0, "key"): 14,
        ("deployment", 0, "key", 0): 15,
        ("deployment", 0, "key", 1): 17,
        ("deployment", 0, "text"): 19,
        ("deployment", 0, "services"): 24,
        ("deployment", 0, "services", "redis"): 24,
        ("deployment", 0, "services", "redis", "image"): 25,
        ("deployment", 1): 27,
        ("deployment", 1, "name"): 28,
        ("deployment", 1, "extra"): 30,
        ("deployment", 1, "extra", 0): 30,
        ("deployment", 1, "extra", 0, "one"): 31,
        ("deployment", 1, "extra", 1): 32,
        ("deployment", 1, "extra", 1, "two"): 33,
        ("deployment", 1, "extra", 1, "deep"): 34,
        ("deployment", 1, "extra", 1, "deep", "three"): 35,
        ("tool",): 37,
        ("tool", "llamakey"): 37,
        ("tool", "llamakey", "checks"): 38,
    }
    assert dict(lines) == expected


def test_a_missing_path_is_on_the_line_of_what_is_around_it() -> None:
    lines = locate(DOCUMENT)
    assert line_of(lines, ("deployment", 0, "request", 1, "method")) == 11
    assert line_of(lines, ("deployment", 1, "port")) == 27
    assert line_of(lines, ("nowhere",)) == 0


def test_the_last_line_needs_no_newline() -> None:
    assert locate("a = 1\n[b]\nc = 2")[("b", "c")] == 3


def test_non_ascii_text_moves_no_line() -> None:
    assert locate('"ключ" = "é"\nb = "ü"\n') == {("ключ",): 1, ("b",): 2}


def test_first_error() -> None:
    assert first_error("a = 1\n") is None
    assert first_error('a = 1\nb = """\nfoo\n') == 2
