"""YAML with the lines its values stand on."""

from __future__ import annotations

import pytest

from pytest_llamakey.spec.model import SpecError
from pytest_llamakey.spec.yaml_lines import read_yaml

TEXT = """\
# a comment
first: 1
list:
  - name: a
    value: 10:30
  - name: b
---
---
second: {inner: yes, day: 2020-01-01}
"""


def test_values_and_lines_of_several_documents():
    one, two = read_yaml(TEXT, "some.yaml")
    assert one.value == {"first": 1, "list": [{"name": "a", "value": "10:30"}, {"name": "b"}]}
    assert (one.line("first"), one.line("list", 1, "name"), one.line("list", 0, "value")) == (2, 6, 5)
    assert one.line("list", 1, "missing") == 6
    assert two.value == {"second": {"inner": True, "day": "2020-01-01"}}
    assert two.line("second", "inner") == 9
    assert two.line("nothing") == 9


def test_merged_keys_stand_where_their_anchor_does():
    (document,) = read_yaml("base: &base\n  a: 1\nuse:\n  <<: *base\n  b: 2\n", "x.yaml")
    assert document.value["use"] == {"a": 1, "b": 2}
    assert (document.line("use", "a"), document.line("use", "b")) == (2, 5)


@pytest.mark.parametrize("text", ["a: [1, 2\nb: 3\n", "a: 1\n\tb: 2\n"])
def test_a_mistake_is_told_with_its_line(text):
    with pytest.raises(SpecError, match=r"^bad\.yaml:2: not valid YAML") as caught:
        read_yaml(text, "bad.yaml")
    assert caught.value.origin is not None


def test_a_document_inside_itself_ends():
    (document,) = read_yaml("a: &x\n  b: *x\n", "x.yaml")
    assert document.line("a", "b") == 2


def test_a_character_that_yaml_does_not_have_is_told():
    with pytest.raises(SpecError, match=r"compose\.yaml: not valid YAML"):
        read_yaml("a: \x07\n", "compose.yaml")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (
            "a: &a [x, x, x, x, x, x, x, x, x, x]\n"
            + "".join(f"{c}: &{c} [{', '.join([f'*{p}'] * 10)}]\n" for p, c in zip("abcde", "bcdef", strict=True)),
            "more than 100000 values",
        ),
        ("[" * 5_000, "nested too deeply"),
    ],
)
def test_a_file_made_to_overwhelm(text, said):
    with pytest.raises(SpecError, match=said):
        read_yaml(text, "compose.yaml")
